//! The configuration as used: plain data, complete and consistent. Nothing here is to be checked
//! again by those who use it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::describe::Line;
use crate::s3::{ObjectName, Understood};
use crate::secret::Secret;

/// All settings of one process. Comes from [`Config::load`] only.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients are listened for.
    pub listen: SocketAddr,
    /// Where a process asks that is to take over from this one; nowhere when absent.
    pub upgrade_socket: Option<UpgradeSocket>,
    /// Worker threads, at least one.
    pub threads: usize,
    /// The domains under which `bucket.domain` names a bucket, in lower case.
    pub domains: Vec<String>,
    /// Whether others write the same buckets without passing a proxy of this fleet.
    pub writers: Writers,
    /// Whose answers are given.
    pub dialect: Dialect,
    /// Who checks signatures.
    pub signatures: Signatures,
    /// Whether clients may sign by Version 2.
    pub signature_v2: SignatureV2,
    /// The region clients must sign for; any when absent.
    pub region: Option<String>,
    /// The store behind.
    pub backend: Backend,
    /// The register of ETags and leases.
    pub register: Register,
    /// How bodies are taken.
    pub body: Body,
    /// How much is taken on at once.
    pub limits: Limits,
    /// How keys are treated: the first that fits decides.
    pub rules: Vec<Rule>,
    /// Who may come; no access key twice. At least one, unless somebody may come unsigned or the
    /// store knows who may.
    pub clients: Vec<Client>,
    /// What may be done without a signature; nothing when absent.
    pub anonymous: Option<Rights>,
    /// What is logged.
    pub log: Log,
    /// The directory of the store in this process, when there is one. Its address is known only
    /// once it serves: [`Backend::endpoint`] then has port 0 and is to be replaced.
    pub embedded: Option<PathBuf>,
    /// What is allowed but unwise, a sentence each.
    pub warnings: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// A Unix socket of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeSocket {
    /// Its path.
    pub path: PathBuf,
    /// Whether somebody named it. Else its directory has to be made, and has to be private.
    pub written: bool,
}

/// Whether all writers pass the fleet of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Others may write around the proxies: each condition is judged against a HEAD.
    Shared,
    /// All writers pass: a record that says yes is believed.
    Exclusive,
}

/// Whose answers are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// AWS's, as recorded.
    Aws,
    /// RFC 9110's, as far as it goes beyond AWS.
    Rfc,
}

/// Who checks the signatures of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// This proxy, which signs anew for the store.
    Resign,
    /// The store: it gets each request as its sender signed it.
    Passthrough,
}

/// Whether clients may sign by Signature Version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureV2 {
    /// Requests signed by Version 2 are verified and served.
    Accept,
    /// They are told to use Version 4.
    Refuse,
}

/// What becomes of a body whose length nothing says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownLength {
    /// 501, as AWS answers.
    Refuse,
    /// It is taken whole, up to the largest body, before the store sees anything.
    Take,
}

/// The store behind.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Scheme, host and port.
    pub endpoint: Endpoint,
    /// The region to sign for.
    pub region: String,
    /// The access key to sign with.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// The token that goes with it, where it is a temporary credential.
    pub session_token: Option<Secret>,
    /// How a bucket is named towards the store.
    pub addressing: Addressing,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long sending one write and reading its answer may take.
    pub write_timeout: Duration,
    /// The same for CompleteMultipartUpload and CopyObject.
    pub long_write_timeout: Duration,
    /// How long a read may go without a byte.
    pub read_timeout: Duration,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Idle connections kept.
    pub connections: usize,
    /// What becomes of keys with empty segments, such as `a//b`.
    pub empty_segments: EmptySegments,
    /// What becomes of keys with a segment `.` or `..`.
    pub dot_segments: DotSegments,
    /// The subresources of objects that the store understands.
    pub subresources: Subresources,
    /// What stands in a bucket's place in a path and is no bucket, in lower case.
    pub reserved: Vec<String>,
    /// How many deletes of one batch are sent at a time.
    pub deletes_at_once: usize,
    /// S3 error codes that this store gives only before it has done anything, even with a 5xx.
    pub definite_errors: Vec<String>,
    /// Whether the store is told clients' checksums.
    pub checksums: Checksums,
    /// Whether objects carry the id of the write that left them.
    pub write_ids: bool,
}

/// Which subresources of objects a store understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresources {
    /// Those that its answers show it to understand.
    Seen,
    /// These.
    Named(Understood),
}

/// Scheme, host and port of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// TLS or not.
    pub https: bool,
    /// Name or address in lower case; an IPv6 address without brackets.
    pub host: String,
    /// The port, that of the scheme when none was written.
    pub port: u16,
}

