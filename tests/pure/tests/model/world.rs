//! All there is in one state of the model: the clocks, the register, the store, what is on its way,
//! the writers and their clients.

use std::time::Duration;

use pure_rooms::register::record::Slot;
use pure_rooms::register::steps::InDoubt;
use pure_rooms::register::{
    Epoch, EpochId, Generation, Millis, Settle, State, Terms, Token, View, WriteId, Writers,
};
use pure_rooms::s3::{Current, ETag, Preconditions};

use crate::faults::Faults;
use crate::safeguards::Safeguard;

/// A moment or a number of ticks. A tick is one millisecond of the register.
pub(crate) type Tick = u64;

pub(crate) const LEASE: Tick = 3;
pub(crate) const MARGIN: Tick = 2;
pub(crate) const GRACE: Tick = 2;
pub(crate) const SETTLE: Tick = 2;
/// Longer than a quarantine, so that reclaiming matters.
pub(crate) const SETTLE_LONG: Tick = 9;
/// How long a master that was voted out may go on granting.
pub(crate) const FAILOVER_LAG: Tick = 2;
/// How long a store that lags may show what was replaced.
pub(crate) const LAG: Tick = 4;
/// Longer than any run: that retries come within the horizon is an assumption.
pub(crate) const HORIZON: Tick = 100_000;
/// When runs begin: the first epoch is older than the horizon.
pub(crate) const START: Tick = 1_000_000;

/// The generation of what stands at the key in the beginning.
pub(crate) const FIRST_GENERATION: &str = "e0.1";

pub(crate) fn ticks(ticks: Tick) -> Duration {
    Duration::from_millis(ticks)
}

/// The explored space: the writers, their writes, and the faults.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) writers: Writers,
    /// What stands at the key in the beginning.
    pub(crate) object: Option<&'static str>,
    /// Does the register know it?
    pub(crate) known: bool,
    pub(crate) calls: Vec<CallSpec>,
    pub(crate) faults: Faults,
    /// ETags that a writer around the proxies writes, one after the other.
    pub(crate) foreign: Vec<Option<&'static str>>,
    /// How often one attempt asks for the lease at most: then its `lease_wait` is over.
    pub(crate) rounds: u8,
    /// Holders look early whether a write in doubt has landed.
    pub(crate) early_end: bool,
    /// Clients may be refused before their bodies are read.
    pub(crate) early_look: bool,
    /// The store lags.
    pub(crate) lags: bool,
    /// How many journal lines there is room for.
    pub(crate) journal_lines: usize,
    /// The safeguard taken out.
    pub(crate) without: Option<Safeguard>,
}

/// One call of a client.
#[derive(Debug, Clone)]
pub(crate) struct CallSpec {
    pub(crate) preconditions: Preconditions,
    /// What it leaves behind: `None` for a delete.
    pub(crate) leaves: Option<&'static str>,
    pub(crate) class: Settle,
    /// How often the client tries, with the same write id.
    pub(crate) attempts: u8,
    /// It leaves its id on the object.
    pub(crate) carries_id: bool,
}

/// What stands at the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) etag: Option<&'static str>,
    /// The event that made it so: the arming of the write, or a foreign write itself.
    pub(crate) event: u32,
    /// Whose write it was.
    pub(crate) by: Author,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Author {
    None,
    Call(usize),
    /// A writer around the proxies.
    Foreign,
}

/// A request on its way to the store.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) writer: usize,
    pub(crate) second: bool,
    /// The arming of its lease.
    pub(crate) event: u32,
    /// What its writer knew of the key when the lease was armed.
    pub(crate) saw: Saw,
    /// When its connection ended.
    pub(crate) ended: Option<Tick>,
    pub(crate) landed: bool,
}

/// Which version a condition was judged against, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Saw {
    pub(crate) version: u32,
    pub(crate) at: u32,
}

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// 200 or 204.
    Success,
    /// 412 or 404: the condition does not hold.
    Refused,
    /// 409: another write is under way.
    Conflict,
    /// The store's own definite refusal.
    StoreRefused,
    /// 503.
    Unknown,
}

