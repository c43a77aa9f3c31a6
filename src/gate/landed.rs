//! A write that the store has applied: its answer to the client and its landing for the register.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::finding::remembered_headers;
use super::lease::Armed;
use super::queue::Turn;
use super::{Commit, Decider, Outcome, Reply, X_IFMATCH_GENERATION};
use crate::register::{AnswerHeaders, State, Writers};

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
        let headers = match &reply {
            Reply::Store(answer) => remembered_headers(answer),
            Reply::Error(..) | Reply::Replayed(..) => AnswerHeaders::default(),
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
            held: lease.since.elapsed(),
            store_failed,
            commit: Some(Commit {
                register: Arc::clone(&attempt.gate.register),
                name: attempt.write.name.clone(),
                token: lease.token,
                generation: begins,
                new,
                quiet,
                headers,
                comes_first: !attempt.gate.settings.terms.lag.is_zero(),
                turn,
                metrics: Arc::clone(&attempt.gate.metrics),
                _lease: lease.counted,
            }),
        }
    }
}
