//! `ifmatch register`: commands for operators.

use clap::Subcommand;

use super::failure::Failure;
use super::settings::Settings;
use crate::config::{Config, RegisterKind};
use crate::server::{adopt_register, open_register};

/// `ifmatch register …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say how the register stands.
    Status(Settings),
    /// End the quarantine at once. Only when no proxy was running before the register (re)started.
    SkipQuarantine(Settings),
    /// Give a register that has lost its memory the id that the marker names. Only when it is the
    /// register of all proxies that write to this store.
    Adopt(Settings),
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Runtime::new()?;
        match self {
            Self::Status(settings) => runtime.block_on(status(&in_redis(settings)?, false)),
            Self::SkipQuarantine(settings) => runtime.block_on(status(&in_redis(settings)?, true)),
            Self::Adopt(settings) => {
                let config = settings.load(None)?;
                let (id, needed) = runtime.block_on(adopt_register(&config))?;
                let how = if needed { "adopted" } else { "had that id already" };
                println!("register {id}: {how}");
                Ok(())
            }
        }
    }
}

fn in_redis(settings: Settings) -> Result<Config, Failure> {
    let config = settings.load(None)?;
    if let RegisterKind::Memory { .. } = config.register.kind {
        return Err(Failure::Usage(
            "the register is in the memory of the process that serves, and cannot be reached from \
             another one. This command is for a register in Redis"
                .to_owned(),
        ));
    }
    Ok(config)
}

async fn status(config: &Config, skip: bool) -> Result<(), Failure> {
    let register = open_register(config).await?;
    if skip {
        // Surveyed first, so that an epoch that is due begins before.
        register.check().await?;
        register.skip_quarantine().await?;
    }
    let status = register.check().await?;
    println!("quarantine: {:.1} s left", status.quarantine.as_secs_f64());
    println!("leases held: {}", status.leases);
    Ok(())
}
