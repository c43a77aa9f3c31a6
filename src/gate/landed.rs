//! A write that the store has applied: its answer to the client and its landing for the register.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::finding::remembered_headers;
use super::lease::Armed;
use super::queue::Turn;
use super::{Commit, Decider, Outcome, Reply, Write, X_IFMATCH_GENERATION};
use crate::backend::Answer;
use crate::present::writes::WaitsFor;
use crate::register::{AnswerHeaders, State, Writers};
use crate::s3::Operation;
use crate::s3::conditional::sent_at_s;
use crate::s3::listing::{Change, Description, VersionId, Written};

/// A write that the store has applied.
#[derive(Debug)]
#[must_use]
pub(super) struct Landed<'a> {
    pub(super) armed: Armed<'a>,
    pub(super) reply: Reply,
    /// The key's state now.
    pub(super) new: State,
    /// How long the key stays blocked: an earlier copy of the write may still land.
    pub(super) quiet: Option<Duration>,
}

impl Landed<'_> {
    /// The answer, and the landing to record. `started`: when the write began to wait for its key.
    pub(super) fn outcome(self, turn: Turn, started: Instant, store_failed: bool) -> Outcome {
        let Self { armed, mut reply, new, quiet } = self;
        let Armed { attempt, lease, begins, .. } = armed;
        let lags = !attempt.gate.settings.terms.lag.is_zero();
        let now = Instant::now();
        attempt.waits_from(WaitsFor::Record, now);
        attempt.under_way.in_doubt(false);
        let (headers, written) = match &reply {
            Reply::Store(answer) => {
                let written =
                    if lags { written(attempt.write, answer) } else { Written::default() };
                (remembered_headers(answer), written)
            }
            Reply::Error(..) | Reply::Replayed(..) => {
                (AnswerHeaders::default(), Written::default())
            }
        };
        // Where other writers go around the proxies, a client that knows no state could not see
        // that they wrote.
        let shared = attempt.gate.settings.terms.writers == Writers::Shared;
        let is_named = !shared || new != State::Unknown;
        let generation = begins.0.parse().ok().filter(|_| is_named);
        if let (Reply::Store(answer), Some(value)) = (&mut reply, generation) {
            answer.headers.insert(X_IFMATCH_GENERATION, value);
        }
        Outcome {
            reply,
            decided_by: Decider::Backend,
            waited: lease.since - started,
            held: now - lease.since,
            store_failed,
            commit: Some(Commit {
                register: Arc::clone(&attempt.gate.register),
                name: attempt.write.name.clone(),
                token: lease.token,
                generation: begins,
                new,
                quiet,
                headers,
                written,
                turn,
                metrics: Arc::clone(&attempt.gate.metrics),
                _lease: lease.counted,
                _under_way: attempt.under_way.clone(),
            }),
        }
    }
}

/// What the store's answer says of a write, for listings.
fn written(write: &Write<'_>, answer: &Answer) -> Written {
    let change = change(write, answer);
    let description = match change {
        // Of a delete marker nothing but its time is listed.
        Change::Marker(_) => sent_at_s(&answer.headers).and_then(|sent_at_s| {
            let modified_s = u64::try_from(sent_at_s).ok()?;
            Some(Description { size_bytes: 0, modified_s, is_standard: true })
        }),
        _ => described(write, answer),
    };
    Written { description, change }
}

/// What a write has done to the versions of its key (AWS: PutObject, DeleteObject, x-amz-version-id and
/// x-amz-delete-marker).
fn change(write: &Write<'_>, answer: &Answer) -> Change {
    let text = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
    // Of a delete by its version the answer says nothing more.
    if let Some(id) = write.version_id {
        return VersionId::parse(id).map_or(Change::Unknown, Change::Gone);
    }
    let id = match text("x-amz-version-id") {
        Some(id) => match VersionId::parse(id) {
            Some(id) => Some(id),
            None => return Change::Unknown,
        },
        None => None,
    };
    match write.operation {
        Operation::PutObject
        | Operation::PostObject
        | Operation::CopyObject
        | Operation::CompleteMultipartUpload => id.map_or(Change::Unnamed, Change::Put),
        Operation::DeleteObject => match (text("x-amz-delete-marker") == Some("true"), id) {
            (true, id) => Change::Marker(id.unwrap_or_else(VersionId::null)),
            (false, None) => Change::Unnamed,
            (false, Some(_)) => Change::Unknown,
        },
        _ => Change::Unknown,
    }
}

/// What a listing shows of the object that a write has left, besides its ETag: where the object is the
/// body that was sent, at the time of the store's answer, and of the class `STANDARD`.
fn described(write: &Write<'_>, answer: &Answer) -> Option<Description> {
    let class = write.request.headers.get("x-amz-storage-class");
    let is_standard = class.is_none_or(|class| class.as_bytes() == b"STANDARD");
    let is_body = matches!(write.operation, Operation::PutObject | Operation::PostObject);
    if !is_body || !is_standard {
        return None;
    }
    Some(Description {
        size_bytes: write.body.length_bytes(),
        modified_s: u64::try_from(sent_at_s(&answer.headers)?).ok()?,
        is_standard,
    })
}
