//! The admin listener: health checks, metrics and an operator's commands, on a port of its own. It
//! serves over plain HTTP from the background runtime, and shares nothing with the clients' path
//! but the values that it shows (docs/decisions/0071-the-admin-listener.md).
//!
//! [`request`] decides what is asked and whether it may be: pure. [`health`] judges the process,
//! [`status`] describes it, [`page`] shows that to people, and [`routes`] answers. [`listener`] accepts
//! connections, within limits on size, time and number.

mod answer;
mod at_start;
pub mod health;
pub mod listener;
mod page;
mod process;
mod request;
mod routes;
mod status;
mod store_check;

use std::fmt;
use std::sync::{Arc, OnceLock};

pub use at_start::{Found, FoundAtStart};
pub use listener::{AdminSocket, NotBound};
use status::watch::Watch;
pub use store_check::StoreCheck;

use crate::config::KeyNames;
use crate::lifecycle::phase::Life;
use crate::metrics::Metrics;
use crate::metrics::exposition::Build;
use crate::metrics::levels::Levels;
use crate::present::Present;
use crate::register::standing::Standing;
use crate::reload::Reloader;
use crate::secret::Secret;
use crate::tls::Certificates;

/// Changes the directives of the log; the error is a sentence.
pub type SetLogLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What an operator can do here.
pub struct Commands {
    /// Changes what is logged.
    pub set_log_level: SetLogLevel,
    /// Reads the configuration again.
    pub reloader: Arc<Reloader>,
}

/// Everything that is shown and done here.
pub struct Admin {
    /// The phase of the process.
    pub life: Life,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The levels.
    pub levels: Arc<dyn Levels>,
    /// The certificates in use.
    pub certificates: Arc<Certificates>,
    /// What is known of the register.
    pub standing: Arc<Standing>,
    /// The store, for checks that ask for it.
    pub store: StoreCheck,
    /// The build that runs.
    pub build: Build,
    /// What an operator can do.
    pub commands: Commands,
    /// The token that an operator sends; without one nothing can be changed.
    pub token: Option<Secret>,
    /// The keys that are asked for, and the writes under way.
    pub present: Arc<Present>,
    /// What is shown of the configuration.
    pub shown: Configured,
    /// What the probe at the start found, once it has ended.
    pub at_start: Arc<OnceLock<FoundAtStart>>,
    /// When the process began, in seconds since 1970.
    pub started_s: i64,
    /// What was seen from second to second.
    pub watch: Watched,
}

/// What is shown of the configuration, and what decides what is shown.
#[derive(Debug, Clone)]
pub struct Configured {
    /// Where the register is: a word.
    pub register: &'static str,
    /// The store's addresses.
    pub store: String,
    /// Who sees the names of keys.
    pub key_names: KeyNames,
}

/// What was seen from second to second, since the listener began.
#[derive(Debug, Default)]
pub struct Watched(Watch);

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commands")
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("life", &self.life).finish_non_exhaustive()
    }
}
