//! The guarded write, in the protocol's order: acquire, judge, arm, send, conclude. Each step takes
//! the state that the step before has left ([`super::lease`]).
//!
//! A write whose answer is lost has no separate code path. It keeps its lease armed and becomes its
//! own retry: it asks for the lease again like any other write, waits until no copy of the first
//! attempt can land any more, and finds the outcome by a HEAD.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::busy::Blocker;
use super::landed::Landed;
use super::lease::{Armed, Attempt, Granted};
use super::queue::{Turn, Unserved};
use super::repeat::Repeated;
use super::stop::Stop;
use super::upload::upload_gone;
use super::{Decider, Gate, Outcome, Reply, Write, refusal};
use crate::metrics::Metrics;
use crate::metrics::cells::Held;
use crate::metrics::labels::{DoubtEnd, Verdict};
use crate::present::writes::{LeftInDoubt, UnderWay, WaitsFor};
use crate::register::Generation;
use crate::s3::S3Error;
use crate::traces::Span;

/// What is known of a write between its attempts.
#[derive(Debug, Default)]
struct Progress {
    /// When the last attempt's lease was granted, for the log.
    granted: Option<Instant>,
    /// A copy was sent whose outcome is still unknown.
    in_doubt: bool,
    /// When that was noticed last.
    last_doubt: Option<Instant>,
    /// Counts the write among the doubts, once it was in doubt.
    doubt: Option<Held>,
    /// The generation with which the last such copy was armed, where the write may be sent again.
    own_doubt: Option<Generation>,
    /// The store answered a copy of it with a server error.
    store_failed: bool,
    /// The last pause between two looks at a store that may show an older state.
    pause: Duration,
}

/// Pauses between two looks at a store that may show an older state than the key's. Each further one
/// is twice as long.
const LOOK_FIRST: Duration = Duration::from_millis(100);
const LOOK_LAST: Duration = Duration::from_secs(1);

impl Gate {
    /// Performs one write under its key's lease, waiting for a busy key up to `lease_wait`. The
    /// write goes on if the client disconnects.
    pub async fn write(&self, write: &Write<'_>) -> Outcome {
        let mut progress = Progress::default();
        let (name, started) = (write.name.as_pair(), Instant::now());
        let under_way = self.present.writes.begin(name, write.operation.name(), started.into_std());
        let outcome = self.write_in_turn(write, &under_way, &mut progress, started).await;
        progress.count(&self.metrics, &outcome);
        self.show_doubt(write, &progress, &outcome);
        if self.settings.terms.lag.is_zero() { outcome } else { outcome.recorded_first().await }
    }

    async fn write_in_turn(
        &self,
        write: &Write<'_>,
        under_way: &UnderWay,
        progress: &mut Progress,
        started: Instant,
    ) -> Outcome {
        let give_up = started + self.settings.lease_wait;
        let attempt = Attempt { gate: self, write, under_way, give_up };
        let mut turn = match attempt.take_turn().await {
            Ok(turn) => turn,
            Err(refused) => {
                let reply = Reply::Error(refused, None);
                return progress.without_landing(reply, Decider::Gate, started);
            }
        };
        loop {
            let stop = match attempt.run(progress).await {
                Ok(landed) => return landed.outcome(turn, started, progress.store_failed),
                Err(stop) => stop,
            };
            let (reply, decided_by) = match stop {
                // The first copy may have landed, whatever became of a later copy.
                Stop::Reply(Reply::Error(..)) | Stop::Refused(_) if progress.in_doubt => {
                    (Reply::Error(refusal::answer_lost(), None), Decider::Gate)
                }
                Stop::Reply(reply) => (reply, Decider::Gate),
                Stop::Refused(answer) => (Reply::Store(answer), Decider::Backend),
                Stop::InDoubt(why, generation) => {
                    tracing::warn!(name = %write.name, why, "a write's outcome is unknown");
                    (progress.in_doubt, progress.own_doubt) = (true, generation);
                    progress.last_doubt = Some(Instant::now());
                    progress.doubt.get_or_insert_with(|| self.metrics.doubts.hold());
                    continue;
                }
                Stop::AlreadyRecorded => continue,
                Stop::Young(until) => {
                    // Other writes need not wait for what this one waits for.
                    drop(turn);
                    let refused = match attempt.look_later(until, progress).await {
                        Some(refused) => refused,
                        None => match attempt.take_turn().await {
                            Ok(next) => {
                                turn = next;
                                continue;
                            }
                            Err(_) if progress.in_doubt => refusal::answer_lost(),
                            Err(refused) => refused,
                        },
                    };
                    (Reply::Error(refused, None), Decider::Gate)
                }
            };
            return progress.without_landing(reply, decided_by, started);
        }
    }
}

impl Gate {
    /// Shows a write that has ended in doubt, for as long as its key may be blocked.
    fn show_doubt(&self, write: &Write<'_>, progress: &Progress, outcome: &Outcome) {
        let Some(noticed) = progress.last_doubt else { return };
        if progress.doubt_end(outcome) != DoubtEnd::Unknown {
            return;
        }
        let (bucket, key) = write.name.as_pair();
        let terms = &self.settings.terms;
        // At most a whole lease was left when the doubt was noticed.
        let free = noticed + terms.lease + terms.grace + terms.settle(write.settle());
        self.present.writes.leave_in_doubt(LeftInDoubt {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            operation: write.operation.name(),
            ended: Instant::now().into_std(),
            free: free.into_std(),
        });
    }
}

