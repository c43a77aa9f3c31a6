//! Conditions on the source of a copy (AWS: CopyObject, UploadPartCopy), judged here: moto ignores
//! most of them, Ceph all of them under their right names.
//!
//! A HEAD of the source decides. Then the store is asked to copy exactly the object that the HEAD
//! saw: with `x-amz-copy-source-if-match` and that ETag. Every store tried either honours this
//! header (our own store and Swift; then no write can come between HEAD and copy) or ignores it
//! (moto, s3rver). The ETag is quoted as it is. One exception is known: Swift refuses the ETag that
//! it shows itself for a multipart object. So after a refusal the source is looked at again, and a
//! store that refuses the right ETag is asked without it.

use std::time::Duration;

use http::StatusCode;

use super::state::Proxy;
use crate::backend::headers::for_head_of_source;
use crate::backend::{Answer, HeadError, Opened, Store, StoreRequest};
use crate::clock;
use crate::gate::{Expected, Outcome, Reply, Write};
use crate::http1::fields::Fields;
use crate::patience::Pauses;
use crate::s3::conditional::X_AMZ_COPY_SOURCE_IF_MATCH;
use crate::s3::documents::parse_store_error;
use crate::s3::{Code, CopySource, Current, ETag, Preconditions, S3Error, Validators};

/// The first pause before a source is looked at again that a store does not show yet.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// How often a copy is tried whose source changes meanwhile.
const ROUNDS: u32 = 3;

/// The source of a copy whose conditions hold.
#[derive(Debug, Clone)]
pub(super) struct Source {
    object: CopySource,
    preconditions: Preconditions,
    /// The headers that a HEAD of it needs.
    headers: Fields,
    /// The ETag that the copied object must have, if any.
    pin: Option<ETag>,
}

impl Source {
    /// Judges the source of a request with these headers by a HEAD. `None` where the request is no
    /// copy, or has no condition on its source; an error where the source does not exist, fails a
    /// condition, or cannot be read.
    pub(super) async fn judged(
        proxy: &Proxy,
        client: &Fields,
        object: Option<&CopySource>,
    ) -> Result<Option<Self>, S3Error> {
        let Some(object) = object.cloned() else { return Ok(None) };
        let preconditions = Preconditions::of_copy_source(client, clock::unix_seconds());
        if preconditions.is_empty() {
            return Ok(None);
        }
        let headers = for_head_of_source(client);
        let mut judged = Self { object, preconditions, headers, pin: None };
        judged.pin = judged.look(proxy).await?;
        Ok(Some(judged))
    }

    /// The ETag to pin the copy to, where the conditions hold. A version needs none: it cannot
    /// change.
    async fn look(&self, proxy: &Proxy) -> Result<Option<ETag>, S3Error> {
        let store = &proxy.store;
        let (name, version_id) = (&self.object.name, self.object.version_id());
        let key = name.key.as_str();
        match self.shown(proxy).await? {
            Ok(Some(validators)) => match self.preconditions.evaluate(&validators) {
                Err(failed) => Err(failed.failed_by_source()),
                // A weak ETag is used without its `W/`: compared strongly, as a store may do, a
                // weak ETag equals none.
                Ok(()) => Ok(validators
                    .etag()
                    .filter(|_| version_id.is_none())
                    .map(|etag| ETag::parse(etag.opaque()))),
            },
            Ok(None) => Err(match (store.has_bucket(name.bucket.as_str()).await, version_id) {
                (Ok(false), _) => {
                    S3Error::new(Code::NoSuchBucket).with("BucketName", name.bucket.as_str())
                }
                (_, Some(version_id)) => S3Error::no_such_version(key, version_id),
                (_, None) => S3Error::no_such_key(key),
            }),
            Err(error) => Err(unseen(&error)),
        }
    }

    /// What a HEAD of the source shows, once that is not older than what was written there. 503 where the
    /// store does not show it in time.
    async fn shown(&self, proxy: &Proxy) -> Result<Result<Option<Validators>, HeadError>, S3Error> {
        let (name, version_id) = (&self.object.name, self.object.version_id());
        let mut pauses = Pauses::new(PAUSE_FIRST, proxy.read_patience);
        loop {
            let expected = self.expected(proxy).await;
            let looked = proxy.store.look(name, version_id, self.headers.clone()).await;
            let is_old = matches!(&looked, Ok(seen) if !is_shown(&expected, seen.as_ref()));
            if !is_old {
                return Ok(looked);
            } else if pauses.are_over() {
                return Err(S3Error::service_unavailable(1).because(NOT_SHOWN));
            }
            pauses.pass().await;
        }
    }

    /// What a HEAD of the source may show. A version does not change.
    async fn expected(&self, proxy: &Proxy) -> Expected {
        if self.object.version_id().is_some() {
            return Expected::Anything;
        }
        proxy.gate.expected(&self.object.name).await
    }

