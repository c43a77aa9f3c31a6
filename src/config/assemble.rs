//! Assembly of the configuration: the sections, their secrets, and the defaults that follow from
//! other values.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::access::{Anonymous, Client};
use super::address::RegisterUrl;
use super::choices::Replicas;
use super::reading::Reading;
use super::schema::{Backend, Body, Config, Limits, Register, RegisterKind, UpgradeSocket};
use crate::descriptors;
use crate::register::redis::{RedisSettings, Topology};

/// All settings. `embedded` is the directory of a store in this process.
pub(super) fn config(reading: &mut Reading, embedded: Option<&Path>) -> Config {
    let mut config: Config = reading.section("");
    config.domains.iter_mut().for_each(|domain| domain.make_ascii_lowercase());
    tls(reading, &mut config);
    config.backend = backend(reading, embedded.is_some());
    config.register = register(reading, &config);
    clock_skew(reading, &mut config);
    if config.upgrade_socket.is_none() && may_be_taken_over(&config, embedded) {
        let user = rustix::process::geteuid().as_raw();
        let directory = std::env::temp_dir().join(format!("ifmatch-{user}"));
        let first = config.addresses().first().map(ToString::to_string).unwrap_or_default();
        let path = directory.join(format!("{first}.sock"));
        let socket = Some(UpgradeSocket { path, written: false });
        let how = "in a directory of this user in the system's temporary one, named after the first \
                   address of listen or tls.listen";
        reading.derive("upgrade_socket", &mut config.upgrade_socket, socket, how);
    }
    config.body = body(reading);
    config.limits = limits(reading);
    config.embedded_store = reading.section("embedded");
    config.log = reading.section("log");
    config.admin = reading.section("admin");
    config.admin.token = reading.secret("admin.token");
    config.traces = reading.section("traces");
    config.traces.headers = reading.secret("traces.headers");
    let rules = reading.overlay.rules;
    config.rules = (1..=rules).map(|number| reading.section(&format!("rule #{number}"))).collect();
    let clients = reading.overlay.clients;
    config.clients = (1..=clients).filter_map(|number| client(reading, number)).collect();
    config.anonymous = reading.section::<Anonymous>("anonymous").rights();
    config.embedded = embedded.map(Path::to_owned);
    config
}

/// Whether upgrades are possible by default. They are not where the register or the store is in
/// this process, nor where the first port, which names the socket, is chosen at start.
fn may_be_taken_over(config: &Config, embedded: Option<&Path>) -> bool {
    let in_redis = matches!(config.register.kind, RegisterKind::Redis(_));
    let named = config.addresses().first().is_some_and(|address| address.port() != 0);
    in_redis && embedded.is_none() && named
}

fn tls(reading: &mut Reading, config: &mut Config) {
    config.tls = reading.section("tls");
    let certificates = 1..=reading.overlay.certificates;
    config.certificates = certificates
        .map(|number| {
            let table = format!("certificate #{number}");
            reading.require(&format!("{table}.cert_file"), "a certificate in PEM form");
            reading.require(&format!("{table}.key_file"), "the certificate's key in PEM form");
            reading.section(&table)
        })
        .collect();
    let listen = if config.tls.listen.is_empty() { Config::default().listen } else { Vec::new() };
    let how = "without TLS clients connect at 127.0.0.1:9000, or nowhere if tls.listen is set";
    reading.derive("listen", &mut config.listen, listen, how);
}

fn backend(reading: &mut Reading, embedded: bool) -> Backend {
    let mut backend: Backend = reading.section("backend");
    if !embedded && !reading.is_written("backend.urls") {
        let reason = "the store to stand in front of, such as \"http://10.0.0.5:3900\"";
        reading.require("backend.url", reason);
    }
    let several = backend.urls.len() > 1;
    let interval = if several { Duration::from_secs(5) } else { Duration::ZERO };
    let how = "5s with several urls; otherwise 0s, no checks";
    reading.derive("backend.health_interval", &mut backend.health_interval, interval, how);
    let reason = "the credential that the store knows this proxy by";
    reading.require("backend.access_key_id", reason);
    let variable = "IFMATCH_BACKEND_SECRET_ACCESS_KEY";
    backend.secret_access_key = reading.required_secret("backend.secret_access_key", variable);
    backend.session_token = reading.session_token("backend.session_token");
    backend.reserved.iter_mut().for_each(|name| name.make_ascii_lowercase());
    backend
}

