//! The guarded write, in the protocol's order: acquire, judge, arm, send, conclude.
//!
//! Settling is no path of its own. A write whose answer is lost keeps its lease armed and becomes
//! its own retry: it asks for the lease again like everybody else, waits until nothing of the first
//! attempt can land any more, and finds out by a HEAD what became of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::busy::{InTheWay, Watch};
use super::doubt::Copies;
use super::finding::{Finding, finding, told};
use super::inscription::inscribed;
use super::lease::Lease;
use super::queue::{Turn, Unserved};
use super::repeat::Repeated;
use super::standing::Standing;
use super::upload::upload_gone;
use super::{
    Commit, Decider, Gate, Outcome, Reply, Settings, Write, X_IFMATCH_GENERATION, refusal,
};
use crate::backend::{Answer, Exchange, HeadError, Question, Sending};
use crate::random;
use crate::register::{
    Acquired, ArmAnswer, ArmStep, Ask, Ending, Generation, ReclaimAnswer, RegisterError,
    Resolution, Settle, State, Told, Writers,
};
use crate::s3::{Current, S3Error, Seen};

/// How a round of the write ended without a landing of its own.
pub(super) enum Stop {
    /// With this answer, by the gate.
    Reply(Reply),
    /// With the store's refusal.
    Refused(Answer),
    /// Unknown, for this reason: the lease stays armed, and the write becomes its own retry, with
    /// this generation for its doubt.
    Doubt(String, Option<Generation>),
    /// An earlier attempt of this write has landed and is recorded: the journal, read again, has the
    /// answer.
    AlreadyRecorded,
}

impl Stop {
    pub(super) fn error(error: S3Error) -> Self {
        Self::Reply(Reply::Error(error, None))
    }
}

impl From<RegisterError> for Stop {
    fn from(error: RegisterError) -> Self {
        Self::error(refusal::register_failed(&error))
    }
}

impl From<HeadError> for Stop {
    fn from(error: HeadError) -> Self {
        Self::error(refusal::head_failed(&error))
    }
}

/// What is known of a write between its rounds.
#[derive(Default)]
struct Progress {
    /// When the last round's lease was granted, for the log.
    granted: Option<Instant>,
    /// A copy was sent whose outcome is still unknown.
    in_doubt: bool,
    /// The generation that the last such copy was armed with, where it may be done again.
    own_doubt: Option<Generation>,
    /// The store answered a copy of it with a server error.
    store_failed: bool,
}

/// A write that the store has applied.
pub(super) struct Landed {
    pub(super) lease: Lease,
    pub(super) reply: Reply,
    pub(super) new: State,
    pub(super) quiet: Option<Duration>,
}

impl Gate {
    /// Performs one write under its key's lease, waiting for a busy key up to `lease_wait`. The
    /// client's connection no longer matters here.
    pub async fn write(&self, write: &Write<'_>) -> Outcome {
        let started = Instant::now();
        let give_up = started + self.settings.lease_wait;
        let Settings { lease_wait, writes_per_key, .. } = self.settings;
        let turn = match self.queue.turn(write.name, writes_per_key, lease_wait).await {
            Ok(turn) => turn,
            Err(unserved) => {
                let refused = match unserved {
                    Unserved::TooMany => refusal::crowded(),
                    Unserved::TooLong => refusal::busy(write, InTheWay::Line),
                };
                let reply = Reply::Error(refused, None);
                return Outcome::without_landing(
                    reply,
                    Decider::Gate,
                    started,
                    &Progress::default(),
                );
            }
        };
        let mut progress = Progress::default();
        loop {
            let stop = match self.round(write, give_up, &mut progress).await {
                Ok(landing) => {
                    let outcome = self.landed(write, landing, turn, started);
                    return Outcome { store_failed: progress.store_failed, ..outcome };
                }
                Err(stop) => stop,
            };
            let (reply, decided_by) = match stop {
                // Whatever became of a later copy: the first one may have landed.
                Stop::Reply(Reply::Error(..)) | Stop::Refused(_) if progress.in_doubt => {
                    (Reply::Error(refusal::answer_lost(), None), Decider::Gate)
                }
                Stop::Reply(reply) => (reply, Decider::Gate),
                Stop::Refused(answer) => (Reply::Store(answer), Decider::Backend),
                Stop::Doubt(why, generation) => {
                    tracing::warn!(name = %write.name, why, "a write's outcome is unknown");
                    (progress.in_doubt, progress.own_doubt) = (true, generation);
                    continue;
                }
                Stop::AlreadyRecorded => continue,
            };
            return Outcome::without_landing(reply, decided_by, started, &progress);
        }
    }

