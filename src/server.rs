//! The server: builds all parts from the configuration and runs them.

pub mod beside;
mod certificates;
mod observed;
mod probed;
mod traced;

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Commands, StoreCheck};
use crate::backend::understanding::warn_of_power;
use crate::backend::{HttpStore, NO_CA_FILE, Store, Understanding};
use crate::config::{Addressing, Config, RegisterKind, Sources};
use crate::descriptors;
use crate::embedded::{self, EmbeddedError};
use crate::gate::Gate;
use crate::lifecycle::connections::ConnectionTracker;
use crate::lifecycle::drain::{self, Drain};
use crate::lifecycle::handover::HandoverClient;
pub use crate::lifecycle::handover::HandoverError;
use crate::lifecycle::listener::ListeningSocket;
use crate::lifecycle::memory;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::service_manager::ServiceManager;
use crate::lifecycle::signals::{Awaited, Ends};
use crate::lifecycle::upgrade::{NotOpened, Upgrade};
use crate::lifecycle::workers::{Acceptor, Workers};
use crate::marker::{Marker, MarkerError};
use crate::metrics::Metrics;
use crate::proxy::{Door, Handshakes, Lasting, LiveProxy, Reconfigurable, gate_settings};
use crate::register::identity::{Identified, RegisterId};
use crate::register::memory::MemoryRegister;
use crate::register::metered::Metered;
use crate::register::redis::RedisRegister;
use crate::register::{Register, RegisterError, Status};
use crate::reload::{Reconfigure, Reloader};
use crate::sigv4::{Credential, SigningKeys};
use crate::tls::{FileFault, Reload, ServerTls};
use crate::traces::Tracer;
use certificates::{in_use, reloaded};
use observed::{Observed, admin_socket};
pub use probed::NotServing;
use probed::not_to_serve;

/// Why the proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refused a runtime or a socket.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
    /// A listen address.
    #[error(
        "cannot listen on {0}: {1}. Choose another with listen = \"…\" or --listen, or tls.listen"
    )]
    Listen(SocketAddr, std::io::Error),
    /// There is none.
    #[error("there is no address to listen on: set listen or tls.listen")]
    NoAddress,
    /// A certificate.
    #[error("tls.{0}")]
    Tls(#[from] FileFault),
    /// The authorities of the collector of traces.
    #[error("traces.{0}")]
    Traces(FileFault),
    /// The upgrade socket.
    #[error("no process could take over from this one: upgrade_socket {0} cannot be opened: {1}")]
    UpgradeSocket(std::path::PathBuf, std::io::Error),
    /// The admin listener's address.
    #[error(transparent)]
    Admin(#[from] admin::NotBound),
    /// The upgrade.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The store.
    #[error("the store at {0} cannot be used: {1}")]
    Backend(String, String),
    /// The store was asked, or could not be, whether it does what is configured.
    #[error(transparent)]
    Probed(#[from] NotServing),
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
    /// Where it listens; at least one address, those without TLS first.
    pub listening: Vec<Listener>,
    /// The register's status.
    pub register: Status,
}

/// An address where clients connect.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// Whether connections begin by TLS.
    pub tls: bool,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }
}

