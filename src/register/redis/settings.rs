//! Where Redis is: one server, one that Sentinels name, or a cluster.

use std::fmt;

use crate::secret::Secret;

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

/// Where Redis is.
#[derive(Debug, Clone)]
pub enum Place {
    /// At this address, which the operator answers for.
    One {
        /// The address.
        address: Address,
        /// No replica of it is ever promoted behind this address.
        never_promoted: bool,
    },
    /// Where most of these Sentinels say.
    Sentinels(SentinelPlace),
    /// A cluster that these servers are part of; they need not be all of it.
    Cluster(Vec<Address>),
}

/// How the master of a set is found.
#[derive(Debug, Clone)]
pub struct SentinelPlace {
    /// All Sentinels that watch the master; the same for every proxy.
    pub sentinels: Vec<Address>,
    /// What they call it.
    pub master: String,
    /// The Sentinels' ACL user. Of no effect without password.
    pub username: Option<String>,
    /// The Sentinels' password, when one is needed.
    pub password: Option<Secret>,
}
