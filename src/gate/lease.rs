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
    /// Another attempt of the same write is in doubt, and may have been acknowledged.
    pub(super) rivalled: bool,
    /// When the lease was granted.
    pub(super) since: Instant,
    /// Until when it is ours at least: counted from before the register was asked.
    pub(super) deadline: Instant,
    /// A HEAD under it has seen that no copy of this write has left what stands there.
    pub(super) not_ours: bool,
    /// By which the register knows a reclaim that it is asked for again.
    way_back: Option<String>,
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
            rivalled: grant.rivalled,
            since: Instant::now(),
            deadline: asked + lease,
            not_ours: false,
            way_back: None,
        }
    }

    /// The nonce to reclaim it with: the same until that has been answered, or one whose answer was
    /// lost would find its own lease in the way.
    pub(super) fn way_back(&mut self) -> &str {
        self.way_back.get_or_insert_with(random::id)
    }

    /// The register had forgotten it, and holds it again.
    pub(super) fn is_back(&mut self, token: Token, armed: Generation, deadline: Instant) {
        (self.token, self.armed, self.deadline) = (token, Some(armed), deadline);
        self.way_back = None;
    }
}
