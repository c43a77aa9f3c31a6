//! The flags and the environment variable that every command with a configuration has.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, ConfigErrors, Fault, Flags, Sources, of_process};
use crate::embedded::ABSENCE;

/// Where the settings come from.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// The configuration file.
    #[arg(long, short, env = "IFMATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen, such as 127.0.0.1:9000; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The store, such as `http://garage:3900`.
    #[arg(long, value_name = "URL")]
    backend_url: Option<String>,
    /// The register: memory: or redis://host:port.
    #[arg(long, value_name = "URL")]
    register_url: Option<String>,
    /// How to log: text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Settings {
    pub(super) fn load(self, embedded: Option<PathBuf>) -> Result<Config, ConfigErrors> {
        Config::load(self.sources(embedded)?)
    }

    /// `embedded` is the directory of `--embedded`: at fault in a build without that store.
    pub(super) fn sources(self, embedded: Option<PathBuf>) -> Result<Sources, ConfigErrors> {
        if embedded.is_some()
            && let Some(absence) = ABSENCE
        {
            let fault = Fault { path: "--embedded".to_owned(), message: absence.to_owned() };
            return Err(ConfigErrors(vec![fault]));
        }
        let Self { config, listen, backend_url, register_url, log_format } = self;
        let flags = Flags { listen, backend_url, register_url, log_format, embedded };
        Ok(Sources { file: config, environment: of_process(), flags, only_look: false })
    }
}
