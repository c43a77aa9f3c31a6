//! The proxy's state, shared by the requests that begin under one configuration.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::access::Clients;
use super::connection_slots::ConnectionLimits;
use super::context::ReadSampling;
use super::cors::Policies;
use super::delete_limiter::DeleteLimiter;
use super::pre_auth::PreAuthSlots;
use super::rules::Rules;
use crate::backend::{HttpStore, Understanding};
use crate::body::BufferPool;
use crate::config::{EarlyAnswer, Signatures};
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::present::Present;
use crate::s3::{Dialect, Naming, Reserved, S3Error};
use crate::shares::{NoRoom, Share, Shares};
use crate::sigv4::SigningKeys;
use crate::traces::Tracer;

/// The proxy's state, shared by the requests that begin under one configuration. What outlives a
/// configuration (the queues of the gate, the places that are taken) is shared with the states before
/// and after it.
#[derive(Debug)]
pub struct Proxy {
    /// The gate, for all changes of keys.
    pub gate: Gate,
    /// The store.
    pub store: Arc<HttpStore>,
    /// The known clients and their rights.
    pub clients: Clients,
    /// The configured rules.
    pub rules: Rules,
    /// The bucket names that cannot exist.
    pub reserved: Reserved,
    /// Which headers and parameters the store understands.
    pub understanding: Arc<Understanding>,
    /// How requests name buckets: by path or by host.
    pub naming: Naming,
    /// Which store's behaviour the answers follow.
    pub dialect: Dialect,
    /// Whether the proxy or the store checks signatures.
    pub signatures: Signatures,
    /// The only region that clients may sign for, if there is one.
    pub region: Option<String>,
    /// Whether clients may sign with Version 2.
    pub accepts_version_2: bool,
    /// Whether a body without a declared length is accepted; it is buffered first.
    pub takes_unknown_length: bool,
    /// The cached signing keys, for clients and for the store.
    pub keys: Arc<SigningKeys>,
    /// The buffers for bodies.
    pub buffers: BufferPool,
    /// The largest body accepted, in bytes.
    pub body_bytes_max: u64,
    /// How long a read waits for a store that lags to show what was written.
    pub read_patience: Duration,
    /// How long a client may pause in the middle of a body.
    pub idle_timeout: Duration,
    /// How long a TLS handshake with a client may take.
    pub handshake_timeout: Duration,
    /// The slowest rate at which a body may arrive, bytes per second; 0 for no limit.
    pub body_least_rate: u64,
    /// The limit on concurrent deletes of a batch.
    pub deletes: DeleteLimiter,
    /// How a body is handled that is refused before it has arrived.
    pub early_answer: EarlyAnswer,
    /// The limits on connections.
    pub connection_limits: ConnectionLimits,
    /// Slots for requests that change something.
    pub writes: Shares,
    /// Memory for the pages of guarded listings.
    pub listings: Shares,
    /// Slots for requests that are not authenticated yet.
    pub strangers: PreAuthSlots,
    /// The CORS policies.
    pub cors: Arc<Policies>,
    /// Which successful reads have a line in the log.
    pub read_sampling: ReadSampling,
    /// The requests under way.
    pub in_flight: TaskTracker,
    /// Begins their spans.
    pub tracer: Tracer,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Where it can be seen what they ask for.
    pub present: Arc<Present>,
}

impl Proxy {
    /// A slot for a request that changes something; 503 `SlowDown` when all are taken, or all that
    /// this client may have. A request whose access key is not proved counts for the client that it
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
