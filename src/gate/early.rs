//! The early look: a stale writer is refused before `100 Continue` and before its body.

use std::time::Duration;

use super::{Decider, Gate, Outcome, Reply, refusal};
use crate::backend::HeadRequest;
use crate::http1::fields::Fields;
use crate::register::Generation;
use crate::s3::{ObjectName, Preconditions};

impl Gate {
    /// Refuses a write whose condition cannot hold, or which would get no lease: step 2 of
    /// docs/protocol.md#a-write-step-by-step. The register gives only hints, and only the store's
    /// state refuses a write: where the record contradicts the condition, or is unknown, a HEAD
    /// decides. `None`: no reason against the write was found.
    pub async fn early_look(
        &self,
        name: &ObjectName,
        preconditions: &Preconditions,
        attempt: u32,
        head_headers: &Fields,
    ) -> Option<Outcome> {
        let observed = match self.register.observe(name).await {
            Ok(observed) => observed,
            Err(error) => return Some(early(Reply::Error(refusal::register_failed(&error), None))),
        };
        // A short quarantine may be over when the body has arrived.
        if observed.quarantine > self.settings.lease_wait {
            let refused = refusal::quarantine(observed.quarantine);
            return Some(early(Reply::Error(refused, None)));
        }
        // A retry may compete with its own first attempt. Only the journal can tell, and it is read
        // later, at the gate.
        if attempt >= 2 || observed.leased || observed.satisfies(preconditions) {
            return None;
        }
        // The generation of a write under way or in doubt may be the one that is named.
        if observed.pending.is_some() && preconditions.are_about_the_generation() {
            return None;
        }
        let mut seen = if observed.young_for.is_zero() {
            // A HEAD that fails here decides nothing: the gate sends its own.
            let asked = HeadRequest { name, version_id: None, headers: head_headers };
            self.store.head(asked).await.ok()?
        } else if preconditions.are_about_the_etag() {
            // A HEAD may show an older state than the record.
            observed.state.known()?.into()
        } else {
            return None;
        };
        seen.generation = observed.generation.map(|Generation(name)| name.into());
        self.refusal_by(name, preconditions, &seen).await.map(early)
    }
}

fn early(reply: Reply) -> Outcome {
    Outcome {
        reply,
        decided_by: Decider::Early,
        waited: Duration::ZERO,
        held: Duration::ZERO,
        commit: None,
        store_failed: false,
    }
}
