//! A delete that the store answered with an error. It may be done, not done, or yet to be done; but
//! done twice it is as if done once. So it is looked for under its lease and, where the object still
//! stands, sent once more, before it becomes a doubt that shuts its key.
//!
//! The first copy may land for as long as any write may, so afterwards the key is kept quiet as after
//! every second copy; unless it is seen to have landed before another was sent.

use tokio::time::{Instant, timeout_at};

use super::finding::{Finding, finding};
use super::lease::Lease;
use super::write::{Landed, Sent};
use super::{Gate, Reply, Write};
use crate::backend::{Exchange, Question, Signing};
use crate::register::{State, Told, Writers};
use crate::s3::{Current, Operation};

/// What came of a delete that was answered with an error.
pub(super) enum Repeated {
    /// What it was to delete is not there: it need not be sent again.
    Gone(Landed),
    /// As far as its last copy goes.
    Sent(Lease, Sent),
}

impl Gate {
    /// May this write be done again without harm after the store answered its only copy with an
    /// error? A delete may. Not where others write and it names a condition: what stands there after
    /// the first copy may be theirs. Nor what is passed on as its sender signed it: whether that
    /// sender may do it, only an answer of the store says.
    pub(super) fn is_repeatable(&self, write: &Write<'_>, sent: &Sent) -> bool {
        let deletes =
            matches!(write.operation, Operation::DeleteObject | Operation::DeleteObjectVersion);
        let exclusive = self.settings.terms.writers == Writers::Exclusive;
        deletes
            && (exclusive || write.is_unconditional())
            && write.request.signing == Signing::Anew
            && sent.first_copy.is_none()
            && self.has_failed_openly(write, sent)
    }

    /// Was it answered with a server error that leaves open what has become of it?
    fn has_failed_openly(&self, write: &Write<'_>, sent: &Sent) -> bool {
        let Exchange::Answered(answer) = &sent.exchange else { return false };
        let found = finding(write.operation, answer, &self.settings.definite_errors);
        sent.failed() && matches!(found, Finding::Doubt(_))
    }

    /// Looks whether the delete is done and, if not, sends it once more.
    pub(super) async fn repeat(
        &self,
        write: &Write<'_>,
        mut lease: Lease,
        pre: &State,
        first: Sent,
    ) -> Repeated {
        let answered = Instant::now();
        tracing::info!(name = %write.name, "the store answered a delete with an error; looked at again");
        if self.is_gone(write, &lease).await {
            let last_byte = (!self.has_landed(write, pre)).then_some(answered);
            return Repeated::Gone(self.gone(write, lease, last_byte));
        }
        if Instant::now() + self.settings.margin >= lease.deadline {
            return Repeated::Sent(lease, first);
        }
        let second = self.send(write, &mut lease, pre).await;
        let last_byte = second.first_copy.map_or(answered, |copy| copy.max(answered));
        if self.has_failed_openly(write, &second) && self.is_gone(write, &lease).await {
            return Repeated::Gone(self.gone(write, lease, Some(Instant::now())));
        }
        Repeated::Sent(lease, Sent { first_copy: Some(last_byte), ..second })
    }

    /// Has a HEAD under the lease seen that what was to be deleted is not there?
    async fn is_gone(&self, write: &Write<'_>, lease: &Lease) -> bool {
        let question = Question { version_id: write.version_id, ..write.question() };
        let seen = timeout_at(lease.deadline, self.store.head(question)).await;
        matches!(seen, Ok(Ok(seen)) if seen.current == Current::Absent)
            && Instant::now() < lease.deadline
    }

    /// Has the only copy landed, now that what it was to delete is seen to be gone? Where nobody else
    /// writes and an object stood there before it was sent. One copy cannot land twice.
    fn has_landed(&self, write: &Write<'_>, pre: &State) -> bool {
        let exclusive = self.settings.terms.writers == Writers::Exclusive;
        exclusive && write.version_id.is_none() && matches!(pre, State::Present(_))
    }

    /// `last_byte`: when a copy that may still land was last readable.
    fn gone(&self, write: &Write<'_>, lease: Lease, last_byte: Option<Instant>) -> Landed {
        let new = match write.version_id {
            None => State::Absent,
            // Another version may have come to light.
            Some(_) => State::Unknown,
        };
        let settle = self.settings.terms.settle(write.settle());
        let quiet = last_byte.map(|last_byte| settle.saturating_sub(last_byte.elapsed()));
        let reply = Reply::Replayed(State::Absent, lease.armed.clone(), Told::default());
        Landed { lease, reply, new, quiet }
    }
}
