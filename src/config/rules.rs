//! What may not be, beyond what one value's form can say: bounds and contradictions. A rule over a
//! value that is at fault already stays silent.

use std::fs::symlink_metadata;
use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::describe::Line;
use super::reading::Reading;
use super::settings::{
    Addressing, Body, BucketPattern, Endpoint, RedisPlace, RegisterKind, Replicas, Terms,
    UpgradeSocket,
};
use super::trust;
use crate::s3::configuration::reaching;
use crate::units::{show_duration, show_size};

/// The register's times agree with each other.
pub(super) fn terms(reading: &mut Reading, terms: &Terms, kind: &RegisterKind) {
    let Terms { lease, margin, grace, settle, settle_long, retry_horizon, record_ttl, .. } = *terms;
    shorter(reading, ("register.margin", margin), ("register.lease", lease), MARGIN);
    at_most(reading, ("register.settle", settle), ("register.settle_long", settle_long), SETTLE);
    at_most(
        reading,
        ("register.retry_horizon", retry_horizon),
        ("register.record_ttl", record_ttl),
        RECORD_TTL,
    );
    if let RegisterKind::Redis(redis) = kind {
        let timeout = ("register.timeout", redis.timeout);
        shorter(reading, timeout, ("register.lease", lease), TIMEOUT);
        if grace == Duration::ZERO && !reading.faults.any_at(&["register.grace"]) {
            reading.faults.push("register.grace", GRACE);
        }
        if !matches!(redis.place, RedisPlace::One(_)) {
            long_enough(reading, terms.failover_lag, lease / 2);
        }
    }
}

/// What Sentinels and clusters say of their masters is believed for a while.
fn long_enough(reading: &mut Reading, lag: Duration, believed_for: Duration) {
    let path = "register.failover_lag";
    if lag < believed_for && !reading.faults.any_at(&[path, "register.lease"]) {
        let (lag, least) = (show_duration(lag), show_duration(believed_for));
        let message = format!(
            "{lag} is shorter than half of register.lease ({least}), for which a master that was \
             replaced may still be asked"
        );
        reading.faults.push(path, message);
    }
}

/// These settings have no meaning with this register.
pub(super) fn only_for(reading: &mut Reading, paths: &[&str], what: &str, url: &str) {
    for path in paths {
        if reading.is_written(path) && !reading.faults.any_at(&["register.url"]) {
            reading.faults.push(*path, format!("{what}, but register.url is {url}"));
        }
    }
}

/// Only of a Redis at its own address is it for an operator to say what becomes of replicas.
pub(super) fn replicas(reading: &mut Reading, replicas: Replicas, place: Option<&RedisPlace>) {
    let alone = matches!(place, Some(RedisPlace::One(_)));
    if replicas == Replicas::NeverPromoted && !alone && !reading.faults.any_at(&["register.url"]) {
        let message = "\"never-promoted\" is for redis:// only: who has Sentinels or a cluster has \
                       replicas promoted, and \"memory:\" has none";
        reading.faults.push("register.replicas", message);
    }
}

/// Enough Sentinels to outvote one that is gone.
pub(super) fn sentinels(reading: &mut Reading, place: &RedisPlace) {
    if let RedisPlace::Sentinels { sentinels, .. } = place
        && sentinels.len() < 3
    {
        reading.warnings.push(format!(
            "register.url names {} of the Sentinels: most of them have to agree on the master, so with \
             fewer than three nothing is written while one of them is gone. Name all of them, the \
             same for every proxy",
            sentinels.len()
        ));
    }
}

fn shorter(reading: &mut Reading, a: (&str, Duration), b: (&str, Duration), why: &str) {
    if a.1 >= b.1 && !reading.faults.any_at(&[a.0, b.0]) {
        let (left, right) = (show_duration(a.1), show_duration(b.1));
        reading.faults.push(a.0, format!("{left} is not shorter than {} ({right}): {why}", b.0));
    }
}