/// How a process is started.
pub struct Start {
    /// Whether this process takes over the listening socket from the running process.
    pub upgrade: bool,
    /// Where its configuration was read, and is read again at each reload.
    pub sources: Sources,
    /// What takes new settings at a reload beside the parts of the server.
    pub parts: Vec<Box<dyn Reconfigure>>,
    /// Changes what is logged.
    pub set_log_level: admin::SetLogLevel,
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
    Start { upgrade, sources, mut parts, set_log_level }: Start,
    ready: impl FnOnce(&Started) + Send + 'static,
) -> Result<(), StartError> {
    descriptors::raise_limit();
    let (sockets, predecessor) = opened_sockets(&config, upgrade)?;
    let tls = config.server_tls().map(ServerTls::open).transpose()?.map(Arc::new);
    let background = background_runtime(&config)?;
    let as_read = config.clone();
    serve_embedded(&background, &mut config)?;
    let admin_socket = admin_socket(&background, &config, predecessor.is_some())?;
    let observed = Observed::begin(&background, &config).map_err(StartError::Traces)?;
    let opened = opened_register(&background, &config, &observed)?;
    let (status, redis) = (opened.status.clone(), opened.tls.clone());
    let watched = Arc::clone(&opened.looked_at.register);
    let keys = Arc::new(SigningKeys::default());
    let (store, store_check) = opened_store(&background, &config, &keys, &observed)?;
    let register = served_register(&background, &config, opened, &store, &observed)?;
    let understanding = background.block_on(looked_at_store(&config, &store));
    let users = [tls.clone().map(|tls| tls as _), Some(Arc::clone(&store) as _), redis];
    let certificates = in_use(&background, &config, users, &observed.metrics);
    let (watchers, store) = (observed.watchers(), (store, understanding));
    let lasting = Lasting::new(&config, Arc::clone(&register), store, keys, watchers);
    let live = LiveProxy::new(lasting.proxy(&config));

    let reclaiming = live.current().gate.reclaiming();
    let mut server = bootstrapped(&config);
    parts.push(Box::new(Reconfigurable::new(lasting, live.clone())));
    parts.extend(reloaded(tls.as_ref(), &certificates).into_iter().chain(observed.reconfigured()));
    let reloader = Arc::new(Reloader::new(sources, as_read, parts));
    let listening = listeners(&config, &sockets);
    let door = Door::new(live.clone(), handshakes(tls, &listening, &observed));
    let connections = door.connections();
    let commands = Commands { set_log_level, reloader: Arc::clone(&reloader) };
    let levels = observed.levels(live, connections.clone());
    let admin = observed.admin(&config, levels, (store_check, commands, certificates));
    background.spawn(admin::listener::serve_at(admin_socket, admin));
    let mut signals = Awaited::install(&background)?;
    // Nothing waits behind it: the process that this one replaces serves on.
    let closing = closed(&*register, &observed.tracer);
    if let Some(ended) = not_to_serve(&background, &config, &observed, (&mut signals, closing)) {
        return Ok(ended?);
    }
    let first = listen_at_all(&background, &sockets)?;
    let upgraded = predecessor.is_some();
    let upgrade = opened_upgrade(&background, &config, &sockets, (predecessor, &connections))?;
    let ends = Ends::new(upgrade.handed_over());
    let workers = Workers::new(config.worker_threads());
    let serving = workers.runtimes();
    let accepting_ended = serve_by(workers, &mut server, (door, sockets));

    let manager = ServiceManager::new(upgraded, ends.handed_over.clone());
    manager.begin(&background, watched, serving);
    signals.reload_at_hangups(&background, reloader, manager.clone());
    let (life, delay) = (observed.life, config.shutdown_delay);
    let args = signals.run_args(ends.clone(), life.clone(), delay);
    let started = Started { listening, register: status };
    let told = manager.clone();
    let ready = move || {
        life.enter(Phase::Serving);
        ready(&started);
        told.ready();
    };
    let drain = Drain {
        connections,
        reclaiming,
        accepting_ended,
        ends,
        upgrade: background.spawn(upgrade.run(first, ready)),
        manager,
        register: Arc::clone(&register),
        tracer: observed.tracer.clone(),
    };
    drain::spawn(&background, &server, drain);
    server.run(args);
    background.block_on(closed(&*register, &observed.tracer));
    Ok(())
}

/// The side of an upgrade that takes over, and later hands over.
fn opened_upgrade(
    background: &Runtime,
    config: &Config,
    sockets: &[ListeningSocket],
    (predecessor, connections): (Option<HandoverClient>, &ConnectionTracker),
) -> Result<Upgrade, StartError> {
    let at = config.upgrade_socket.clone();
    Upgrade::new(background, at, sockets, predecessor, connections.clone())
        .map_err(|NotOpened { path, error }| StartError::UpgradeSocket(path, error))
}

