//! Concluding a write from the store's answer: step 8 of docs/protocol.md#a-write-step-by-step.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::doubt::Copies;
use super::finding::{Finding, finding, told};
use super::lease::Armed;
use super::queue::Turn;
use super::send::Answered;
use super::stop::Stop;
use super::{Commit, Decider, Outcome, Reply, X_IFMATCH_GENERATION};
use crate::backend::Exchange;
use crate::register::{State, Told, Writers};

/// A write that the store has applied.
#[derive(Debug)]
#[must_use]
pub(super) struct Landed<'a> {
    pub(super) armed: Armed<'a>,
    pub(super) reply: Reply,
    /// What stands at the key now.
    pub(super) new: State,
    /// How long the key is kept shut: an earlier copy may still land.
    pub(super) quiet: Option<Duration>,
}

impl<'a> Answered<'a> {
    /// What the answer proves, and where it proves nothing, what the store shows.
    pub(super) async fn conclude(self) -> Result<Landed<'a>, Stop> {
        let Self { armed, exchange, first_copy } = self;
        let (gate, write) = (armed.attempt.gate, armed.attempt.write);
        let copies = if first_copy.is_none() { Copies::One } else { Copies::Two };
        let mut answer = match exchange {
            Exchange::Answered(answer) => answer,
            Exchange::NotSent(why) if first_copy.is_none() => {
                tracing::warn!(name = %write.name, why, "the store cannot be reached");
                armed.disarm(None).await;
                return Err(Stop::not_sent());
            }
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                return Box::pin(armed.in_doubt(copies, why)).await;
            }
        };
        let new = match finding(write.operation, &answer, &gate.settings.definite_errors) {
            Finding::Landed(new) => new,
            // After a resend a refusal may be the second copy's, refused because the first landed.
            Finding::NotApplied if first_copy.is_some() => {
                let why = "refused after it was sent twice".to_owned();
                return Box::pin(armed.in_doubt(copies, why)).await;
            }
            Finding::NotApplied => return Err(armed.refuse(Stop::Refused(answer)).await),
            Finding::Doubt(why) => return Box::pin(armed.in_doubt(copies, why)).await,
        };
        let new = gate.looked_up(write, &armed.pre, new, &mut answer).await;
        let settle = gate.settings.terms.settle(write.settle());
        let quiet = first_copy.map(|last_byte| settle.saturating_sub(last_byte.elapsed()));
        Ok(Landed { armed, reply: Reply::Store(answer), new, quiet })
    }
}

impl Landed<'_> {
    /// The answer, and the landing to record. `started`: when the write began to wait for its key.
    pub(super) fn outcome(self, turn: Turn, started: Instant, store_failed: bool) -> Outcome {
        let Self { armed, mut reply, new, quiet } = self;
        let Armed { attempt, lease, begins, .. } = armed;
        let told = match &reply {
            Reply::Store(answer) => told(answer),
            Reply::Error(..) | Reply::Replayed(..) => Told::default(),
        };
        // Where others write, one who knows no state would not see that they did.
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
                told,
                turn,
            }),
        }
    }
}