fn at_most(reading: &mut Reading, a: (&str, Duration), b: (&str, Duration), why: &str) {
    if a.1 > b.1 && !reading.faults.any_at(&[a.0, b.0]) {
        let (left, right) = (show_duration(a.1), show_duration(b.1));
        reading.faults.push(a.0, format!("{left} is longer than {} ({right}): {why}", b.0));
    }
}

/// A lock file has no meaning with Redis.
pub(super) fn no_lock_file_for_redis(reading: &mut Reading) {
    if reading.is_written("register.lock_file") {
        let message = "is for the register in memory only, but register.url names a Redis";
        reading.faults.push("register.lock_file", message);
    }
}

/// Nothing can take over what lives in this process.
pub(super) fn upgrade_socket(
    reading: &mut Reading,
    socket: Option<UpgradeSocket>,
    register: &RegisterKind,
    embedded: bool,
) -> Option<UpgradeSocket> {
    if !embedded && !matches!(register, RegisterKind::Memory { .. }) {
        if let Some(UpgradeSocket { path, written: true }) = &socket {
            place_of_socket(reading, path);
        }
        return socket;
    }
    if socket.is_some_and(|socket| socket.written) && !reading.faults.any_at(&["register.url"]) {
        let message = "is for a register in Redis and a store of its own: what lives in this process \
                       cannot be taken over by another";
        reading.faults.push("upgrade_socket", message);
    }
    if let Some(line) = reading.lines.iter_mut().find(|line| line.path == "upgrade_socket") {
        *line = Line::unset("upgrade_socket", "nothing can take over what lives in this process");
    }
    None
}

/// A socket can be made there.
fn place_of_socket(reading: &mut Reading, path: &Path) {
    let shown = path.display();
    let bytes = path.as_os_str().len();
    let why = match symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => format!("{shown} is something else already"),
        _ if bytes > SOCKET_BYTES_MAX => {
            format!("a socket's path has at most {SOCKET_BYTES_MAX} bytes, and this one {bytes}")
        }
        _ => return,
    };
    reading.faults.push("upgrade_socket", why);
}

/// Linux, unix(7): `sun_path`, less the zero at its end.
const SOCKET_BYTES_MAX: usize = 107;

/// A password has no meaning without Redis.
pub(super) fn no_password_for_memory(reading: &mut Reading) {
    for path in ["register.password", "register.password_file", "register.password_env"] {
        if reading.is_written(path) && !reading.faults.any_at(&["register.url"]) {
            reading.faults.push(path, "is for Redis, but register.url is \"memory:\"");
        }
    }
}

/// A password is in the URL or beside it, not both.
pub(super) fn no_second_password(reading: &mut Reading) {
    for path in ["register.password", "register.password_file", "register.password_env"] {
        if reading.is_written(path) {
            reading.faults.push(path, "is a second password: register.url holds one; keep one");
        }
    }
}

/// The namespace cannot break the form of the register's keys. Braces would move Redis Cluster's
/// hash tag, and with it a record away from its lease.
pub(super) fn namespace(reading: &mut Reading, namespace: &str) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !namespace.chars().all(allowed) {
        let message = "may hold letters, digits, \"-\", \"_\" and \".\" only";
        reading.faults.push("register.namespace", message);
    }
}

