//! Signals of the operating system, and the end of an upgrade, which has the effect of a signal:
//! another process serves in place of this one.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{RunArgs, ShutdownSignal, ShutdownSignalWatch};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::exit::exit;
use super::phase::{Life, Phase};
use super::service_manager::ServiceManager;
use crate::reload::Reloader;

/// SIGTERM and SIGINT end the process in good order; a second one of either ends it at once, and so
/// does SIGQUIT. After a handover, and without its terminal, the process ends in good order too.
struct Signals {
    awaited: Mutex<Option<Awaited>>,
    ends: Ends,
    life: Life,
    shutdown_delay: Duration,
}

/// What ends the process, beside signals that let it finish what is under way.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// Cancelled when another process serves in place of this one.
    pub(crate) handed_over: CancellationToken,
    /// Cancelled by SIGQUIT.
    pub(crate) at_once: CancellationToken,
}

impl Ends {
    /// For a process of which this token says that another one serves in its place.
    pub(crate) fn new(handed_over: CancellationToken) -> Self {
        Self { handed_over, at_once: CancellationToken::new() }
    }
}

/// How long the end may take after SIGQUIT.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The signal handlers. They are installed before the first client is served, and before the first
/// object is written that has to be removed: otherwise a signal that comes before Pingora waits for it
/// would kill the process. What has come in the meantime is not lost.
#[derive(Debug)]
pub(crate) struct Awaited {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    /// For those that reload the configuration, until somebody waits for them.
    reload: Option<Signal>,
}

impl Awaited {
    /// From here on signals are handled, and kill the process no more.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub(crate) fn install(background: &Runtime) -> io::Result<Self> {
        let _runtime = background.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            reload: Some(signal(SignalKind::hangup())?),
        })
    }

    /// Returns at the next signal to stop, whichever.
    pub(crate) async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
            () = terminal_gone(&mut self.hangup) => {}
        }
    }

    /// The arguments for Pingora's server. After a signal to stop, clients are accepted for another `shutdown_delay`, so that a load balancer has time
    /// to look elsewhere.
    pub(crate) fn run_args(self, ends: Ends, life: Life, shutdown_delay: Duration) -> RunArgs {
        let awaited = Mutex::new(Some(self));
        RunArgs { shutdown_signal: Box::new(Signals { awaited, ends, life, shutdown_delay }) }
    }

    /// From here on each SIGHUP reloads the configuration; one that has come before, too.
    pub(crate) fn reload_at_hangups(
        &mut self,
        background: &Runtime,
        reloader: Arc<Reloader>,
        manager: ServiceManager,
    ) {
        let Some(mut hangups) = self.reload.take() else { return };
        background.spawn(async move {
            while hangups.recv().await.is_some() {
                manager.reloading();
                reloader.reopen_files();
                // Told in the log, which is all that a signal can be answered with.
                let _ = reloader.reload_and_tell().await;
                manager.ready();
            }
        });
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Awaited { mut terminate, mut interrupt, quit, mut hangup, .. }) = awaited else {
            // Pingora asks only once.
            return std::future::pending().await;
        };
        let Ends { handed_over, at_once } = &self.ends;
        // In the runtime of Pingora's main thread, which does nothing else, until the process ends.
        tokio::spawn(end_at_once(quit, at_once.clone()));
        tokio::select! {
            () = handed_over.cancelled() => {
                self.life.enter(Phase::HandedOver);
                return ShutdownSignal::GracefulTerminate;
            }
            () = self.life.asked_to_stop() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = terminal_gone(&mut hangup) => {}
            () = at_once.cancelled() => return ShutdownSignal::FastShutdown,
        }
        self.life.enter(Phase::Stopping);
        if !self.shutdown_delay.is_zero() {
            let delay_s = self.shutdown_delay.as_secs_f64();
            tracing::info!(
                delay_s,
                "told to stop; clients are accepted until shutdown_delay is over"
            );
        }
        tokio::select! {
            () = sleep(self.shutdown_delay) => ShutdownSignal::GracefulTerminate,
            _ = terminate.recv() => ShutdownSignal::GracefulTerminate,
            _ = interrupt.recv() => ShutdownSignal::GracefulTerminate,
            () = at_once.cancelled() => ShutdownSignal::FastShutdown,
        }
    }
}

/// Tells of a SIGQUIT, and ends the process if nobody else does. Pingora joins its threads, and one that stands
/// still, as in a write to a log that takes nothing, would never end.
async fn end_at_once(mut quit: Signal, at_once: CancellationToken) {
    if quit.recv().await.is_none() {
        return;
    }
    at_once.cancel();
    sleep(LAST_WORDS).await;
    exit();
}

/// Returns when the terminal that this process was started on is gone, which a SIGHUP says too.
async fn terminal_gone(hangup: &mut Signal) {
    if !io::stdin().is_terminal() {
        std::future::pending::<()>().await;
    }
    while hangup.recv().await.is_some() && io::stdin().is_terminal() {}
}

/// Returns at the next SIGTERM or SIGINT after this call, which is within a runtime; never where signals
/// cannot be waited for.
pub(crate) fn told_to_stop() -> impl Future<Output = ()> + Send + 'static {
    let handlers = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = handlers else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
