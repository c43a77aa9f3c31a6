//! Repeating a delete that the store answered with an error. The delete may be done, not done, or
//! still to be done; but a repeated delete has the same effect as one. So a HEAD under its lease
//! looks for the object, and where the object still exists, the delete is sent once more before it
//! becomes a doubt that blocks its key.
//!
//! The first copy may land for as long as any write may. So afterwards the key stays blocked as
//! after every second copy, unless the first copy was seen to have landed before the second was
//! sent.

use tokio::time::{Instant, timeout_at};

use super::Reply;
use super::finding::{Finding, finding};
use super::landed::Landed;
use super::lease::Armed;
use super::send::Answered;
use crate::backend::{Exchange, HeadRequest, Signing};
use crate::register::{AnswerHeaders, State, Writers};
use crate::s3::{Current, Operation};

/// The result of a delete that was answered with an error.
pub(super) enum Repeated<'a> {
    /// The object to be deleted is not there: the delete need not be sent again.
    Gone(Landed<'a>),
    /// The delete was sent again; this is the answer to its last copy.
    Sent(Answered<'a>),
}

impl<'a> Answered<'a> {
    /// May this write be sent again without harm after the store answered its only copy with an
    /// error? A delete may. Not where other writers go around the proxies and the delete has a
    /// condition: the object that exists after the first copy may be theirs. And not a request that
    /// is sent on as its sender signed it: only an answer of the store says whether that sender may
    /// do it.
    pub(super) fn is_repeatable(&self) -> bool {
        let (gate, write) = (self.armed.attempt.gate, self.armed.attempt.write);
        let deletes =
            matches!(write.operation, Operation::DeleteObject | Operation::DeleteObjectVersion);
        let exclusive = gate.settings.terms.writers == Writers::Exclusive;
        deletes
            && (exclusive || write.is_unconditional())
            && write.request.signing == Signing::Anew
            && self.first_copy.is_none()
            && self.has_failed_openly()
    }

    /// Was it answered with a server error that leaves its outcome unknown?
    fn has_failed_openly(&self) -> bool {
        let Exchange::Answered(answer) = &self.exchange else { return false };
        let (gate, write) = (self.armed.attempt.gate, self.armed.attempt.write);
        let found = finding(write.operation, answer, &gate.settings.definite_errors);
        self.failed() && matches!(found, Finding::Doubt(_))
    }

    /// Looks whether the object is gone and, if not, sends the delete once more.
    pub(super) async fn repeat(self) -> Repeated<'a> {
        let answered = Instant::now();
        let write = self.armed.attempt.write;
        tracing::info!(name = %write.name, "the store answered a delete with an error; looked at again");
        if self.armed.is_gone().await {
            let last_byte = (!self.armed.has_landed()).then_some(answered);
            return Repeated::Gone(self.armed.gone(last_byte));
        }
        let Some(now) = self.armed.has_time() else { return Repeated::Sent(self) };
        self.armed.attempt.gate.metrics.backend_resends.count();
        let second = self.armed.send(now).await;
        let last_byte = second.first_copy.map_or(answered, |copy| copy.max(answered));
        if second.has_failed_openly() && second.armed.is_gone().await {
            return Repeated::Gone(second.armed.gone(Some(Instant::now())));
        }
        Repeated::Sent(Answered { first_copy: Some(last_byte), ..second })
    }
}

impl<'a> Armed<'a> {
    /// Has a HEAD under the lease seen that the object to be deleted is not there? Where the store may
    /// show an older state than that before the delete, it proves nothing.
    async fn is_gone(&self) -> bool {
        if self.lease.is_young() {
            return false;
        }
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        let asked = HeadRequest { version_id: write.version_id, ..write.head_request() };
        let seen = timeout_at(self.lease.deadline, gate.store.head(asked)).await;
        matches!(seen, Ok(Ok(seen)) if seen.current == Current::Absent)
            && Instant::now() < self.lease.deadline
    }

    /// Has the only copy landed, now that the object is gone? Yes where all writers go through the
    /// proxies and an object existed before the copy was sent. One copy cannot land twice.
    fn has_landed(&self) -> bool {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        let exclusive = gate.settings.terms.writers == Writers::Exclusive;
        exclusive && write.version_id.is_none() && matches!(self.pre, State::Present(_))
    }

    /// `last_byte`: when a copy that may still land was last readable.
    fn gone(self, last_byte: Option<Instant>) -> Landed<'a> {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        let new = match write.version_id {
            None => State::Absent,
            // The delete may have made another version the current one.
            Some(_) => State::Unknown,
        };
        let settle = gate.settings.terms.settle(write.settle());
        let quiet = last_byte.map(|last_byte| settle.saturating_sub(last_byte.elapsed()));
        let reply =
            Reply::Replayed(State::Absent, Some(self.begins.clone()), AnswerHeaders::default());
        Landed { armed: self, reply, new, quiet }
    }
}