/// One client's call, and what became of it in truth.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub(crate) struct Call {
    /// Attempts begun.
    pub(crate) attempts: u8,
    pub(crate) told: Option<Reply>,
    /// It changed the key at some time.
    pub(crate) landed: bool,
    /// Another write has replaced it.
    pub(crate) overwritten: bool,
    /// Its condition did not hold at some moment since it began.
    pub(crate) unsatisfied: bool,
    /// Of a delete without a condition: there was nothing to delete at some moment since it began.
    pub(crate) nothing_there: bool,
}

/// A lease as its holder sees it: `gate/lease.rs`.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub(crate) struct Held {
    pub(crate) token: Token,
    /// The key's, as far as it is known.
    pub(crate) generation: Option<Generation>,
    /// That begins with this write, once armed.
    pub(crate) armed: Option<Generation>,
    /// A HEAD under it has seen that no copy of this call has left what stands there.
    pub(crate) seen_not_applied: bool,
    /// A newer attempt of the same call has an unknown outcome.
    pub(crate) superseded: bool,
    /// A doubt that must be resolved first.
    pub(crate) doubt: Option<InDoubt>,
    pub(crate) young_epoch: bool,
    /// A HEAD before this moment may show an older state than the key's,
    pub(crate) young_until: Tick,
    /// Or, where a write is in doubt, than the state before that write.
    pub(crate) pre_young_until: Tick,
    /// Another attempt may have been forgotten that ended after this one arrived.
    pub(crate) outdated: bool,
    pub(crate) deadline: Tick,
    pub(crate) pre: State,
    pub(crate) event: u32,
    pub(crate) saw: Saw,
}

/// What a writer does next: the steps of `gate/write.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Its request has not arrived.
    Idle,
    /// 2: the record says no; a HEAD decides.
    Early,
    Acquire,
    Head,
    /// What the HEAD said, the write whose id it saw, and what it can have shown.
    Resolve(Current, Option<WriteId>, View),
    Release {
        learned: Option<State>,
        refused: bool,
        then: Then,
    },
    Arm(State),
    /// The last look at the own clock before sending.
    Check,
    Disarm(Reply),
    Send,
    Sending {
        first_copy: Option<Tick>,
        not_renewed: bool,
    },
    /// A delete was answered with an error: is it done? `gate/repeat.rs`.
    LookAgain {
        /// When the store may have read the copy before the last one.
        first_copy: Option<Tick>,
        /// When the error came.
        answered: Tick,
    },
    /// It is not: once more.
    SendAgain {
        first_copy: Tick,
    },
    /// A doubt: has the one copy landed already?
    EarlyEnd,
    Landed {
        new: State,
        quiet: Option<Tick>,
        told: bool,
        committed: bool,
    },
    Done,
}

/// What follows a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Then {
    Tell(Reply),
    /// Its own earlier attempt has landed: the journal, asked again, has the answer.
    AskAgain,
}

/// One attempt of a call, in a process of its own.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) call: usize,
    /// From 1.
    pub(crate) attempt: u8,
    pub(crate) step: Step,
    /// How often it has asked for the lease; names the nonce.
    pub(crate) round: u8,
    pub(crate) arrived: Tick,
    /// When it asked under the present nonce for the first time.
    pub(crate) asked: Option<Tick>,
    /// When it last looked at its clock before sending.
    pub(crate) checked: Tick,
    /// Frozen: it may come too late for its next step.
    pub(crate) frozen: bool,
    /// A copy was sent whose outcome is still unknown.
    pub(crate) in_doubt: bool,
    /// The generation that the last such copy was armed with, where it may be done again.
    pub(crate) own_doubt: Option<Generation>,
    pub(crate) held: Option<Held>,
    /// Stands by for a long write in doubt: `gate/reclaim.rs`.
    pub(crate) stands_by: Option<Standing>,
    /// Still talks to a master that was voted out.
    pub(crate) on_old_master: bool,
}

/// What is needed to put an armed lease back.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) token: Token,
    pub(crate) pre: State,
    pub(crate) until: Tick,
}

/// One server's memory of the key.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) epoch: Epoch,
    pub(crate) slot: Slot,
}

