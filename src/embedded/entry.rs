//! Where a request enters: a form is read here, everything else by `s3s`.

use std::sync::Arc;

use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, HttpRequest, HttpResponse, S3Result, s3_error};

use super::chaos::Serves;
use super::form::{Forms, is_form};
use super::front::{Front, Understood};
use super::store::Store;
use crate::sigv4::Credential;

/// Answers requests.
#[derive(Clone)]
pub(super) struct Entry {
    /// Checks the signature, and asks the store.
    signed: S3Service,
    forms: Arc<Forms>,
}

impl Entry {
    /// The entry to a store that knows one credential.
    pub(super) fn new(store: Store, credential: &Credential) -> Self {
        let mut behind = S3ServiceBuilder::new(store.clone());
        behind.set_auth(OneKey(credential.clone()));
        behind.set_access(Understood);
        let behind = behind.build();
        let mut signed = S3ServiceBuilder::new(store);
        signed.set_auth(OneKey(credential.clone()));
        signed.set_route(Front { store: behind.clone() });
        Self { signed: signed.build(), forms: Arc::new(Forms::new(behind, credential)) }
    }
}

impl Serves for Entry {
    async fn serve(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if is_form(&request) {
            return self.forms.serve(request).await;
        }
        self.signed.call(request).await
    }
}

/// The only key that there is.
struct OneKey(Credential);

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.0.access_key_id {
            return Ok(SecretKey::from(self.0.secret.expose()));
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "The AWS Access Key Id you provided does not exist in our records."
        ))
    }
}
