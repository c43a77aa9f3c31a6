//! Reload: reads the configuration again while the process runs, and puts what is new into effect.
//! A configuration with a fault changes nothing.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::config::{self, Changes, Config, ConfigErrors, Fault, Rule, Sources};

/// A part of the process that has settings which can change while it runs.
#[async_trait]
pub trait Reconfigure: Send + Sync {
    /// Makes everything that these settings need, and changes nothing yet: another part may find a
    /// fault.
    ///
    /// # Errors
    /// Why the settings cannot be used.
    async fn prepare(&self, config: &Config) -> Result<Prepared, Fault>;

    /// Opens the files that this part writes again, under their names: whatever the configuration
    /// says now.
    fn reopen_files(&self) {}
}

/// Puts prepared settings into effect. It cannot fail.
pub type Prepared = Box<dyn FnOnce() + Send>;

/// Reads the configuration again, and puts it into effect in all parts of the process.
pub struct Reloader {
    sources: Sources,
    /// The configuration in effect. Locked for a whole reload, so that two follow each other.
    running: Mutex<Config>,
    parts: Vec<Box<dyn Reconfigure>>,
}

impl Reloader {
    /// `sources` are read at each reload; `running` is what was read at the start.
    pub fn new(sources: Sources, running: Config, parts: Vec<Box<dyn Reconfigure>>) -> Self {
        // What `--embedded` creates, it has created at the start.
        let sources = Sources { only_look: true, ..sources };
        Self { sources, running: Mutex::new(running), parts }
    }

    /// Reads all sources again: the file, the files of secrets, the environment of this process
    /// (which does not change) and its flags.
    ///
    /// # Errors
    /// All faults of the configuration. Then nothing has changed.
    pub async fn reload(&self) -> Result<Changes, ConfigErrors> {
        let mut running = self.running.lock().await;
        let sources = self.sources.clone();
        let read = tokio::task::spawn_blocking(move || Config::load(sources));
        let read = read.await.map_err(|error| fault("reload", error.to_string()))??;
        let effective = config::effective(&running, &read);
        let mut prepared = Vec::new();
        let mut faults = Vec::new();
        for part in &self.parts {
            match part.prepare(&effective).await {
                Ok(part) => prepared.push(part),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(ConfigErrors(faults));
        }
        for put_into_effect in prepared {
            put_into_effect();
        }
        for warning in &effective.warnings {
            tracing::warn!("{warning}");
        }
        let changes = config::changes(&running, &read);
        *running = effective;
        Ok(changes)
    }

    /// The configuration in effect, as `check-config` prints it.
    pub async fn description(&self) -> String {
        self.running.lock().await.describe().to_owned()
    }

    /// The rules in effect.
    pub async fn rules(&self) -> Vec<Rule> {
        self.running.lock().await.rules.clone()
    }

    /// Reloads, and logs the result.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub async fn reload_and_tell(&self) -> Result<Changes, ConfigErrors> {
        let result = self.reload().await;
        match &result {
            Ok(Changes { applied, needs_restart }) => {
                tracing::info!(changed = applied.join(", "), "the configuration was reloaded");
                if !needs_restart.is_empty() {
                    let settings = needs_restart.join(", ");
                    tracing::warn!(settings, "changed, but needs a restart (--upgrade)");
                }
            }
            Err(ConfigErrors(faults)) => {
                for Fault { path, message } in faults {
                    tracing::error!("{path}: {message}");
                }
                let faults = faults.len();
                tracing::error!(faults, "the configuration was not reloaded; nothing has changed");
            }
        }
        result
    }

    /// Opens the files that are written again, under their names.
    pub fn reopen_files(&self) {
        for part in &self.parts {
            part.reopen_files();
        }
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("sources", &self.sources).finish_non_exhaustive()
    }
}

fn fault(path: &str, message: String) -> ConfigErrors {
    ConfigErrors(vec![Fault { path: path.to_owned(), message }])
}
