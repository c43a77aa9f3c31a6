//! The tracer of a server, and what a reload of the configuration does to it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

use crate::config::{Config, Fault};
use crate::metrics::Metrics;
use crate::reload::{Prepared, Reconfigure};
use crate::tls::FileFault;
use crate::traces::Tracer;

/// The tracer as configured, which sends what ends from now on.
pub(super) fn tracer(
    background: &Runtime,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<Tracer, FileFault> {
    let tracer = Tracer::new(Arc::clone(metrics));
    tracer.prepare(config.traces.settings())?();
    tracer.export(background);
    Ok(tracer)
}

/// Traces: their settings are replaced as a whole, and the file of authorities is read again.
pub(super) struct Traced(pub(super) Tracer);

#[async_trait]
impl Reconfigure for Traced {
    async fn prepare(&self, config: &Config) -> Result<Prepared, Fault> {
        let (tracer, settings) = (self.0.clone(), config.traces.settings());
        let read = spawn_blocking(move || tracer.prepare(settings)).await;
        let fault = |key: &str, message| Fault { path: format!("traces{key}"), message };
        read.map_err(|error| fault("", error.to_string()))?
            .map_err(|of_file| fault(&format!(".{}", of_file.key), of_file.sentence))
    }
}
