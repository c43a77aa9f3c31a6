//! Types that the store and its replacement have in common.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tokio::task::JoinHandle;

/// The message of a build without the store.
pub(super) const NOT_BUILT: &str = "this build has no embedded store: build ifmatch with its cargo \
                                    feature \"embedded\", which is on by default, or set \
                                    backend.url to another store";

/// The settings of an embedded store.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether If-Match and If-None-Match of writes are ignored, as Garage and Wasabi do.
    pub ignore_conditions: bool,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for Options {
    /// Conditions are judged; a free local port.
    fn default() -> Self {
        Self { ignore_conditions: false, listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
    }
}

/// A running store.
#[derive(Debug)]
pub struct EmbeddedStore {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Ends once `shutdown` was resolved and requests under way were answered or given up.
    pub task: JoinHandle<()>,
}

/// Why a store cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The program was built without the cargo feature `embedded`.
    #[error("{NOT_BUILT}")]
    NotBuilt,
    /// The directory cannot be created or used.
    #[error("the directory {dir} cannot hold the store: {reason}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}
