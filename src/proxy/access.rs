//! Who may come, and what each may do.

use std::collections::HashMap;

use crate::config::Client;
use crate::s3::{BucketName, Code, Effect, Operation, S3Error, Target};
use crate::sigv4::{Credential, CredentialLookup};

/// The clients that may come.
#[derive(Debug)]
pub struct Clients(HashMap<String, (Credential, Client)>);

impl Clients {
    /// The configured clients; no access key twice.
    pub fn new(clients: &[Client]) -> Self {
        let known = clients.iter().map(|client| {
            let credential = Credential {
                access_key_id: client.access_key_id.clone(),
                secret: client.secret_access_key.clone(),
                session_token: client.session_token.clone(),
            };
            (client.access_key_id.clone(), (credential, client.clone()))
        });
        Self(known.collect())
    }

    /// 403 when this client may not do that there, or not read the bucket it copies from.
    pub(super) fn authorize(
        &self,
        access_key_id: &str,
        operation: Operation,
        target: &Target,
        source_bucket: Option<&str>,
    ) -> Result<(), S3Error> {
        let denied = || S3Error::new(Code::AccessDenied);
        let (_, client) = self.0.get(access_key_id).ok_or_else(denied)?;
        // Without a bucket it is the list of them: for those only who may touch all (`*`).
        let may_touch = client.may_touch(target.bucket().map_or("", BucketName::as_str));
        let may_read_source = source_bucket.is_none_or(|bucket| client.may_touch(bucket));
        let may_write = !client.read_only || operation.effect() == Effect::Read;
        if may_touch && may_read_source && may_write { Ok(()) } else { Err(denied()) }
    }
}

impl CredentialLookup for Clients {
    fn credential(&self, access_key_id: &str) -> Option<&Credential> {
        self.0.get(access_key_id).map(|(credential, _)| credential)
    }
}