impl Endpoint {
    /// `host:port` as a Host field has it: without the port that the scheme implies (RFC 9110
    /// §4.2), IPv6 in brackets.
    pub fn authority(&self) -> String {
        let implied = if self.https { 443 } else { 80 };
        let host = bracketed(&self.host);
        if self.port == implied { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// How a bucket is named towards the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// `/bucket/key`.
    Path,
    /// `/key` at the host `bucket.host`.
    VirtualHost,
}

/// What becomes of keys with a segment `.` or `..`, such as `a/../b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DotSegments {
    /// They are names like others: the store resolves nothing.
    Keep,
    /// They are refused: a store that resolves them would take `a/../b` for `b`, or for another
    /// bucket's.
    Refuse,
}

/// What becomes of keys with empty segments, such as `a//b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptySegments {
    /// They are names like others: the store keeps `a//b` and `a/b` apart.
    Keep,
    /// They are refused: the store would take `a//b` for `a/b`, two names for one lock.
    Refuse,
}

/// What becomes of the checksums (`x-amz-checksum-*`) that clients send and this proxy verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// They go on to the store.
    Send,
    /// They end here: the store would refuse them.
    Drop,
}

/// The register of ETags and leases.
#[derive(Debug, Clone)]
pub struct Register {
    /// Where it is.
    pub kind: RegisterKind,
    /// Its times; all proxies of a fleet must have the same.
    pub terms: Terms,
    /// The object that names this store's register; none is looked at when absent.
    pub marker: Option<ObjectName>,
}

/// Where the register is.
#[derive(Debug, Clone)]
pub enum RegisterKind {
    /// In this process, which is then the only one: it holds this file locked.
    Memory {
        /// The file to lock.
        lock_file: PathBuf,
    },
    /// In Redis, shared by all proxies.
    Redis(Redis),
}

/// How Redis is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Where it is.
    pub place: RedisPlace,
    /// The number of the database; 0 in a cluster.
    pub database: u32,
    /// The ACL user; Redis's default user when absent.
    pub username: Option<String>,
    /// The password, when one is needed.
    pub password: Option<Secret>,
    /// The Sentinels' ACL user.
    pub sentinel_username: Option<String>,
    /// The Sentinels' password, when one is needed.
    pub sentinel_password: Option<Secret>,
    /// What may become of replicas of a Redis that is reached by its own address.
    pub replicas: Replicas,
    /// What every key begins with.
    pub namespace: String,
    /// Connections held open to each server.
    pub connections: usize,
    /// How long one call may take.
    pub timeout: Duration,
    /// Whether somebody wrote `failover_lag`.
    pub failover_lag_is_stated: bool,
}

/// Where Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisPlace {
    /// At one address.
    One(HostPort),
    /// Where most of these Sentinels say.
    Sentinels {
        /// All of them, at least one.
        sentinels: Vec<HostPort>,
        /// What they call the master.
        master: String,
    },
    /// A cluster that these servers are part of, at least one.
    Cluster(Vec<HostPort>),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What may become of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// One may be promoted, and then answer at the same address.
    Promotable,
    /// None is ever promoted behind this address.
    NeverPromoted,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", bracketed(&self.host), self.port)
    }
}

impl RedisPlace {
    /// The URL of this place, with what stands before the `@` in it.
    pub(super) fn url(&self, user: &str, database: u32) -> String {
        let listed =
            |all: &[HostPort]| all.iter().map(HostPort::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::One(one) => format!("redis://{user}{one}/{database}"),
            Self::Sentinels { sentinels, master } => {
                format!("redis+sentinel://{user}{}/{master}/{database}", listed(sentinels))
            }
            Self::Cluster(seeds) => format!("redis+cluster://{user}{}", listed(seeds)),
        }
    }
}

impl fmt::Display for Redis {
    /// The URL, a password as `***`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = match (&self.username, &self.password) {
            (None, None) => String::new(),
            (Some(user), None) => format!("{user}@"),
            (user, Some(_)) => format!("{}:***@", user.as_deref().unwrap_or_default()),
        };
        f.write_str(&self.place.url(&user, self.database))
    }
}

/// The register's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a lease lasts without renewal.
    pub lease: Duration,
    /// How much of a lease must be left before anything is sent under it; shorter than `lease`.
    pub margin: Duration,
    /// How much longer an armed lease is waited for; freezes up to margin + grace do no harm.
    pub grace: Duration,
    /// How long a plain write may still land after the store could last read a byte of it.
    pub settle: Duration,
    /// The same for CompleteMultipartUpload and CopyObject; not shorter than `settle`.
    pub settle_long: Duration,
    /// How long a retry finds the answer of its first attempt.
    pub retry_horizon: Duration,
    /// How long an untouched record is kept; not shorter than `retry_horizon`.
    pub record_ttl: Duration,
    /// How long a Redis that has been replaced may go on granting.
    pub failover_lag: Duration,
    /// How long a write waits for a busy key.
    pub lease_wait: Duration,
}