/// Clocks that are kept by NTP differ by less.
fn clock_skew(reading: &mut Reading, config: &mut Config) {
    let several = config.backend.urls.len() > 1;
    let skew = Duration::from_millis(250).min(config.register.terms.settle);
    let skew = if several { skew } else { Duration::ZERO };
    let how = "250ms with several urls, but not more than register.settle; otherwise 0s";
    reading.derive("backend.clock_skew", &mut config.backend.clock_skew, skew, how);
}

fn register(reading: &mut Reading, config: &Config) -> Register {
    let mut register: Register = reading.section("register");
    register.terms = reading.section("register");
    register.terms.writers = config.writers;
    let lease = register.terms.lease;
    reading.derive("register.margin", &mut register.margin, lease / 2, "half of register.lease");
    let lag = failover_lag(&register.url, lease);
    let how = "0s; half of register.lease with Sentinels, and 15s more in a cluster";
    reading.derive("register.failover_lag", &mut register.terms.failover_lag, lag, how);
    // Each thread has one of its own, up to as many as can be written.
    let connections = config.worker_threads().min(1024);
    let how = "one for each thread (threads)";
    reading.derive("register.connections", &mut register.connections, connections, how);
    if register.url == RegisterUrl::Memory {
        let how = "in the system's temporary directory, named after the store";
        let lock_file = Some(default_lock_file(&config.backend));
        reading.derive("register.lock_file", &mut register.lock_file, lock_file, how);
    }
    register.kind = match redis(reading, &mut register) {
        Some(settings) => RegisterKind::Redis(Box::new(settings)),
        None => RegisterKind::Memory { lock_file: register.lock_file.clone().unwrap_or_default() },
    };
    register
}

/// The connection settings for Redis, where the register is there. Secrets for servers that are not
/// used are not read: `validate` refuses them.
fn redis(reading: &mut Reading, register: &mut Register) -> Option<RedisSettings> {
    let RegisterUrl::Redis { mut topology, tls, database, username, password } =
        register.url.clone()
    else {
        return None;
    };
    match &mut topology {
        Topology::Single { never_promoted, .. } => {
            *never_promoted = register.replicas == Replicas::NeverPromoted;
        }
        Topology::Sentinels(sentinels) => {
            register.sentinel_password = reading.secret("register.sentinel_password");
            sentinels.username.clone_from(&register.sentinel_username);
            sentinels.password.clone_from(&register.sentinel_password);
        }
        Topology::Cluster(_) => {}
    }
    if password.is_none() {
        register.password = reading.secret("register.password");
    }
    Some(RedisSettings {
        topology,
        database,
        username,
        password: password.or_else(|| register.password.clone()),
        tls: tls.then(|| register.tls()),
        namespace: register.namespace.clone(),
        connections: register.connections,
        timeout: register.timeout,
        clock_jump_max: register.margin / 2,
        failover_lag_is_stated: reading.is_written("register.failover_lag"),
    })
}

/// Answers of Sentinels and clusters about their masters are used for half a lease. A cluster with
/// Redis's default settings replaces a master that is cut off within 15 s (cluster-node-timeout).
fn failover_lag(url: &RegisterUrl, lease: Duration) -> Duration {
    match url {
        RegisterUrl::Memory | RegisterUrl::Redis { topology: Topology::Single { .. }, .. } => {
            Duration::ZERO
        }
        RegisterUrl::Redis { topology: Topology::Sentinels(_), .. } => lease / 2,
        RegisterUrl::Redis { topology: Topology::Cluster(_), .. } => {
            lease / 2 + Duration::from_secs(15)
        }
    }
}