/// Has these workers serve the connections at these sockets. Returns what is cancelled when the last
/// one was accepted.
fn serve_by(
    workers: Workers,
    server: &mut Server,
    (door, sockets): (Door, Vec<ListeningSocket>),
) -> CancellationToken {
    for worker in workers.services() {
        server.add_service(worker);
    }
    let acceptor = Acceptor::new(door, sockets, workers);
    let accepting_ended = acceptor.accepting_ended();
    server.add_service(acceptor);
    accepting_ended
}

/// Closes the register at the end of the process, and sends the last traces.
async fn closed(register: &dyn Register, tracer: &Tracer) {
    if let Err(error) = register.close().await {
        tracing::warn!(%error, "the register was not closed");
    }
    tracer.flush().await;
}

/// Lives longer than Pingora's own runtimes: the store in this process and the end of the work run
/// here.
fn background_runtime(config: &Config) -> std::io::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(if config.embedded.is_some() { config.worker_threads() } else { 1 })
        .thread_name("background")
        .enable_all()
        .build()?;
    runtime.spawn(memory::give_back());
    Ok(runtime)
}

/// From now on connections wait instead of being refused. Returns the first address.
fn listen_at_all(
    background: &Runtime,
    sockets: &[ListeningSocket],
) -> Result<SocketAddr, StartError> {
    let first = sockets.first().ok_or(StartError::NoAddress)?;
    background.spawn(descriptors::watch(first.shared()?));
    for socket in sockets {
        socket.listen().map_err(|error| StartError::Listen(socket.address(), error))?;
    }
    Ok(first.address())
}

/// The listening sockets, and with `upgrade` the process that they were taken over from.
fn opened_sockets(
    config: &Config,
    upgrade: bool,
) -> Result<(Vec<ListeningSocket>, Option<HandoverClient>), StartError> {
    if upgrade { taken_over(config) } else { Ok((bound(&config.addresses(), Vec::new())?, None)) }
}

/// A socket for each address: one of those that were inherited, or a new one.
fn bound(
    listen: &[SocketAddr],
    mut inherited: Vec<ListeningSocket>,
) -> Result<Vec<ListeningSocket>, StartError> {
    let socket = |address: &SocketAddr| {
        if let Some(at) = inherited.iter().position(|socket| socket.is_for(*address)) {
            return Ok(inherited.swap_remove(at));
        }
        ListeningSocket::bind(*address).map_err(|error| StartError::Listen(*address, error))
    };
    listen.iter().map(socket).collect()
}

/// The addresses of these sockets, which are in the order of the configuration.
fn listeners(config: &Config, sockets: &[ListeningSocket]) -> Vec<Listener> {
    let plain = config.listen.len();
    let address = sockets.iter().map(ListeningSocket::address).enumerate();
    address.map(|(number, address)| Listener { address, tls: number >= plain }).collect()
}

fn handshakes(
    tls: Option<Arc<ServerTls>>,
    listening: &[Listener],
    observed: &Observed,
) -> Handshakes {
    let of = |tls: bool| {
        let those = listening.iter().filter(|listener| listener.tls == tls);
        those.map(|listener| listener.address).collect::<Vec<_>>()
    };
    Handshakes::new(tls, &of(false), &of(true), Arc::clone(&observed.metrics))
}

