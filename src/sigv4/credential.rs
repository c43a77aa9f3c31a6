//! Credentials: access keys and their secrets.

use std::collections::HashMap;
use std::hash::BuildHasher;

use crate::secret::Secret;

/// An access key and its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The public half, named in the scope of every signature.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The token that must accompany a temporary credential.
    pub session_token: Option<Secret>,
}

/// The clients that may sign requests.
pub trait CredentialLookup {
    /// The credentials of this access key, which have the same session token: the present one, then
    /// the one before it while a client changes its secret. None when the access key is unknown.
    fn credentials(&self, access_key_id: &str) -> &[Credential];
}

impl<S: BuildHasher> CredentialLookup for HashMap<String, Credential, S> {
    fn credentials(&self, access_key_id: &str) -> &[Credential] {
        self.get(access_key_id).map_or(&[], std::slice::from_ref)
    }
}
