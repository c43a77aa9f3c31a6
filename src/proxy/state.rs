//! The proxy's state: what every request is served with.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::access::Clients;
use super::cors::Policies;
use super::delete_limiter::DeleteLimiter;
use super::pre_auth::PreAuthSlots;
use super::rules::Rules;
use crate::backend::{HttpStore, Understanding};
use crate::body::BufferPool;
use crate::config::{EarlyAnswer, Signatures};
use crate::gate::Gate;
use crate::s3::{Dialect, Naming, Reserved, S3Error};
use crate::shares::{NoRoom, Share, Shares};
use crate::sigv4::SigningKeys;

/// The proxy: what every request is served with.
#[derive(Debug)]
pub struct Proxy {
    /// Where all changes of keys pass.
    pub gate: Gate,
    /// The store.
    pub store: Arc<HttpStore>,
    /// Who may come.
    pub clients: Clients,
    /// How each key is treated.
    pub rules: Rules,
    /// Which buckets there cannot be.
    pub reserved: Reserved,
    /// What the store understands.
    pub understanding: Understanding,
    /// How names are found in requests.
    pub naming: Naming,
    /// Whose answers are given.
    pub dialect: Dialect,
    /// Who checks signatures.
    pub signatures: Signatures,
    /// The region clients must sign for, if only one will do.
    pub region: Option<String>,
    /// Whether clients may sign by Version 2.
    pub accepts_version_2: bool,
    /// Whether a body may come whose length nothing says; it is taken whole first.
    pub takes_unknown_length: bool,
    /// Signing keys of both sides.
    pub keys: Arc<SigningKeys>,
    /// The buffers for bodies that are taken whole.
    pub buffers: BufferPool,
    /// The largest body taken, in bytes.
    pub body_bytes_max: u64,
    /// How long a client may send nothing in the middle of a body.
    pub idle_timeout: Duration,
    /// How fast a body has to come, in bytes per second; 0 where any pace will do.
    pub body_least_rate: u64,
    /// How many deletes of a batch go at a time.
    pub deletes: DeleteLimiter,
    /// What becomes of a body that is refused before it has come.
    pub early_answer: EarlyAnswer,
    /// Room for requests that change something.
    pub writes: Shares,
    /// Room for those whose sender is not known yet.
    pub strangers: PreAuthSlots,
    /// What pages of other origins may see.
    pub cors: Arc<Policies>,
    /// The requests under way.
    pub in_flight: TaskTracker,
}

impl Proxy {
    /// A place for a request that changes something; 503 `SlowDown` when all are taken, or all that
    /// this client may have. One whose access key is not proved has the share of the client that it
    /// claims to be.
    pub(super) fn place_for_write(&self, access_key_id: &str) -> Result<Share, S3Error> {
        self.writes.take(access_key_id, 1).map_err(|no_room| match no_room {
            NoRoom::InAll => S3Error::slow_down(1),
            NoRoom::OfClient | NoRoom::TooMuch(_) => S3Error::slow_down(1).because(MANY_OF_ONE),
        })
    }
}

const MANY_OF_ONE: &str = "This client has as many writes under way as one client may have; see \
                           `limits.writes_per_client` of the proxy. Please reduce your request rate.";
