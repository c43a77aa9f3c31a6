//! Reads over a store that lags, of keys whose rule is `consistency = "guarded"`: an answer shows
//! nothing older than what was acknowledged (docs/protocol.md#reads).
//!
//! The register says what was written last, where that is young. Where it knows the id of that version, the
//! store is asked for that, which is there or not, and never old. An answer that shows something older
//! is dismissed, and the store is asked again, with growing pauses: a cache in between may keep a 404 for
//! as long as it is asked for. In the end the client gets 503, which SDKs repeat.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::conditional_read;
use super::freshness::{
    Known, Verdict, X_AMZ_DELETE_MARKER, X_AMZ_VERSION_ID, shows_object, starts_after,
};
use super::response::{Alongside, Response};
use super::state::Proxy;
use super::visit::Visit;
use crate::backend::{AskedFirst, Opened, StoreRequest};
use crate::gate::X_IFMATCH_CONSISTENCY;
use crate::http1::fields::Fields;
use crate::metrics::labels::GuardedRead;
use crate::patience::Pauses;
use crate::s3::encoding::encode_query;
use crate::s3::listing::VersionId;
use crate::s3::{ObjectName, Precondition, Preconditions, S3Error};

/// The first pause before the store is asked again.
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// How a read ended.
pub(super) enum Read {
    /// With this answer, and the condition that fails for it, if any.
    Fresh(Opened, Option<Precondition>),
    /// With this error in place of the store's answer.
    Refused(Refusal, Opened),
}

/// An error in place of the store's answer.
pub(super) struct Refusal {
    error: S3Error,
    headers: Fields,
}

/// A read of a key.
pub(super) struct Asked<'a> {
    pub(super) name: &'a ObjectName,
    /// The version that the client asks for; `None` for the current one.
    pub(super) version: Option<VersionId>,
    /// For the store, with these conditions.
    pub(super) request: &'a StoreRequest,
    pub(super) preconditions: &'a Preconditions,
}

/// What became of asking for the current version by its id.
enum Exact {
    /// This is it, and the condition that fails for it, if any.
    Shown(Opened, Option<Precondition>),
    /// The store does not know it yet.
    NotYet(Opened),
    /// The store does not say.
    Refused(Opened),
}

/// Asks the store for an object until its answer is not older than what was acknowledged. The error is
/// a sentence that says why the store did not answer.
pub(super) async fn ask(proxy: &Proxy, asked: &Asked<'_>) -> Result<Read, String> {
    let mut pauses = Pauses::new(PAUSE_FIRST, proxy.read_patience);
    let (mut has_waited, mut takes_ids) = (false, true);
    loop {
        // First the register, then the store: what is written in between is newer than expected, and
        // asked for again.
        let known = asked.known(proxy).await;
        if let Some(id) = known.current_id().filter(|_| takes_ids) {
            match asked.exactly(proxy, &known, id).await? {
                Exact::Shown(opened, failing) => {
                    let outcome =
                        if has_waited { GuardedRead::Waited } else { GuardedRead::ByVersion };
                    return Ok(fresh(proxy, &known, (outcome, Word::Guarded), (opened, failing)));
                }
                Exact::NotYet(opened) => proxy.store.dismiss(opened).await,
                Exact::Refused(opened) => {
                    proxy.store.dismiss(opened).await;
                    takes_ids = false;
                }
            }
        }
        let (request, preconditions) = (asked.request, asked.preconditions);
        let first = asked_first(&known);
        let (opened, failing) =
            conditional_read::ask(&proxy.store, first, request, preconditions).await?;
        let is_last = pauses.are_over();
        let fits = match known.verdict(opened.status, &opened.headers) {
            Verdict::Fresh => Some(known.word()),
            // In the end it may be true.
            Verdict::Unclear => is_last.then(|| known.word()),
            Verdict::Since => asked.known(proxy).await.word_for(&opened, is_last),
            Verdict::Deleted => {
                proxy.metrics.guarded_reads.count(waited(has_waited));
                return Ok(Read::Refused(asked.deleted(&known), opened));
            }
            // It may have been written since the register was asked.
            Verdict::Stale => {
                let known = asked.known(proxy).await;
                let verdict = known.verdict(opened.status, &opened.headers);
                let is_known = !known.is_settled() && !known.is_unknown();
                let is_fresh = is_known && verdict == Verdict::Fresh;
                is_fresh.then_some(Word::Guarded)
            }
            Verdict::NotInRange if asked.is_for_part() => is_last.then_some(Word::Guarded),
            Verdict::NotInRange => asked.is_beyond(proxy, &known).await?.then_some(Word::Guarded),
        };
        if let Some(word) = fits {
            let outcome =
                if word == Word::Store { GuardedRead::Unguarded } else { waited(has_waited) };
            return Ok(fresh(proxy, &known, (outcome, word), (opened, failing)));
        }
        if is_last {
            proxy.metrics.guarded_reads.count(GuardedRead::GivenUp);
            let error = S3Error::service_unavailable(1).because(NOT_SHOWN);
            return Ok(Read::Refused(Refusal { error, headers: Fields::new() }, opened));
        }
        proxy.store.dismiss(opened).await;
        pauses.pass().await;
        has_waited = true;
    }
}

