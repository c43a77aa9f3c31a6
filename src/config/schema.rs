//! The sections of the configuration as `serde` structs: each field is a key of the file, its type says
//! what may be written, and behind it stands its default. Defaults that follow from other values are
//! filled in by `assemble`; what stands here in their place is of no use.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Client, Rights, Rule};
use super::address::{Endpoint, RegisterUrl};
use super::choices::{
    Addressing, Checksums, EarlyAnswer, LogFormat, Replicas, SignatureV2, Signatures, Subresources,
    UnknownLength,
};
use crate::register::redis::RedisSettings;
use crate::register::{Terms, Writers};
use crate::s3::{Dialect, DotSegments, EmptySegments, ObjectName, Segments};
use crate::secret::Secret;
use crate::units::{Count, Positive, Size, Span};

/// Defines a section. Each field is written once, with what holds where the file has nothing: a derived
/// `Default` would know no other values than zeros.
macro_rules! section {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$attribute:meta])* $visible:vis $field:ident: $type:ty = $default:expr,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$attribute])* $visible $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }
    };
}

section! {
/// All settings of one process, complete and consistent. Comes from [`Config::load`] only.
pub struct Config {
    /// Where clients connect.
    #[serde(with = "super::address::Listen")]
    pub listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000)),
    /// The Unix socket at which a process asks that is to take over from this one; none when absent.
    pub upgrade_socket: Option<UpgradeSocket> = None,
    /// Worker threads; 0 is one for each core.
    #[serde(with = "Count::<0, 1024>")]
    pub threads: usize = 0,
    /// The domains under which `bucket.domain` names a bucket, in lower case.
    pub domains: Vec<String> = Vec::new(),
    /// Whether others write the same buckets without passing a proxy of this fleet.
    pub writers: Writers = Writers::Shared,
    /// Whose answers are given.
    pub dialect: Dialect = Dialect::Aws,
    /// What checks signatures.
    pub signatures: Signatures = Signatures::Resign,
    /// Whether clients may sign by Signature Version 2.
    pub signature_v2: SignatureV2 = SignatureV2::Accept,
    /// The region that clients must sign for; any when absent.
    pub region: Option<String> = None,
    /// The store behind.
    #[serde(skip)]
    pub backend: Backend = Backend::default(),
    /// The register of ETags and leases.
    #[serde(skip)]
    pub register: Register = Register::default(),
    /// How bodies are taken.
    #[serde(skip)]
    pub body: Body = Body::default(),
    /// How much is taken on at once.
    #[serde(skip)]
    pub limits: Limits = Limits::default(),
    /// How keys are treated: the first rule that fits decides.
    #[serde(skip)]
    pub rules: Vec<Rule> = Vec::new(),
    /// The clients; no access key twice. At least one, unless requests may come unsigned or the store
    /// checks signatures.
    #[serde(skip)]
    pub clients: Vec<Client> = Vec::new(),
    /// What may be done without a signature; nothing when absent.
    #[serde(skip)]
    pub anonymous: Option<Rights> = None,
    /// What is logged.
    #[serde(skip)]
    pub log: Log = Log::default(),
    /// The directory of the store in this process, when there is one. Its address is known only
    /// once it serves: [`Backend::url`] then has port 0 and is to be replaced.
    #[serde(skip)]
    pub embedded: Option<PathBuf> = None,
    /// What is allowed but unwise, a sentence each.
    #[serde(skip)]
    pub warnings: Vec<String> = Vec::new(),
    #[serde(skip)]
    pub(super) described: String = String::new(),
}
}

impl Config {
    /// How many threads serve, at least one.
    pub fn worker_threads(&self) -> usize {
        if self.threads > 0 {
            return self.threads;
        }
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }
}

/// A Unix socket of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub struct UpgradeSocket {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is configured. Else its directory has to be made, and has to be private.
    pub written: bool,
}

impl From<PathBuf> for UpgradeSocket {
    fn from(path: PathBuf) -> Self {
        Self { path, written: true }
    }
}

impl From<UpgradeSocket> for PathBuf {
    fn from(socket: UpgradeSocket) -> Self {
        socket.path
    }
}

section! {
/// The store behind.
pub struct Backend {
    /// Scheme, host and port.
    pub url: Endpoint = Endpoint::default(),
    /// The region to sign for.
    pub region: String = "us-east-1".to_owned(),
    /// The access key to sign with.
    pub access_key_id: String = String::new(),
    /// Its secret.
    pub secret_access_key: Secret = Secret::default(),
    /// The session token of a temporary credential.
    pub session_token: Option<Secret> = None,
    /// How a bucket is named towards the store.
    pub addressing: Addressing = Addressing::Path,
    /// How long opening a connection may take.
    #[serde(with = "Positive")]
    pub connect_timeout: Duration = Duration::from_secs(5),
    /// How long sending one write and reading its answer may take.
    #[serde(with = "Positive")]
    pub write_timeout: Duration = Duration::from_mins(1),
    /// The same for CompleteMultipartUpload and CopyObject.
    #[serde(with = "Positive")]
    pub long_write_timeout: Duration = Duration::from_mins(10),
    /// How long a read may go without a byte.
    #[serde(with = "Positive")]
    pub read_timeout: Duration = Duration::from_mins(1),
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf> = None,
    /// Idle connections kept open.
    #[serde(with = "Count::<1, 65_536>")]
    pub connections: usize = 128,
    /// What becomes of keys with empty segments, such as `a//b`.
    pub empty_segments: EmptySegments = EmptySegments::Kept,
    /// What becomes of keys with a segment `.` or `..`, such as `a/../b`.
    pub dot_segments: DotSegments = DotSegments::Refused,
    /// The subresources of objects that the store understands.
    pub subresources: Subresources = Subresources::Seen,
    /// What stands in a bucket's place in a path and is no bucket, in lower case.
    pub reserved: Vec<String> = RESERVED.map(str::to_owned).to_vec(),
    /// How many deletes of one batch are sent at a time.
    #[serde(with = "Count::<1, 1000>")]
    pub deletes_at_once: usize = 16,
    /// S3 error codes that this store gives only before it has done anything, even with a 5xx.
    pub definite_errors: Vec<String> = vec!["NotImplemented".to_owned()],
    /// Whether the store is told clients' checksums.
    pub checksums: Checksums = Checksums::Send,
    /// Whether objects carry the id of the write that left them.
    pub write_ids: bool = false,
}
}

