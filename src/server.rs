//! The server: builds all parts from the configuration and runs them.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use tokio::runtime::Runtime;

use crate::backend::understanding::warn_of_power;
use crate::backend::{HttpStore, Store, Understanding};
use crate::config::{self, Addressing, Backend, Config, RegisterKind, Sources};
use crate::descriptors;
use crate::embedded::{self, EmbeddedError};
use crate::gate::Gate;
use crate::lifecycle::drain::{self, Drain};
use crate::lifecycle::handover::HandoverClient;
pub use crate::lifecycle::handover::HandoverError;
use crate::lifecycle::listener::ListeningSocket;
use crate::lifecycle::signals;
use crate::lifecycle::upgrade::{NotOpened, Upgrade};
use crate::marker::{Marker, MarkerError};
use crate::proxy::{Door, Lasting, LiveProxy, Reconfigurable, gate_settings};
use crate::register::identity::{Identified, RegisterId};
use crate::register::memory::MemoryRegister;
use crate::register::redis::RedisRegister;
use crate::register::{Register, RegisterError, Status};
use crate::reload::{Reconfigure, Reloader};
use crate::sigv4::{Credential, SigningKeys};

/// Why the proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refused a runtime or a socket.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
    /// The listen address.
    #[error("cannot listen on {0}: {1}. Choose another with listen = \"…\" or --listen")]
    Listen(SocketAddr, std::io::Error),
    /// The upgrade socket.
    #[error("no process could take over from this one: upgrade_socket {0} cannot be opened: {1}")]
    UpgradeSocket(std::path::PathBuf, std::io::Error),
    /// The upgrade.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The store.
    #[error(
        "the store at {0} cannot be used: {1}. Check backend.url and that the store is running"
    )]
    Backend(String, String),
    /// The register.
    #[error("{0}. Check register.url")]
    Register(#[from] RegisterError),
    /// An operator's command needs a marker, and none is configured.
    #[error("register.marker is not set: there is nothing to adopt")]
    NoMarker,
    /// The register is not this store's.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// The store in this process.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
}

/// A proxy that is about to serve.
#[derive(Debug)]
pub struct Started {
    /// Where it listens.
    pub listening: SocketAddr,
    /// The register's status.
    pub register: Status,
}

/// How a process is started.
pub struct Start {
    /// Whether this process takes over the listening socket from the running process.
    pub upgrade: bool,
    /// Where its configuration was read, and is read again at each reload.
    pub sources: Sources,
    /// What takes new settings at a reload beside the parts of the server.
    pub parts: Vec<Box<dyn Reconfigure>>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("upgrade", &self.upgrade).finish_non_exhaustive()
    }
}

/// Serves until a signal to stop. `ready` is called once, when clients are served.
///
/// # Errors
/// Everything that makes serving impossible is found before the first client is accepted.
pub fn run(
    mut config: Config,
    Start { upgrade, sources, mut parts }: Start,
    ready: impl FnOnce(&Started) + Send + 'static,
) -> Result<(), StartError> {
    descriptors::raise_limit();
    let (socket, predecessor) =
        if upgrade { taken_over(&config)? } else { (bound(config.listen)?, None) };
    // Lives longer than Pingora's own runtimes: the store in this process and the end of the work
    // run here.
    let background = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(if config.embedded.is_some() { config.worker_threads() } else { 1 })
        .thread_name("background")
        .enable_all()
        .build()?;
    let as_read = config.clone();
    serve_embedded(&background, &mut config)?;
    let Opened { mut register, looked_at, status } = opened_register(&background, &config)?;
    let keys = Arc::new(SigningKeys::default());
    let store = Arc::new(background.block_on(reachable_store(&config, Arc::clone(&keys)))?);
    if let Some(marker) = marker(&config, looked_at, Arc::clone(&store) as _) {
        let watch = background.block_on(marker.begin())?;
        register = watch.guard(register);
        background.spawn(watch.keep(watch_pause(&config)));
    }
    let understanding =
        Understanding::new(config.backend.subresources, config.register.marker.clone());
    background.block_on(look_at_store(&config, &understanding, Arc::clone(&keys)));
    let lasting = Lasting::new(&config, Arc::clone(&register), (store, understanding), keys);
    let live = LiveProxy::new(lasting.proxy(&config));

    let reclaiming = live.current().gate.reclaiming();
    let mut server = Server::new_with_opt_and_conf(None, server_conf(&config)?);
    server.bootstrap();
    parts.push(Box::new(Reconfigurable::new(lasting, live.clone())));
    let reloader = Arc::new(Reloader::new(sources, as_read, parts));
    let door = Door::new(live, &server.configuration);
    let connections = door.connections();
    background.spawn(descriptors::watch(socket.shared()?));
    socket.listen().map_err(|error| StartError::Listen(config.listen, error))?;
    let listening = socket.address();
    let at = config.upgrade_socket.clone();
    let upgrade = Upgrade::new(&background, at, &socket, predecessor, connections.clone())
        .map_err(|NotOpened { path, error }| StartError::UpgradeSocket(path, error))?;
    let handed_over = upgrade.handed_over();
    let service = socket.given_to(Service::new("proxy".to_owned(), door));
    let accepting_ended = service.accepting_ended();
    server.add_service(service);

    background.spawn(reloader.at_each(signals::hangups(&background)?));
    let args = signals::run_args(&background, handed_over.clone())?;
    let started = Started { listening, register: status };
    let drain = Drain {
        connections,
        reclaiming,
        accepting_ended,
        handed_over,
        upgrade: background.spawn(upgrade.run(listening, move || ready(&started))),
        register: Arc::clone(&register),
    };
    drain::spawn(&background, &server, drain);
    server.run(args);
    if let Err(error) = background.block_on(register.close()) {
        tracing::warn!(%error, "the register was not closed");
    }
    Ok(())
}

