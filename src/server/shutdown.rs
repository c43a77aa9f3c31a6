//! The end: no new requests, those under way are finished, the register is closed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ExecutionPhase, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::proxy::InFlight;
use crate::register::Register;

/// How long requests under way may take after the signal.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// SIGTERM and SIGINT both end in good order; a second one of either ends at once, and so does
/// SIGQUIT.
struct Signals;

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut quit)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::quit()),
        ) else {
            tracing::error!("signals cannot be waited for; only SIGKILL will end this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => ShutdownSignal::GracefulTerminate,
            _ = interrupt.recv() => ShutdownSignal::GracefulTerminate,
            _ = quit.recv() => ShutdownSignal::FastShutdown,
        }
    }
}

pub(super) fn run_args() -> RunArgs {
    RunArgs { shutdown_signal: Box::new(Signals) }
}

/// Watches for the end. Pingora waits a fixed time after the signal, however little is left to do:
/// this ends the process as soon as nothing is.
pub(super) fn spawn(
    keeper: &Runtime,
    server: &Server,
    in_flight: InFlight,
    register: Arc<dyn Register>,
) {
    let mut phases = server.watch_execution_phase();
    keeper.spawn(async move {
        loop {
            match phases.recv().await {
                Ok(ExecutionPhase::GracefulTerminate) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        tracing::info!("stopping: no new requests; those under way are finished");
        let finished = tokio::select! {
            finished = timeout(PATIENCE, in_flight.none_left()) => finished.is_ok(),
            () = told_to_stop() => false,
        };
        if !finished {
            tracing::warn!("stopping with requests under way; their writes are in doubt");
        }
        if let Err(error) = register.close().await {
            tracing::warn!(%error, "the register was not closed");
        }
        tracing::info!("stopped");
        end();
    });
}

/// Returns at the next SIGTERM or SIGINT; never where signals cannot be waited for.
pub(crate) async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[allow(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "Pingora's main thread is asleep and offers no other way out; all is done by now"
)]
fn end() {
    std::process::exit(0)
}