/// Bodies fit in what is set aside for them.
pub(super) fn body(reading: &mut Reading, body: &Body) {
    let (each, all) = (body.memory_per_body_bytes, body.memory_bytes);
    if each > all && !reading.faults.any_at(&["body.memory", "body.memory_per_body"]) {
        let (each, all) = (show_size(each), show_size(all));
        let message = format!("{each} is more than body.memory ({all}), which is for all bodies");
        reading.faults.push("body.memory_per_body", message);
    }
    share(
        reading,
        ("body.memory_per_client", body.memory_per_client_bytes),
        ("body.memory", body.memory_bytes),
    );
    share(
        reading,
        ("body.spool_per_client", body.spool_per_client_bytes),
        ("body.spool", body.spool_bytes),
    );
    if ["body.spool", "body.spool_per_client"].iter().any(|path| reading.is_written(path))
        && body.spool_per_client_bytes < body.bytes_max
    {
        reading.warnings.push(format!(
            "a body of body.max ({}) has no room in body.spool_per_client ({}), and will be refused",
            show_size(body.bytes_max),
            show_size(body.spool_per_client_bytes),
        ));
    }
    if body.bytes_max == 0 {
        reading.faults.push("body.max", "must be more than 0: no write could pass");
    }
    if !body.spool_dir.is_dir() {
        let message = format!("{} is not a directory; create it", body.spool_dir.display());
        reading.faults.push("body.spool_dir", message);
    } else if let Err(error) = tempfile::tempfile_in(&body.spool_dir) {
        let shown = body.spool_dir.display();
        let message = format!("no file can be made in {shown}: {error}");
        reading.faults.push("body.spool_dir", message);
    }
}

/// A client has no more than there is.
fn share(reading: &mut Reading, (path, each): (&str, u64), (of, all): (&str, u64)) {
    if each > all && !reading.faults.any_at(&[path, of]) {
        let (each, all) = (show_size(each), show_size(all));
        let message = format!("{each} is more than {of} ({all}), which is for all clients");
        reading.faults.push(path, message);
    }
}

/// As [`share`], of places.
pub(super) fn writes_per_client(reading: &mut Reading, each: usize, all: usize) {
    let path = "limits.writes_per_client";
    if each > all && !reading.faults.any_at(&[path, "limits.writes"]) {
        let message =
            format!("{each} is more than limits.writes ({all}), which is for all clients");
        reading.faults.push(path, message);
    }
}

/// Where the store checks signatures, nothing here says who may come.
pub(super) fn passthrough(reading: &mut Reading, clients: usize, embedded: bool) {
    let ours = [
        ("client", clients > 0),
        ("anonymous.buckets", false),
        ("region", false),
        ("signature_v2", false),
    ];
    for (path, written) in ours {
        if written || reading.is_written(path) {
            reading.faults.push(path, FOR_RESIGN);
        }
    }
    if reading.value("backend.write_ids") {
        let message = "contradicts signatures = \"passthrough\": nothing can be added to a request \
                       that its sender has signed";
        reading.faults.push("backend.write_ids", message);
    }
    if embedded {
        let message = "\"passthrough\" contradicts --embedded: nobody but this process knows the \
                       key of its store";
        reading.faults.push("signatures", message);
    }
    reading.warnings.push(PASSTHROUGH.to_owned());
}

/// A bucket's name can stand before a host's name, not before an address.
pub(super) fn addressing(reading: &mut Reading, how: Addressing, store: Option<&Endpoint>) {
    let is_address = |store: &Endpoint| store.host.parse::<IpAddr>().is_ok();
    if how == Addressing::VirtualHost && store.is_some_and(is_address) {
        let message = "\"virtual-host\" needs a host's name in backend.url, not an address: a bucket \
                       is asked for at bucket.host";
        reading.faults.push("backend.addressing", message);
    }
}

/// Certificates are for TLS, and there are some.
pub(super) fn ca_file(reading: &mut Reading, file: Option<&Path>, store: Option<&Endpoint>) {
    let https = store.is_none_or(|store| store.https);
    if file.is_some() && !https {
        let message = "has no meaning with an http:// store; leave it out, or write https://";
        reading.faults.push("backend.ca_file", message);
    } else if (file.is_some() || store.is_some())
        && let Err(why) = trust::certificates(https, file)
    {
        let named = file.map(|file| format!("{} ", file.display())).unwrap_or_default();
        reading.faults.push("backend.ca_file", named + &why);
    }
}

/// What the in-memory register locks is a file, or can become one. An embedded store makes its
/// directory when it starts.
pub(super) fn lock_file(reading: &mut Reading, path: &Path, embedded: bool) {
    let shown = path.display();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let why = match symlink_metadata(path) {
        Ok(found) if !found.is_file() => format!("{shown} is not a file"),
        Ok(_) => return,
        Err(_) if embedded || directory.is_none_or(Path::is_dir) => return,
        Err(error) => format!("{shown} cannot be made: {error}"),
    };
    reading.faults.push("register.lock_file", why);
}

