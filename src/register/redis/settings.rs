//! How Redis is reached: a single server, one that Sentinels name, or a cluster; and the login.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Which servers there are.
    pub topology: Topology,
    /// The number of the database; 0 in a cluster.
    pub database: u32,
    /// The ACL user; Redis's default user when absent. Of no effect without password.
    pub username: Option<String>,
    /// The password, when one is needed.
    pub password: Option<Secret>,
    /// What every key begins with: `{<namespace>:`. Not empty, without braces.
    pub namespace: String,
    /// How many connections are kept to each server; each carries any number of calls at once.
    pub connections: usize,
    /// How long one step may take, connecting and repeating included.
    pub timeout: Duration,
    /// How far the clock of Redis may jump before the register forgets its leases.
    pub clock_jump_max: Duration,
    /// An operator has set the terms' `failover_lag`, and answers for it where a server does not
    /// tell what it depends on.
    pub failover_lag_is_stated: bool,
}

/// A server's name or address, and its port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Which servers the register is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server. The operator answers for it being the right one.
    Single {
        /// The address.
        address: Address,
        /// No replica of it is ever promoted behind this address.
        never_promoted: bool,
    },
    /// The server that most of these Sentinels name.
    Sentinels(SentinelTopology),
    /// A cluster that these servers are part of; they need not be all of it.
    Cluster(Vec<Address>),
}

/// How the master of a set is found by its Sentinels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelTopology {
    /// All Sentinels that watch the master; the same for every proxy.
    pub sentinels: Vec<Address>,
    /// The name by which they know the master.
    pub master: String,
    /// The Sentinels' ACL user. Of no effect without password.
    pub username: Option<String>,
    /// The Sentinels' password, when one is needed.
    pub password: Option<Secret>,
}
