//! Reads over a store that lags, of keys whose rule is `consistency = "guarded"`: an answer shows
//! nothing older than what was acknowledged (docs/protocol.md#reads).
//!
//! The register says what was written last, where that is young. An answer of the store that shows
//! something older is dismissed, and the store is asked again, with growing pauses: a cache in between
//! may keep a 404 for as long as it is asked for. In the end the client gets 503, which SDKs repeat.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::conditional_read;
use super::response::{Alongside, Response};
use super::state::Proxy;
use super::visit::Visit;
use crate::backend::{Opened, StoreRequest};
use crate::gate::{Expected, X_IFMATCH_CONSISTENCY};
use crate::http1::fields::Fields;
use crate::metrics::labels::GuardedRead;
use crate::patience::Pauses;
use crate::s3::{Current, ETag, ObjectName, Precondition, Preconditions, S3Error};

/// The first pause before the store is asked again.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// How a read ended.
pub(super) enum Read {
    /// With this answer, and the condition that fails for it, if any.
    Fresh(Opened, Option<Precondition>),
    /// With this error in place of the store's answer.
    Refused(S3Error, Opened),
}

/// What an answer of the store shows.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// What was written last, or something newer; or no state at all.
    Fresh,
    /// An object that was deleted.
    Deleted,
    /// Something older.
    Stale,
    /// That a range is not within an object whose ETag it does not say.
    NotInRange,
    /// No state, and for a reason that may lie in an older one: an encryption, an archive, a missing
    /// right to see that nothing is there.
    Unclear,
}

/// Judges an answer about a key that was left in this state.
fn verdict(expected: &Current, opened: &Opened) -> Verdict {
    verdict_by(expected, opened.status, &opened.headers)
}

fn verdict_by(expected: &Current, status: StatusCode, headers: &Fields) -> Verdict {
    let shows_object = status.is_success() || status == StatusCode::NOT_MODIFIED;
    let etag = headers.get(header::ETAG).map(|etag| ETag::parse(etag.as_bytes()));
    match (expected, status) {
        (Current::Absent, _) if shows_object => Verdict::Deleted,
        (Current::Absent, StatusCode::RANGE_NOT_SATISFIABLE) => Verdict::Deleted,
        (Current::Present(written), _) if shows_object && etag.as_ref() != Some(written) => {
            Verdict::Stale
        }
        (Current::Present(_), StatusCode::NOT_FOUND) => Verdict::Stale,
        (Current::Present(_), StatusCode::RANGE_NOT_SATISFIABLE) => Verdict::NotInRange,
        (_, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED) => {
            Verdict::Unclear
        }
        (_, _) => Verdict::Fresh,
    }
}

/// Asks the store for an object until its answer is not older than what was acknowledged. The error is
/// a sentence that says why the store did not answer.
pub(super) async fn ask(
    proxy: &Proxy,
    name: &ObjectName,
    request: &StoreRequest,
    preconditions: &Preconditions,
) -> Result<Read, String> {
    let mut pauses = Pauses::new(PAUSE_FIRST, proxy.read_patience);
    let mut outcome = GuardedRead::First;
    loop {
        // First the register, then the store: what is written in between is newer than expected, and
        // asked for again.
        let expected = proxy.gate.expected(name).await;
        let (mut opened, failing) =
            conditional_read::ask(&proxy.store, request, preconditions).await?;
        let is_last = pauses.are_over();
        let fresh = match &expected {
            Expected::Anything | Expected::Unknown => true,
            Expected::This(written) => match verdict(written, &opened) {
                Verdict::Fresh => true,
                // In the end it may be true.
                Verdict::Unclear => is_last,
                Verdict::Deleted => {
                    proxy.metrics.guarded_reads.count(outcome);
                    return Ok(Read::Refused(S3Error::no_such_key(name.key.as_str()), opened));
                }
                // It may have been written since the register was asked.
                Verdict::Stale => match proxy.gate.expected(name).await {
                    Expected::This(written) => verdict(&written, &opened) == Verdict::Fresh,
                    Expected::Anything | Expected::Unknown => false,
                },
                Verdict::NotInRange if asks_for_part(request) => is_last,
                Verdict::NotInRange => is_beyond(proxy, request, written).await?,
            },
        };
        if fresh {
            let (outcome, word) = match expected {
                Expected::Unknown => (GuardedRead::Unguarded, "store"),
                Expected::Anything | Expected::This(_) => (outcome, "guarded"),
            };
            proxy.metrics.guarded_reads.count(outcome);
            opened.headers.insert(X_IFMATCH_CONSISTENCY, HeaderValue::from_static(word));
            return Ok(Read::Fresh(opened, failing));
        }
        if is_last {
            proxy.metrics.guarded_reads.count(GuardedRead::GivenUp);
            return Ok(Read::Refused(S3Error::service_unavailable(1).because(NOT_SHOWN), opened));
        }
        proxy.store.dismiss(opened).await;
        pauses.pass().await;
        outcome = GuardedRead::Waited;
    }
}

