//! A write whose answer was lost: waits for its landing or for the time after which it cannot land.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::Reply;
use super::landed::Landed;
use super::lease::Armed;
use super::object_id::id_carried;
use super::reclaim::Reclaimer;
use super::stop::Stop;
use crate::metrics::labels::DoubtEnd;
use crate::present::writes::WaitsFor;
use crate::register::{AnswerHeaders, State, Writers};
use crate::s3::Seen;

/// How many copies of a write the store may have got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    One,
    Two,
}

/// First pause between two HEADs that look for a write in doubt. Each further pause is twice as
/// long.
const LOOK_FIRST: Duration = Duration::from_millis(50);

impl<'a> Armed<'a> {
    /// The lease stays armed, and its holder reclaims it for as long as the write may land: until
    /// then its outcome cannot be known. One exception: where only one copy was sent and its
    /// landing has been seen, it cannot land again, so the wait is over.
    pub(super) async fn in_doubt(
        mut self,
        copies: Copies,
        why: String,
    ) -> Result<Landed<'a>, Stop> {
        let (metrics, write) = (&self.attempt.gate.metrics, self.attempt.write);
        let _doubt = metrics.doubts.hold();
        self.attempt.under_way.in_doubt(true);
        self.attempt.waits_until(WaitsFor::Landing, self.lease.deadline);
        let reclaiming = Reclaimer::new(&mut self).keep_reclaiming();
        if copies == Copies::One
            && let Some(new) = self.seen_to_land().await
        {
            metrics.doubts_settled.count(DoubtEnd::Landed);
            tracing::info!(name = %write.name, why, "a write whose answer was lost has landed");
            if let Some(task) = reclaiming {
                task.abort();
            }
            let begins = Some(self.begins.clone());
            let reply = Reply::Replayed(new.clone(), begins, AnswerHeaders::default());
            return Ok(Landed { armed: self, reply, new, quiet: None });
        }
        let own_doubt = (!self.lease.superseded).then_some(self.begins);
        Err(Stop::InDoubt(why, own_doubt))
    }

    /// Looks for a landing while the lease keeps other writers out, and returns the state that the
    /// write left. Where other writers go around the proxies, a changed state proves nothing, but
    /// the write's id on the object does: if the id was not there before, or an earlier copy may
    /// have left it.
    async fn seen_to_land(&self) -> Option<State> {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        let exclusive = gate.settings.terms.writers == Writers::Exclusive;
        let pre = self.pre.known().filter(|_| exclusive);
        let by_id = write.carries_id && self.lease.seen_not_applied;
        if pre.is_none() && !by_id {
            return None;
        }
        let landed = |seen: &Seen, older: bool| {
            let changed = !older && pre.as_ref().is_some_and(|pre| seen.current != *pre);
            (changed && write.may_leave(&seen.current))
                || (by_id && id_carried(write, seen).as_ref() == Some(&write.write_id))
        };
        let until = self.lease.deadline.min(self.attempt.give_up);
        let mut pause = LOOK_FIRST;
        loop {
            // Until then another state than that before the write may be older than that.
            let older = self.lease.is_young();
            let head = gate.store.head(write.head_request());
            let seen = timeout_at(until, head).await.ok()?;
            if let Ok(seen) = seen
                && landed(&seen, older)
                && Instant::now() < self.lease.deadline
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
}
