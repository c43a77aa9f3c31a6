//! `ifmatch register`: for operators.

use clap::Subcommand;

use super::{Failure, Settings};
use crate::config::RegisterKind;
use crate::server::open_register;

/// `ifmatch register …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say how the register stands.
    Status(Settings),
    /// End the quarantine at once. Only when no proxy was running before the register (re)started.
    SkipQuarantine(Settings),
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (settings, skip) = match self {
            Self::Status(settings) => (settings, false),
            Self::SkipQuarantine(settings) => (settings, true),
        };
        let config = settings.load(None)?;
        if let RegisterKind::Memory { .. } = config.register.kind {
            return Err(Failure::Usage(
                "the register is in the memory of the process that serves, and cannot be reached \
                 from another one. This command is for a register in Redis"
                    .to_owned(),
            ));
        }
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let register = open_register(&config).await?;
            if skip {
                // Touched first, so that an epoch which is yet to begin begins before.
                register.check().await?;
                register.skip_quarantine().await?;
            }
            let status = register.check().await?;
            println!("quarantine: {:.1} s left", status.quarantine.as_secs_f64());
            println!("leases held: {}", status.leases);
            Ok(())
        })
    }
}
