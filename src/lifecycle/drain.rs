//! Draining: accepts no new requests, finishes those under way, closes the register, ends the
//! process.

use std::sync::Arc;
use std::time::Duration;

use pingora::server::{ExecutionPhase, Server};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::ConnectionTracker;
use super::exit::exit;
use super::idle;
use super::service_manager::ServiceManager;
use super::signals::{Ends, told_to_stop};
use crate::register::Register;
use crate::traces::Tracer;

/// How long requests under way may take after the signal.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pingora sleeps for the whole of this time after the signal, however little is left to do; the
/// process always ends earlier.
pub(crate) const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// How long an accepted connection may take from the acceptor, which has ended, to the door:
/// it is not counted meanwhile, and after an upgrade no other process waits for this one to end.
const ACCEPTED_TO_DOOR: Duration = Duration::from_secs(1);

/// What has to be drained, and the signals for it.
pub(crate) struct Drain {
    /// The open connections and the requests under way.
    pub(crate) connections: ConnectionTracker,
    /// The writes in doubt whose leases this process reclaims.
    pub(crate) reclaiming: TaskTracker,
    /// Cancelled when the last connection was accepted.
    pub(crate) accepting_ended: CancellationToken,
    /// What else ends the process.
    pub(crate) ends: Ends,
    /// Is told how many requests are left.
    pub(crate) manager: ServiceManager,
    /// The task that hands over to another process.
    pub(crate) upgrade: JoinHandle<()>,
    /// Closed at the end.
    pub(crate) register: Arc<dyn Register>,
    /// Flushed at the end.
    pub(crate) tracer: Tracer,
}

/// Waits for the server's shutdown phase, drains, and ends the process. Pingora would wait a fixed time
/// after the signal, however little is left to do.
pub(crate) fn spawn(background: &Runtime, server: &Server, mut drain: Drain) {
    let mut phases = server.watch_execution_phase();
    background.spawn(async move {
        loop {
            match phases.recv().await {
                Ok(ExecutionPhase::GracefulTerminate) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let at_once = drain.ends.at_once.clone();
        tokio::select! {
            () = drain.finish() => {}
            () = at_once.cancelled() => {
                tracing::warn!("told to end at once; writes under way are in doubt");
            }
        }
        if let Err(error) = drain.register.close().await {
            tracing::warn!(%error, "the register was not closed");
        }
        drain.tracer.flush().await;
        tracing::info!("stopped");
        exit();
    });
}

impl Drain {
    /// Finishes what is under way.
    async fn finish(&mut self) {
        let ended = self.ends.handed_over.is_cancelled() && self.after_upgrade().await;
        if !ended {
            self.stop().await;
        }
    }

    /// After an upgrade: serves the open connections until their clients close them, each for one
    /// more request at most. No other process waits for this one, and closing a connection may cost
    /// its client a request. Then it reclaims completes and copies in doubt for as long as they may
    /// land: an upgrade must not end the holder of their leases. `false` when a signal to stop
    /// comes before.
    async fn after_upgrade(&self) -> bool {
        tracing::info!(
            "finishing what is under way; clients that are connected leave in their own time"
        );
        let ended = async {
            self.accepting_ended.cancelled().await;
            sleep(ACCEPTED_TO_DOOR).await;
            self.connections.all_ended().await;
            idle(&self.reclaiming).await;
        };
        tokio::select! {
            () = ended => true,
            () = told_to_stop() => false,
        }
    }

    /// Finishes requests under way and closes all other connections.
    async fn stop(&mut self) {
        tracing::info!("stopping: no new requests; those under way are finished");
        self.upgrade.abort();
        // This also closes its descriptor of the listening socket, from which no connection is
        // accepted any more.
        let _ = (&mut self.upgrade).await;
        self.connections.close_idle();
        let finished = tokio::select! {
            finished = timeout(PATIENCE, self.connections.requests_ended()) => finished.is_ok(),
            () = told_to_stop() => false,
            never = self.manager.tell_stopping(&self.connections) => match never {},
        };
        if !finished {
            tracing::warn!("stopping with requests under way; their writes are in doubt");
        }
    }
}
