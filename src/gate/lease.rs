//! A lease as its holder sees it, and what may be done under it.
//!
//! ```text
//! Leased --judge--> Judged --arm--> Armed --send--> Answered --conclude--> Landed
//!    \                  \             ^   \                  \
//!     release            release      |    disarm             in doubt: stays armed
//!                                     the register arms at once where its record satisfies
//! ```
//!
//! Each state has only the functions that are allowed in it, and each function consumes its state.
//! So a lease that was not armed cannot send a write, and an armed lease cannot be released: once a
//! write may be on its way, only its outcome ends its lease (L2).

use std::time::Duration;

use tokio::time::Instant;

use super::{Gate, Write};
use crate::metrics::cells::Held;
use crate::present::writes::{UnderWay, WaitsFor};
use crate::random;
use crate::register::{Generation, Grant, InDoubt, State, Token, Upload, View};
use crate::s3::Current;

/// The resolution of the register's clock.
const TICK: Duration = Duration::from_millis(1);

/// One attempt to do one write. Every state of the attempt refers to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) gate: &'a Gate,
    pub(super) write: &'a Write<'a>,
    /// What can be seen of the write.
    pub(super) under_way: &'a UnderWay,
    /// When the attempt stops waiting for a busy key.
    pub(super) give_up: Instant,
}

/// A lease, with no write sent.
#[derive(Debug)]
#[must_use]
pub(super) struct Leased<'a> {
    pub(super) attempt: Attempt<'a>,
    pub(super) lease: Box<Lease>,
}

/// A lease, with no write sent; the condition holds for the key's state.
#[derive(Debug)]
#[must_use]
pub(super) struct Judged<'a> {
    pub(super) leased: Leased<'a>,
    /// The key's state.
    pub(super) pre: State,
}

/// An armed lease. No other process gets the key before the write's outcome is known, or before the
/// write can no longer land.
#[derive(Debug)]
#[must_use]
pub(super) struct Armed<'a> {
    pub(super) attempt: Attempt<'a>,
    pub(super) lease: Box<Lease>,
    /// The key's state before the write.
    pub(super) pre: State,
    /// The generation that begins with this write.
    pub(super) begins: Generation,
    /// The nonce of a reclaim, by which the register recognises a repeated reclaim.
    reclaim_nonce: Option<String>,
}

/// A lease held by this process.
#[derive(Debug)]
pub(super) struct Lease {
    /// The lease's name.
    pub(super) token: Token,
    /// The state that the register believed.
    pub(super) believed: State,
    /// The generation of the key's state.
    pub(super) generation: Option<Generation>,
    /// The write whose doubt must be resolved first.
    pub(super) doubt: Option<InDoubt>,
    /// The key's generations when the upload to be completed was created, where they are known.
    pub(super) upload: Option<Upload>,
    /// How far back the register remembers.
    pub(super) epoch_age: Duration,
    /// Whether another attempt of the write may have ended before the register's memory begins, and
    /// after this attempt arrived.
    pub(super) outdated: bool,
    /// How long before the lease was granted the last write landed at the latest, where that is known.
    pub(super) landed: Option<Duration>,
    /// A newer attempt of the same write has an unknown outcome ([`Grant::superseded`]).
    pub(super) superseded: bool,
    /// When the lease was granted.
    pub(super) since: Instant,
    /// Until when this process certainly holds the lease: counted from before the register was
    /// asked.
    pub(super) deadline: Instant,
    /// A HEAD that is sent before this moment may show an older state than the key's.
    pub(super) young_until: Instant,
    /// A HEAD under this lease has shown that no copy of this write left the key's state.
    pub(super) seen_not_applied: bool,
    /// Counts it among the leases of this process.
    pub(super) counted: Held,
}

