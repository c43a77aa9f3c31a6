//! `ifmatch check-config`: the configuration, checked and printed; with `--online` also whether what it
//! names is there and can be used.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::settings::Settings;
use crate::backend::HttpStore;
use crate::config::{Config, RegisterKind, Sources, json_schema, settings_page};
use crate::embedded;
use crate::server::{StartError, confirm_register, open_register, open_store};

/// `ifmatch check-config`
#[derive(Debug, Args)]
#[command(after_help = embedded::ABSENCE)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    settings: Settings,
    /// As for `serve --embedded DIR`. Nothing is created in the directory.
    #[arg(long, value_name = "DIR", conflicts_with = "online")]
    embedded: Option<PathBuf>,
    /// Print the JSON schema of the configuration file instead, for editors.
    #[arg(long, conflicts_with = "online")]
    schema: bool,
    /// Print a page in Markdown with all settings instead, for people.
    #[arg(long, conflicts_with_all = ["online", "schema"])]
    page: bool,
    /// Look also whether the store, the register and its marker are there and can be used. Nothing is
    /// written. Exits with 1 where one of them cannot.
    #[arg(long)]
    online: bool,
}

impl CheckConfig {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.schema {
            print!("{}", json_schema());
            return Ok(());
        }
        if self.page {
            print!("{}", settings_page());
            return Ok(());
        }
        let sources = Sources { only_look: true, ..self.settings.sources(self.embedded)? };
        let config = Config::load(sources)?;
        if !self.online {
            print!("{}", config.describe());
        }
        for warning in &config.warnings {
            eprintln!("warning: {warning}");
        }
        if self.online {
            let runtime = tokio::runtime::Runtime::new()?;
            return runtime.block_on(look(&config));
        }
        Ok(())
    }
}

/// Looks at each part, and says how it is found.
async fn look(config: &Config) -> Result<(), Failure> {
    let mut failed = 0;
    let mut tell = |part: &str, found: Result<String, String>| match found {
        Ok(note) => println!("ok: {part}: {note}"),
        Err(why) => {
            failed += 1;
            println!("not ok: {part}: {why}");
        }
    };
    let store = open_store(config).await.map_err(|error| error.to_string());
    let has_store = store.is_ok();
    // Those that are down were left out; the others accept the credential.
    let down = store.iter().flat_map(HttpStore::node_levels).filter(|node| !node.up);
    let down: Vec<_> = down.map(|node| node.node).collect();
    tell("store", store.map(|_| format!("{} accepts the credential", config.backend.show())));
    for node in down {
        let why = format!("{node} cannot be reached, and gets no requests until it can");
        tell("node of the store", Err(why));
    }
    let register = register(config).await;
    let has_register = register.is_ok();
    tell("register", register);
    if let Some(marker) = &config.register.marker {
        let confirmed = if has_store && has_register {
            marker_agrees(config).await
        } else {
            Err("it cannot be compared without the store and the register".to_owned())
        };
        tell("marker", confirmed.map(|()| format!("{marker} names this register")));
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Run("one part cannot be used".to_owned())),
        many => Err(Failure::Run(format!("{many} parts cannot be used"))),
    }
}

/// Whether the register can be used; in words.
async fn register(config: &Config) -> Result<String, String> {
    if let RegisterKind::Memory { .. } = config.register.kind {
        return Ok(
            "in the memory of the process that serves: there is nothing to look at".to_owned()
        );
    }
    let looked = async { open_register(config).await?.check().await };
    let status = looked.await.map_err(|error| error.to_string())?;
    let servers: Vec<_> = status.servers.iter().map(|server| &*server.name).collect();
    let servers = servers.join(", ");
    Ok(if status.quarantine.is_zero() {
        format!("{servers} can be used")
    } else {
        let seconds = status.quarantine.as_secs() + 1;
        format!("{servers} can be used; it grants no lease for the next {seconds} s")
    })
}

async fn marker_agrees(config: &Config) -> Result<(), String> {
    confirm_register(config).await.map_err(|error: StartError| error.to_string())
}