/// How bodies are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Bytes of memory for all bodies in flight.
    pub memory_bytes: u64,
    /// Bytes up to which one body is held in memory; larger ones are spooled from the start.
    pub memory_per_body_bytes: u64,
    /// Bytes of memory for the bodies of one client; not more than `memory_bytes`.
    pub memory_per_client_bytes: u64,
    /// Bytes of disk for all bodies in flight.
    pub spool_bytes: u64,
    /// Bytes of disk for the bodies of one client; not more than `spool_bytes`.
    pub spool_per_client_bytes: u64,
    /// Where bodies are spooled; a directory that was there at start.
    pub spool_dir: PathBuf,
    /// Bytes of the largest body taken.
    pub bytes_max: u64,
    /// How long a client may send nothing in the middle of a body, and take for a whole head.
    pub idle_timeout: Duration,
    /// How fast a body has to come, in bytes per second; 0 where any pace will do.
    pub least_rate: u64,
    /// What becomes of a body that is refused before it has come.
    pub early_answer: EarlyAnswer,
    /// What becomes of a body whose length nothing says.
    pub unknown_length: UnknownLength,
}

/// What becomes of a body whose request is refused before it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyAnswer {
    /// It is not read, and the connection is closed after the answer.
    Close,
    /// It is read and thrown away, up to a length, and the connection is kept.
    Read,
}

/// How much is taken on at once; what is more is answered 503 SlowDown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way that change something.
    pub writes: usize,
    /// Of these, of one client; not more than `writes`.
    pub writes_per_client: usize,
    /// Writes of one key, the one that is being made included.
    pub writes_per_key: usize,
    /// Callers who have not said yet who they are: forms whose fields have not arrived.
    pub strangers: usize,
    /// Connections of clients.
    pub connections: usize,
    /// Connections from one address; any number when absent.
    pub connections_per_address: Option<usize>,
}

/// How some of the keys are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The buckets it is about, at least one pattern.
    pub buckets: Vec<BucketPattern>,
    /// How the keys begin; empty for all.
    pub prefix: String,
    /// Whether their writes pass the register.
    pub mode: RuleMode,
    /// What their writes must carry.
    pub require: Option<Require>,
    /// Configurations that their buckets may be given although something is required of writes.
    pub allow_configuration: Vec<String>,
}

impl Rule {
    /// Whether it is about this key.
    pub fn fits(&self, bucket: &str, key: &str) -> bool {
        self.buckets.iter().any(|pattern| pattern.matches(bucket)) && key.starts_with(&self.prefix)
    }
}

/// Whether writes pass the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleMode {
    /// They do.
    Guard,
    /// They go to the store as they are, their conditions too.
    Pass,
}

/// What writes must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// `If-None-Match: *`: what is written once is never changed.
    CreateOnly,
    /// A condition, of whatever kind.
    MustBeConditional,
}

/// One who may come.
#[derive(Debug, Clone)]
pub struct Client {
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// The token that every request of this client has to bring, where its credential is a
    /// temporary one.
    pub session_token: Option<Secret>,
    /// What it may do.
    pub rights: Rights,
}

/// What somebody may do.
#[derive(Debug, Clone)]
pub struct Rights {
    /// The buckets that may be touched, at least one pattern.
    pub buckets: Vec<BucketPattern>,
    /// Whether they may only be read.
    pub read_only: bool,
    /// Whether they may be given a configuration by which the store itself, or others, change objects.
    pub configure: bool,
}

impl Rights {
    /// Whether this bucket may be touched.
    pub fn may_touch(&self, bucket: &str) -> bool {
        self.buckets.iter().any(|pattern| pattern.matches(bucket))
    }
}

/// A bucket, or all whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketPattern {
    /// Exactly this bucket.
    Name(String),
    /// All that begin with this; written with a trailing `*`.
    Prefix(String),
}

impl BucketPattern {
    /// Whether every bucket that `other` means is meant here too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Name(name)) => self.matches(name),
            (Self::Prefix(prefix), Self::Prefix(longer)) => longer.starts_with(prefix),
            (Self::Name(_), Self::Prefix(_)) => false,
        }
    }

    /// Whether this bucket is meant.
    pub fn matches(&self, bucket: &str) -> bool {
        match self {
            Self::Name(name) => name == bucket,
            Self::Prefix(prefix) => bucket.starts_with(prefix),
        }
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// In what form.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber`'s `EnvFilter`, such as `info` or `ifmatch=debug`.
    pub level: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