impl Backend {
    /// Which segments keys may hold.
    pub fn segments(&self) -> Segments {
        Segments { empty: self.empty_segments, dots: self.dot_segments }
    }
}

/// What stores serve beside buckets, at the same port: Ceph's `admin`, `auth` and `swift`; MinIO's
/// `minio`; RustFS's `rustfs`; Swift's `auth`, `endpoints`, `healthcheck`, `info`, `v1` and `v1.0`;
/// moto's `moto-api`.
const RESERVED: [&str; 11] = [
    "admin",
    "auth",
    "endpoints",
    "healthcheck",
    "info",
    "minio",
    "moto-api",
    "rustfs",
    "swift",
    "v1",
    "v1.0",
];

section! {
/// The register of ETags and leases.
pub struct Register {
    /// Where it is.
    pub url: RegisterUrl = RegisterUrl::Memory,
    /// The file that a register in this process keeps locked.
    pub lock_file: Option<PathBuf> = None,
    /// The password of Redis.
    pub password: Option<Secret> = None,
    /// The Sentinels' ACL user.
    pub sentinel_username: Option<String> = None,
    /// The Sentinels' password.
    pub sentinel_password: Option<Secret> = None,
    /// What may become of replicas of a Redis that is reached by its own address.
    pub replicas: Replicas = Replicas::Promotable,
    /// How much of a lease must be left before anything is sent under it; shorter than `lease`.
    #[serde(with = "Span")]
    pub margin: Duration = Duration::ZERO,
    /// How long a write waits for a busy key.
    #[serde(with = "Span")]
    pub lease_wait: Duration = Duration::from_secs(10),
    /// Connections to each server of Redis.
    #[serde(with = "Count::<1, 1024>")]
    pub connections: usize = 2,
    /// How long one call to Redis may take.
    #[serde(with = "Positive")]
    pub timeout: Duration = Duration::from_secs(2),
    /// What every key in Redis begins with.
    pub namespace: String = "ifmatch".to_owned(),
    /// The object that names this store's register, as `bucket/key`; none is looked at when absent.
    pub marker: Option<ObjectName> = None,
    /// Its times, which are keys of the same table. All proxies of a fleet must have the same.
    #[serde(skip)]
    pub terms: Terms = Terms::default(),
    /// What the keys above say together.
    #[serde(skip)]
    pub kind: RegisterKind = RegisterKind::Memory { lock_file: PathBuf::new() },
}
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
    Redis(RedisSettings),
}

section! {
/// How bodies are taken. Sizes are in bytes.
pub struct Body {
    /// Memory for all bodies in flight.
    #[serde(with = "Size")]
    pub memory: u64 = 256 << 20,
    /// Up to this size one body is held in memory; larger ones are spooled from the start.
    #[serde(with = "Size")]
    pub memory_per_body: u64 = 8 << 20,
    /// Memory for the bodies of one client; not more than `memory`.
    #[serde(with = "Size")]
    pub memory_per_client: u64 = 0,
    /// Disk for all bodies in flight.
    #[serde(with = "Size")]
    pub spool: u64 = 0,
    /// Disk for the bodies of one client; not more than `spool`.
    #[serde(with = "Size")]
    pub spool_per_client: u64 = 0,
    /// Where bodies are spooled; a directory that was there at start.
    pub spool_dir: PathBuf = std::env::temp_dir(),
    /// The largest body taken.
    #[serde(with = "Size")]
    pub max: u64 = 5 << 30,
    /// How long a client may send nothing in the middle of a body, and take for a whole head.
    #[serde(with = "Positive")]
    pub idle_timeout: Duration = Duration::from_mins(1),
    /// How fast a body has to come, in bytes per second; 0 where any pace will do.
    #[serde(with = "Size")]
    pub least_rate: u64 = 1 << 10,
    /// What becomes of a body that is refused before it has come.
    pub early_answer: EarlyAnswer = EarlyAnswer::Close,
    /// What becomes of a body whose length nothing says.
    pub unknown_length: UnknownLength = UnknownLength::Refuse,
}
}

section! {
/// How much is taken on at once; what is more is answered 503 SlowDown.
pub struct Limits {
    /// Requests under way that change something.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub writes: usize = 4096,
    /// Of these, of one client; not more than `writes`.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub writes_per_client: usize = 0,
    /// Writes of one key, the one that is being made included.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub writes_per_key: usize = 256,
    /// Forms whose fields have not arrived, so that their sender is not known.
    #[serde(with = "Count::<1, 65_536>")]
    pub strangers: usize = 256,
    /// Connections of clients.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub connections: usize = 0,
    /// Connections from one address; any number when absent.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub connections_per_address: Option<usize> = None,
}
}

section! {
/// What is logged.
pub struct Log {
    /// In what form.
    pub format: LogFormat = LogFormat::Text,
    /// Directives of `tracing_subscriber`'s `EnvFilter`, such as `info` or `ifmatch=debug`.
    pub level: String = "info".to_owned(),
}
}
