//! Who may come, and what each may do.

use std::collections::HashMap;

use crate::config::{Client, Rights};
use crate::s3::{BucketName, Code, Effect, Operation, S3Error, Target};
use crate::sigv4::{Credential, CredentialLookup};

/// The clients that may come, and what may be done by whoever comes unsigned.
#[derive(Debug)]
pub struct Clients {
    known: HashMap<String, (Credential, Rights)>,
    anonymous: Option<Rights>,
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// The client with this access key: its signature proves it.
    Client(String),
    /// Nobody signed.
    Anonymous,
    /// One who claims this access key (empty: or none), and whom the store is to judge.
    Unproved(String),
}

impl Caller {
    /// The access key, proved or claimed; empty where there is none.
    pub(super) fn access_key_id(&self) -> &str {
        match self {
            Self::Client(access_key_id) | Self::Unproved(access_key_id) => access_key_id,
            Self::Anonymous => "",
        }
    }
}

impl Clients {
    /// The configured clients, no access key twice; and what everybody may do, if anything.
    pub fn new(clients: &[Client], anonymous: Option<Rights>) -> Self {
        let known = clients.iter().map(|client| {
            let credential = Credential {
                access_key_id: client.access_key_id.clone(),
                secret: client.secret_access_key.clone(),
                session_token: client.session_token.clone(),
            };
            (client.access_key_id.clone(), (credential, client.rights.clone()))
        });
        Self { known: known.collect(), anonymous }
    }

    /// Whether anything at all is open to everybody.
    pub(super) fn admit_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    /// 403 when this caller may not do that there, or not read the bucket it copies from.
    pub(super) fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        target: &Target,
        source_bucket: Option<&str>,
    ) -> Result<(), S3Error> {
        let denied = || S3Error::new(Code::AccessDenied);
        let rights = match caller {
            Caller::Unproved(_) => return Ok(()),
            Caller::Client(access_key_id) => self.known.get(access_key_id).map(|(_, of)| of),
            Caller::Anonymous => self.anonymous.as_ref().filter(|_| is_about_objects(operation)),
        };
        let rights = rights.ok_or_else(denied)?;
        // Without a bucket it is the list of them: for those only who may touch all (`*`).
        let may_touch = rights.may_touch(target.bucket().map_or("", BucketName::as_str));
        let may_read_source = source_bucket.is_none_or(|bucket| rights.may_touch(bucket));
        let may_write = !rights.read_only || operation.effect() == Effect::Read;
        if may_touch && may_read_source && may_write { Ok(()) } else { Err(denied()) }
    }
}

impl CredentialLookup for Clients {
    fn credential(&self, access_key_id: &str) -> Option<&Credential> {
        self.known.get(access_key_id).map(|(credential, _)| credential)
    }
}

/// A bucket that is open to everybody is open in what it holds. How it is set up, and which others
/// there are, is its owner's affair, as whom this proxy would sign.
const fn is_about_objects(operation: Operation) -> bool {
    !matches!(
        operation,
        Operation::ListBuckets
            | Operation::CreateBucket
            | Operation::DeleteBucket
            | Operation::CreateSession
            | Operation::BucketRead
            | Operation::BucketWrite
            | Operation::UnknownBucketWrite
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BucketPattern;

    #[test]
    fn everybody_may_use_what_an_open_bucket_holds_and_nothing_else() {
        let rights =
            |read_only| Rights { buckets: vec![BucketPattern::Prefix(String::new())], read_only };
        let bucket = &Target::Bucket(BucketName::parse("open").unwrap());
        let may = |read_only, operation, target| {
            let clients = Clients::new(&[], Some(rights(read_only)));
            clients.authorize(&Caller::Anonymous, operation, target, None).is_ok()
        };
        for operation in [Operation::GetObject, Operation::ListObjectsV2, Operation::HeadBucket] {
            assert!(may(true, operation, bucket), "{operation:?}");
        }
        for operation in [Operation::PutObject, Operation::DeleteObjects, Operation::UploadPart] {
            assert_eq!([true, false].map(|r| may(r, operation, bucket)), [false, true]);
        }
        for operation in [
            Operation::BucketRead,
            Operation::BucketWrite,
            Operation::CreateBucket,
            Operation::DeleteBucket,
        ] {
            assert!(!may(false, operation, bucket), "{operation:?}");
        }
        assert!(!may(false, Operation::ListBuckets, &Target::Service));
        let closed = Clients::new(&[], None);
        let denied = closed.authorize(&Caller::Anonymous, Operation::GetObject, bucket, None);
        assert_eq!(denied.unwrap_err().code(), "AccessDenied");
    }
}
