//! The certificates of a server, and what a reload of the configuration does to them.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

use crate::config::{Config, Fault};
use crate::metrics::Metrics;
use crate::reload::{Prepared, Reconfigure};
use crate::tls::{Certificates, Reload, ServerTls};

/// The certificates of these parts, whose files are read again from now on.
pub(super) fn in_use<const PARTS: usize>(
    background: &Runtime,
    config: &Config,
    users: [Option<Arc<dyn Reload>>; PARTS],
    metrics: &Arc<Metrics>,
) -> Arc<Certificates> {
    let users = users.into_iter().flatten().collect();
    let all = Certificates::new(users, config.tls.reload_interval, Arc::clone(metrics));
    let all = Arc::new(all);
    background.spawn(Arc::clone(&all).watch());
    all
}

/// The parts that take a reload: first the settings towards clients, then the files of all sides.
pub(super) fn reloaded(
    tls: Option<&Arc<ServerTls>>,
    all: &Arc<Certificates>,
) -> Vec<Box<dyn Reconfigure>> {
    let mut parts: Vec<Box<dyn Reconfigure>> = Vec::new();
    if let Some(tls) = tls {
        parts.push(Box::new(TowardsClients(Arc::clone(tls))));
    }
    parts.push(Box::new(Renewal(Arc::clone(all))));
    parts
}

/// TLS towards clients: its settings are replaced as a whole.
struct TowardsClients(Arc<ServerTls>);

#[async_trait]
impl Reconfigure for TowardsClients {
    async fn prepare(&self, config: &Config) -> Result<Prepared, Fault> {
        let Some(settings) = config.server_tls() else { return Ok(Box::new(|| {})) };
        let tls = Arc::clone(&self.0);
        let read = spawn_blocking(move || tls.prepare(settings)).await;
        let read = read.map_err(|error| fault("", error.to_string()))?;
        let prepared = read.map_err(|of_file| fault(of_file.key, of_file.sentence))?;
        let tls = Arc::clone(&self.0);
        Ok(Box::new(move || tls.replace(prepared)))
    }
}

fn fault(key: &str, message: String) -> Fault {
    Fault { path: format!("tls.{key}").trim_end_matches('.').to_owned(), message }
}

/// All certificates: their files are read again.
struct Renewal(Arc<Certificates>);

#[async_trait]
impl Reconfigure for Renewal {
    /// The files were checked with the configuration. If one has become unusable since, what was read
    /// before remains.
    async fn prepare(&self, config: &Config) -> Result<Prepared, Fault> {
        let (certificates, every) = (Arc::clone(&self.0), config.tls.reload_interval);
        Ok(Box::new(move || {
            certificates.read_every(every);
            certificates.reload_and_tell();
        }))
    }
}