    /// Steps 4 to 8 once.
    async fn round(
        &self,
        write: &Write<'_>,
        give_up: Instant,
        progress: &mut Progress,
    ) -> Result<Landed, Stop> {
        let mut lease = self.acquire(write, give_up, progress.own_doubt.as_ref()).await?;
        progress.granted = Some(lease.since);
        let pre = if lease.armed.is_some() {
            if lease.outdated {
                self.disarm(write, &lease, &lease.believed, None).await;
                return Err(Stop::error(refusal::not_sent()));
            }
            self.require_upload(write, &lease).await?;
            lease.believed.clone()
        } else {
            let pre = self.judge(write, &mut lease, progress).await?;
            self.arm(write, &mut lease, &pre).await?;
            pre
        };
        if Instant::now() + self.settings.margin >= lease.deadline {
            self.disarm(write, &lease, &pre, None).await;
            return Err(Stop::error(refusal::not_sent()));
        }
        let mut sent = self.send(write, &mut lease, &pre).await;
        progress.store_failed |= sent.failed();
        if self.is_repeatable(write, &sent) {
            match self.repeat(write, lease, &pre, sent).await {
                Repeated::Gone(landing) => return Ok(landing),
                Repeated::Sent(its, last) => (lease, sent) = (its, last),
            }
        }
        self.conclude(write, lease, pre, sent, give_up).await
    }

    // === 4, 5: acquire ===

    async fn acquire(
        &self,
        write: &Write<'_>,
        give_up: Instant,
        own_doubt: Option<&Generation>,
    ) -> Result<Lease, Stop> {
        let mut pause = POLL_FIRST;
        let (mut watch, term) = (None, self.settings.terms.lease);
        loop {
            let asked = Instant::now();
            let ask = Ask {
                asker: self.asker.clone(),
                nonce: random::id(),
                write_id: write.write_id.clone(),
                settle: write.settle(),
                age: write.arrived.elapsed(),
                condition: write.condition.clone(),
                expect: write.expect(),
                upload: write.upload(),
                own_doubt: own_doubt.cloned(),
            };
            let (holder, free_in) = match self.register.acquire(write.name, &ask).await? {
                Acquired::Granted(grant) => {
                    return Ok(Lease::new(grant, asked, write.arrived, term));
                }
                Acquired::Quarantine(left) => return Err(Stop::error(refusal::quarantine(left))),
                Acquired::Ended(ending) => return Err(ended(write, ending)),
                Acquired::Busy { write_id, free_in } => (write_id, free_in),
            };
            let now = Instant::now();
            let seen = Watch::after(watch, holder, free_in, term, now);
            if now >= give_up {
                let in_the_way = seen.in_the_way(&write.write_id, term, now);
                return Err(Stop::error(refusal::busy(write, in_the_way)));
            }
            watch = Some(seen);
            sleep(jittered(pause).min(free_in.max(POLL_FIRST)).min(give_up - now)).await;
            pause = (pause * 2).min(POLL_LAST);
        }
    }

    // === 6: judge ===

