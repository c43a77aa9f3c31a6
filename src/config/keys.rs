//! Every key there is: its path, its default as an environment variable would spell it, and the
//! name of its variable. Reading, listing unknown keys and `describe` all follow this table.

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// The path in the file: `listen`, `register.lease`.
    pub(super) path: &'static str,
    /// What holds when nobody wrote it.
    pub(super) fallback: Fallback,
}

/// What holds when nobody wrote a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    /// This value.
    Value(&'static str),
    /// A value that depends on others, in words.
    Derived(&'static str),
    /// Nothing, which means this.
    Nothing(&'static str),
    /// It must be written, for this reason.
    Required(&'static str),
    /// A secret, or where one is kept; it comes from the environment or a file, never inline.
    Secret,
}

impl Key {
    /// The path's last part.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Whether the value itself is a secret, which only the environment may hold.
    pub(super) fn is_inline_secret(&self) -> bool {
        self.fallback == Secret && !self.path.ends_with("_file") && !self.path.ends_with("_env")
    }

    /// `IFMATCH_` and the path in upper case, dots as `_`.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.path.to_uppercase().replace('.', "_"))
    }
}

/// The key of this path, in whichever table.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    if let Some((table, name)) = path.split_once('.')
        && let Some(keys) = keys_of_each(table)
    {
        return keys.iter().find(|key| key.name() == name);
    }
    KEYS.iter().find(|key| key.path == path)
}

/// The keys of a table that is written once for each: `client`, `client #3`, `rule`.
pub(super) fn keys_of_each(table: &str) -> Option<&'static [Key]> {
    match table.split(' ').next() {
        Some("client") => Some(&CLIENT_KEYS),
        Some("rule") => Some(&RULE_KEYS),
        _ => None,
    }
}

/// The path of a key of the client with this number, counted from 1.
pub(super) fn client_path(number: usize, name: &str) -> String {
    format!("client #{number}.{name}")
}

/// The path of a key of the rule with this number, counted from 1.
pub(super) fn rule_path(number: usize, name: &str) -> String {
    format!("rule #{number}.{name}")
}

/// The valid path nearest to a mistaken one, measured on the whole path, or on its last part for
/// a key written in the wrong table.
pub(super) fn nearest<'a>(mistaken: &str, valid: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    valid.min_by_key(|path| {
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned).unwrap_or_default();
        distance(mistaken, path).min(distance(&last(mistaken), &last(path)) + 1)
    })
}

/// Levenshtein's distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What all variables of this program begin with.
pub(super) const PREFIX: &str = "IFMATCH_";

/// The tables of the file that hold plain keys.
pub(super) const TABLES: [&str; 6] = ["backend", "register", "body", "limits", "log", "anonymous"];

/// The keys of each `[[client]]`; the path of the third client's buckets is `client #3.buckets`.
pub(super) const CLIENT_KEYS: [Key; 10] = [
    key("client.access_key_id", Required("the access key that this client signs with")),
    key("client.secret_access_key", Secret),
    key("client.secret_access_key_file", Secret),
    key("client.secret_access_key_env", Secret),
    key("client.session_token", Secret),
    key("client.session_token_file", Secret),
    key("client.session_token_env", Secret),
    key("client.buckets", Value("*")),
    key("client.read_only", Value("false")),
    key("client.configure", Value("false")),
];

/// The keys of each `[[rule]]`.
pub(super) const RULE_KEYS: [Key; 5] = [
    key("rule.buckets", Value("*")),
    key("rule.prefix", Nothing("all keys of these buckets")),
    key("rule.mode", Value("guard")),
    key("rule.require", Nothing("no condition is required")),
    key("rule.allow_configuration", Value("")),
];

/// The client that the environment describes: variable, and the key of `[[client]]` it stands for.
pub(super) const CLIENT_VARIABLES: [(&str, &str); 7] = [
    ("IFMATCH_ACCESS_KEY_ID", "access_key_id"),
    ("IFMATCH_SECRET_ACCESS_KEY", "secret_access_key"),
    ("IFMATCH_SECRET_ACCESS_KEY_FILE", "secret_access_key_file"),
    ("IFMATCH_SECRET_ACCESS_KEY_ENV", "secret_access_key_env"),
    ("IFMATCH_SESSION_TOKEN", "session_token"),
    ("IFMATCH_SESSION_TOKEN_FILE", "session_token_file"),
    ("IFMATCH_SESSION_TOKEN_ENV", "session_token_env"),
];

/// Variables with our prefix that the command line reads and this room lets pass.
pub(super) const COMMAND_LINE_VARIABLES: [&str; 1] = ["IFMATCH_CONFIG"];

