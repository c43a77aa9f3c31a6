//! Types that the store and its replacement have in common.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// The message of a build without the store.
pub(super) const NOT_BUILT: &str = "this build has no embedded store: build ifmatch with its cargo \
                                    feature \"embedded\", which is on by default, or set \
                                    backend.url to another store";

/// Whether an answer to a write waits until the disk has it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Fsync {
    /// It waits. A write that was acknowledged survives a power cut.
    #[default]
    Always,
    /// It does not. A write that was acknowledged survives the end of the process, also by SIGKILL,
    /// but not a power cut, after which the whole index may be damaged.
    Never,
}

/// What a store does wrong on purpose; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Misbehaviour {
    /// GET, HEAD, copies and listings of objects show what stood there up to so long ago.
    pub lag: Duration,
    /// The same for GET, HEAD and copies of a version by its id; at most `lag`, which counts where there is none.
    pub lag_of_versions: Option<Duration>,
    /// How far its clock goes ahead of the machine's, in seconds: the dates of objects show it.
    pub clock_skew_s: i64,
    /// The share of requests that are answered 500, from 0 to 1: half of them are served all the
    /// same.
    pub fail: f64,
    /// Requests wait up to so long.
    pub slow: Duration,
    /// Writes land up to so long after their connection was cut.
    pub late: Duration,
    /// The share of writes that are late, from 0 to 1.
    pub late_share: f64,
    /// What decides all this: the same seed decides the same for the same requests.
    pub seed: u64,
}

/// The settings of an embedded store.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether an answer to a write waits for the disk.
    pub fsync: Fsync,
    /// Whether If-Match and If-None-Match of writes are ignored, as Garage and Wasabi do.
    pub ignore_conditions: bool,
    /// What it does wrong on purpose.
    pub misbehaviour: Misbehaviour,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for Options {
    /// Conditions are judged; a free local port.
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            fsync: Fsync::Always,
            ignore_conditions: false,
            misbehaviour: Misbehaviour::default(),
            listen,
        }
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
