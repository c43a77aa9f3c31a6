//! Where a request enters: preflights, forms and signatures of Version 2 are read here, everything else
//! by `s3s`.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Method};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, HttpRequest, HttpResponse, S3Result, s3_error};

use super::answers::{Subject, refused};
use super::asked::Understood;
use super::chaos::Serves;
use super::cors::{Asking, preflight};
use super::form::{Forms, is_form};
use super::front::Front;
use super::parts::Options;
use super::signature::{Checked, Signatures};
use super::store::{Store, converted, not_implemented};
use crate::sigv4::Credential;

/// Answers requests.
#[derive(Clone)]
pub(super) struct Entry {
    store: Store,
    /// Checks the signature, and asks the store.
    signed: S3Service,
    /// Asks the store.
    front: Front,
    signatures: Arc<Signatures>,
    forms: Arc<Forms>,
}

impl Entry {
    /// The entry to a store that knows one credential.
    pub(super) fn new(store: Store, credential: &Credential, options: Options) -> Self {
        let mut behind = S3ServiceBuilder::new(store.clone());
        behind.set_auth(OneKey(credential.clone()));
        behind.set_access(Understood { ignores_conditions: options.ignore_conditions });
        let behind = behind.build();
        let front = Front { store: behind.clone() };
        let mut signed = S3ServiceBuilder::new(store.clone());
        signed.set_auth(OneKey(credential.clone()));
        signed.set_route(front.clone());
        Self {
            store,
            signed: signed.build(),
            front,
            signatures: Arc::new(Signatures::of(credential)),
            forms: Arc::new(Forms::new(behind, credential)),
        }
    }

    async fn answer(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if is_form(&request) {
            return self.forms.serve(request).await;
        }
        if has_no_length(request.headers()) {
            return refused(not_implemented("Transfer-Encoding"));
        }
        match self.signatures.check(&mut request) {
            Ok(Checked::Proved) => match self.front.serve(request, None).await {
                Ok(answer) => Ok(answer),
                Err(error) => refused(error),
            },
            Ok(Checked::LeftToTheService) => self.signed.call(request).await,
            Err(error) => refused(converted(error.into())),
        }
    }
}

impl Serves for Entry {
    async fn serve(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if *request.method() == Method::OPTIONS {
            return preflight(&self.store, &request).await;
        }
        let (asking, subject) = (Asking::of(&request), Subject::of(&request));
        let mut answer = self.answer(request).await?;
        subject.name(&mut answer);
        match asking {
            Some(asking) => Ok(asking.tell(&self.store, answer).await),
            None => Ok(answer),
        }
    }
}

/// Whether a body comes in chunks and nothing says how long it is: AWS takes it only as `aws-chunked`,
/// where a header says it.
fn has_no_length(headers: &HeaderMap) -> bool {
    const DECODED: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
    headers.contains_key(TRANSFER_ENCODING)
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(DECODED)
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
