//! Validation of the whole configuration: contradictions between values, and files that must exist.
//! A check is skipped where one of its values has a fault already.

mod access;
mod nodes;
mod tls;
mod traces;

use std::fmt::Display;
use std::fs::{metadata, symlink_metadata};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::address::{Endpoint, RegisterUrl, is_host_name, is_loop, topology_url};
use super::choices::{AccessLog, Addressing, Replicas, Signatures};
use super::keys::secret_paths;
use super::reading::Reading;
use super::schema::{Body, Config, Register, RegisterKind};
use crate::register::Writers;
use crate::register::redis::Topology;
use crate::s3::listing::PAGE_MEMORY_MAX;
use crate::units::{show_duration, show_size};

/// Notes all faults of a configuration, and all warnings.
pub(super) fn all(reading: &mut Reading, config: &Config) {
    if let Some(domain) = config.domains.iter().find(|domain| !is_host_name(domain)) {
        let message = format!("\"{domain}\" is not a host name such as \"s3.example.com\"");
        reading.fault(&["domains"], message);
    }
    region(reading, "region", config.region.as_deref().unwrap_or_default());
    tls::to_clients(reading, config);
    backend(reading, config);
    register(reading, &config.register, config.embedded.is_some());
    upgrade_socket(reading, config);
    admin(reading, config);
    traces::all(reading, &config.traces);
    body(reading, &config.body);
    let (each, of_all) = (config.limits.writes_per_client, config.limits.writes);
    not_more(reading, ("limits.writes_per_client", each), ("limits.writes", of_all), "clients");
    listing_memory(reading, config.limits.listing_memory);
    log_level(reading, &config.log.level);
    access_log(reading, &config.log.access);
    access::buckets(reading, config);
    access::rules(reading, config);
    access::clients(reading, config);
    if config.signatures == Signatures::Passthrough {
        access::passthrough(reading, config);
    }
    access::reserved(reading, config);
}

fn backend(reading: &mut Reading, config: &Config) {
    let backend = &config.backend;
    let addressing = &backend.addressing;
    nodes::all(reading, backend, config.register.terms.settle);
    // First: the URL may be wrong in another way than its scheme.
    tls::to_store(reading, config);
    region(reading, "backend.region", &backend.region);
    access::access_key(reading, "backend.access_key_id", &backend.access_key_id);
    // Port 0 is chosen at start, and never becomes the store's, which is in use.
    let endpoints = backend.nodes();
    let is_here = |listen: &SocketAddr| {
        listen.port() != 0 && endpoints.iter().any(|endpoint| is_loop(endpoint, *listen))
    };
    if config.embedded.is_none()
        && let Some(listen) = config.addresses().into_iter().find(is_here)
    {
        let message = format!("is where this proxy itself listens ({listen}); change one of them");
        reading.fault(&[nodes::path(backend), "listen"], message);
    }
    let is_address = |endpoint: &Endpoint| endpoint.host.parse::<IpAddr>().is_ok();
    if *addressing == Addressing::VirtualHost && endpoints.iter().any(is_address) {
        let message = "\"virtual-host\" needs a host's name in backend.url, not an address: a bucket \
                       is asked for at bucket.host";
        reading.fault(&["backend.addressing", nodes::path(backend)], message);
    }
    let wrong = |name: &&String| name.is_empty() || name.contains(['/', '*', '%']);
    if let Some(name) = backend.reserved.iter().find(wrong) {
        let message = format!("\"{name}\" is not the first part of a path such as \"admin\"");
        reading.fault(&["backend.reserved"], message);
    }
    // S3 error codes are letters, digits and dots (AWS: Error Responses).
    let wrong = |code: &&String| !code_like(code, ".") || code.is_empty();
    if let Some(code) = backend.definite_errors.iter().find(wrong) {
        let message = format!("\"{code}\" is no S3 error code such as \"NotImplemented\"");
        reading.fault(&["backend.definite_errors"], message);
    }
}

