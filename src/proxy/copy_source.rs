//! Conditions on the source of a copy (AWS: CopyObject, UploadPartCopy), judged here: moto ignores
//! most of them, Ceph all of them under their right names.
//!
//! A HEAD of the source decides. Then the store is asked to copy exactly the object that the HEAD
//! saw: with `x-amz-copy-source-if-match` and that ETag. Every store tried either honours this
//! header (our own store and Swift; then no write can come between HEAD and copy) or ignores it
//! (moto, s3rver). The ETag is quoted as it is. One exception is known: Swift refuses the ETag that
//! it shows itself for a multipart object. So after a refusal the source is looked at again, and a
//! store that refuses the right ETag is asked without it.

//!
//! Where the store lags, the source of a key whose rule is `consistency = "guarded"` is looked at as well where
//! there is no condition: what was acknowledged is copied, and nothing older. If the register knows the id of
//! the version, the store is asked to copy that.

use std::time::Duration;

use http::StatusCode;

use super::freshness::Known;
use super::state::Proxy;
use crate::backend::headers::for_head_of_source;
use crate::backend::{Answer, HeadError, Opened, Store, StoreRequest};
use crate::clock;
use crate::gate::{Expected, Outcome, Reply, VersionSight, Write};
use crate::http1::fields::Fields;
use crate::patience::Pauses;
use crate::s3::conditional::X_AMZ_COPY_SOURCE_IF_MATCH;
use crate::s3::copy_source::X_AMZ_COPY_SOURCE;
use crate::s3::documents::parse_store_error;
use crate::s3::listing::VersionId;
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
    pin: Pin,
    /// Whether it was written so lately that the store may say that it is not there.
    is_young: bool,
}

/// What the store is asked to copy, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pin {
    /// What the client named.
    AsNamed,
    /// The object if it has this ETag.
    Etag(ETag),
    /// The version with this id.
    Version(VersionId),
}

/// What a HEAD of the source has shown.
struct Looked {
    shown: Result<Option<Validators>, HeadError>,
    known: Known,
    /// The id by which it was asked for, where the client named none.
    id: Option<VersionId>,
}

impl Source {
    /// Judges the source of a request with these headers by a HEAD. `None` where the request is no
    /// copy, or nothing has to be looked at; an error where the source does not exist, fails a
    /// condition, or cannot be read.
    pub(super) async fn judged(
        proxy: &Proxy,
        client: &Fields,
        object: Option<&CopySource>,
    ) -> Result<Option<Self>, S3Error> {
        let Some(object) = object.cloned() else { return Ok(None) };
        let preconditions = Preconditions::of_copy_source(client, clock::unix_seconds());
        let headers = for_head_of_source(client);
        let mut judged =
            Self { object, preconditions, headers, pin: Pin::AsNamed, is_young: false };
        if judged.preconditions.is_empty() {
            if !proxy.rules.policy(&judged.object.name).consistent {
                return Ok(None);
            }
            let known = judged.known(proxy).await;
            if known.is_settled() || known.is_unknown() || known.unsettled().is_some() {
                return Ok(None);
            }
        }
        judged.pin = judged.look(proxy).await?;
        Ok(Some(judged))
    }

