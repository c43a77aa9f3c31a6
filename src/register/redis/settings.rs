//! Connection settings for Redis: a single server, Sentinels or a cluster; and the login.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::secret::Secret;
use crate::tls::ClientFiles;

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Which servers there are.
    pub topology: Topology,
    /// The database number; 0 in a cluster.
    pub database: u32,
    /// The ACL user; Redis's default user when absent. Ignored without a password.
    pub username: Option<String>,
    /// The password, if one is needed.
    pub password: Option<Secret>,
    /// TLS to all servers, Sentinels included; none when absent.
    pub tls: Option<RedisTls>,
    /// The prefix of every Redis key: `{<namespace>:`. Not empty, without braces.
    pub namespace: String,
    /// How many connections are kept to each server; each carries any number of calls at once.
    pub connections: usize,
    /// How long one step may take, including connecting and repeating.
    pub timeout: Duration,
    /// How far the clock of Redis may jump before the register forgets its leases.
    pub clock_jump_max: Duration,
    /// An operator has set the terms' `failover_lag`, and is responsible for it where a server does
    /// not show the configuration that it depends on.
    pub failover_lag_is_stated: bool,
}

/// TLS to Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// What is trusted, and the certificate that is shown.
    pub files: ClientFiles,
    /// The name that every server's certificate is for; its own name or address when absent.
    pub server_name: Option<String>,
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
        write!(f, "{}:{}", uri_host(&self.host), self.port)
    }
}

/// A host as it stands before a port: an IPv6 address in brackets (RFC 3986 §3.2.2).
pub fn uri_host(host: &str) -> Cow<'_, str> {
    if host.contains(':') { ["[", host, "]"].concat().into() } else { host.into() }
}

/// Which servers the register is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// A single server. The operator is responsible for its being the right one.
    Single {
        /// The address.
        address: Address,
        /// No replica is ever promoted behind this address.
        never_promoted: bool,
    },
    /// The server that a majority of these Sentinels name.
    Sentinels(SentinelTopology),
    /// A cluster that these servers are part of; they need not be all of its members.
    Cluster(Vec<Address>),
}

/// How the master of a set is found by its Sentinels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelTopology {
    /// All Sentinels that watch the master; the same for every proxy.
    pub sentinels: Vec<Address>,
    /// The name that the Sentinels use for the master.
    pub master: String,
    /// The Sentinels' ACL user. Ignored without a password.
    pub username: Option<String>,
    /// The Sentinels' password, if one is needed.
    pub password: Option<Secret>,
}
