//! Acquiring a key's lease: steps 4 and 5 of docs/protocol.md#a-write-step-by-step.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::busy::Watch;
use super::lease::{Attempt, Granted};
use super::stop::Stop;
use super::{Reply, Write, refusal};
use crate::present::writes::WaitsFor;
use crate::random;
use crate::register::{Acquired, Ask, Ending, Generation};

/// Pause before the register is asked for a busy key again. Each further pause is twice as long.
const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_LAST: Duration = Duration::from_millis(50);

impl<'a> Attempt<'a> {
    /// Asks the register for the lease, again and again while the key is busy. `own_doubt` is the
    /// generation of an earlier copy of this write whose outcome is unknown.
    pub(super) async fn acquire(self, own_doubt: Option<&Generation>) -> Result<Granted<'a>, Stop> {
        let Self { gate, write, give_up, .. } = self;
        let mut asked = Instant::now();
        self.waits_from(WaitsFor::Register, asked);
        let mut pause = POLL_FIRST;
        let (mut watch, term) = (None, gate.settings.terms.lease);
        loop {
            let ask = Ask {
                asker: gate.asker.clone(),
                nonce: random::id(),
                write_id: write.write_id.clone(),
                settle: write.settle(),
                age: asked - write.arrived,
                preconditions: write.preconditions.clone(),
                expect: write.expect(),
                upload: write.upload(),
                own_doubt: own_doubt.cloned(),
            };
            let (holder, free_in) = match gate.register.acquire(write.name, &ask).await? {
                Acquired::Granted(grant) => return Ok(self.granted(grant, asked)),
                Acquired::Quarantine(left) => return Err(Stop::error(refusal::quarantine(left))),
                Acquired::Ended(ending) => return Err(ended(write, ending)),
                Acquired::Busy { write_id, free_in } => (write_id, free_in),
                // Only a write without a condition can end this earlier.
                Acquired::Young(left) if Instant::now() + left > give_up => {
                    return Err(Stop::error(refusal::young(left)));
                }
                Acquired::Young(left) => return Err(Stop::Young(Instant::now() + left)),
            };
            let now = Instant::now();
            let seen = Watch::after(watch, holder, free_in, term, now);
            if now >= give_up {
                let blocker = seen.blocker(&write.write_id, term, now);
                return Err(Stop::error(refusal::busy(write, blocker)));
            }
            watch = Some(seen);
            let blocks = if own_doubt.is_some() { WaitsFor::Settling } else { WaitsFor::Lease };
            self.waits_until(blocks, now + free_in);
            sleep(jittered(pause).min(free_in.max(POLL_FIRST)).min(give_up - now)).await;
            pause = (pause * 2).min(POLL_LAST);
            asked = Instant::now();
        }
    }
}

/// The journal already holds the outcome of this write.
fn ended(write: &Write<'_>, ending: Ending) -> Stop {
    match ending {
        Ending::Landed { state, generation, headers } => {
            Stop::Reply(Reply::Replayed(state, Some(generation), headers))
        }
        Ending::Refused { code } => Stop::error(refusal::refused_before(write, &code)),
        Ending::Undetermined { .. } => Stop::error(refusal::outcome_unknown()),
    }
}

/// Adds up to half of the pause at random, so that the proxies of a fleet do not all ask at the
/// same time.
fn jittered(pause: Duration) -> Duration {
    let noise = u32::from(random::byte());
    pause + pause * noise / 512
}
