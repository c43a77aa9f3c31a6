//! `ifmatch store`: the embedded store alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::embedded::{self, Options};
use crate::secret::Secret;
use crate::sigv4::Credential;

/// `ifmatch store`
#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    /// Where the objects are kept; each bucket is a directory in it.
    dir: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Ignore If-Match and If-None-Match and overwrite, as Garage and Wasabi do.
    #[arg(long)]
    ignore_conditions: bool,
    /// The only access key that the store knows.
    #[arg(env = "IFMATCH_STORE_ACCESS_KEY_ID", long, hide_env_values = true)]
    access_key_id: String,
    /// Its secret: by environment only.
    #[arg(env = "IFMATCH_STORE_SECRET_ACCESS_KEY", hide = true, hide_env_values = true)]
    secret_access_key: String,
}

impl StoreArguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let credential = Credential {
            access_key_id: self.access_key_id,
            secret: Secret::new(self.secret_access_key),
            session_token: None,
        };
        let options = Options { ignore_conditions: self.ignore_conditions, listen: self.listen };
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let stop = async {
                let mut terminate =
                    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = async { match &mut terminate {
                        Ok(signal) => signal.recv().await,
                        Err(_) => std::future::pending().await,
                    } } => {}
                }
            };
            let store = embedded::serve(self.dir, &credential, options, stop)
                .await
                .map_err(|error| Failure::Run(error.to_string()))?;
            println!("listening on http://{}", store.addr);
            store.task.await.map_err(|error| Failure::Run(error.to_string()))
        })
    }
}