    /// Judges the condition by a HEAD under the lease and returns the state it saw; a doubt left
    /// by an earlier holder is resolved by the same HEAD. A lease that was not armed while it was
    /// acquired belongs to a write that has something to look up, or has come too late.
    async fn judge(
        &self,
        write: &Write<'_>,
        lease: &mut Lease,
        progress: &mut Progress,
    ) -> Result<State, Stop> {
        if write.is_unconditional() {
            self.require_upload(write, lease).await?;
            return Ok(lease.believed.clone());
        }
        let mut seen = self.look(write, lease, write.question()).await?;
        let current = &seen.current;
        let inscribed = inscribed(write, &seen);
        if let Some(doubted) = lease.doubt.take() {
            let resolution = self
                .register
                .resolve(write.name, &lease.token, current, inscribed.as_ref())
                .await?;
            if matches!(resolution, Resolution::Landed | Resolution::Undetermined) {
                lease.generation = Some(doubted.generation);
            }
            if doubted.write_id == write.write_id {
                self.own_doubt_resolved(write, lease, resolution, current).await?;
                progress.in_doubt = false;
            }
        }
        if write.inscribed && inscribed.as_ref() == Some(&write.write_id) {
            return Err(self.own_landing(write, lease, &seen).await);
        }
        lease.seen_not_applied = true;
        // An upload that is gone may be gone because it was completed: any doubt of that comes first.
        let learned = self.learned(seen.current.clone());
        let gone = self.is_upload_gone(write).await;
        if gone && lease.upload.is_none() {
            return Err(self.turn_away(write, lease, learned, upload_gone(write, lease)).await);
        }
        seen.generation = self.generation_under(lease, &seen.current);
        let judged = match write.version_id {
            Some(_) => {
                let question = Question { version_id: write.version_id, ..write.question() };
                self.look(write, lease, question).await?
            }
            None => seen.clone(),
        };
        let refused = match self.refusal_by(write.name, write.condition, &judged).await {
            None if gone => Some(upload_gone(write, lease)),
            None => self.changed_since_upload(write, lease, &seen).await?.map(Stop::Reply),
            refused => refused.map(Stop::Reply),
        };
        match refused {
            None => Ok(learned.unwrap_or_else(|| lease.believed.clone())),
            Some(stop) => Err(self.turn_away(write, lease, learned, stop).await),
        }
    }

    /// The generation of what stands at the key: none where somebody who goes around the proxies
    /// may have written since.
    pub(super) fn generation_under(&self, lease: &Lease, current: &Current) -> Option<Box<str>> {
        let foreign = self.may_be_foreign(lease, current);
        let generation = lease.generation.as_ref().filter(|_| !foreign)?;
        Some(generation.0.as_str().into())
    }

    /// What a HEAD under the lease tells the register. Nothing where others write: the record must
    /// go on saying what the last landing through the proxies left, or what others have written
    /// since would pass for the generation that this landing began.
    pub(super) fn learned(&self, current: Current) -> Option<State> {
        let shared = self.settings.terms.writers == Writers::Shared;
        (!shared).then(|| State::from(current))
    }

    /// A HEAD under the lease, which is given back where it fails.
    async fn look(
        &self,
        write: &Write<'_>,
        lease: &Lease,
        question: Question<'_>,
    ) -> Result<Seen, Stop> {
        match self.store.head(question).await {
            Ok(seen) => Ok(seen),
            Err(error) => {
                self.release(write, lease, None, None).await;
                Err(error.into())
            }
        }
    }

    // === 7: arm and send ===

    async fn arm(&self, write: &Write<'_>, lease: &mut Lease, pre: &State) -> Result<(), Stop> {
        if lease.outdated {
            self.release(write, lease, None, None).await;
            return Err(Stop::error(refusal::not_sent()));
        }
        let asked = Instant::now();
        let step = ArmStep {
            token: &lease.token,
            pre: pre.clone(),
            expect: write.expect(),
            age: write.arrived.elapsed(),
        };
        match self.register.arm(write.name, step).await? {
            ArmAnswer::Armed(generation) => {
                lease.armed = Some(generation);
                lease.deadline = asked + self.settings.terms.lease;
                Ok(())
            }
            ArmAnswer::Lost => Err(Stop::error(refusal::not_sent())),
            ArmAnswer::OlderThanEpoch => {
                self.release(write, lease, None, None).await;
                Err(Stop::error(refusal::not_sent()))
            }
        }
    }