    /// How to pin the copy, where the conditions hold. A version needs no pin: it cannot change.
    async fn look(&mut self, proxy: &Proxy) -> Result<Pin, S3Error> {
        let store = &proxy.store;
        let Looked { shown, known, id } = self.shown(proxy).await?;
        self.is_young = !known.is_settled();
        let (name, version_id) = (&self.object.name, self.object.version_id());
        let key = name.key.as_str();
        match shown {
            Ok(Some(validators)) => match self.preconditions.evaluate(&validators) {
                Err(failed) => Err(failed.failed_by_source()),
                Ok(()) if version_id.is_some() => Ok(Pin::AsNamed),
                Ok(()) => Ok(match (id, validators.etag()) {
                    (Some(id), _) => Pin::Version(id),
                    // A weak ETag is used without its `W/`: compared strongly, as a store may do, a
                    // weak ETag equals none.
                    (None, Some(etag)) => Pin::Etag(ETag::parse(etag.opaque())),
                    (None, None) => Pin::AsNamed,
                }),
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
    async fn shown(&self, proxy: &Proxy) -> Result<Looked, S3Error> {
        let (name, version_id) = (&self.object.name, self.object.version_id());
        let mut pauses = Pauses::new(PAUSE_FIRST, proxy.read_patience);
        loop {
            let known = self.known(proxy).await;
            if let Some(id) = known.current_id() {
                let shown = proxy.store.look(name, Some(id.as_str()), self.headers.clone()).await;
                if matches!(&shown, Ok(Some(_))) && sight(&known, &shown) == Sight::Shown {
                    let id = Some(id.clone());
                    return Ok(Looked { shown, known, id });
                }
            }
            let shown = proxy.store.look(name, version_id, self.headers.clone()).await;
            match sight(&known, &shown) {
                Sight::Shown => return Ok(Looked { shown, known, id: None }),
                Sight::Deleted => return Ok(Looked { shown: Ok(None), known, id: None }),
                Sight::Old if pauses.are_over() => return Err(not_shown()),
                Sight::Old => pauses.pass().await,
            }
        }
    }

    /// What the register knows of the source.
    async fn known(&self, proxy: &Proxy) -> Known {
        let name = &self.object.name;
        match self.object.version_id().map(VersionId::parse) {
            None => Known::Current(proxy.gate.sight(name).await),
            Some(Some(id)) => Known::Version(proxy.gate.sight_of_version(name, &id).await, id),
            // What is no id names no version that was written.
            Some(None) => Known::Version(VersionSight::Anything, VersionId::null()),
        }
    }

    /// Looks at the source again after the store refused the copy. An error says why the
    /// refusal was right. Otherwise the source has changed and the conditions still hold, or the
    /// store has misjudged its own ETag, or does not know yet what was written.
    async fn look_again(&mut self, proxy: &Proxy) -> Result<(), S3Error> {
        let refused = std::mem::replace(&mut self.pin, Pin::AsNamed);
        let seen = self.look(proxy).await?;
        if seen == refused && !self.is_young {
            tracing::debug!(source = %self.object.name, "the store refuses a source's own ETag");
        } else {
            self.pin = seen;
        }
        Ok(())
    }

    /// The request for a copy of nothing but what was looked at.
    fn pinned(&self, request: &StoreRequest) -> StoreRequest {
        let mut request = request.clone();
        match &self.pin {
            Pin::AsNamed => {}
            Pin::Etag(etag) => {
                if let Some(etag) = etag.header_value() {
                    request.headers.insert(X_AMZ_COPY_SOURCE_IF_MATCH, etag);
                }
            }
            Pin::Version(id) => {
                if let Some(source) = self.object.at_version(id.as_str()).header_value() {
                    request.headers.insert(X_AMZ_COPY_SOURCE, source);
                }
            }
        }
        request
    }

    /// What an answer to the copy with this status, and this document, says of the source.
    fn refusal(&self, status: StatusCode, document: &[u8]) -> Refusal {
        let code = || parse_store_error(document).map(|error| error.code).unwrap_or_default();
        let is_gone = || self.is_young && matches!(code().as_str(), "NoSuchKey" | "NoSuchVersion");
        match status {
            StatusCode::NOT_FOUND if is_gone() => Refusal::NotThere,
            StatusCode::PRECONDITION_FAILED => Refusal::Changed,
            _ if code() == "PreconditionFailed" => Refusal::Changed,
            _ => Refusal::None,
        }
    }
}

/// What the store says of the source in its answer to a copy.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Nothing.
    None,
    /// It is not what was looked at.
    Changed,
    /// It is not there, although it was written lately.
    NotThere,
}

/// Whether, and when, a copy is tried again that the store refused for its source.
struct Rounds {
    left: u32,
    pauses: Pauses,
}

impl Rounds {
    fn new(proxy: &Proxy) -> Self {
        Self { left: ROUNDS, pauses: Pauses::new(PAUSE_FIRST, proxy.read_patience) }
    }

    /// Waits for the next one, and looks at the source again. An error is the answer for the client.
    async fn next(&mut self, proxy: &Proxy, source: &mut Source) -> Result<(), S3Error> {
        // Where the store lags, what refused the copy may have been an older source.
        if source.is_young {
            if self.pauses.are_over() {
                return Err(not_shown());
            }
            self.pauses.pass().await;
            return source.look_again(proxy).await;
        }
        self.left = self.left.saturating_sub(1);
        source.look_again(proxy).await?;
        if self.left == 0 { Err(changes_all_the_time()) } else { Ok(()) }
    }
}

/// Performs a guarded write, pinned to what was seen of its source, where that was judged.
pub(super) async fn write(proxy: &Proxy, write: &Write<'_>, source: Option<Source>) -> Outcome {
    let Some(mut source) = source else { return proxy.gate.write(write).await };
    let mut rounds = Rounds::new(proxy);
    loop {
        let request = source.pinned(write.request);
        let outcome = proxy.gate.write(&Write { request: &request, ..write.clone() }).await;
        // The gate never sends a condition on the destination.
        let refusal = match &outcome.reply {
            Reply::Store(Answer { status, body, .. }) => source.refusal(*status, body),
            _ => Refusal::None,
        };
        let is_pinned = source.pin != Pin::AsNamed;
        if refusal == Refusal::None || refusal == Refusal::Changed && !is_pinned {
            return outcome;
        }
        if let Err(refused) = rounds.next(proxy, &mut source).await {
            return Outcome { reply: Reply::Error(refused, None), ..outcome };
        }
    }
}

/// An answer of the store.
pub(super) enum Copied {
    /// Before its body is read.
    Opened(Box<Opened>),
    /// The whole of it.
    Whole(Answer),
}

/// Asks once for a copy of a part, pinned to what was seen of its source, where that was judged. After a
/// refusal the source is looked at again before an answer is given. Errors: the answer for the
/// client in place of the store's; the inner error is a sentence that says why the store gave none.
pub(super) async fn open(
    proxy: &Proxy,
    request: &StoreRequest,
    source: Option<Source>,
) -> Result<Result<Copied, String>, S3Error> {
    let Some(mut source) = source else {
        return Ok(proxy.store.open_once(request).await.map(Box::new).map(Copied::Opened));
    };
    let mut rounds = Rounds::new(proxy);
    loop {
        let opened = match proxy.store.open_once(&source.pinned(request)).await {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(why)),
        };
        let is_pinned = source.pin != Pin::AsNamed;
        let may_refuse = match opened.status {
            StatusCode::PRECONDITION_FAILED => is_pinned,
            StatusCode::NOT_FOUND => source.is_young && opened.is_short(),
            _ => false,
        };
        if !may_refuse {
            return Ok(Ok(Copied::Opened(Box::new(opened))));
        }
        let answer = match proxy.store.collect(opened).await {
            Ok(answer) => answer,
            Err(why) => return Ok(Err(why)),
        };
        let refusal = source.refusal(answer.status, &answer.body);
        if refusal == Refusal::None {
            return Ok(Ok(Copied::Whole(answer)));
        }
        rounds.next(proxy, &mut source).await?;
    }
}

/// What a HEAD of a source shows, beside what was written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// That, or nothing is known.
    Shown,
    /// What was deleted.
    Deleted,
    /// Something that may be older.
    Old,
}