fn bound(listen: SocketAddr) -> Result<ListeningSocket, StartError> {
    ListeningSocket::bind(listen).map_err(|error| StartError::Listen(listen, error))
}

/// Takes over the listening socket of the running process. Nothing else has been started by then.
///
/// Where no process answers at the upgrade socket, and none listens at the address, there is
/// nothing to take over: a supervisor may restart a crashed process with the same arguments.
fn taken_over(config: &Config) -> Result<(ListeningSocket, Option<HandoverClient>), StartError> {
    if let RegisterKind::Memory { .. } = config.register.kind {
        return Err(HandoverError::InProcess("the register in memory").into());
    }
    let (listen, at) = (config.listen, config.upgrade_socket.as_ref());
    let at = at.ok_or(HandoverError::NoSocket)?;
    let no_process = match HandoverClient::claim(&at.path, listen) {
        Ok((socket, inheritance)) => return Ok((socket, Some(inheritance))),
        Err(error) if error.no_process_waits() && listen.port() != 0 => error,
        Err(error) => return Err(error.into()),
    };
    match bound(listen) {
        Err(StartError::Listen(_, why)) if why.kind() == ErrorKind::AddrInUse => {
            Err(no_process.into())
        }
        bound => {
            let socket = bound?;
            let path = at.path.display();
            tracing::warn!(%listen, %path, "nothing to take over: no process listens there; this process is the first");
            Ok((socket, None))
        }
    }
}

/// The register, found fit for use. A register in Redis is watched from the background runtime. Its
/// connections are opened in the runtime that uses them; otherwise every step would change threads.
fn opened_register(background: &Runtime, config: &Config) -> Result<Opened, StartError> {
    let RegisterKind::Redis(redis) = &config.register.kind else {
        let looked_at = open(config)?;
        let register = Arc::clone(&looked_at.register);
        let status = background.block_on(register.check())?;
        return Ok(Opened { register, looked_at, status });
    };
    let watched = Arc::new(RedisRegister::connect(redis, &config.register.terms)?);
    let status = background.block_on(watched.check())?;
    let register = Arc::new(watched.apart());
    let looked_at = Handles::of(Arc::clone(&watched));
    let pause = watch_pause(config);
    background.spawn(async move { watched.keep_watch(pause).await });
    Ok(Opened { register, looked_at, status })
}

/// A register, found fit for use.
struct Opened {
    /// The one that serves.
    register: Arc<dyn Register>,
    /// The same one, for use in the background runtime.
    looked_at: Handles,
    status: Status,
}

/// A register, by its traits.
struct Handles {
    register: Arc<dyn Register>,
    identified: Arc<dyn Identified>,
}

impl Handles {
    fn of<R: Register + Identified + 'static>(register: Arc<R>) -> Self {
        Self { register: Arc::clone(&register) as _, identified: register }
    }
}

