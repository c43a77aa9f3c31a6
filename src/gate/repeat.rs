//! A delete that the store answered with an error. It may be done, not done, or yet to be done; but
//! done twice it is as if done once. So it is looked for under its lease and, where the object still
//! stands, sent once more, before it becomes a doubt that shuts its key.
//!
//! The first copy may land for as long as any write may, so afterwards the key is kept quiet as after
//! every second copy; unless it is seen to have landed before another was sent.

use tokio::time::{Instant, timeout_at};

use super::Reply;
use super::finding::{Finding, finding};
use super::landed::Landed;
use super::lease::Armed;
use super::send::Answered;
use crate::backend::{Exchange, Question, Signing};
use crate::register::{State, Told, Writers};
use crate::s3::{Current, Operation};

/// What came of a delete that was answered with an error.
pub(super) enum Repeated<'a> {
    /// What it was to delete is not there: it need not be sent again.
    Gone(Landed<'a>),
    /// As far as its last copy goes.
    Sent(Answered<'a>),
}

impl<'a> Answered<'a> {
    /// May this write be done again without harm after the store answered its only copy with an
    /// error? A delete may. Not where others write and it names a condition: what stands there after
    /// the first copy may be theirs. Nor what is passed on as its sender signed it: whether that
    /// sender may do it, only an answer of the store says.
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

    /// Was it answered with a server error that leaves open what has become of it?
    fn has_failed_openly(&self) -> bool {
        let Exchange::Answered(answer) = &self.exchange else { return false };
        let (gate, write) = (self.armed.attempt.gate, self.armed.attempt.write);
        let found = finding(write.operation, answer, &gate.settings.definite_errors);
        self.failed() && matches!(found, Finding::Doubt(_))
    }

    /// Looks whether the delete is done and, if not, sends it once more.
    pub(super) async fn repeat(self) -> Repeated<'a> {
        let answered = Instant::now();
        let write = self.armed.attempt.write;
        tracing::info!(name = %write.name, "the store answered a delete with an error; looked at again");
        if self.armed.is_gone().await {
            let last_byte = (!self.armed.has_landed()).then_some(answered);
            return Repeated::Gone(self.armed.gone(last_byte));
        }
        if !self.armed.has_time() {
            return Repeated::Sent(self);
        }
        let second = self.armed.send().await;
        let last_byte = second.first_copy.map_or(answered, |copy| copy.max(answered));
        if second.has_failed_openly() && second.armed.is_gone().await {
            return Repeated::Gone(second.armed.gone(Some(Instant::now())));
        }
        Repeated::Sent(Answered { first_copy: Some(last_byte), ..second })
    }
}

impl<'a> Armed<'a> {
    /// Has a HEAD under the lease seen that what was to be deleted is not there?
    async fn is_gone(&self) -> bool {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        let question = Question { version_id: write.version_id, ..write.question() };
        let seen = timeout_at(self.lease.deadline, gate.store.head(question)).await;
        matches!(seen, Ok(Ok(seen)) if seen.current == Current::Absent)
            && Instant::now() < self.lease.deadline
    }

    /// Has the only copy landed, now that what it was to delete is seen to be gone? Where nobody else
    /// writes and an object stood there before it was sent. One copy cannot land twice.
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
            // Another version may have come to light.
            Some(_) => State::Unknown,
        };
        let settle = gate.settings.terms.settle(write.settle());
        let quiet = last_byte.map(|last_byte| settle.saturating_sub(last_byte.elapsed()));
        let reply = Reply::Replayed(State::Absent, Some(self.begins.clone()), Told::default());
        Landed { armed: self, reply, new, quiet }
    }
}