/// All processes on one machine in front of the same store must use the same file.
fn default_lock_file(store: &Backend) -> PathBuf {
    let mut nodes: Vec<_> = store.nodes().iter().map(ToString::to_string).collect();
    nodes.sort();
    let hash = hex::encode(&Sha256::digest(nodes.join(" "))[..8]);
    std::env::temp_dir().join(format!("ifmatch-{hash}.lock"))
}

fn body(reading: &mut Reading) -> Body {
    let mut body: Body = reading.section("body");
    let how = "the system's temporary directory";
    reading.derive("body.spool_dir", &mut body.spool_dir, std::env::temp_dir(), how);
    // One body of the largest size always has room, even if half is less.
    let half_of = |all: u64, at_least: u64| (all / 2).max(at_least).min(all);
    let half = half_of(body.memory, body.memory_per_body);
    let how = "half of body.memory, or body.memory_per_body if that is more";
    reading.derive("body.memory_per_client", &mut body.memory_per_client, half, how);
    let room = room_on_disk(&body.spool_dir);
    let how = "nine tenths of what was free in body.spool_dir at start";
    reading.derive("body.spool", &mut body.spool, room, how);
    let half = half_of(body.spool, body.max);
    let how = "half of body.spool, or body.max if that is more";
    reading.derive("body.spool_per_client", &mut body.spool_per_client, half, how);
    body
}

/// How much of a directory's disk bodies may fill; the rest is for other uses. A directory that
/// cannot be read is refused elsewhere, or has no known limit.
fn room_on_disk(directory: &Path) -> u64 {
    const MIB: u64 = 1 << 20;
    let free = rustix::fs::statvfs(directory).ok();
    let free = free.and_then(|of| of.f_bavail.checked_mul(of.f_frsize)).unwrap_or(u64::MAX);
    (free / 10).saturating_mul(9).min(SIZE_MAX) / MIB * MIB
}

/// The largest file offset.
const SIZE_MAX: u64 = i64::MAX as u64;

fn limits(reading: &mut Reading) -> Limits {
    let mut limits: Limits = reading.section("limits");
    let half = (limits.writes / 2).max(1);
    let how = "half of limits.writes";
    reading.derive("limits.writes_per_client", &mut limits.writes_per_client, half, how);
    // One descriptor for the client, one for the store; the rest for bodies and everything else.
    let descriptors = usize::try_from(descriptors::most()).unwrap_or(usize::MAX);
    let connections = (descriptors / 5 * 2).clamp(1, CONNECTIONS_BY_DEFAULT_MAX);
    let how = "16384, or as many as this process can have file descriptors for";
    reading.derive("limits.connections", &mut limits.connections, connections, how);
    limits
}

/// With this default, connections use little memory: about 20 KiB each.
const CONNECTIONS_BY_DEFAULT_MAX: usize = 16_384;

/// The client with this number; `None` after noting that the environment has only half of one.
fn client(reading: &mut Reading, number: usize) -> Option<Client> {
    let table = format!("client #{number}");
    let path = |key: &str| format!("{table}.{key}");
    let of_environment = reading.overlay.client_of_environment && number == reading.overlay.clients;
    if of_environment && !reading.is_written(&path("access_key_id")) {
        let message = "is missing beside IFMATCH_SECRET_ACCESS_KEY: a client has both";
        reading.faults.push("IFMATCH_ACCESS_KEY_ID", message);
        return None;
    }
    let mut client: Client = reading.section(&table);
    client.rights = reading.section(&table);
    reading.require(&path("access_key_id"), "the access key that this client signs with");
    let variable =
        "IFMATCH_ACCESS_KEY_ID and IFMATCH_SECRET_ACCESS_KEY for a client that is in no file";
    client.secret_access_key = reading.required_secret(&path("secret_access_key"), variable);
    client.previous_secret_access_key = reading.secret(&path("previous_secret_access_key"));
    client.session_token = reading.session_token(&path("session_token"));
    Some(client)
}
