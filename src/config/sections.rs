//! The tables of the file, one function each: read, judge, assemble.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::address::RegisterUrl;
use super::describe::Line;
use super::reading::Reading;
use super::rules;
use super::secrets;
use super::settings::{
    Backend, Body, Endpoint, Limits, Log, Redis, RedisPlace, Register, RegisterKind, Terms,
    UpgradeSocket,
};
use super::values::Bytes;
use crate::descriptors;

/// `upgrade_socket`, whatever the register. By default none where the port is yet to be chosen:
/// nobody could find it.
pub(super) fn upgrade_socket(reading: &mut Reading, listen: SocketAddr) -> Option<UpgradeSocket> {
    let written = reading.is_written("upgrade_socket");
    if !written && listen.port() == 0 {
        reading.lines.push(Line::unset("upgrade_socket", "the port is not known before the start"));
        return None;
    }
    let user = rustix::process::geteuid().as_raw();
    let directory = std::env::temp_dir().join(format!("ifmatch-{user}"));
    let path = reading.derived("upgrade_socket", directory.join(format!("{listen}.sock")));
    Some(UpgradeSocket { path, written })
}

/// `[backend]`; `None` only after noting a fault. An embedded store has no address yet: the port is
/// 0 until it is known.
pub(super) fn backend(reading: &mut Reading, embedded: bool) -> Option<Backend> {
    let endpoint = if embedded {
        reading.lines.push(Line::unset("backend.url", "the store of --embedded"));
        Some(Endpoint { https: false, host: "127.0.0.1".to_owned(), port: 0 })
    } else {
        reading.required::<Endpoint>("backend.url")
    };
    let region = reading.value::<String>("backend.region");
    let access_key_id = reading.required::<String>("backend.access_key_id");
    let secret_access_key = secrets::read(reading, "backend.secret_access_key");
    let variable = "IFMATCH_BACKEND_SECRET_ACCESS_KEY";
    secrets::refuse_missing(reading, "backend.secret_access_key", variable);
    let session_token = secrets::token(reading, "backend.session_token");
    let addressing = reading.value("backend.addressing");
    let connect_timeout = reading.positive("backend.connect_timeout");
    let write_timeout = reading.positive("backend.write_timeout");
    let long_write_timeout = reading.positive("backend.long_write_timeout");
    let read_timeout = reading.positive("backend.read_timeout");
    let ca_file = reading.optional::<PathBuf>("backend.ca_file");
    let connections = reading.count("backend.connections", 1..=65_536);
    let empty_segments = reading.value("backend.empty_segments");
    let dot_segments = reading.value("backend.dot_segments");
    let subresources = reading.value("backend.subresources");
    let reserved = reading.value::<Vec<String>>("backend.reserved");
    rules::reserved(reading, &reserved);
    let deletes_at_once = reading.count("backend.deletes_at_once", 1..=1000);
    let definite_errors = reading.value::<Vec<String>>("backend.definite_errors");
    let checksums = reading.value("backend.checksums");
    let write_ids = reading.value("backend.write_ids");
    rules::error_codes(reading, &definite_errors);
    rules::access_key(reading, "backend.access_key_id", access_key_id.as_deref());
    rules::region(reading, "backend.region", Some(&region));
    rules::addressing(reading, addressing, endpoint.as_ref());
    rules::ca_file(reading, ca_file.as_deref(), endpoint.as_ref());
    Some(Backend {
        endpoint: endpoint?,
        region,
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        session_token,
        addressing,
        connect_timeout,
        write_timeout,
        long_write_timeout,
        read_timeout,
        ca_file,
        connections,
        empty_segments,
        dot_segments,
        subresources,
        reserved: reserved.iter().map(|name| name.to_ascii_lowercase()).collect(),
        deletes_at_once,
        definite_errors,
        checksums,
        write_ids,
    })
}