    /// Looks at the source again after the store refused the copy with 412. An error says why the
    /// refusal was right. Otherwise the source has changed and the conditions still hold, or the
    /// store has misjudged its own ETag.
    async fn look_again(&mut self, proxy: &Proxy) -> Result<(), S3Error> {
        let refused = self.pin.take();
        let settled = self.expected(proxy).await == Expected::Anything;
        let seen = self.look(proxy).await?;
        // Where the store lags, what refused the copy may have been an older source.
        if seen == refused && settled {
            tracing::debug!(source = %self.object.name, "the store refuses a source's own ETag");
        } else {
            self.pin = seen;
        }
        Ok(())
    }

    /// The request with the ETag that its source must have.
    fn pinned(&self, request: &StoreRequest) -> StoreRequest {
        let mut request = request.clone();
        if let Some(etag) = self.pin.as_ref().and_then(ETag::header_value) {
            request.headers.insert(X_AMZ_COPY_SOURCE_IF_MATCH, etag);
        }
        request
    }
}

/// Performs a guarded write, pinned to its source's ETag where the source was judged.
pub(super) async fn write(proxy: &Proxy, write: &Write<'_>, source: Option<Source>) -> Outcome {
    let Some(mut source) = source else { return proxy.gate.write(write).await };
    let mut rounds = ROUNDS;
    loop {
        let request = source.pinned(write.request);
        let outcome = proxy.gate.write(&Write { request: &request, ..write.clone() }).await;
        if source.pin.is_none() || !is_refusal(&outcome.reply) {
            return outcome;
        }
        rounds -= 1;
        let refused = match source.look_again(proxy).await {
            Err(refused) => refused,
            Ok(()) if rounds == 0 => changes_all_the_time(),
            Ok(()) => continue,
        };
        return Outcome { reply: Reply::Error(refused, None), ..outcome };
    }
}

/// Whether this is the store's refusal of the source: the gate never sends a condition on the
/// destination.
fn is_refusal(reply: &Reply) -> bool {
    let Reply::Store(Answer { status, body, .. }) = reply else { return false };
    *status == StatusCode::PRECONDITION_FAILED
        || parse_store_error(body).is_some_and(|error| error.code == "PreconditionFailed")
}

/// Asks once for a copy of a part, pinned to its source's ETag where the source was judged. After a
/// refusal the source is looked at again before an answer is given. Errors: the answer for the
/// client in place of the store's; the inner error is a sentence that says why the store gave none.
pub(super) async fn open(
    proxy: &Proxy,
    request: &StoreRequest,
    mut source: Option<Source>,
) -> Result<Result<Opened, String>, S3Error> {
    for _ in 0..ROUNDS {
        let pinned = source.as_ref().map(|source| source.pinned(request));
        let opened = proxy.store.open_once(pinned.as_ref().unwrap_or(request)).await;
        match (opened, &mut source) {
            (Ok(opened), Some(source))
                if opened.status == StatusCode::PRECONDITION_FAILED && source.pin.is_some() =>
            {
                proxy.store.dismiss(opened).await;
                source.look_again(proxy).await?;
            }
            (settled, _) => return Ok(settled),
        }
    }
    Err(changes_all_the_time())
}

/// Does the store show what was written last at the source?
fn is_shown(expected: &Expected, seen: Option<&Validators>) -> bool {
    match (expected, seen) {
        (Expected::Anything, _) | (Expected::This(Current::Absent), None) => true,
        (Expected::This(Current::Present(written)), Some(seen)) => seen.etag() == Some(written),
        (Expected::This(_) | Expected::Unknown, _) => false,
    }
}

const NOT_SHOWN: &str =
    "The store may not show yet what was written at the source of the copy. Please try again.";

fn changes_all_the_time() -> S3Error {
    S3Error::service_unavailable(1)
        .because("The source of the copy keeps changing. Please try again.")
}

/// The error where the HEAD of a source gave no usable answer.
fn unseen(error: &HeadError) -> S3Error {
    match error {
        HeadError::Unavailable(why) => {
            tracing::warn!(
                why,
                "a copy was refused: the store did not answer a HEAD of its source"
            );
            S3Error::service_unavailable(1)
                .because("The source of the copy could not be looked at. Please try again.")
        }
        HeadError::Refused(StatusCode::BAD_REQUEST) => {
            S3Error::new(Code::InvalidRequest).because(ENCRYPTED)
        }
        HeadError::Refused(StatusCode::METHOD_NOT_ALLOWED) => {
            S3Error::new(Code::InvalidRequest).because(DELETE_MARKER)
        }
        HeadError::Refused(status) if status.is_redirection() => {
            tracing::error!(%status, "a copy was refused: the store redirects a HEAD of its source");
            S3Error::redirected(*status)
        }
        HeadError::Refused(status) => {
            tracing::warn!(%status, "a copy was refused: the store refused a HEAD of its source");
            S3Error::access_denied()
        }
    }
}

/// AWS's answer where the customer's encryption key is wrong or missing.
const ENCRYPTED: &str = "The object was stored using a form of Server Side Encryption. The correct \
     parameters must be provided to retrieve the object.";

/// AWS's answer to a delete marker that is named by its version.
const DELETE_MARKER: &str = "The source of a copy request may not specifically refer to a delete \
     marker by version id.";
