//! A lease as its holder sees it: with a deadline on the holder's own monotonic clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::random;
use crate::register::{Generation, Grant, InDoubt, State, Token, Upload};

/// What the register's clock counts in.
const TICK: Duration = Duration::from_millis(1);

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
    /// The generation that begins with this write, once armed.
    pub(super) armed: Option<Generation>,
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
    /// The nonce of a reclaim, by which the register recognises a repeated one.
    reclaim_nonce: Option<String>,
}

impl Lease {
    /// `asked` is the moment before the register was asked; the request had `arrived` before.
    ///
    /// The register reckons with the age that the request had when it asked. While its question was
    /// on the way, another attempt may have come, ended, and been forgotten; so here counts the age at
    /// the answer, and one tick more, for the register's clock tells whole ones.
    pub(super) fn new(grant: Grant, asked: Instant, arrived: Instant, lease: Duration) -> Self {
        Self {
            token: grant.token,
            believed: grant.state,
            generation: grant.generation,
            doubt: grant.doubt,
            upload: grant.upload,
            armed: grant.armed,
            epoch_age: grant.epoch_age,
            outdated: arrived.elapsed() + TICK > grant.epoch_age,
            superseded: grant.superseded,
            since: Instant::now(),
            deadline: asked + lease,
            seen_not_applied: false,
            reclaim_nonce: None,
        }
    }

    /// The nonce to reclaim the lease with. It stays the same until a reclaim was answered: a
    /// repetition with another nonce would find the lease of the first one in its way.
    pub(super) fn reclaim_nonce(&mut self) -> &str {
        self.reclaim_nonce.get_or_insert_with(random::id)
    }

    /// The register had forgotten it, and holds it again.
    pub(super) fn is_back(&mut self, token: Token, armed: Generation, deadline: Instant) {
        (self.token, self.armed, self.deadline) = (token, Some(armed), deadline);
        self.reclaim_nonce = None;
    }
}