/// `[register]`. The store's endpoint names the default lock file.
pub(super) fn register(
    reading: &mut Reading,
    store: Option<&Endpoint>,
    embedded: bool,
) -> Register {
    let url = reading.value::<RegisterUrl>("register.url");
    let kind = match url {
        RegisterUrl::Memory => {
            rules::no_password_for_memory(reading);
            let lock_file = reading.derived("register.lock_file", default_lock_file(store));
            rules::lock_file(reading, &lock_file, embedded);
            // The table's other keys are read all the same, so that a fault in them is told.
            redis_terms(reading);
            let replicas = reading.value("register.replicas");
            rules::replicas(reading, replicas, None);
            rules::only_for(reading, &FOR_SENTINELS, "is for Sentinels", "\"memory:\"");
            RegisterKind::Memory { lock_file }
        }
        RegisterUrl::Redis { place, database, username, password } => {
            rules::no_lock_file_for_redis(reading);
            let shown = place.url("", database);
            let by_sentinels = matches!(place, RedisPlace::Sentinels { .. });
            let (sentinel_username, sentinel_password) = if by_sentinels {
                (
                    reading.optional("register.sentinel_username"),
                    secrets::read(reading, "register.sentinel_password"),
                )
            } else {
                rules::only_for(reading, &FOR_SENTINELS, "is for Sentinels", &shown);
                (None, None)
            };
            rules::sentinels(reading, &place);
            let replicas = reading.value("register.replicas");
            rules::replicas(reading, replicas, Some(&place));
            let password = if password.is_some() {
                rules::no_second_password(reading);
                password
            } else {
                secrets::read(reading, "register.password")
            };
            let (connections, timeout, namespace) = redis_terms(reading);
            RegisterKind::Redis(Redis {
                place,
                database,
                username,
                password,
                sentinel_username,
                sentinel_password,
                replicas,
                namespace,
                connections,
                timeout,
                failover_lag_is_stated: reading.is_written("register.failover_lag"),
            })
        }
    };
    let terms = terms(reading, &kind);
    rules::terms(reading, &terms, &kind);
    let marker = reading.optional("register.marker");
    Register { kind, terms, marker }
}

fn redis_terms(reading: &mut Reading) -> (usize, Duration, String) {
    let connections = reading.count("register.connections", 1..=1024);
    let timeout = reading.positive("register.timeout");
    let namespace = reading.value::<String>("register.namespace");
    rules::namespace(reading, &namespace);
    (connections, timeout, namespace)
}

fn terms(reading: &mut Reading, kind: &RegisterKind) -> Terms {
    let lease = reading.positive("register.lease");
    // What Sentinels and clusters say of their masters is believed for half a lease; a cluster of
    // Redis's own making replaces a master that is cut off within 15 s (cluster-node-timeout).
    let failover_lag = match kind {
        RegisterKind::Memory { .. }
        | RegisterKind::Redis(Redis { place: RedisPlace::One(_), .. }) => Duration::ZERO,
        RegisterKind::Redis(Redis { place: RedisPlace::Sentinels { .. }, .. }) => lease / 2,
        RegisterKind::Redis(Redis { place: RedisPlace::Cluster(_), .. }) => {
            lease / 2 + Duration::from_secs(15)
        }
    };
    Terms {
        lease,
        margin: reading.derived("register.margin", lease / 2),
        grace: reading.value("register.grace"),
        settle: reading.value("register.settle"),
        settle_long: reading.value("register.settle_long"),
        retry_horizon: reading.positive("register.retry_horizon"),
        record_ttl: reading.positive("register.record_ttl"),
        failover_lag: reading.derived("register.failover_lag", failover_lag),
        lease_wait: reading.value("register.lease_wait"),
    }
}

const FOR_SENTINELS: [&str; 4] = [
    "register.sentinel_username",
    "register.sentinel_password",
    "register.sentinel_password_file",
    "register.sentinel_password_env",
];

