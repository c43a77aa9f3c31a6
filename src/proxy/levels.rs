//! Levels: how much of each limit of the proxy is in use. They are read at each scrape of the
//! metrics.

use std::sync::Arc;

use tokio::time::Instant;

use super::live::LiveProxy;
use crate::lifecycle::connections::ConnectionTracker;
use crate::metrics::levels::{InFlight, Level, Levels, NodeLevel, RegisterLevels};
use crate::register::standing::Standing;

/// Where the levels are read.
#[derive(Debug)]
pub struct ProxyLevels {
    /// The proxy, with its limits.
    pub live: LiveProxy,
    /// The connections, and the requests under way.
    pub connections: ConnectionTracker,
    /// What is known of the register.
    pub standing: Arc<Standing>,
}

fn within((now, limit): (u64, u64)) -> Level {
    Level { now, limit: Some(limit) }
}

impl Levels for ProxyLevels {
    fn in_flight(&self, kind: InFlight) -> Level {
        let (connections, requests) = self.connections.level();
        let proxy = self.live.current();
        match kind {
            InFlight::Connections => within((connections, proxy.connection_limits.all as u64)),
            InFlight::Requests => Level { now: requests, limit: None },
            InFlight::Writes => within(proxy.writes.level()),
            InFlight::Strangers => within(proxy.strangers.level()),
        }
    }

    fn body_memory(&self) -> Level {
        within(self.live.current().buffers.memory_level())
    }

    fn listing_memory(&self) -> Level {
        within(self.live.current().listings.level())
    }

    fn spool(&self) -> Level {
        within(self.live.current().buffers.spool_level())
    }

    fn register(&self) -> RegisterLevels {
        self.standing.levels(Instant::now())
    }

    fn nodes(&self) -> Vec<NodeLevel> {
        self.live.current().store.node_levels()
    }
}
