//! The admin listener: health checks, metrics and an operator's commands, on a port of its own. It
//! serves over plain HTTP from the background runtime, and shares nothing with the clients' path
//! but the values that it shows (docs/decisions/0071-the-admin-listener.md).
//!
//! [`request`] decides what is asked and whether it may be: pure. [`health`] judges the process,
//! [`status`] describes it, and [`routes`] answers. [`listener`] accepts connections, within limits
//! on size, time and number.

mod answer;
pub mod health;
pub mod listener;
mod process;
mod request;
mod routes;
mod status;
mod store_check;

use std::fmt;
use std::sync::Arc;

pub use listener::{AdminSocket, NotBound};
pub use store_check::StoreCheck;

use crate::lifecycle::phase::Life;
use crate::metrics::Metrics;
use crate::metrics::exposition::Build;
use crate::metrics::levels::Levels;
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
}

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