/// Processes of one machine that stand in front of the same store must find the same file.
fn default_lock_file(store: Option<&Endpoint>) -> PathBuf {
    let url = store.map(Endpoint::to_string).unwrap_or_default();
    let hash = hex::encode(&Sha256::digest(url)[..8]);
    std::env::temp_dir().join(format!("ifmatch-{hash}.lock"))
}

/// `[body]`.
pub(super) fn body(reading: &mut Reading) -> Body {
    let Bytes(memory_bytes) = reading.value("body.memory");
    let Bytes(memory_per_body_bytes) = reading.value("body.memory_per_body");
    let spool_dir = reading.derived("body.spool_dir", std::env::temp_dir());
    let Bytes(bytes_max) = reading.value("body.max");
    // One body that may come has room, whatever the half is.
    let half_of = |all: u64, at_least: u64| Bytes((all / 2).max(at_least).min(all));
    let Bytes(memory_per_client_bytes) =
        reading.derived("body.memory_per_client", half_of(memory_bytes, memory_per_body_bytes));
    let Bytes(spool_bytes) = reading.derived("body.spool", room_on_disk(&spool_dir));
    let Bytes(spool_per_client_bytes) =
        reading.derived("body.spool_per_client", half_of(spool_bytes, bytes_max));
    let idle_timeout = reading.positive("body.idle_timeout");
    let Bytes(least_rate) = reading.value("body.least_rate");
    let unknown_length = reading.value("body.unknown_length");
    let body = Body {
        memory_bytes,
        memory_per_body_bytes,
        memory_per_client_bytes,
        spool_bytes,
        spool_per_client_bytes,
        spool_dir,
        bytes_max,
        idle_timeout,
        least_rate,
        early_answer: reading.value("body.early_answer"),
        unknown_length,
    };
    rules::body(reading, &body);
    body
}

/// How much of a directory's disk may be filled with bodies: the rest is for others. A directory that
/// cannot be asked is refused elsewhere, or has no limit that could be known.
fn room_on_disk(directory: &Path) -> Bytes {
    const MIB: u64 = 1 << 20;
    let free = rustix::fs::statvfs(directory).ok();
    let free = free.and_then(|of| of.f_bavail.checked_mul(of.f_frsize)).unwrap_or(u64::MAX);
    Bytes((free / 10).saturating_mul(9).min(SIZE_MAX) / MIB * MIB)
}

/// The largest file offset.
const SIZE_MAX: u64 = i64::MAX as u64;

/// `[limits]`.
pub(super) fn limits(reading: &mut Reading) -> Limits {
    // One descriptor for the client, one towards the store; the rest for bodies and all else.
    let descriptors = usize::try_from(descriptors::most()).unwrap_or(usize::MAX);
    let connections = (descriptors / 5 * 2).clamp(1, CONNECTIONS_BY_DEFAULT_MAX);
    let writes = reading.count("limits.writes", 1..=1 << 20);
    let half = (writes / 2).max(1);
    let writes_per_client = reading.derived_count("limits.writes_per_client", half, 1..=1 << 20);
    rules::writes_per_client(reading, writes_per_client, writes);
    Limits {
        writes,
        writes_per_client,
        writes_per_key: reading.count("limits.writes_per_key", 1..=1 << 20),
        strangers: reading.count("limits.strangers", 1..=65_536),
        connections: reading.derived_count("limits.connections", connections, 1..=1 << 20),
        connections_per_address: reading
            .optional_count("limits.connections_per_address", 1..=1 << 20),
    }
}

/// Nobody should have to think about the memory that connections take: some 20 KiB each.
const CONNECTIONS_BY_DEFAULT_MAX: usize = 16_384;

/// `[log]`.
pub(super) fn log(reading: &mut Reading) -> Log {
    let log = Log { format: reading.value("log.format"), level: reading.value("log.level") };
    rules::log_level(reading, &log.level);
    log
}