/// What stores serve beside buckets, at the same port: Ceph's `admin`, `auth` and `swift`; MinIO's
/// `minio`; RustFS's `rustfs`; Swift's `auth`, `endpoints`, `healthcheck`, `info`, `v1` and `v1.0`;
/// moto's `moto-api`.
const RESERVED: &str = "admin,auth,endpoints,healthcheck,info,minio,moto-api,rustfs,swift,v1,v1.0";

use Fallback::{Derived, Nothing, Required, Secret, Value};

const fn key(path: &'static str, fallback: Fallback) -> Key {
    Key { path, fallback }
}

/// All keys but those of `[[client]]` and `[[rule]]`, in the order in which they are read and
/// described.
pub(super) const KEYS: &[Key] = &[
    key("listen", Value("127.0.0.1:9000")),
    key(
        "upgrade_socket",
        Derived("in a directory of this user in the system's temporary one, named after listen"),
    ),
    key("threads", Value("0")),
    key("domains", Value("")),
    key("writers", Value("shared")),
    key("dialect", Value("aws")),
    key("signatures", Value("resign")),
    key("signature_v2", Value("accept")),
    key("region", Nothing("any region that a client signs for is accepted")),
    key(
        "backend.url",
        Required("the store to stand in front of, such as \"http://10.0.0.5:3900\""),
    ),
    key("backend.region", Value("us-east-1")),
    key("backend.access_key_id", Required("the credential that the store knows this proxy by")),
    key("backend.secret_access_key", Secret),
    key("backend.secret_access_key_file", Secret),
    key("backend.secret_access_key_env", Secret),
    key("backend.session_token", Secret),
    key("backend.session_token_file", Secret),
    key("backend.session_token_env", Secret),
    key("backend.addressing", Value("path")),
    key("backend.connect_timeout", Value("5s")),
    key("backend.write_timeout", Value("60s")),
    key("backend.long_write_timeout", Value("10m")),
    key("backend.read_timeout", Value("60s")),
    key("backend.ca_file", Nothing("the system's certificate authorities are trusted")),
    key("backend.connections", Value("128")),
    key("backend.empty_segments", Value("keep")),
    key("backend.dot_segments", Value("refuse")),
    key("backend.subresources", Value("seen")),
    key("backend.reserved", Value(RESERVED)),
    key("backend.deletes_at_once", Value("16")),
    key("backend.definite_errors", Value("NotImplemented")),
    key("backend.checksums", Value("send")),
    key("backend.write_ids", Value("false")),
    key("register.url", Value("memory:")),
    key(
        "register.lock_file",
        Derived("in the system's temporary directory, named after the store"),
    ),
    key("register.password", Secret),
    key("register.password_file", Secret),
    key("register.password_env", Secret),
    key("register.sentinel_username", Nothing("the Sentinels' default user")),
    key("register.sentinel_password", Secret),
    key("register.sentinel_password_file", Secret),
    key("register.sentinel_password_env", Secret),
    key("register.replicas", Value("promotable")),
    key("register.lease", Value("6s")),
    key("register.margin", Derived("half of register.lease")),
    key("register.grace", Value("3s")),
    key("register.settle", Value("10s")),
    key("register.settle_long", Value("5m")),
    key("register.retry_horizon", Value("10m")),
    key("register.record_ttl", Value("24h")),
    key(
        "register.failover_lag",
        Derived("0s; half of register.lease with Sentinels, and 15s more in a cluster"),
    ),
    key("register.lease_wait", Value("10s")),
    key("register.connections", Value("2")),
    key("register.timeout", Value("2s")),
    key("register.namespace", Value("ifmatch")),
    key("register.marker", Nothing("nothing tells whether another register has this store too")),
    key("body.memory", Value("256MiB")),
    key("body.memory_per_body", Value("8MiB")),
    key(
        "body.memory_per_client",
        Derived("half of body.memory, or body.memory_per_body if that is more"),
    ),
    key("body.spool", Derived("nine tenths of what was free in body.spool_dir at start")),
    key("body.spool_per_client", Derived("half of body.spool, or body.max if that is more")),
    key("body.spool_dir", Derived("the system's temporary directory")),
    key("body.max", Value("5GiB")),
    key("body.idle_timeout", Value("60s")),
    key("body.least_rate", Value("1KiB")),
    key("body.early_answer", Value("close")),
    key("body.unknown_length", Value("refuse")),
    key("limits.writes", Value("4096")),
    key("limits.writes_per_client", Derived("half of limits.writes")),
    key("limits.writes_per_key", Value("256")),
    key("limits.strangers", Value("256")),
    key(
        "limits.connections",
        Derived("16384, or as many as this process can have file descriptors for"),
    ),
    key("limits.connections_per_address", Nothing("an address may have them all")),
    key("log.format", Value("text")),
    key("log.level", Value("info")),
    key("anonymous.buckets", Nothing("nobody may come unsigned")),
    key("anonymous.read_only", Derived("what is open to everybody may only be read")),
];
