//! A write whose answer was lost, or an earlier attempt of it: what can be known of it, and when.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::inscription::inscribed;
use super::lease::Lease;
use super::standing::Standing;
use super::write::{Landed, Stop};
use super::{Gate, Reply, Write, refusal};
use crate::register::{Generation, Resolution, State, Told, Writers};
use crate::s3::{Current, Seen};

/// How many copies of a write the store may have got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    One,
    Two,
}

impl Gate {
    /// The lease stays armed, and its holder stands by for as long as the write may land: until then
    /// nobody can tell what became of it. But where one single copy was sent, what has landed cannot
    /// land again: once it is seen, the wait is over.
    pub(super) async fn in_doubt(
        &self,
        write: &Write<'_>,
        mut lease: Lease,
        pre: &State,
        copies: Copies,
        why: String,
        give_up: Instant,
    ) -> Result<Landed, Stop> {
        let stands_by = Standing::new(self, write, &mut lease, pre).stand_by();
        if let (Copies::One, Some(generation)) = (copies, lease.armed.clone())
            && let Some(new) = self.seen_to_land(write, &lease, pre, give_up).await
        {
            tracing::info!(name = %write.name, why, "a write whose answer was lost has landed");
            if let Some(task) = stands_by {
                task.abort();
            }
            let reply = Reply::Replayed(new.clone(), Some(generation), Told::default());
            return Ok(Landed { lease, reply, new, quiet: None });
        }
        Err(Stop::Doubt(why, lease.armed.filter(|_| !lease.superseded)))
    }

    /// Looks for a landing as long as the lease keeps everybody else out, and returns what it left.
    /// Where others write around the proxies, a change proves nothing, and the write's id does: if it
    /// was not there before, or an earlier copy may have left it.
    async fn seen_to_land(
        &self,
        write: &Write<'_>,
        lease: &Lease,
        pre: &State,
        give_up: Instant,
    ) -> Option<State> {
        let exclusive = self.settings.terms.writers == Writers::Exclusive;
        let pre = pre.known().filter(|_| exclusive);
        let by_id = write.inscribed && lease.seen_not_applied;
        if pre.is_none() && !by_id {
            return None;
        }
        let landed = |seen: &Seen| {
            let changed = pre.as_ref().is_some_and(|pre| seen.current != *pre);
            (changed && write.may_leave(&seen.current))
                || (by_id && inscribed(write, seen).as_ref() == Some(&write.write_id))
        };
        let until = lease.deadline.min(give_up);
        let mut pause = LOOK_FIRST;
        loop {
            let head = self.store.head(write.question());
            let seen = timeout_at(until, head).await.ok()?;
            if let Ok(seen) = seen
                && landed(&seen)
                && Instant::now() < lease.deadline
            {
                return Some(State::from(seen.current));
            }
            sleep_until((Instant::now() + pause).min(until)).await;
            if Instant::now() >= until {
                return None;
            }
            pause *= 2;
        }
    }

    /// This write's own earlier attempt is no longer in doubt: one that landed is answered, one
    /// that cannot be known is said to be unknown, one that did not land is judged anew.
    pub(super) async fn own_doubt_resolved(
        &self,
        write: &Write<'_>,
        lease: &Lease,
        resolution: Resolution,
        current: &Current,
    ) -> Result<(), Stop> {
        let stop = match resolution {
            Resolution::DidNot => return Ok(()),
            Resolution::Landed => Stop::AlreadyRecorded,
            Resolution::Undetermined | Resolution::Nothing => {
                Stop::error(refusal::outcome_unknown())
            }
        };
        self.release(write, lease, self.learned(current.clone()), None).await;
        Err(stop)
    }

    /// An earlier attempt of this very write has left what stands there, and the register has
    /// forgotten it.
    pub(super) async fn own_landing(&self, write: &Write<'_>, lease: &Lease, seen: &Seen) -> Stop {
        let generation = self.generation_under(lease, &seen.current);
        let generation = generation.map(|name| Generation(name.into()));
        self.release(write, lease, self.learned(seen.current.clone()), None).await;
        Stop::Reply(Reply::Replayed(State::from(seen.current.clone()), generation, Told::default()))
    }
}

/// A write in doubt is looked for at once, again after this long, then after twice as long each time.
const LOOK_FIRST: Duration = Duration::from_millis(50);
