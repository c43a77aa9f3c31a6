//! Levels: numbers that the process keeps anyway, which are read at each scrape.

use std::fmt;
use std::time::Duration;

use super::label::label;

label! {
    /// Things that are under way, and that a limit bounds.
    InFlight = "kind" {
        /// Connections of clients.
        Connections = "connections",
        /// Requests.
        Requests = "requests",
        /// Requests that change something.
        Writes = "writes",
        /// Forms whose sender is not known yet.
        Strangers = "strangers",
    }
}

/// How much of something there is, and how much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// At present.
    pub now: u64,
    /// At most; `None` without a limit.
    pub limit: Option<u64>,
}

/// What is known of the register from its last survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterLevels {
    /// Whether the last survey found it fit for use.
    pub usable: bool,
    /// For how long it grants no lease.
    pub quarantine: Duration,
    /// Leases of all proxies that are held or block a key.
    pub leases: u64,
    /// The age of the youngest epoch that this process has seen.
    pub epoch_age: Option<Duration>,
}

/// A node of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLevel {
    /// Its name: its URL.
    pub node: String,
    /// Whether it gets requests.
    pub up: bool,
    /// For how long that has been so.
    pub unchanged: Duration,
    /// How many requests were sent there.
    pub requests: u64,
    /// How often it was taken out or came back.
    pub changes: u64,
}

/// The numbers that the process keeps anyway; they are read at each scrape.
pub trait Levels: fmt::Debug + Send + Sync {
    /// How many of these are under way.
    fn in_flight(&self, kind: InFlight) -> Level;
    /// Bodies in memory, in bytes.
    fn body_memory(&self) -> Level;
    /// Pages of guarded listings, in bytes.
    fn listing_memory(&self) -> Level;
    /// Bodies on disk, in bytes.
    fn spool(&self) -> Level;
    /// The register.
    fn register(&self) -> RegisterLevels;
    /// The nodes of the store that are checked.
    fn nodes(&self) -> Vec<NodeLevel>;
}
