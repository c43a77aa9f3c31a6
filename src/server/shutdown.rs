//! The end: no new requests, those under way are finished, the register is closed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ExecutionPhase, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::in_flight::InFlight;
use crate::proxy::Doorway;
use crate::register::Register;

/// How long requests under way may take after the signal.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pingora sleeps for the whole of this time after the signal, whatever is left to do; the process
/// always ends before.
pub(super) const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// How long a connection may be on its way from Pingora's acceptor, which has ended, to the door:
/// nothing tells of it, and nobody waits for this process any more.
const ON_THE_DOORSTEP: Duration = Duration::from_secs(1);

/// SIGTERM and SIGINT both end in good order; a second one of either ends at once, and so does
/// SIGQUIT. When another process has taken over, this one ends in good order too.
struct Signals {
    awaited: Mutex<Option<Awaited>>,
    handed_over: watch::Receiver<bool>,
}

/// What is installed before the first client is served: a signal that comes between that and
/// Pingora's asking for it would kill the process.
struct Awaited {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Awaited {
    /// To be called within a runtime.
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Awaited { mut terminate, mut interrupt, mut quit }) = awaited else {
            // Pingora asks once.
            return std::future::pending().await;
        };
        let mut handed_over = self.handed_over.clone();
        tokio::select! {
            Ok(_) = handed_over.wait_for(|over| *over) => ShutdownSignal::GracefulTerminate,
            _ = terminate.recv() => ShutdownSignal::GracefulTerminate,
            _ = interrupt.recv() => ShutdownSignal::GracefulTerminate,
            _ = quit.recv() => ShutdownSignal::FastShutdown,
        }
    }
}

/// What Pingora's server is run with. From here on signals are waited for.
///
/// # Errors
/// When they cannot be.
pub(super) fn run_args(
    keeper: &Runtime,
    handed_over: watch::Receiver<bool>,
) -> io::Result<RunArgs> {
    let _runtime = keeper.enter();
    let awaited = Mutex::new(Some(Awaited::install()?));
    Ok(RunArgs { shutdown_signal: Box::new(Signals { awaited, handed_over }) })
}

/// What the end has to do with.
pub(super) struct End {
    pub(super) doorway: Doorway,
    /// The writes in doubt for which this process is still needed.
    pub(super) standing_by: InFlight,
    /// False when the last connection has been accepted.
    pub(super) accepting: watch::Receiver<bool>,
    /// Whether another process serves in this one's place.
    pub(super) handed_over: watch::Receiver<bool>,
    /// What brings that about.
    pub(super) usher: JoinHandle<()>,
    pub(super) register: Arc<dyn Register>,
}

/// Watches for the end. Pingora waits a fixed time after the signal, however little is left to do:
/// this ends the process as soon as nothing is.
pub(super) fn spawn(keeper: &Runtime, server: &Server, mut end: End) {
    let mut phases = server.watch_execution_phase();
    keeper.spawn(async move {
        loop {
            match phases.recv().await {
                Ok(ExecutionPhase::GracefulTerminate) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let left = *end.handed_over.borrow() && end.left_by_all().await;
        if !left {
            end.stop().await;
        }
        if let Err(error) = end.register.close().await {
            tracing::warn!(%error, "the register was not closed");
        }
        tracing::info!("stopped");
        exit();
    });
}

impl End {
    /// Serves those who are connected until they go, each of them for one more request at most:
    /// nobody waits for this process, and a connection closed on a client may cost it a request.
    /// Then stands by for completes and copies in doubt: an upgrade is no death of their holder.
    /// `false` when the process is told to stop before.
    async fn left_by_all(&mut self) -> bool {
        tracing::info!("finishing what is under way; whoever is connected goes in his own time");
        let left = async {
            // Cannot fail in earnest: whoever held the other end is gone, and accepts no more.
            let _ = self.accepting.wait_for(|accepting| !*accepting).await;
            sleep(ON_THE_DOORSTEP).await;
            self.doorway.deserted().await;
            self.standing_by.none_left().await;
        };
        tokio::select! {
            () = left => true,
            () = told_to_stop() => false,
        }
    }

    /// Finishes what is under way and closes all other connections.
    async fn stop(&mut self) {
        tracing::info!("stopping: no new requests; those under way are finished");
        self.usher.abort();
        // With it goes its descriptor of the listening socket: nobody would accept there.
        let _ = (&mut self.usher).await;
        self.doorway.close();
        let finished = tokio::select! {
            finished = timeout(PATIENCE, self.doorway.no_request()) => finished.is_ok(),
            () = told_to_stop() => false,
        };
        if !finished {
            tracing::warn!("stopping with requests under way; their writes are in doubt");
        }
    }
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
fn exit() {
    std::process::exit(0)
}