fn sight(known: &Known, shown: &Result<Option<Validators>, HeadError>) -> Sight {
    let is = |seen: &Validators, written| seen.etag() == Some(written);
    let is_marker = matches!(shown, Err(HeadError::Refused(StatusCode::METHOD_NOT_ALLOWED)));
    match (known, shown) {
        (Known::Version(VersionSight::Gone, _), _) if is_marker => Sight::Deleted,
        // Another error is no state.
        (_, Err(_)) => Sight::Shown,
        (Known::Version(sight, _), Ok(seen)) => match (sight, seen) {
            (VersionSight::Anything, _)
            | (VersionSight::Unknown, Some(_))
            | (VersionSight::Marker | VersionSight::Gone, None) => Sight::Shown,
            (VersionSight::Object(written), Some(seen)) if is(seen, written) => Sight::Shown,
            (VersionSight::Gone, Some(_)) => Sight::Deleted,
            (VersionSight::Object(_) | VersionSight::Unknown | VersionSight::Marker, _) => {
                Sight::Old
            }
        },
        (Known::Current(sight), Ok(seen)) => match (&sight.expected, seen) {
            (Expected::Settled(_), _)
            | (
                Expected::This(Current::Absent)
                | Expected::Unsettled { before: Current::Absent, .. },
                None,
            ) => Sight::Shown,
            (Expected::Unsettled { before: Current::Present(before), .. }, Some(seen))
                if is(seen, before) =>
            {
                Sight::Shown
            }
            (Expected::This(Current::Absent), Some(_)) => Sight::Deleted,
            (Expected::This(Current::Present(written)), Some(seen)) if is(seen, written) => {
                Sight::Shown
            }
            (Expected::This(_) | Expected::Unsettled { .. } | Expected::Unknown, _) => Sight::Old,
        },
    }
}