/// What the register has granted.
#[derive(Debug)]
pub(super) enum Granted<'a> {
    /// A lease. Something has to be looked up before the write is sent.
    Leased(Leased<'a>),
    /// An armed lease: by the register's record, the condition holds.
    Armed(Armed<'a>),
}

impl Attempt<'_> {
    /// Shows what the write waits for from this moment on.
    pub(super) fn waits_from(&self, what: WaitsFor, since: Instant) {
        self.under_way.waits_for(what, || since.into_std(), None);
    }

    /// The same, from now on.
    pub(super) fn waits_for(&self, what: WaitsFor) {
        self.under_way.waits_for(what, || Instant::now().into_std(), None);
    }

    /// The same, where it is known until when that lasts at the latest. The write waits no longer than its
    /// patience.
    pub(super) fn waits_until(&self, what: WaitsFor, until: Instant) {
        let until = until.min(self.give_up).into_std();
        self.under_way.waits_for(what, || Instant::now().into_std(), Some(until));
    }
}

impl<'a> Attempt<'a> {
    /// `asked` is the moment before the register was asked.
    pub(super) fn granted(self, mut grant: Grant, asked: Instant) -> Granted<'a> {
        let begins = grant.armed.take();
        let term = self.gate.settings.terms.lease;
        let counted = self.gate.metrics.leases.hold();
        self.under_way.has_lease(true);
        self.gate.present.writes.settles(self.write.name.as_pair());
        let lease = Lease::new(grant, (asked, self.write.arrived), term, counted);
        let lease = Box::new(lease);
        match begins {
            None => Granted::Leased(Leased { attempt: self, lease }),
            Some(begins) => {
                let pre = lease.believed.clone();
                Granted::Armed(Armed { attempt: self, lease, pre, begins, reclaim_nonce: None })
            }
        }
    }
}

impl<'a> Judged<'a> {
    /// The register has armed the lease, which now ends at this deadline unless it is renewed.
    pub(super) fn armed(self, begins: Generation, deadline: Instant) -> Armed<'a> {
        let Self { leased: Leased { attempt, mut lease }, pre } = self;
        lease.deadline = deadline;
        Armed { attempt, lease, pre, begins, reclaim_nonce: None }
    }
}

impl Armed<'_> {
    /// The key's state before the write, if a HEAD that is sent now shows it or what came after it.
    pub(super) fn shown_pre(&self) -> Option<Current> {
        self.pre.known().filter(|_| !self.lease.is_young())
    }

    /// The nonce to reclaim the lease with. It stays the same until a reclaim was answered: a
    /// repeated reclaim with another nonce would be blocked by the lease of the first one.
    pub(super) fn reclaim_nonce(&mut self) -> &str {
        self.reclaim_nonce.get_or_insert_with(random::id)
    }

    /// The register had forgotten the lease and has granted it again.
    pub(super) fn is_back(&mut self, token: Token, begins: Generation, deadline: Instant) {
        (self.lease.token, self.lease.deadline) = (token, deadline);
        self.begins = begins;
        self.reclaim_nonce = None;
    }
}

impl Lease {
    /// May a HEAD that is sent now show an older state than the key's?
    pub(super) fn is_young(&self) -> bool {
        Instant::now() < self.young_until
    }

    /// What a HEAD that is sent now can show, where this write is in doubt.
    pub(super) fn view(&self, doubted: &InDoubt) -> View {
        let now = Instant::now();
        if now >= self.young_until {
            View::Current
        } else if now >= self.since + doubted.pre_young_for {
            View::SinceDoubt
        } else {
            View::Older
        }
    }

    /// `asked` is the moment before the register was asked; the request had `arrived` before.
    ///
    /// The register computes with the age that the request had when it asked. While that question
    /// was on its way, another attempt may have arrived, ended and been forgotten. So the age at
    /// the time of the answer counts here, plus one tick, since the register's clock shows whole
    /// ticks.
    fn new(
        grant: Grant,
        (asked, arrived): (Instant, Instant),
        term: Duration,
        counted: Held,
    ) -> Self {
        let since = Instant::now();
        Self {
            token: grant.token,
            believed: grant.state,
            generation: grant.generation,
            doubt: grant.doubt,
            upload: grant.upload,
            epoch_age: grant.epoch_age,
            outdated: since - arrived + TICK > grant.epoch_age,
            superseded: grant.superseded,
            since,
            deadline: asked + term,
            young_until: since + grant.young_for,
            landed: grant.landed,
            seen_not_applied: false,
            counted,
        }
    }
}
