//! A proxy in this process beside other work: for a command that asks it, and for as long as that does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use pingora::server::{RunArgs, ShutdownSignal, ShutdownSignalWatch};
use tokio_util::sync::CancellationToken;

use super::{
    Observed, StartError, background_runtime, bootstrapped, closed, handshakes, listen_at_all,
    listeners, looked_at_store, opened_register, opened_store, serve_by, served_register,
};
use crate::config::{Client, Config, RegisterKind, Signatures, Traces};
use crate::lifecycle::listener::ListeningSocket;
use crate::lifecycle::workers::Workers;
use crate::proxy::{Door, Lasting, LiveProxy};
use crate::sigv4::SigningKeys;

/// A proxy that serves on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Beside {
    /// Where it serves.
    pub address: SocketAddr,
    ended: CancellationToken,
    thread: Option<JoinHandle<()>>,
    /// Holds the lock file of its register.
    _directory: tempfile::TempDir,
}

impl Beside {
    /// Starts a proxy for this client alone, in front of the configured store. Its register is in this
    /// process and forgets all at the end. Rules do not apply, and nothing is logged of requests. Blocks
    /// until it serves.
    ///
    /// # Errors
    /// As for [`super::run`].
    pub fn start(config: &Config, client: Client) -> Result<Self, StartError> {
        let directory = tempfile::tempdir()?;
        let mut config = config.clone();
        config.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        config.tls.listen = Vec::new();
        config.register.kind =
            RegisterKind::Memory { lock_file: directory.path().join("register.lock") };
        config.register.marker = None;
        config.rules = Vec::new();
        config.signatures = Signatures::Resign;
        config.anonymous = None;
        config.clients = vec![client];
        config.traces = Traces::default();
        // Nobody looks at it.
        config.admin.listen = None;
        let (told, ready) = mpsc::channel();
        let ended = CancellationToken::new();
        let until = ended.clone();
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            let serving = told.clone();
            if let Err(error) = serve(&config, until, move |address| tell(&serving, Ok(address))) {
                tell(&told, Err(error));
            }
        })?;
        let address = ready.recv().map_err(|_| StartError::NoAddress)??;
        Ok(Self { address, ended, thread: Some(thread), _directory: directory })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.ended.cancel();
        if let Some(thread) = self.thread.take() {
            // What it would tell is told already.
            let _ = thread.join();
        }
    }
}

/// Nobody listens any more where the command has ended meanwhile.
fn tell(told: &mpsc::Sender<Result<SocketAddr, StartError>>, what: Result<SocketAddr, StartError>) {
    let _ = told.send(what);
}

/// Serves until the token is cancelled.
fn serve(
    config: &Config,
    until: CancellationToken,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), StartError> {
    let sockets = config.listen.iter().map(|address| {
        ListeningSocket::bind(*address).map_err(|error| StartError::Listen(*address, error))
    });
    let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
    let background = background_runtime(config)?;
    let observed = Observed::begin(&background, config).map_err(StartError::Traces)?;
    let opened = opened_register(&background, config, &observed)?;
    let keys = Arc::new(SigningKeys::default());
    let (store, _) = opened_store(&background, config, &keys, &observed)?;
    let register = served_register(&background, config, opened, &store, &observed)?;
    // Its lock file is new: no writer came before it.
    background.block_on(register.skip_quarantine())?;
    let understanding = background.block_on(looked_at_store(config, &store));
    let store = (store, understanding);
    let lasting = Lasting::new(config, Arc::clone(&register), store, keys, observed.watchers());
    let live = LiveProxy::new(lasting.proxy(config));
    let mut server = bootstrapped(config);
    let door = Door::new(live, handshakes(None, &listeners(config, &sockets), &observed));
    let address = listen_at_all(&background, &sockets)?;
    serve_by(Workers::new(config.worker_threads()), &mut server, (door, sockets));
    ready(address);
    server.run(RunArgs { shutdown_signal: Box::new(Until(Mutex::new(Some(until)))) });
    background.block_on(closed(&*register, &observed.tracer));
    Ok(())
}

/// Ends the server with the command, and at no signal: the command has work left after one.
struct Until(Mutex<Option<CancellationToken>>);

#[async_trait]
impl ShutdownSignalWatch for Until {
    async fn recv(&self) -> ShutdownSignal {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match until {
            Some(until) => until.cancelled().await,
            // Pingora asks only once.
            None => std::future::pending().await,
        }
        ShutdownSignal::FastShutdown
    }
}