fn asks_for_part(request: &StoreRequest) -> bool {
    request.query.iter().any(|(name, _)| name == "partNumber")
}

/// Is the range of this request beyond the end of what was written? A HEAD says how long that is.
async fn is_beyond(
    proxy: &Proxy,
    request: &StoreRequest,
    written: &Current,
) -> Result<bool, String> {
    let seen = proxy.store.open(&conditional_read::look(request)).await?;
    let shown = verdict(written, &seen) == Verdict::Fresh;
    let length = seen.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse().ok());
    let range = request.headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let beyond =
        shown && range.zip(length).is_some_and(|(range, length)| starts_after(range, length));
    proxy.store.dismiss(seen).await;
    Ok(beyond)
}

/// Does this one range begin at or after the end of an object of so many bytes? (RFC 9110 §14.1.2)
fn starts_after(range: &str, length: u64) -> bool {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return false;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), _) => first >= length,
        (Err(_), Ok(suffix)) => first.trim().is_empty() && (suffix == 0 || length == 0),
        (Err(_), Err(_)) => false,
    }
}

/// The answer in place of an older one of the store.
pub(super) fn refuse<'p>(visit: &mut Visit<'_>, refused: &S3Error, opened: Opened) -> Response<'p> {
    let guarded = [(X_IFMATCH_CONSISTENCY, HeaderValue::from_static("guarded"))];
    let answer = visit.error(refused, guarded.into_iter().collect());
    Response::Whole(answer, Alongside::Dismiss(opened))
}

const NOT_SHOWN: &str =
    "The store does not show yet what was written at this key. Please try again.";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expected: &Current, status: u16, etag: Option<&'static str>) -> Verdict {
        let etag = etag.map(|etag| (header::ETAG, HeaderValue::from_static(etag)));
        let headers: Fields = etag.into_iter().collect();
        verdict_by(expected, StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn an_answer_is_fresh_that_shows_what_was_written_or_no_state_at_all() {
        let written = Current::Present(ETag::parse(b"a"));
        for status in [200, 206, 304] {
            assert_eq!(of(&written, status, Some("\"a\"")), Verdict::Fresh, "{status}");
            assert_eq!(of(&written, status, Some("\"b\"")), Verdict::Stale, "{status}");
            assert_eq!(of(&written, status, None), Verdict::Stale, "{status}");
            assert_eq!(of(&Current::Absent, status, Some("\"a\"")), Verdict::Deleted, "{status}");
        }
        assert_eq!(of(&written, 404, None), Verdict::Stale);
        assert_eq!(of(&written, 416, None), Verdict::NotInRange);
        assert_eq!(of(&Current::Absent, 404, None), Verdict::Fresh);
        assert_eq!(of(&Current::Absent, 416, None), Verdict::Deleted);
        for status in [400, 403, 405] {
            assert_eq!(of(&written, status, None), Verdict::Unclear, "{status}");
        }
        for status in [301, 500, 503] {
            for expected in [&written, &Current::Absent] {
                assert_eq!(of(expected, status, None), Verdict::Fresh, "{status} shows no state");
            }
        }
    }

    #[test]
    fn a_range_begins_after_an_object_of_this_length() {
        for (range, length, after) in [
            ("bytes=5-", 5, true),
            ("bytes=5-9", 5, true),
            ("bytes=4-9", 5, false),
            ("bytes=-0", 5, true),
            ("bytes=-3", 5, false),
            ("bytes=-3", 0, true),
            ("bytes=0-", 0, true),
            ("bytes=a-", 5, false),
            ("lines=9-", 5, false),
        ] {
            assert_eq!(starts_after(range, length), after, "{range} of {length}");
        }
    }
}