/// A state of the model.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Tick,
    /// By how much the register's clock was set forward.
    pub(crate) clock_ahead: Tick,
    pub(crate) register: Memory,
    /// A master that was voted out and does not know it, and when it stops.
    pub(crate) old_master: Option<(Memory, Tick)>,
    /// What a replica or a file on disk remembers from some time ago.
    pub(crate) snapshot: Option<Box<Memory>>,
    pub(crate) epochs: u8,
    pub(crate) object: Object,
    /// The store lags.
    pub(crate) lags: bool,
    /// What a HEAD may show instead, and when it was replaced.
    pub(crate) replaced: Vec<(Object, Tick)>,
    pub(crate) copies: Vec<Copy>,
    pub(crate) writers: Vec<Writer>,
    pub(crate) calls: Vec<Call>,
    pub(crate) faults: Faults,
    /// Foreign writes that have happened.
    pub(crate) foreign: usize,
    /// Armings and foreign writes so far.
    pub(crate) events: u32,
    /// The last generation seen under a lease, with the version it named.
    pub(crate) generation: Option<(Generation, u32)>,
    /// The law that the last step broke.
    pub(crate) broken: Option<String>,
}

impl Scenario {
    pub(crate) fn is_without(&self, safeguard: Safeguard) -> bool {
        self.without == Some(safeguard)
    }

    /// The register's terms.
    pub(crate) fn terms(&self) -> Terms {
        let unless = |safeguard, value| if self.is_without(safeguard) { 0 } else { value };
        Terms {
            lease: ticks(LEASE),
            grace: ticks(unless(Safeguard::Grace, GRACE)),
            settle: ticks(unless(Safeguard::Settle, SETTLE)),
            settle_long: ticks(SETTLE_LONG),
            retry_horizon: ticks(HORIZON),
            record_ttl: ticks(2 * HORIZON),
            failover_lag: Duration::ZERO,
            lag: ticks(if self.lags { LAG } else { 0 }),
            spacing: Duration::ZERO,
            writers: self.writers,
        }
    }

    /// The state in which everything begins.
    pub(crate) fn world(&self) -> World {
        let mut epoch =
            Epoch::begin(EpochId("e0".to_owned()), &self.terms(), Millis(START - 2 * HORIZON));
        epoch.quarantine_until = Millis(0);
        let mut slot = Slot::default();
        if self.known {
            slot.record.state = State::from(current(self.object));
            slot.record.generation = Some(epoch.next_generation());
        }
        let writers = self.calls.iter().enumerate().flat_map(|(call, spec)| {
            (1..=spec.attempts).map(move |attempt| Writer::new(call, attempt))
        });
        World {
            now: START,
            clock_ahead: 0,
            register: Memory { epoch, slot },
            old_master: None,
            snapshot: None,
            epochs: 1,
            object: Object { etag: self.object, event: 0, by: Author::None },
            lags: self.lags,
            replaced: Vec::new(),
            copies: Vec::new(),
            writers: writers.collect(),
            calls: vec![Call::default(); self.calls.len()],
            faults: self.faults,
            foreign: 0,
            events: 0,
            generation: None,
            broken: None,
        }
    }
}

impl Writer {
    fn new(call: usize, attempt: u8) -> Self {
        Self {
            call,
            attempt,
            step: Step::Idle,
            round: 0,
            arrived: 0,
            asked: None,
            checked: 0,
            frozen: false,
            in_doubt: false,
            own_doubt: None,
            held: None,
            stands_by: None,
            on_old_master: false,
        }
    }

    pub(crate) fn is_at_work(&self) -> bool {
        !matches!(self.step, Step::Idle | Step::Done)
    }
}

impl World {
    /// The register's clock.
    pub(crate) fn register_now(&self) -> Millis {
        Millis(self.now + self.clock_ahead)
    }

    pub(crate) fn next_event(&mut self) -> u32 {
        self.events += 1;
        self.events
    }

    /// What stands at the key.
    pub(crate) fn head(&self) -> Current {
        current(self.object.etag)
    }

    /// What a HEAD may show: what stands at the key, and what the store may show instead of it.
    pub(crate) fn shown(&self, which: usize) -> Option<&Object> {
        let replaced = self.replaced.iter().map(|(object, _)| object);
        std::iter::once(&self.object).chain(replaced).nth(which)
    }

    pub(crate) fn breaks(&mut self, law: impl Into<String>) {
        self.broken.get_or_insert_with(|| law.into());
    }
}

/// What stands at the key, as S3 sees it.
pub(crate) fn current(etag: Option<&str>) -> Current {
    etag.map_or(Current::Absent, |etag| Current::Present(ETag::parse(etag.as_bytes())))
}
