//! `ifmatch register`: commands for operators.

use clap::Subcommand;

use super::failure::Failure;
use super::settings::Settings;
use super::verbs::IN_MEMORY;
use super::verbs::diff::{Diff, Fsck};
use super::verbs::inspect::Inspect;
use super::verbs::list::List;
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
    /// Say what the register believes of a key, beside what the store shows. Exits with 1 where they
    /// contradict each other and the key is not young.
    Inspect(Inspect),
    /// List the keys that the register knows, and what it believes of each.
    List(List),
    /// Compare the keys that the register knows with what the store shows of them. Exits with 1 where
    /// they differ and the keys are not young.
    Diff(Diff),
    /// As diff, and with --fix mend the records that the store contradicts.
    Fsck(Fsck),
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
            Self::Inspect(inspect) => runtime.block_on(inspect.run()),
            Self::List(list) => runtime.block_on(list.run()),
            Self::Diff(diff) => runtime.block_on(diff.run()),
            Self::Fsck(fsck) => runtime.block_on(fsck.run()),
        }
    }
}

fn in_redis(settings: Settings) -> Result<Config, Failure> {
    let config = settings.load(None)?;
    if let RegisterKind::Memory { .. } = config.register.kind {
        return Err(Failure::Usage(IN_MEMORY.to_owned()));
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