fn not_shown() -> S3Error {
    S3Error::service_unavailable(1).because(NOT_SHOWN)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate;

    #[test]
    fn a_source_is_copied_as_it_was_written_or_not_at_all() {
        let etag = |text: &str| ETag::parse(text.as_bytes());
        let seen = |text: &str| {
            let etag = format!("\"{text}\"").parse().unwrap();
            let headers = [(http::header::ETAG, etag)].into_iter().collect();
            Ok(Some(Validators::of(&headers)))
        };
        let refused = |status: u16| Err(HeadError::Refused(StatusCode::from_u16(status).unwrap()));
        let current = |expected| Known::Current(gate::Sight { expected, version: None });
        let this = |current| Expected::This(current);
        let version = |sight| Known::Version(sight, VersionId::null());
        for (known, [of_a, of_b, of_nothing, of_405]) in [
            (current(Expected::Settled(None)), [Sight::Shown; 4]),
            (
                current(Expected::Unsettled {
                    before: Current::Present(etag("a")),
                    under_way: true,
                }),
                [Sight::Shown, Sight::Old, Sight::Old, Sight::Shown],
            ),
            (
                current(Expected::Unsettled { before: Current::Absent, under_way: false }),
                [Sight::Old, Sight::Old, Sight::Shown, Sight::Shown],
            ),
            (current(Expected::Unknown), [Sight::Old, Sight::Old, Sight::Old, Sight::Shown]),
            (
                current(this(Current::Present(etag("a")))),
                [Sight::Shown, Sight::Old, Sight::Old, Sight::Shown],
            ),
            (
                current(this(Current::Absent)),
                [Sight::Deleted, Sight::Deleted, Sight::Shown, Sight::Shown],
            ),
            (version(VersionSight::Anything), [Sight::Shown; 4]),
            (
                version(VersionSight::Unknown),
                [Sight::Shown, Sight::Shown, Sight::Old, Sight::Shown],
            ),
            (
                version(VersionSight::Object(etag("a"))),
                [Sight::Shown, Sight::Old, Sight::Old, Sight::Shown],
            ),
            (version(VersionSight::Marker), [Sight::Old, Sight::Old, Sight::Shown, Sight::Shown]),
            (
                version(VersionSight::Gone),
                [Sight::Deleted, Sight::Deleted, Sight::Shown, Sight::Deleted],
            ),
        ] {
            assert_eq!(sight(&known, &seen("a")), of_a, "{known:?}");
            assert_eq!(sight(&known, &seen("b")), of_b, "{known:?}");
            assert_eq!(sight(&known, &Ok(None)), of_nothing, "{known:?}");
            assert_eq!(sight(&known, &refused(405)), of_405, "{known:?}");
        }
    }
}
