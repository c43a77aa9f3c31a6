//! The signature check of a request's head: the sender, and what the head promises about the body.

use http::header;

use super::origin::{Caller, Verified};
use super::state::Proxy;
use super::strict::{self, Hosts};
use crate::clock;
use crate::s3::target::host_bucket;
use crate::s3::{Code, Effect, Operation, RequestHead, S3Error};
use crate::sigv4::{
    Accepted, AuthError, Authenticated, BodyPromise, Claimed, EffectiveRequest, Mechanism,
    PayloadKind, WhichSecret, authenticate,
};

/// What the head proves and promises.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) proof: Proof,
    pub(super) promise: BodyPromise,
    /// Whether it was signed with the client's previous secret.
    pub(super) previous_secret: bool,
}

/// What is known about the sender.
#[derive(Debug)]
pub(super) enum Proof {
    /// Its signature was checked, or none is needed.
    Verified(Verified),
    /// Its claims, where the store checks the signature.
    Claimed(Claimed),
}

impl Signed {
    /// The access key, proved or claimed; empty where there is none.
    pub(super) fn access_key_id(&self) -> &str {
        match &self.proof {
            Proof::Verified(verified) => verified.caller.access_key_id(),
            Proof::Claimed(claimed) => &claimed.access_key_id,
        }
    }

    /// Verifies the signature over the request as sent, and reads the effective request.
    pub(super) fn check(
        proxy: &Proxy,
        request: &EffectiveRequest<'_>,
        operation: Operation,
    ) -> Result<Option<Self>, S3Error> {
        let (sent, head) = (request.sent, request.head());
        let host_bucket = host_bucket(sent, &proxy.naming.domains)?;
        let accepted = Accepted {
            region: proxy.region.as_deref(),
            version_2: proxy.accepts_version_2,
            host_bucket: host_bucket.as_deref(),
        };
        let now = clock::unix_seconds();
        let authenticated = match authenticate(request, &proxy.clients, &proxy.keys, &accepted, now)
        {
            Ok(authenticated) => authenticated,
            Err(AuthError::Anonymous) if operation == Operation::PostObject => return Ok(None),
            Err(AuthError::Anonymous) if proxy.clients.admit_anonymous() => {
                return Self::anonymous(head).map(Some);
            }
            Err(error) => return Err(error.into()),
        };
        let promise = BodyPromise::from_head(&head, &authenticated)?;
        let Authenticated { access_key_id, presigned, secret, .. } = authenticated;
        proxy.clients.note_secret(&access_key_id, secret);
        let caller = Caller::Client(access_key_id);
        let previous_secret = secret == WhichSecret::Previous;
        let proof = Proof::Verified(Verified { caller, presigned });
        Ok(Some(Self { proof, promise, previous_secret }))
    }

    /// For a request whose signature the store checks: checks everything else that can be checked.
    pub(super) fn unproved(
        proxy: &Proxy,
        request: &EffectiveRequest<'_>,
        operation: Operation,
    ) -> Result<Self, S3Error> {
        let (sent, head) = (request.sent, request.head());
        let claimed = Claimed::of(request)?;
        let stores: Vec<_> = proxy.store.host_names().collect();
        let hosts = Hosts { domains: &proxy.naming.domains, stores: &stores };
        strict::check(sent, &claimed, hosts, operation)?;
        if claimed.mechanism == Mechanism::Unsigned {
            check_overrides(head)?;
        }
        let payload = PayloadKind::of_unproved(&sent, claimed.mechanism)?;
        payload.check_unambiguous(sent.headers)?;
        let promise = BodyPromise::of_unproved(&head, payload)?;
        Ok(Self { proof: Proof::Claimed(claimed), promise, previous_secret: false })
    }

    /// The request is not signed, which the rights allow in some places.
    fn anonymous(head: RequestHead<'_>) -> Result<Self, S3Error> {
        check_overrides(head)?;
        let payload = PayloadKind::of_unproved(&head, Mechanism::Unsigned)?;
        let promise = BodyPromise::of_unproved(&head, payload)?;
        let verified = Verified { caller: Caller::Anonymous, presigned: false };
        Ok(Self { proof: Proof::Verified(verified), promise, previous_secret: false })
    }

    /// Checks what the head must say about its body: a checksum where one is announced (400), and a
    /// length (411 where there is none, 501 for `Transfer-Encoding: chunked`, as AWS answers). The
    /// operator may allow a body of unknown length. Returns whether the body is one.
    pub(super) fn check_body(
        &self,
        proxy: &Proxy,
        head: RequestHead<'_>,
        operation: Operation,
    ) -> Result<bool, S3Error> {
        if carries_body(operation) {
            self.promise.check_announced(head.headers)?;
        }
        if head.headers.contains_key(header::CONTENT_LENGTH) {
            return Ok(false);
        }
        if !head.headers.contains_key(header::TRANSFER_ENCODING) {
            if takes_content(operation) && operation != Operation::UnknownWrite {
                return Err(S3Error::new(Code::MissingContentLength));
            }
            return Ok(false);
        }
        // The length of a form's file is checked elsewhere (proxy/incoming_form.rs).
        if self.promise.payload.is_chunked()
            || operation.effect() == Effect::Read
            || operation == Operation::PostObject
        {
            return Ok(false);
        }
        if proxy.takes_unknown_length && takes_content(operation) {
            return Ok(true);
        }
        Err(S3Error::not_implemented("Transfer-Encoding", None))
    }
}

/// Whether the body is an object's content.
const fn takes_content(operation: Operation) -> bool {
    use Operation as Op;
    matches!(operation, Op::PutObject | Op::UploadPart | Op::AppendObject | Op::UnknownWrite)
}

/// Whether the operation has a body of its own, which a checksum may be about. In a copy or a
/// CreateMultipartUpload the header says which checksum the store has to compute.
const fn carries_body(operation: Operation) -> bool {
    use Operation as Op;
    takes_content(operation)
        || matches!(
            operation,
            Op::DeleteObjects
                | Op::BucketWrite
                | Op::ConfigureBucket(_)
                | Op::CreateBucket
                | Op::PutObjectAcl
                | Op::PutObjectAnnotation
                | Op::PutObjectLegalHold
                | Op::PutObjectRetention
                | Op::PutObjectTagging
                | Op::RestoreObject
                | Op::UpdateObjectEncryption
        )
}

/// Only a signed request may choose headers of its answer (AWS: GetObject, "Overriding response
/// header values through the request").
fn check_overrides(head: RequestHead<'_>) -> Result<(), S3Error> {
    if head.query.parameters().any(|(name, _)| name.to_ascii_lowercase().starts_with("response-")) {
        return Err(S3Error::new(Code::InvalidRequest).because(OVERRIDES));
    }
    Ok(())
}

const OVERRIDES: &str =
    "Request specific response headers cannot be used for anonymous GET requests.";
