//! Verbs for operators that compare the register with the store, or look at a bucket.
//!
//! - [`target`]: the bucket and the key, or the prefix, that a verb is about.
//! - [`forms`]: keys and states as lines and as JSON.
//! - [`items`]: long results.

pub(super) mod bucket_info;
pub(super) mod diff;
mod forms;
pub(super) mod inspect;
mod items;
pub(super) mod list;
mod target;
pub(super) mod uploads;

use crate::audit::{Auditor, Trouble};
use crate::config::{Config, RegisterKind};
use crate::register::redis::RedisRegister;
use crate::server::open_store;

use super::failure::Failure;

/// Why a register in memory is of no use to a command.
pub(super) const IN_MEMORY: &str = "the register is in the memory of the process that serves, and cannot \
                                    be reached from another one. This command is for a register in Redis";

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Run(trouble.to_string())
    }
}

/// The register in Redis. One in memory cannot be read from another process.
fn open_redis(config: &Config) -> Result<RedisRegister, Failure> {
    match &config.register.kind {
        RegisterKind::Memory { .. } => Err(Failure::Usage(IN_MEMORY.to_owned())),
        RegisterKind::Redis(redis) => Ok(RedisRegister::connect(redis, &config.register.terms)?),
    }
}

/// The register in Redis, and the store.
async fn open_both(config: &Config) -> Result<Auditor, Failure> {
    let register = open_redis(config)?;
    Ok(Auditor::new(register, open_store(config).await?, config.register.terms))
}