/// Takes over the listening sockets of the running process. Nothing else has been started by then.
/// Addresses that are new are bound.
///
/// Where no process answers at the upgrade socket, and none listens at the address, there is
/// nothing to take over: a supervisor may restart a crashed process with the same arguments.
fn taken_over(
    config: &Config,
) -> Result<(Vec<ListeningSocket>, Option<HandoverClient>), StartError> {
    if let RegisterKind::Memory { .. } = config.register.kind {
        return Err(HandoverError::InProcess("the register in memory").into());
    }
    let (listen, at) = (config.addresses(), config.upgrade_socket.as_ref());
    let at = at.ok_or(HandoverError::NoSocket)?;
    let are_known = listen.iter().all(|address| address.port() != 0);
    let no_process = match HandoverClient::claim(&at.path, &listen) {
        Ok((inherited, predecessor)) => {
            return Ok((bound(&listen, inherited)?, Some(predecessor)));
        }
        Err(error) if error.no_process_waits() && are_known => error,
        Err(error) => return Err(error.into()),
    };
    match bound(&listen, Vec::new()) {
        Err(StartError::Listen(_, why)) if why.kind() == ErrorKind::AddrInUse => {
            Err(no_process.into())
        }
        bound => {
            let sockets = bound?;
            let path = at.path.display();
            tracing::warn!(?listen, %path, "nothing to take over: no process listens there; this process is the first");
            Ok((sockets, None))
        }
    }
}

/// The register, found fit for use. A register in Redis is watched from the background runtime. Its
/// connections are opened in the runtime that uses them; otherwise every step would change threads.
fn opened_register(
    background: &Runtime,
    config: &Config,
    observed: &Observed,
) -> Result<Opened, StartError> {
    let (pause, surveyed) = (watch_pause(config), observed.surveyed());
    let RegisterKind::Redis(redis) = &config.register.kind else {
        let looked_at = open(config)?;
        let register = Arc::clone(&looked_at.register);
        let status = background.block_on(register.check())?;
        surveyed(Ok(status.clone()));
        let watched = Arc::clone(&register);
        background.spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                surveyed(watched.check().await);
            }
        });
        return Ok(Opened { register, looked_at, status, tls: None });
    };
    let metrics = Arc::clone(&observed.metrics);
    let watched = Arc::new(RedisRegister::counted(redis, &config.register.terms, metrics)?);
    let status = background.block_on(watched.check())?;
    surveyed(Ok(status.clone()));
    let register = Arc::new(watched.apart());
    let looked_at = Handles::of(Arc::clone(&watched));
    let tls = Some(Arc::clone(&register) as _);
    background.spawn(async move { watched.keep_watch(pause, surveyed).await });
    Ok(Opened { register, looked_at, status, tls })
}

/// The register as the proxy uses it: guarded by the marker, if there is one, and counted.
fn served_register(
    background: &Runtime,
    config: &Config,
    Opened { mut register, looked_at, .. }: Opened,
    store: &Arc<HttpStore>,
    observed: &Observed,
) -> Result<Arc<dyn Register>, StartError> {
    if let Some(marker) = marker(config, looked_at, Arc::clone(store) as _, observed) {
        let watch = background.block_on(marker.begin())?;
        register = watch.guard(register);
        background.spawn(watch.keep(watch_pause(config)));
    }
    let (metrics, standing) = (Arc::clone(&observed.metrics), Arc::clone(&observed.standing));
    Ok(Arc::new(Metered::new(register, metrics, standing)))
}

