//! A lease as its holder sees it, and what may be done under it.
//!
//! ```text
//! Leased --judge--> Judged --arm--> Armed --send--> Answered --conclude--> Landed
//!    \                  \             ^   \                  \
//!     release            release      |    disarm             in doubt: stays armed
//!                                     the register arms at once where its record satisfies
//! ```
//!
//! Each state has the only functions that are right in it, and each function takes its state away:
//! what was not armed cannot be sent, and what is armed cannot be released, for once a write may be
//! on its way only its outcome ends its lease (L2).

use std::time::Duration;

use tokio::time::Instant;

use super::{Gate, Write};
use crate::random;
use crate::register::{Generation, Grant, InDoubt, State, Token, Upload};

/// What the register's clock counts in.
const TICK: Duration = Duration::from_millis(1);

/// One attempt to do one write: all states of it have this at hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) gate: &'a Gate,
    pub(super) write: &'a Write<'a>,
    /// When a busy key is not waited for any more.
    pub(super) give_up: Instant,
}

/// Under a lease, nothing sent.
#[derive(Debug)]
#[must_use]
pub(super) struct Leased<'a> {
    pub(super) attempt: Attempt<'a>,
    pub(super) lease: Box<Lease>,
}

/// Under a lease, nothing sent; the condition holds for what stands at the key.
#[derive(Debug)]
#[must_use]
pub(super) struct Judged<'a> {
    pub(super) leased: Leased<'a>,
    /// What stands at the key.
    pub(super) pre: State,
}

/// Under a lease that nobody can have before the write's outcome is known, or nothing of it can land
/// any more.
#[derive(Debug)]
#[must_use]
pub(super) struct Armed<'a> {
    pub(super) attempt: Attempt<'a>,
    pub(super) lease: Box<Lease>,
    /// What stood at the key before.
    pub(super) pre: State,
    /// The generation that begins with this write.
    pub(super) begins: Generation,
    /// The nonce of a reclaim, by which the register recognises a repeated one.
    reclaim_nonce: Option<String>,
}

/// A lease held by this process.
#[derive(Debug)]
pub(super) struct Lease {
    /// Its name.
    pub(super) token: Token,
    /// What the register believed of the key.
    pub(super) believed: State,
    /// The generation of what stands at the key.
    pub(super) generation: Option<Generation>,
    /// The write whose doubt must be resolved first.
    pub(super) doubt: Option<InDoubt>,
    /// How the key stood when the upload to be completed was created, where that is known.
    pub(super) upload: Option<Upload>,
    /// How far back the register remembers.
    pub(super) epoch_age: Duration,
    /// Whether another attempt of the write may have ended before that, after this one arrived.
    pub(super) outdated: bool,
    /// A newer attempt of the same write has an unknown outcome ([`Grant::superseded`]).
    pub(super) superseded: bool,
    /// When the lease was granted.
    pub(super) since: Instant,
    /// Until when it is ours at least: counted from before the register was asked.
    pub(super) deadline: Instant,
    /// A HEAD under this lease has shown that no copy of this write left what stands at the key.
    pub(super) seen_not_applied: bool,
}

/// What the register has granted.
#[derive(Debug)]
pub(super) enum Granted<'a> {
    /// A lease. There is something to look up before anything is sent.
    Leased(Leased<'a>),
    /// An armed lease: by the register's record the condition holds.
    Armed(Armed<'a>),
}

impl<'a> Attempt<'a> {
    /// `asked` is the moment before the register was asked.
    pub(super) fn granted(self, mut grant: Grant, asked: Instant) -> Granted<'a> {
        let begins = grant.armed.take();
        let term = self.gate.settings.terms.lease;
        let lease = Box::new(Lease::new(grant, asked, self.write.arrived, term));
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
    /// The nonce to reclaim the lease with. It stays the same until a reclaim was answered: a
    /// repetition with another nonce would find the lease of the first one in its way.
    pub(super) fn reclaim_nonce(&mut self) -> &str {
        self.reclaim_nonce.get_or_insert_with(random::id)
    }

    /// The register had forgotten the lease, and holds it again.
    pub(super) fn is_back(&mut self, token: Token, begins: Generation, deadline: Instant) {
        (self.lease.token, self.lease.deadline) = (token, deadline);
        self.begins = begins;
        self.reclaim_nonce = None;
    }
}

impl Lease {
    /// `asked` is the moment before the register was asked; the request had `arrived` before.
    ///
    /// The register reckons with the age that the request had when it asked. While its question was
    /// on the way, another attempt may have come, ended, and been forgotten; so here counts the age at
    /// the answer, and one tick more, for the register's clock tells whole ones.
    fn new(grant: Grant, asked: Instant, arrived: Instant, term: Duration) -> Self {
        Self {
            token: grant.token,
            believed: grant.state,
            generation: grant.generation,
            doubt: grant.doubt,
            upload: grant.upload,
            epoch_age: grant.epoch_age,
            outdated: arrived.elapsed() + TICK > grant.epoch_age,
            superseded: grant.superseded,
            since: Instant::now(),
            deadline: asked + term,
            seen_not_applied: false,
        }
    }
}
