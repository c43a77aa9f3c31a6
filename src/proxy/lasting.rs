//! What outlives a configuration: connections, queues, caches, and what is taken of each limit. Each
//! configuration makes a new [`Proxy`] of it, so a reload loses nothing and counts nothing twice.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::access::Clients;
use super::connection_slots::ConnectionLimits;
use super::context::ReadSampling;
use super::cors::Policies;
use super::delete_limiter::DeleteLimiter;
use super::pre_auth::PreAuthSlots;
use super::rules::Rules;
use super::state::Proxy;
use crate::backend::{HttpStore, Understanding};
use crate::body::BufferPool;
use crate::config::{self, Config, SignatureV2, UnknownLength};
use crate::gate::{self, Gate};
use crate::metrics::Metrics;
use crate::present::Present;
use crate::register::Register;
use crate::s3::listing::PAGE_MEMORY_MAX;
use crate::s3::{Naming, Reserved};
use crate::shares::Shares;
use crate::sigv4::SigningKeys;
use crate::traces::Tracer;

/// What the proxies of successive configurations share.
#[derive(Debug)]
pub struct Lasting {
    gate: Gate,
    store: Arc<HttpStore>,
    understanding: Arc<Understanding>,
    keys: Arc<SigningKeys>,
    cors: Arc<Policies>,
    buffers: BufferPool,
    deletes: DeleteLimiter,
    writes: Shares,
    listings: Shares,
    strangers: PreAuthSlots,
    read_sampling: ReadSampling,
    in_flight: TaskTracker,
    tracer: Tracer,
    metrics: Arc<Metrics>,
    present: Arc<Present>,
}

impl Lasting {
    /// For a process with this register and this store.
    pub fn new(
        config: &Config,
        register: Arc<dyn Register>,
        (store, understanding): (Arc<HttpStore>, Understanding),
        keys: Arc<SigningKeys>,
        (metrics, tracer, present): (Arc<Metrics>, Tracer, Arc<Present>),
    ) -> Self {
        let limits = &config.limits;
        Self {
            gate: Gate::new(register, Arc::clone(&store) as _, gate_settings(config))
                .counted_by(Arc::clone(&metrics))
                .seen_in(Arc::clone(&present)),
            cors: Arc::new(Policies::new(Arc::clone(&store))),
            store,
            understanding: Arc::new(understanding),
            keys,
            buffers: buffer_pool(&config.body),
            deletes: DeleteLimiter::new(config.backend.deletes_at_once),
            writes: Shares::new(limits.writes as u64, limits.writes_per_client as u64),
            listings: Shares::new(limits.listing_memory, of_one_listing_client(limits)),
            strangers: PreAuthSlots::new(limits.strangers),
            read_sampling: ReadSampling::one_of(1),
            in_flight: TaskTracker::new(),
            tracer,
            metrics,
            present,
        }
    }

    /// The store.
    pub(super) fn store(&self) -> &Arc<HttpStore> {
        &self.store
    }

    /// The state for requests that begin under this configuration. Only settings that can change in
    /// a running process count here; the others are those of the start.
    pub fn proxy(&self, config: &Config) -> Proxy {
        let Config { backend, body, limits, .. } = config;
        let store = Arc::new(self.store.with_settings(backend, &config.domains));
        let all_writes = limits.writes as u64;
        Proxy {
            gate: self.gate.with_settings(Arc::clone(&store) as _, gate_settings(config)),
            cors: Arc::clone(&self.cors),
            store,
            clients: Clients::new(&config.clients, config.anonymous.clone()),
            rules: Rules::new(&config.rules, config.register.marker.as_ref()),
            reserved: Reserved::new(&backend.reserved),
            understanding: Arc::clone(&self.understanding),
            naming: Naming { domains: config.domains.clone(), segments: backend.segments() },
            dialect: config.dialect,
            signatures: config.signatures,
            accepts_version_2: config.signature_v2 == SignatureV2::Accept,
            takes_unknown_length: body.unknown_length == UnknownLength::Take,
            region: config.region.clone(),
            keys: Arc::clone(&self.keys),
            buffers: self.buffers.with_settings(body),
            deletes: self.deletes.with_limit(backend.deletes_at_once),
            body_bytes_max: body.max,
            read_patience: backend.read_patience,
            idle_timeout: body.idle_timeout,
            handshake_timeout: config.tls.handshake_timeout,
            body_least_rate: body.least_rate,
            early_answer: body.early_answer,
            connection_limits: ConnectionLimits {
                all: limits.connections,
                per_address: limits.connections_per_address,
            },
            writes: self.writes.with_limits(all_writes, limits.writes_per_client as u64),
            listings: self
                .listings
                .with_limits(limits.listing_memory, of_one_listing_client(limits)),
            strangers: self.strangers.with_limit(limits.strangers),
            read_sampling: self.read_sampling.with_share(config.log.sample_reads as u64),
            in_flight: self.in_flight.clone(),
            tracer: self.tracer.clone(),
            metrics: Arc::clone(&self.metrics),
            present: Arc::clone(&self.present),
        }
    }
}

/// One page of the largest size always has room, even if half is less.
fn of_one_listing_client(limits: &config::Limits) -> u64 {
    (limits.listing_memory / 2).max(PAGE_MEMORY_MAX)
}

fn buffer_pool(body: &config::Body) -> BufferPool {
    let memory = Shares::new(body.memory, body.memory_per_client);
    let spool = Shares::new(body.spool, body.spool_per_client);
    BufferPool::new(memory, body.memory_per_body, spool, body.spool_dir.clone())
}

/// The gate's settings.
pub fn gate_settings(config: &Config) -> gate::Settings {
    let backend = &config.backend;
    gate::Settings {
        terms: config.register.terms,
        margin: config.register.margin,
        lease_wait: config.register.lease_wait,
        writes_per_key: config.limits.writes_per_key,
        write_timeout: backend.write_timeout,
        long_write_timeout: backend.long_write_timeout,
        definite_errors: backend.definite_errors.clone(),
    }
}