/// A register, found fit for use.
struct Opened {
    /// The one that serves.
    register: Arc<dyn Register>,
    /// The same one, for use in the background runtime.
    looked_at: Handles,
    status: Status,
    /// Its certificates, where it is in Redis.
    tls: Option<Arc<dyn Reload>>,
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
fn marker(
    config: &Config,
    register: Handles,
    store: Arc<dyn Store>,
    observed: &Observed,
) -> Option<Marker> {
    let name = config.register.marker.clone()?;
    let Handles { register, identified } = register;
    let gate = Gate::new(Arc::clone(&register), Arc::clone(&store), gate_settings(config))
        .counted_by(Arc::clone(&observed.metrics));
    Some(Marker::new(name, register, identified, store, gate))
}

/// Gives the configured register, which has no id, the id in the marker.
///
/// # Errors
/// When it has another id, or the register or the marker cannot be read.
pub async fn adopt_register(config: &Config) -> Result<(RegisterId, bool), StartError> {
    let register = open(config)?;
    register.register.check().await?;
    let store = reachable_store(config, Arc::default(), Arc::default()).await?;
    let marker = marker(config, register, Arc::new(store), &Observed::default());
    let marker = marker.ok_or(StartError::NoMarker)?;
    Ok(marker.adopt().await?)
}

/// Fails where a marker is configured that does not name the configured register.
///
/// # Errors
/// As above.
pub async fn confirm_register(config: &Config) -> Result<(), StartError> {
    let store = reachable_store(config, Arc::default(), Arc::default()).await?;
    match marker(config, open(config)?, Arc::new(store), &Observed::default()) {
        Some(marker) => Ok(marker.confirm().await?),
        None => Ok(()),
    }
}

/// The store as configured, which was asked whether it accepts the credential: for a command.
///
/// # Errors
/// When it cannot be reached, or does not.
pub async fn open_store(config: &Config) -> Result<HttpStore, StartError> {
    reachable_store(config, Arc::default(), Arc::default()).await
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

/// The store, whose nodes are checked from now on, and a check of it for the admin listener.
fn opened_store(
    background: &Runtime,
    config: &Config,
    keys: &Arc<SigningKeys>,
    observed: &Observed,
) -> Result<(Arc<HttpStore>, StoreCheck), StartError> {
    let store = reachable_store(config, Arc::clone(keys), Arc::clone(&observed.metrics));
    let store = background.block_on(store)?;
    background.spawn(store.apart(config.backend.addressing).watch());
    let check = store_check(config, &store);
    Ok((Arc::new(store), check))
}

/// Asks the store over a connection of its own: those for serving belong to the runtime that uses
/// them.
fn store_check(config: &Config, store: &HttpStore) -> StoreCheck {
    let shown = config.backend.show();
    let asking = Arc::new(store.apart(config.backend.addressing));
    StoreCheck::new(Box::new(move || {
        let (asking, shown) = (Arc::clone(&asking), shown.clone());
        Box::pin(async move {
            let probed = asking.probe().await;
            probed.map_err(|why| StartError::Backend(shown, why).to_string())
        })
    }))
}

async fn reachable_store(
    config: &Config,
    keys: Arc<SigningKeys>,
    metrics: Arc<Metrics>,
) -> Result<HttpStore, StartError> {
    let shown = config.backend.show();
    let store = HttpStore::new(&config.backend, config.register.terms.settle, keys, metrics)
        .await
        .map_err(|error| StartError::Backend(shown.clone(), error.to_string()))?;
    store.begin().await.map_err(|why| StartError::Backend(shown, why))?;
    Ok(store)
}

/// Looks at what the store understands and at the power of the proxy's credential, over connections
/// of its own: connections for serving belong to the runtime that uses them.
async fn looked_at_store(config: &Config, store: &HttpStore) -> Understanding {
    let understanding =
        Understanding::new(config.backend.subresources, config.register.marker.clone());
    let looking = store.apart(config.backend.addressing);
    // An administration interface is not a bucket, so its name is not put into the host.
    let by_path = store.apart(Addressing::Path);
    tokio::join!(understanding.look(&looking), warn_of_power(&by_path));
    understanding
}

/// Pingora's server, without services.
fn bootstrapped(config: &Config) -> Server {
    let conf = ServerConf {
        // Each service has one thread (lifecycle/workers.rs).
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: config.backend.connections,
        ca_file: Some(NO_CA_FILE.to_owned()),
        grace_period_seconds: Some(drain::NEVER.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    server
}

#[cfg(test)]
#[cfg(feature = "embedded")]
#[path = "server_tests.rs"]
mod tests;