/// The answer of a read that shows nothing older than what is known.
fn fresh(
    proxy: &Proxy,
    known: &Known,
    (outcome, word): (GuardedRead, Word),
    (mut opened, failing): (Opened, Option<Precondition>),
) -> Read {
    proxy.metrics.guarded_reads.count(outcome);
    if opened.status == StatusCode::NOT_FOUND {
        // The store may say of an older moment that nothing was there.
        name_marker(&mut opened.headers, known);
    }
    opened.headers.insert(X_IFMATCH_CONSISTENCY, HeaderValue::from_static(word.as_str()));
    Read::Fresh(opened, failing)
}

/// Names the delete marker that is the current version, where one is known (AWS: Working with delete
/// markers).
fn name_marker(headers: &mut Fields, known: &Known) {
    if let Some(id) = known.marker_id()
        && let Ok(id) = HeaderValue::from_str(id.as_str())
    {
        headers.insert(X_AMZ_DELETE_MARKER, HeaderValue::from_static("true"));
        headers.insert(X_AMZ_VERSION_ID, id);
    }
}

fn waited(has_waited: bool) -> GuardedRead {
    if has_waited { GuardedRead::Waited } else { GuardedRead::First }
}

/// What may be old is asked where it was written.
fn asked_first(known: &Known) -> AskedFirst {
    if known.is_settled() { AskedFirst::LeastBusy } else { AskedFirst::NodeOfItsKey }
}

/// What an answer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// It shows what was acknowledged, and no reader was shown anything newer before.
    Guarded,
    /// It is what the store shows.
    Store,
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Store => "store",
        }
    }
}

impl Known {
    fn word(&self) -> Word {
        if self.is_unknown() { Word::Store } else { Word::Guarded }
    }

    /// The word for an answer of the store that may show what was written since the register was asked
    /// first; this is what it knows now. `None`: the write of which the answer may be is under way, so
    /// another reader may be shown what was there before.
    fn word_for(&self, opened: &Opened, is_last: bool) -> Option<Word> {
        if self.is_settled() {
            return Some(Word::Guarded);
        }
        match (self.verdict(opened.status, &opened.headers), self.unsettled()) {
            _ if self.is_unknown() => Some(Word::Store),
            (Verdict::Fresh, _) => Some(Word::Guarded),
            // It is no older than what was acknowledged.
            (_, Some(under_way)) if !under_way || is_last => Some(Word::Store),
            (_, _) => None,
        }
    }
}

impl Asked<'_> {
    async fn known(&self, proxy: &Proxy) -> Known {
        match &self.version {
            None => Known::Current(proxy.gate.sight(self.name).await),
            Some(id) => {
                Known::Version(proxy.gate.sight_of_version(self.name, id).await, id.clone())
            }
        }
    }

    /// Asks for the current version by its id. It is there as it was written, or it is not there.
    async fn exactly(&self, proxy: &Proxy, known: &Known, id: &VersionId) -> Result<Exact, String> {
        let mut request = self.request.clone();
        request.query.push(("versionId".to_owned(), encode_query(id.as_str())));
        let first = AskedFirst::NodeOfItsKey;
        let (opened, failing) =
            conditional_read::ask(&proxy.store, first, &request, self.preconditions).await?;
        Ok(match known.verdict(opened.status, &opened.headers) {
            Verdict::Fresh if shows_object(opened.status) => Exact::Shown(opened, failing),
            Verdict::NotInRange => Exact::Shown(opened, failing),
            Verdict::Stale if opened.status == StatusCode::NOT_FOUND => Exact::NotYet(opened),
            _ => Exact::Refused(opened),
        })
    }

    /// 404, where the store shows what was deleted.
    fn deleted(&self, known: &Known) -> Refusal {
        let (key, mut headers) = (self.name.key.as_str(), Fields::new());
        name_marker(&mut headers, known);
        let error = match &self.version {
            None => S3Error::no_such_key(key),
            Some(id) => S3Error::no_such_version(key, id.as_str()),
        };
        Refusal { error, headers }
    }

    fn is_for_part(&self) -> bool {
        self.request.query.iter().any(|(name, _)| name == "partNumber")
    }

    /// Is the range of this request beyond the end of what was written? A HEAD says how long that is.
    async fn is_beyond(&self, proxy: &Proxy, known: &Known) -> Result<bool, String> {
        let look = conditional_read::look(self.request);
        let seen = proxy.store.open_by(asked_first(known), &look).await?;
        let shown = known.verdict(seen.status, &seen.headers) == Verdict::Fresh;
        let length = seen.headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        let length = length.and_then(|length| length.parse().ok());
        let range = self.request.headers.get(header::RANGE).and_then(|range| range.to_str().ok());
        let beyond =
            shown && range.zip(length).is_some_and(|(range, length)| starts_after(range, length));
        proxy.store.dismiss(seen).await;
        Ok(beyond)
    }
}

/// The answer in place of an older one of the store.
pub(super) fn refuse<'p>(visit: &mut Visit<'_>, refused: Refusal, opened: Opened) -> Response<'p> {
    let Refusal { error, mut headers } = refused;
    headers.insert(X_IFMATCH_CONSISTENCY, HeaderValue::from_static("guarded"));
    let answer = visit.error(&error, headers);
    Response::Whole(answer, Alongside::Dismiss(opened))
}

pub(super) const NOT_SHOWN: &str =
    "The store does not show yet what was written at this key. Please try again.";