impl<'a> Attempt<'a> {
    /// Waits behind the other writes of the key in this process. The error for the client where they
    /// are too many, or take too long.
    async fn take_turn(self) -> Result<Turn, S3Error> {
        let Self { gate, write, give_up, .. } = self;
        self.waits_for(WaitsFor::Turn);
        let waiting = gate.metrics.gate_waiting.hold();
        let turn = gate.queue.turn(write.name, gate.settings.writes_per_key, give_up);
        let turn = Span::within("queue").over(turn).await;
        drop(waiting);
        turn.map_err(|unserved| match unserved {
            Unserved::TooMany => refusal::crowded(),
            Unserved::TooLong => refusal::busy(write, Blocker::Queue),
        })
    }

    /// Waits until the store may show more than it did: what it shows may be old `until` then at the
    /// latest. The error for the client where the write has waited long enough.
    async fn look_later(self, until: Instant, progress: &mut Progress) -> Option<S3Error> {
        let now = Instant::now();
        if now < self.give_up {
            progress.pause = (progress.pause * 2).clamp(LOOK_FIRST, LOOK_LAST);
            self.under_way.has_lease(false);
            self.waits_until(WaitsFor::Lag, until);
            sleep_until((now + progress.pause).min(until).min(self.give_up)).await;
            return None;
        }
        Some(if progress.in_doubt {
            refusal::answer_lost()
        } else {
            refusal::young(until.saturating_duration_since(now))
        })
    }

    /// Runs steps 4 to 8 once. Rare steps are boxed, so that the future of every write stays small.
    async fn run(self, progress: &mut Progress) -> Result<Landed<'a>, Stop> {
        let metrics = &self.gate.metrics;
        self.under_way.has_lease(false);
        self.under_way.in_doubt(progress.in_doubt);
        let waiting = metrics.gate_waiting.hold();
        let granted = self.acquire(progress.own_doubt.as_ref());
        let granted = Span::within("lease").over(granted).await?;
        drop(waiting);
        let armed = match granted {
            Granted::Leased(leased) => {
                progress.granted = Some(leased.lease.since);
                let judged = Box::pin(leased.judge(&mut progress.in_doubt)).await;
                self.under_way.in_doubt(progress.in_doubt);
                judged?.arm().await?
            }
            Granted::Armed(armed) => {
                progress.granted = Some(armed.lease.since);
                armed.check().await?
            }
        };
        if let Some(condition) = self.write.preconditions.first() {
            metrics.conditions.count(condition, Verdict::Held);
        }
        let Some(now) = armed.has_time() else {
            armed.disarm(None).await;
            return Err(Stop::not_sent());
        };
        let mut answered = armed.send(now).await;
        progress.store_failed |= answered.failed();
        if answered.is_repeatable() {
            match Box::pin(answered.repeat()).await {
                Repeated::Gone(landed) => return Ok(landed),
                Repeated::Sent(last) => answered = last,
            }
        }
        answered.conclude().await
    }
}

impl Armed<'_> {
    /// Checks what the register could not know when it armed the lease.
    async fn check(self) -> Result<Self, Stop> {
        let write = self.attempt.write;
        if self.lease.outdated {
            self.disarm(None).await;
            return Err(Stop::not_sent());
        }
        if self.attempt.gate.is_upload_gone(write).await {
            let gone = upload_gone(write, &self.lease);
            return Err(self.refuse(gone).await);
        }
        Ok(self)
    }
}

impl Progress {
    fn without_landing(&self, reply: Reply, decided_by: Decider, started: Instant) -> Outcome {
        let now = Instant::now();
        let granted = self.granted.unwrap_or(now);
        let (waited, held) = (granted - started, now - granted);
        let store_failed = self.store_failed;
        Outcome { reply, decided_by, waited, held, commit: None, store_failed }
    }

    /// Counts what became of a write.
    fn count(&self, metrics: &Metrics, outcome: &Outcome) {
        metrics.gate_wait.observe(outcome.waited);
        if self.granted.is_some() {
            metrics.lease_held.observe(outcome.held);
        }
        if matches!(outcome.reply, Reply::Replayed(..)) {
            metrics.replays.count();
        }
        if self.doubt.is_some() {
            metrics.doubts_settled.count(self.doubt_end(outcome));
        }
    }

    /// How the doubt about a write ended that was in doubt.
    fn doubt_end(&self, outcome: &Outcome) -> DoubtEnd {
        match (&outcome.reply, self.in_doubt) {
            (Reply::Replayed(..), _) => DoubtEnd::Landed,
            // Where a copy of it did not land, it is judged anew.
            (_, false) => DoubtEnd::NotApplied,
            (_, true) if outcome.commit.is_some() => DoubtEnd::SentAgain,
            (_, true) => DoubtEnd::Unknown,
        }
    }
}