/// Whether the text has only letters, digits, and these characters.
fn code_like(text: &str, others: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// A region is a part between slashes in the credential of a signature.
fn region(reading: &mut Reading, path: &str, region: &str) {
    if !code_like(region, "-_") {
        reading.fault(&[path], "may hold letters, digits, \"-\" and \"_\" only");
    }
}

fn register(reading: &mut Reading, register: &Register, embedded: bool) {
    // The namespace must not break the form of the register's keys. Braces would move Redis
    // Cluster's hash tag, and so separate a record from its lease.
    if !code_like(&register.namespace, "-_.") {
        let message = "may hold letters, digits, \"-\", \"_\" and \".\" only";
        reading.fault(&["register.namespace"], message);
    }
    times(reading, register);
    match (&register.url, &register.lock_file) {
        (RegisterUrl::Memory, lock_file) => {
            only_for(reading, &secret_paths("register.password"), "is for Redis", "is \"memory:\"");
            only_for(reading, &for_sentinels(), "is for Sentinels", "is \"memory:\"");
            if let Some(path) = lock_file {
                self::lock_file(reading, path, embedded);
            }
        }
        (RegisterUrl::Redis { topology, tls, database, password, .. }, _) => {
            let lock_file = ["register.lock_file".to_owned()];
            only_for(reading, &lock_file, "is for the register in memory only", "names a Redis");
            if password.is_some() {
                for path in secret_paths("register.password") {
                    if reading.is_written(&path) {
                        let message = "is a second password: register.url holds one; keep one";
                        reading.faults.push(path, message);
                    }
                }
            }
            match topology {
                Topology::Sentinels(sentinels) if sentinels.sentinels.len() < 3 => {
                    let count = sentinels.sentinels.len();
                    reading.warnings.push(format!("register.url names {count} {FEW_SENTINELS}"));
                }
                Topology::Sentinels(_) => {}
                Topology::Single { .. } | Topology::Cluster(_) => {
                    let shown = format!("is {}", topology_url(topology, *tls, "", *database));
                    only_for(reading, &for_sentinels(), "is for Sentinels", &shown);
                }
            }
        }
    }
    tls::to_redis(reading, register);
    let alone =
        matches!(&register.url, RegisterUrl::Redis { topology: Topology::Single { .. }, .. });
    if register.replicas == Replicas::NeverPromoted && !alone {
        reading.fault(&["register.replicas", "register.url"], ONLY_ALONE);
    }
}

/// Checks that the register's times agree with each other.
fn times(reading: &mut Reading, register: &Register) {
    let terms = &register.terms;
    let lease = ("register.lease", terms.lease);
    shorter(reading, ("register.margin", register.margin), lease, MARGIN);
    let settle = ("register.settle", terms.settle);
    not_longer(reading, settle, ("register.settle_long", terms.settle_long), SETTLE);
    let horizon = ("register.retry_horizon", terms.retry_horizon);
    not_longer(reading, horizon, ("register.record_ttl", terms.record_ttl), RECORD_TTL);
    for (key, time) in [("register.lag", terms.lag), ("register.spacing", terms.spacing)] {
        not_longer(reading, (key, time), ("register.record_ttl", terms.record_ttl), LANDING);
    }
    if !terms.lag.is_zero() && terms.writers == Writers::Shared {
        reading.fault(&["register.lag", "writers"], LAG);
    }
    let RegisterKind::Redis(redis) = &register.kind else { return };
    shorter(reading, ("register.timeout", redis.timeout), lease, TIMEOUT);
    if terms.grace.is_zero() {
        reading.fault(&["register.grace"], GRACE);
    }
    // Answers of Sentinels and clusters about their masters are used for a while.
    let least = terms.lease / 2;
    if !matches!(redis.topology, Topology::Single { .. }) && terms.failover_lag < least {
        let (lag, least) = (show_duration(terms.failover_lag), show_duration(least));
        let message = format!(
            "{lag} is shorter than half of register.lease ({least}), for which a master that was \
             replaced may still be asked"
        );
        reading.fault(&["register.failover_lag", "register.lease"], message);
    }
}

fn for_sentinels() -> [String; 4] {
    let [a, b, c] = secret_paths("register.sentinel_password");
    ["register.sentinel_username".to_owned(), a, b, c]
}

/// Refuses settings that have no meaning with this register.
fn only_for(reading: &mut Reading, paths: &[String], what: &str, register: &str) {
    for path in paths {
        if reading.is_written(path) {
            reading.fault(&[path, "register.url"], format!("{what}, but register.url {register}"));
        }
    }
}

fn shorter(reading: &mut Reading, a: (&str, Duration), b: (&str, Duration), why: &str) {
    if a.1 >= b.1 {
        let (left, right) = (show_duration(a.1), show_duration(b.1));
        let message = format!("{left} is not shorter than {} ({right}): {why}", b.0);
        reading.fault(&[a.0, b.0], message);
    }
}

fn not_longer(reading: &mut Reading, a: (&str, Duration), b: (&str, Duration), why: &str) {
    if a.1 > b.1 {
        let (left, right) = (show_duration(a.1), show_duration(b.1));
        let message = format!("{left} is longer than {} ({right}): {why}", b.0);
        reading.fault(&[a.0, b.0], message);
    }
}

/// Checks that the lock file of the in-memory register is a file, or can be created. An embedded
/// store creates its directory when it starts.
fn lock_file(reading: &mut Reading, path: &Path, embedded: bool) {
    let shown = path.display();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let why = match symlink_metadata(path) {
        Ok(found) if !found.is_file() => format!("{shown} is not a file"),
        Ok(_) => return,
        Err(_) if embedded || directory.is_none_or(Path::is_dir) => return,
        Err(error) => format!("{shown} cannot be made: {error}"),
    };
    reading.fault(&["register.lock_file"], why);
}

/// Refuses an upgrade socket where the register or the store is in this process. Otherwise checks
/// that a configured path can become a socket; a default path is checked when the socket is opened.
fn upgrade_socket(reading: &mut Reading, config: &Config) {
    let Some(socket) = config.upgrade_socket.as_ref().filter(|socket| socket.written) else {
        return;
    };
    let in_memory = matches!(config.register.kind, RegisterKind::Memory { .. });
    if in_memory || config.embedded.is_some() {
        let message = "is for a register in Redis and a store of its own: what lives in this process \
                       cannot be taken over by another";
        reading.fault(&["upgrade_socket", "register.url"], message);
        return;
    }
    let (shown, bytes) = (socket.path.display(), socket.path.as_os_str().len());
    let why = match symlink_metadata(&socket.path) {
        Ok(found) if !found.file_type().is_socket() => format!("{shown} is something else already"),
        _ if bytes > SOCKET_BYTES_MAX => {
            format!("a socket's path has at most {SOCKET_BYTES_MAX} bytes, and this one {bytes}")
        }
        _ => return,
    };
    reading.fault(&["upgrade_socket"], why);
}

/// Linux, unix(7): `sun_path`, less the zero at its end.
const SOCKET_BYTES_MAX: usize = 107;

/// Checks the admin listener's address, and who can read there.
fn admin(reading: &mut Reading, config: &Config) {
    let Some(listen) = config.admin.listen else { return };
    let overlaps = |other: &SocketAddr| {
        let everywhere = listen.ip().is_unspecified() || other.ip().is_unspecified();
        listen.port() != 0
            && listen.port() == other.port()
            && (everywhere || listen.ip() == other.ip())
    };
    if let Some(other) = config.addresses().into_iter().find(overlaps) {
        let message = format!("is where clients connect ({other}); change one of them");
        reading.fault(&["admin.listen", "listen"], message);
    }
    if config.admin.token.is_none() && !listen.ip().is_loopback() {
        reading.warnings.push(format!(
            "admin.listen = \"{listen}\" can be reached by other machines, and admin.token_file is \
             not set: only health checks are answered there, no metrics"
        ));
    }
}

/// Checks that one page of the largest size has room.
fn listing_memory(reading: &mut Reading, bytes: u64) {
    if bytes < PAGE_MEMORY_MAX {
        let message = format!(
            "{} has no room for the largest page of a listing, which takes {}",
            show_size(bytes),
            show_size(PAGE_MEMORY_MAX)
        );
        reading.fault(&["limits.listing_memory"], message);
    }
}

/// Checks that the largest body fits into the limits.
fn body(reading: &mut Reading, body: &Body) {
    let memory = ("body.memory", Size(body.memory));
    not_more(reading, ("body.memory_per_body", Size(body.memory_per_body)), memory, "bodies");
    not_more(reading, ("body.memory_per_client", Size(body.memory_per_client)), memory, "clients");
    let (each, all) = (Size(body.spool_per_client), Size(body.spool));
    not_more(reading, ("body.spool_per_client", each), ("body.spool", all), "clients");
    let written =
        ["body.spool", "body.spool_per_client"].iter().any(|path| reading.is_written(path));
    if written && body.spool_per_client < body.max {
        reading.warnings.push(format!(
            "a body of body.max ({}) has no room in body.spool_per_client ({}), and will be refused",
            show_size(body.max),
            show_size(body.spool_per_client),
        ));
    }
    if body.max == 0 {
        reading.fault(&["body.max"], "must be more than 0: no write could pass");
    }
    let shown = body.spool_dir.display();
    if !body.spool_dir.is_dir() {
        let message = format!("{shown} is not a directory; create it");
        reading.fault(&["body.spool_dir"], message);
    } else if let Err(error) = tempfile::tempfile_in(&body.spool_dir) {
        let message = format!("no file can be made in {shown}: {error}");
        reading.fault(&["body.spool_dir"], message);
    }
}

/// A number of bytes, as shown in messages.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Size(u64);

impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&show_size(self.0))
    }
}

