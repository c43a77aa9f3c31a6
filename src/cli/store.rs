//! `ifmatch store`: the embedded store alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::logging;
use crate::config::Log;
use crate::embedded::{self, Fsync, Misbehaviour, Options};
use crate::lifecycle::memory;
use crate::lifecycle::signals::told_to_stop;
use crate::secret::Secret;
use crate::sigv4::Credential;
use crate::units;

/// The environment variable with the secret.
const SECRET: &str = "IFMATCH_STORE_SECRET_ACCESS_KEY";

/// `ifmatch store`
#[derive(Debug, Args)]
#[command(after_help = embedded::ABSENCE)]
pub(super) struct StoreArguments {
    /// Where the objects are kept.
    dir: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Ignore If-Match and If-None-Match and overwrite, as Garage and Wasabi do.
    #[arg(long)]
    ignore_conditions: bool,
    #[command(flatten)]
    misbehaviour: MisbehaviourArguments,
    /// Whether an answer to a write waits until the disk has it: without, a power cut may damage the
    /// whole store.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    fsync: Fsync,
    /// The only access key that the store knows; its secret is taken from
    /// IFMATCH_STORE_SECRET_ACCESS_KEY, as other users see command lines.
    #[arg(env = "IFMATCH_STORE_ACCESS_KEY_ID", long, hide_env_values = true)]
    access_key_id: String,
}

/// What the store does wrong on purpose. GET /-/chaos counts what it did.
#[derive(Debug, Args)]
struct MisbehaviourArguments {
    /// Show in GET, HEAD, copies and listings what stood there up to so long ago, such as 5s.
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "DURATION")]
    lag: Duration,
    /// Show the versions that are asked for by their ids with this lag, if it is less than --lag.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    lag_of_versions: Option<Duration>,
    /// Give objects dates of a clock that goes so many seconds ahead of the machine's, or behind it.
    #[arg(long, default_value_t, value_name = "SECONDS", allow_negative_numbers = true)]
    clock_skew: i64,
    /// Answer this share of requests 500, from 0 to 1: half of them are served all the same.
    #[arg(long, default_value_t, value_parser = share, value_name = "SHARE")]
    fail: f64,
    /// Let requests wait up to so long.
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "DURATION")]
    slow: Duration,
    /// Cut the connections of some writes, and let them land up to so long after it.
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "DURATION")]
    late: Duration,
    /// The share of writes that are late, from 0 to 1.
    #[arg(long, default_value_t = 0.1, value_parser = share, value_name = "SHARE")]
    late_share: f64,
    /// What decides: the same seed decides the same for the same requests.
    #[arg(long, default_value_t, value_name = "NUMBER")]
    seed: u64,
}

impl From<MisbehaviourArguments> for Misbehaviour {
    fn from(arguments: MisbehaviourArguments) -> Self {
        Self {
            lag: arguments.lag,
            lag_of_versions: arguments.lag_of_versions.map(|lag| lag.min(arguments.lag)),
            clock_skew_s: arguments.clock_skew,
            fail: arguments.fail,
            slow: arguments.slow,
            late: arguments.late,
            late_share: arguments.late_share,
            seed: arguments.seed,
        }
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).ok_or_else(|| "write it as 500ms, 5s or 1m".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number from 0 to 1".to_owned())
}

impl StoreArguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        must_be_built()?;
        logging::begin(&Log::default()).map(drop)?;
        let secret = std::env::var(SECRET).ok().filter(|secret| !secret.is_empty());
        let secret = secret
            .ok_or_else(|| Failure::Usage(format!("{SECRET} is not set: the store's secret")))?;
        let credential = Credential {
            access_key_id: self.access_key_id,
            secret: Secret::new(secret),
            session_token: None,
        };
        let options = Options {
            fsync: self.fsync,
            ignore_conditions: self.ignore_conditions,
            misbehaviour: self.misbehaviour.into(),
            listen: self.listen,
        };
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.spawn(memory::give_back());
        runtime.block_on(async {
            let store = embedded::serve(self.dir, &credential, options, told_to_stop())
                .await
                .map_err(|error| Failure::Run(error.to_string()))?;
            println!("listening on http://{}", store.addr);
            store.task.await.map_err(|error| Failure::Run(error.to_string()))
        })
    }
}

/// Refuses a command that starts the embedded store in a build without it.
pub(super) fn must_be_built() -> Result<(), Failure> {
    match embedded::ABSENCE {
        Some(absence) => Err(Failure::Usage(absence.to_owned())),
        None => Ok(()),
    }
}