    /// Sends the write, and once more where a pooled connection was dead. Renews the lease the
    /// while; a holder that cannot renew drops the connection at its deadline.
    pub(super) async fn send(&self, write: &Write<'_>, lease: &mut Lease, pre: &State) -> Sent {
        let patience = match write.settle() {
            Settle::Plain => self.settings.write_timeout,
            Settle::Long => self.settings.long_write_timeout,
        };
        let until = Instant::now() + patience;
        // A first copy may land for as long as a write of its class may. The quarantine of a register
        // that forgets does not cover a long one, and once it is committed nobody stands by for it:
        // so it is never sent twice.
        let fresh = write.settle() == Settle::Long;
        let keep_alive = write.keep_alive;
        let sending = Sending { fresh, keep_alive, ..Sending::new(write.body, until) };
        let exchange = async {
            let first = self.store.exchange(write.request, sending).await;
            let Exchange::DeadPooled(last_byte, why) = first else {
                return Sent { exchange: first, first_copy: None };
            };
            tracing::debug!(name = %write.name, why, "a pooled connection was dead; sent again");
            let sending = Sending { fresh: true, ..sending };
            let second = self.store.exchange(write.request, sending).await;
            Sent { exchange: second, first_copy: Some(last_byte) }
        };
        let sent = tokio::select! {
            // An answer that is there counts, whatever else has happened.
            biased;
            sent = exchange => sent,
            () = self.keep(write, lease, pre) => Sent {
                exchange: Exchange::Lost("the lease could not be renewed".to_owned()),
                first_copy: None,
            },
        };
        if Instant::now() > lease.deadline + self.settings.terms.grace {
            tracing::error!(name = %write.name, "ALARM: this process stood still for longer than \
                            a lease and its grace while a write was under way; another write of \
                            the key may be lost");
        }
        sent
    }

    /// Renews the lease for as long as that works; returns when it has run out. A register that has
    /// forgotten it in the meantime takes it back.
    async fn keep(&self, write: &Write<'_>, lease: &mut Lease, pre: &State) {
        let interval = self.settings.terms.lease / 3;
        loop {
            sleep_until((Instant::now() + interval).min(lease.deadline)).await;
            let asked = Instant::now();
            let renewal = self.register.renew(write.name, &lease.token);
            match timeout_at(lease.deadline, renewal).await {
                Ok(Ok(true)) => lease.deadline = asked + self.settings.terms.lease,
                Ok(Ok(false)) => {
                    let standing = Standing::new(self, write, lease, pre);
                    match timeout_at(lease.deadline, standing.reclaim()).await {
                        Ok(Ok(ReclaimAnswer::Reclaimed { token, generation })) => {
                            lease.is_back(token, generation, asked + self.settings.terms.lease);
                        }
                        Ok(Ok(ReclaimAnswer::Held | ReclaimAnswer::TooLate)) => return,
                        Ok(Err(_)) | Err(_) => {}
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(name = %write.name, %error, "a lease was not renewed");
                }
                Err(_) => {}
            }
            if Instant::now() >= lease.deadline {
                return;
            }
        }
    }

    // === 8: conclude ===

    async fn conclude(
        &self,
        write: &Write<'_>,
        lease: Lease,
        pre: State,
        sent: Sent,
        give_up: Instant,
    ) -> Result<Landed, Stop> {
        let copies = if sent.first_copy.is_none() { Copies::One } else { Copies::Two };
        let mut answer = match sent.exchange {
            Exchange::Answered(answer) => answer,
            Exchange::NotSent(why) if sent.first_copy.is_none() => {
                tracing::warn!(name = %write.name, why, "the store cannot be reached");
                self.disarm(write, &lease, &pre, None).await;
                return Err(Stop::error(refusal::not_sent()));
            }
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                return self.in_doubt(write, lease, &pre, copies, why, give_up).await;
            }
        };
        let new = match finding(write.operation, &answer, &self.settings.definite_errors) {
            Finding::Landed(new) => new,
            // After a resend a refusal may be the second copy's, refused because the first landed.
            Finding::NotApplied if sent.first_copy.is_some() => {
                let why = "refused after it was sent twice".to_owned();
                return self.in_doubt(write, lease, &pre, copies, why, give_up).await;
            }
            Finding::NotApplied => {
                return Err(self.turn_away(write, &lease, Some(pre), Stop::Refused(answer)).await);
            }
            Finding::Doubt(why) => {
                return self.in_doubt(write, lease, &pre, copies, why, give_up).await;
            }
        };
        let new = self.looked_up(write, &pre, new, &mut answer).await;
        let settle = self.settings.terms.settle(write.settle());
        let quiet = sent.first_copy.map(|last_byte| settle.saturating_sub(last_byte.elapsed()));
        Ok(Landed { lease, reply: Reply::Store(answer), new, quiet })
    }