/// What stands in a bucket's place in a path.
pub(super) fn reserved(reading: &mut Reading, names: &[String]) {
    if let Some(name) = names.iter().find(|name| name.is_empty() || name.contains(['/', '*', '%']))
    {
        let message = format!("\"{name}\" is not the first part of a path such as \"admin\"");
        reading.faults.push("backend.reserved", message);
    }
}

/// Buckets by these names are asked for by nobody.
pub(super) fn not_reserved(
    reading: &mut Reading,
    path: &str,
    buckets: &[BucketPattern],
    reserved: &[String],
) {
    let named = buckets.iter().filter_map(|bucket| match bucket {
        BucketPattern::Name(name) => Some(name),
        BucketPattern::Prefix(_) => None,
    });
    for name in named.filter(|name| reserved.contains(&name.to_ascii_lowercase())) {
        reading.warnings.push(format!(
            "{path} names \"{name}\", which backend.reserved keeps from being used as a bucket; take it \
             off that list if the store serves nothing else under this name"
        ));
    }
}

/// Configurations that are allowed by name.
pub(super) fn configurations(reading: &mut Reading, path: &str, names: &[String]) {
    for name in names {
        if !reaching().any(|known| known == name) {
            let all: Vec<_> = reaching().collect();
            let message = format!("\"{name}\" is none of {}", all.join(", "));
            reading.faults.push(path, message);
        }
    }
}

/// S3 error codes are letters, digits and dots (AWS: Error Responses).
pub(super) fn error_codes(reading: &mut Reading, codes: &[String]) {
    let valid = |code: &String| {
        !code.is_empty() && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
    };
    if let Some(code) = codes.iter().find(|code| !valid(code)) {
        let message = format!("\"{code}\" is no S3 error code such as \"NotImplemented\"");
        reading.faults.push("backend.definite_errors", message);
    }
}

/// An access key stands before a `/` in the credential of a signature (AWS: Signature Version 4),
/// so it can hold none, nor a comma or a blank.
pub(super) fn access_key(reading: &mut Reading, path: &str, key: Option<&str>) {
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ',');
    if key.is_some_and(|key| !key.chars().all(allowed)) {
        let message = "may hold visible ASCII characters only, and no \"/\" or \",\"";
        reading.faults.push(path, message);
    }
}

/// A region stands between slashes in the credential of a signature.
pub(super) fn region(reading: &mut Reading, path: &str, region: Option<&str>) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if region.is_some_and(|region| !region.chars().all(allowed)) {
        reading.faults.push(path, "may hold letters, digits, \"-\" and \"_\" only");
    }
}

/// The log's directives are such.
pub(super) fn log_level(reading: &mut Reading, level: &str) {
    if reading.faults.any_at(&["log.level"]) {
        return;
    }
    if let Err(error) = EnvFilter::builder().parse(level) {
        let message =
            format!("\"{level}\" is no filter such as \"info\" or \"info,ifmatch=debug\": {error}");
        reading.faults.push("log.level", message);
    }
}

const MARGIN: &str = "nothing could ever be sent under a lease; leave it out for half of it";
const FOR_RESIGN: &str = "is for signatures = \"resign\"; with \"passthrough\" the store alone says \
                          who may come: leave it out";
const PASSTHROUGH: &str = "signatures = \"passthrough\": whether a condition holds is told to whoever \
                           reaches this proxy, before the store has seen his signature; let only \
                           those reach it who may know which keys there are";
const SETTLE: &str = "completes and copies take at least as long to settle as plain writes";
const RECORD_TTL: &str = "answers would be forgotten before their retries; lengthen record_ttl";
const TIMEOUT: &str = "a lease would be over before the register's answer was given up";
const GRACE: &str = "must be longer than 0s with Redis: a proxy that freezes between its check and \
                     its send would be overtaken at once";
