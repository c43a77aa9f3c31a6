//! `ifmatch store`: the embedded store alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::embedded::{self, Options};
use crate::lifecycle::signals::told_to_stop;
use crate::secret::Secret;
use crate::sigv4::Credential;

/// The environment variable with the secret.
const SECRET: &str = "IFMATCH_STORE_SECRET_ACCESS_KEY";

/// `ifmatch store`
#[derive(Debug, Args)]
#[command(after_help = embedded::ABSENCE)]
pub(super) struct StoreArguments {
    /// Where the objects are kept; each bucket is a directory in it.
    dir: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Ignore If-Match and If-None-Match and overwrite, as Garage and Wasabi do.
    #[arg(long)]
    ignore_conditions: bool,
    /// The only access key that the store knows; its secret is taken from
    /// IFMATCH_STORE_SECRET_ACCESS_KEY, as other users see command lines.
    #[arg(env = "IFMATCH_STORE_ACCESS_KEY_ID", long, hide_env_values = true)]
    access_key_id: String,
}

impl StoreArguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        must_be_built()?;
        let secret = std::env::var(SECRET).ok().filter(|secret| !secret.is_empty());
        let secret = secret
            .ok_or_else(|| Failure::Usage(format!("{SECRET} is not set: the store's secret")))?;
        let credential = Credential {
            access_key_id: self.access_key_id,
            secret: Secret::new(secret),
            session_token: None,
        };
        let options = Options { ignore_conditions: self.ignore_conditions, listen: self.listen };
        let runtime = tokio::runtime::Runtime::new()?;
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