    fn landed(&self, write: &Write<'_>, landing: Landed, turn: Turn, started: Instant) -> Outcome {
        let Landed { lease, mut reply, new, quiet } = landing;
        let told = match &reply {
            Reply::Store(answer) => told(answer),
            Reply::Error(..) | Reply::Replayed(..) => Told::default(),
        };
        // Where others write, one who knows no state would not see that they did.
        let shared = self.settings.terms.writers == Writers::Shared;
        let generation = lease.armed.as_ref().filter(|_| !shared || new != State::Unknown);
        let generation = generation.and_then(|Generation(name)| name.parse().ok());
        if let (Reply::Store(answer), Some(value)) = (&mut reply, generation) {
            answer.headers.insert(X_IFMATCH_GENERATION, value);
        }
        Outcome {
            reply,
            decided_by: Decider::Backend,
            waited: lease.since - started,
            held: lease.since.elapsed(),
            store_failed: false,
            commit: Some(Commit {
                register: Arc::clone(&self.register),
                name: write.name.clone(),
                token: lease.token,
                generation: lease.armed,
                new,
                quiet,
                told,
                turn: Some(turn),
            }),
        }
    }
}

impl Outcome {
    fn without_landing(
        reply: Reply,
        decided_by: Decider,
        started: Instant,
        progress: &Progress,
    ) -> Self {
        let now = Instant::now();
        let granted = progress.granted.unwrap_or(now);
        let (waited, held) = (granted - started, now - granted);
        let store_failed = progress.store_failed;
        Self { reply, decided_by, waited, held, commit: None, store_failed }
    }
}

/// What came of sending, and when the first of two copies was last readable.
pub(super) struct Sent {
    pub(super) exchange: Exchange,
    pub(super) first_copy: Option<Instant>,
}

impl Sent {
    /// Was it answered with a server error?
    pub(super) fn failed(&self) -> bool {
        matches!(&self.exchange, Exchange::Answered(answer) if answer.status.is_server_error())
    }
}

/// The journal knows this very write.
fn ended(write: &Write<'_>, ending: Ending) -> Stop {
    match ending {
        Ending::Landed { state, generation, told } => {
            Stop::Reply(Reply::Replayed(state, Some(generation), told))
        }
        Ending::Refused { code } => Stop::error(refusal::refused_before(write, &code)),
        Ending::Undetermined { .. } => Stop::error(refusal::outcome_unknown()),
    }
}

/// Up to half as much again, so that the proxies of a fleet do not ask in step.
fn jittered(pause: Duration) -> Duration {
    let noise = u32::from(random::byte());
    pause + pause * noise / 512
}

/// A busy key is asked for again after this long, then after twice as long each time.
const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_LAST: Duration = Duration::from_millis(50);
