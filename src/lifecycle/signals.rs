//! Signals of the operating system, and the end of an upgrade, which has the effect of a signal:
//! another process serves in place of this one.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pingora::server::{RunArgs, ShutdownSignal, ShutdownSignalWatch};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::service_manager::ServiceManager;
use crate::reload::Reloader;

/// SIGTERM and SIGINT end the process in good order; a second one of either ends it at once, and so
/// does SIGQUIT. After a handover, and without its terminal, the process ends in good order too.
struct Signals {
    awaited: Mutex<Option<Awaited>>,
    handed_over: CancellationToken,
}

/// The signal handlers. They are installed before the first client is served: otherwise a signal
/// that comes before Pingora waits for it would kill the process.
struct Awaited {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Awaited {
    /// Must be called within a runtime.
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Awaited { mut terminate, mut interrupt, mut quit, mut hangup }) = awaited else {
            // Pingora asks only once.
            return std::future::pending().await;
        };
        tokio::select! {
            () = self.handed_over.cancelled() => ShutdownSignal::GracefulTerminate,
            _ = terminate.recv() => ShutdownSignal::GracefulTerminate,
            _ = interrupt.recv() => ShutdownSignal::GracefulTerminate,
            () = terminal_gone(&mut hangup) => ShutdownSignal::GracefulTerminate,
            _ = quit.recv() => ShutdownSignal::FastShutdown,
        }
    }
}

/// The arguments for Pingora's server. From here on signals are handled.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn run_args(
    background: &Runtime,
    handed_over: CancellationToken,
) -> io::Result<RunArgs> {
    let _runtime = background.enter();
    let awaited = Mutex::new(Some(Awaited::install()?));
    Ok(RunArgs { shutdown_signal: Box::new(Signals { awaited, handed_over }) })
}

/// From here on each SIGHUP reloads the configuration. Before, one ends the process.
///
/// # Errors
/// When the handler cannot be installed.
pub(crate) fn reload_at_hangups(
    background: &Runtime,
    reloader: Arc<Reloader>,
    manager: ServiceManager,
) -> io::Result<()> {
    let _runtime = background.enter();
    let mut hangups = signal(SignalKind::hangup())?;
    background.spawn(async move {
        while hangups.recv().await.is_some() {
            manager.reloading();
            reloader.reopen_files();
            reloader.reload_and_tell().await;
            manager.ready();
        }
    });
    Ok(())
}

/// Returns when the terminal that this process was started on is gone, which a SIGHUP says too.
async fn terminal_gone(hangup: &mut Signal) {
    if !io::stdin().is_terminal() {
        std::future::pending::<()>().await;
    }
    while hangup.recv().await.is_some() && io::stdin().is_terminal() {}
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
