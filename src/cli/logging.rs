//! Logging: log lines go to standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use super::failure::Failure;
use crate::config::{Log, LogFormat};

/// Starts logging.
pub(super) fn begin(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| Failure::Usage(format!("log.level: {error}")))?
        // Pingora logs much about its own start, and about connections that broke or were used by
        // another request; the embedded store logs each request that it refuses. The proxy writes
        // its own line for each request.
        .add_directive(directive("pingora_core=off"))
        .add_directive(directive("pingora_proxy=off"))
        .add_directive(directive("s3s=off"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let begun = match log.format {
        LogFormat::Text => subscriber.finish().try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).finish().try_init(),
    };
    begun.map_err(|error| Failure::Run(error.to_string()))
}

fn directive(text: &str) -> tracing_subscriber::filter::Directive {
    text.parse().expect("a directive written here")
}