/// Checks that one share is not more than the whole.
fn not_more<T: PartialOrd + Display>(
    reading: &mut Reading,
    (path, each): (&str, T),
    (of, all): (&str, T),
    whose: &str,
) {
    if each > all {
        let message = format!("{each} is more than {of} ({all}), which is for all {whose}");
        reading.fault(&[path, of], message);
    }
}

/// Checks that the file for the lines of requests is a file, or can be created.
fn access_log(reading: &mut Reading, access: &AccessLog) {
    let AccessLog::File(path) = access else { return };
    let shown = path.display();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let why = match metadata(path) {
        Ok(found) if found.is_dir() => format!("{shown} is a directory"),
        Ok(_) => return,
        Err(_) if directory.is_none_or(Path::is_dir) => return,
        Err(error) => format!("{shown} cannot be made: {error}"),
    };
    reading.fault(&["log.access"], why);
}

/// Checks the log's directives.
fn log_level(reading: &mut Reading, level: &str) {
    if let Err(error) = EnvFilter::builder().parse(level) {
        let message =
            format!("\"{level}\" is no filter such as \"info\" or \"info,ifmatch=debug\": {error}");
        reading.fault(&["log.level"], message);
    }
}

const MARGIN: &str = "nothing could ever be sent under a lease; leave it out for half of it";
const SETTLE: &str = "completes and copies take at least as long to settle as plain writes";
const RECORD_TTL: &str = "answers would be forgotten before their retries; lengthen record_ttl";
const LANDING: &str = "the register would forget when a key was last written; lengthen record_ttl";
const LAG: &str = "needs writers = \"exclusive\": with \"shared\" the store is asked before every write, and \
                   may show an older state than the key's";
const TIMEOUT: &str = "a lease would be over before the register's answer was given up";
const GRACE: &str = "must be longer than 0s with Redis: a proxy that freezes between its check and \
                     its send would be overtaken at once";
const FEW_SENTINELS: &str = "of the Sentinels: most of them have to agree on the master, so with fewer \
                             than three nothing is written while one of them is gone. Name all of \
                             them, the same for every proxy";
const ONLY_ALONE: &str = "\"never-promoted\" is for redis:// only: Sentinels and a cluster promote \
                          replicas, and \"memory:\" has none";
