//! `ifmatch serve`

use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use super::logging;
use super::settings::Settings;
use crate::config::{Client, Config, LogFormat, RegisterKind};
use crate::embedded;
use crate::reload::Reconfigure;
use crate::server::{self, HandoverError, Start, StartError, Started};

/// `ifmatch serve`
#[derive(Debug, Args)]
#[command(after_help = embedded::ABSENCE)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,
    /// Run everything in one process: a store on this directory and a register in memory.
    #[arg(long, value_name = "DIR")]
    embedded: Option<PathBuf>,
    /// Take over from the process that serves now: no connection is refused, no request lost, and
    /// that process ends after its last request. Needs a register in Redis. Where no process
    /// listens at the address, this one is the first.
    #[arg(long)]
    upgrade: bool,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.upgrade && self.embedded.is_some() {
            // Checked before the configuration is read, which would create the embedded store's
            // secret.
            return Err(
                StartError::from(HandoverError::InProcess("the store of --embedded")).into()
            );
        }
        let sources = self.settings.sources(self.embedded)?;
        let config = Config::load(sources.clone())?;
        let log = logging::begin(&config.log)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let embedded = config.embedded.clone();
        let client = config.clients.first().cloned();
        let in_memory = matches!(config.register.kind, RegisterKind::Memory { .. });
        let waits_for_store = !config.register.terms.after_landing().is_zero();
        let set_log_level = log.set_level();
        let (upgrade, parts): (_, Vec<Box<dyn Reconfigure>>) = (self.upgrade, vec![Box::new(log)]);
        let start = Start { upgrade, sources, parts, set_log_level };
        let format = config.log.format;
        let ended = server::run(config, start, move |started| {
            announce(started, format);
            tell_of_quarantine(started, in_memory, waits_for_store);
            if let (Some(dir), Some(client)) = (embedded, client)
                && format == LogFormat::Text
            {
                welcome(started, &dir, &client);
            }
        });
        match (ended, format) {
            (Err(error), LogFormat::Json) => {
                tracing::error!(target: logging::LIFE, "{error}");
                Err(Failure::Logged)
            }
            (ended, _) => Ok(ended?),
        }
    }
}

/// Says where clients connect: to people, or to what reads the log.
fn announce(started: &Started, format: LogFormat) {
    for listener in &started.listening {
        match format {
            LogFormat::Text => println!("listening on {listener}"),
            LogFormat::Json => tracing::info!(target: logging::LIFE, "listening on {listener}"),
        }
    }
}

/// `waits_for_store`: the quarantine covers what the store needs after a landing, too.
fn tell_of_quarantine(started: &Started, in_memory: bool, waits_for_store: bool) {
    let quarantine = started.register.quarantine;
    if !quarantine.is_zero() {
        let (why, advice) = match (in_memory, waits_for_store) {
            (true, true) => (
                "a process before this one may have written, and the store may not show it yet",
                "",
            ),
            (true, false) => (
                "the process before this one did not end in good order, or there was none, and its \
                 writes may still be on their way",
                "",
            ),
            (false, true) => (
                ANOTHER_PROXY,
                " If no proxy was running, ifmatch register skip-quarantine ends all of it but \
                 register.lag and register.spacing",
            ),
            (false, false) => {
                (ANOTHER_PROXY, " If no proxy was running: ifmatch register skip-quarantine")
            }
        };
        let seconds = quarantine.as_secs() + 1;
        tracing::warn!(
            target: logging::LIFE,
            "writes are answered 503 for the next {seconds} s: {why}.{advice}"
        );
    }
}

const ANOTHER_PROXY: &str = "the register is new, or has restarted, and writes of another proxy may \
     still be on their way";

/// Help for the first use. It shows a secret, so it is for a terminal and never for the log.
fn welcome(started: &Started, dir: &Path, client: &Client) {
    let Some(endpoint) = started.listening.first() else { return };
    println!(
        "\nA store on {dir}, with conditional writes, in this process. Nothing else is needed.\n\
         \n\
         \x20 export AWS_ENDPOINT_URL={endpoint}\n\
         \x20 export AWS_ACCESS_KEY_ID={key}\n\
         \x20 export AWS_SECRET_ACCESS_KEY={secret}\n\
         \x20 export AWS_DEFAULT_REGION=us-east-1\n\
         \n\
         Then try, in another terminal (the second create is refused with 412):\n\
         \n\
         \x20 aws s3api create-bucket --bucket demo\n\
         \x20 aws s3api put-object --bucket demo --key lock --if-none-match '*'\n\
         \x20 aws s3api put-object --bucket demo --key lock --if-none-match '*'\n",
        dir = dir.display(),
        key = client.access_key_id,
        secret = client.secret_access_key.expose(),
    );
}