/// How often the register is surveyed while no writes come.
fn watch_pause(config: &Config) -> Duration {
    config.register.terms.lease / 3
}

/// The configured marker; it has a gate of its own.
fn marker(config: &Config, register: Handles, store: Arc<dyn Store>) -> Option<Marker> {
    let name = config.register.marker.clone()?;
    let Handles { register, identified } = register;
    let gate = Gate::new(Arc::clone(&register), Arc::clone(&store), gate_settings(config));
    Some(Marker::new(name, register, identified, store, gate))
}

/// Gives the configured register, which has no id, the id in the marker.
///
/// # Errors
/// When it has another id, or the register or the marker cannot be read.
pub async fn adopt_register(config: &Config) -> Result<(RegisterId, bool), StartError> {
    let register = open(config)?;
    register.register.check().await?;
    let store = reachable_store(config, Arc::new(SigningKeys::default())).await?;
    let marker = marker(config, register, Arc::new(store)).ok_or(StartError::NoMarker)?;
    Ok(marker.adopt().await?)
}

/// The register as configured.
///
/// # Errors
/// When the in-memory register's lock file is held or cannot be opened.
pub async fn open_register(config: &Config) -> Result<Arc<dyn Register>, RegisterError> {
    Ok(open(config)?.register)
}

fn open(config: &Config) -> Result<Handles, RegisterError> {
    Ok(match &config.register.kind {
        RegisterKind::Memory { lock_file } => {
            Handles::of(Arc::new(MemoryRegister::open(lock_file, config.register.terms)?))
        }
        RegisterKind::Redis(redis) => {
            Handles::of(Arc::new(RedisRegister::connect(redis, &config.register.terms)?))
        }
    })
}

/// Starts the store in this process, if there is one, and puts its address into the configuration.
fn serve_embedded(background: &Runtime, config: &mut Config) -> Result<(), StartError> {
    let Some(dir) = config.embedded.clone() else { return Ok(()) };
    let credential = Credential {
        access_key_id: config.backend.access_key_id.clone(),
        secret: config.backend.secret_access_key.clone(),
        session_token: None,
    };
    // It serves as long as the background runtime lives.
    let forever = std::future::pending();
    let fsync = config.embedded_store.fsync;
    let options = embedded::Options { fsync, ..embedded::Options::default() };
    let store = background.block_on(embedded::serve(dir, &credential, options, forever))?;
    config.backend.url.port = store.addr.port();
    Ok(())
}

async fn reachable_store(config: &Config, keys: Arc<SigningKeys>) -> Result<HttpStore, StartError> {
    let shown = config.backend.url.to_string();
    let store = HttpStore::new(&config.backend, config.register.terms.settle, keys)
        .await
        .map_err(|error| StartError::Backend(shown.clone(), error.to_string()))?;
    store.probe().await.map_err(|why| StartError::Backend(shown, why))?;
    Ok(store)
}

/// Looks at what the store understands and at the power of the proxy's credential, over connections
/// of its own: connections for serving belong to the runtime that uses them.
async fn look_at_store(config: &Config, understanding: &Understanding, keys: Arc<SigningKeys>) {
    let settle = config.register.terms.settle;
    // An administration interface is not a bucket, so its name is not put into the host.
    let by_path = Backend { addressing: Addressing::Path, ..config.backend.clone() };
    let opened = tokio::join!(
        HttpStore::new(&config.backend, settle, Arc::clone(&keys)),
        HttpStore::new(&by_path, settle, keys)
    );
    match opened {
        (Ok(store), Ok(by_path)) => {
            tokio::join!(understanding.look(&store), warn_of_power(&by_path));
        }
        (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "the store was not looked at"),
    }
}

fn server_conf(config: &Config) -> Result<ServerConf, StartError> {
    let Backend { url, ca_file, .. } = &config.backend;
    let ca_file = config::certificates(url.https, ca_file.as_deref())
        .map_err(|why| StartError::Backend(url.to_string(), format!("backend.ca_file {why}")))?;
    Ok(ServerConf {
        threads: config.worker_threads(),
        upstream_keepalive_pool_size: config.backend.connections,
        ca_file,
        grace_period_seconds: Some(drain::NEVER.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    })
}

#[cfg(test)]
#[cfg(feature = "embedded")]
#[path = "server_tests.rs"]
mod tests;
