//! The sections of the configuration as `serde` structs: each field is a key of the file, its type
//! defines the allowed values, and its default follows. `assemble` sets the defaults that follow
//! from other values; the ones written here in their place are not used.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Client, Rights, Rule};
use super::address::{Endpoint, RegisterUrl};
use super::choices::{
    AccessLog, Addressing, Checksums, EarlyAnswer, KeyNames, LogFormat, ProbeAtStart, Replicas,
    SignatureV2, Signatures, Subresources, UnknownLength,
};
use super::strong_headers::StrongHeaders;
use crate::embedded::Fsync;
use crate::register::redis::{RedisSettings, RedisTls};
use crate::register::{Terms, Writers};
use crate::s3::{Dialect, DotSegments, EmptySegments, ObjectName, Segments};
use crate::secret::Secret;
use crate::tls::{CertificateFiles, ClientAuth, ClientFiles, MinVersion, ServerSettings};
use crate::traces::settings::{self as traced, Settings as TraceSettings};
use crate::units::{Count, Positive, Ratio, Size, Span};

/// Defines a section. Each field has its default beside it: a derived `Default` would only know
/// zeros.
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
/// All settings of one process, complete and consistent. Made by [`Config::load`] only.
pub struct Config {
    /// The addresses where clients connect without TLS.
    #[serde(with = "super::address::Listen")]
    pub listen: Vec<SocketAddr> = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 9000))],
    /// The Unix socket at which a successor asks this process to hand over; none when absent.
    pub upgrade_socket: Option<UpgradeSocket> = None,
    /// After a signal to stop: for how long clients are still accepted, while the readiness check
    /// already fails.
    #[serde(with = "Span")]
    pub shutdown_delay: Duration = Duration::ZERO,
    /// Worker threads; 0 means one for each core.
    #[serde(with = "Count::<0, 1024>")]
    pub threads: usize = 0,
    /// The domains under which `bucket.domain` names a bucket, in lower case.
    pub domains: Vec<String> = Vec::new(),
    /// Whether other writers change the same buckets without a proxy of this fleet.
    pub writers: Writers = Writers::Shared,
    /// The rules for conditions and their answers.
    pub dialect: Dialect = Dialect::Aws,
    /// Whether the proxy or the store checks signatures.
    pub signatures: Signatures = Signatures::Resign,
    /// Whether clients may sign by Signature Version 2.
    pub signature_v2: SignatureV2 = SignatureV2::Accept,
    /// The region that clients must sign for; any when absent.
    pub region: Option<String> = None,
    /// TLS towards clients.
    #[serde(skip)]
    pub tls: Tls = Tls::default(),
    /// Certificates for clients beside the one in [`Config::tls`], chosen by name.
    #[serde(skip)]
    pub certificates: Vec<Certificate> = Vec::new(),
    /// The store.
    #[serde(skip)]
    pub backend: Backend = Backend::default(),
    /// The register of ETags and leases.
    #[serde(skip)]
    pub register: Register = Register::default(),
    /// The buffers for bodies.
    #[serde(skip)]
    pub body: Body = Body::default(),
    /// Limits on concurrent work.
    #[serde(skip)]
    pub limits: Limits = Limits::default(),
    /// How writes of keys are treated: the first matching rule decides.
    #[serde(skip)]
    pub rules: Vec<Rule> = Vec::new(),
    /// The clients, each with its own access key. At least one, unless requests may come without a
    /// signature or the store checks signatures.
    #[serde(skip)]
    pub clients: Vec<Client> = Vec::new(),
    /// The rights of requests without a signature; none when absent.
    #[serde(skip)]
    pub anonymous: Option<Rights> = None,
    /// The store in this process, where there is one.
    #[serde(skip)]
    pub embedded_store: EmbeddedStore = EmbeddedStore::default(),
    /// The log.
    #[serde(skip)]
    pub log: Log = Log::default(),
    /// The admin listener.
    #[serde(skip)]
    pub admin: Admin = Admin::default(),
    /// Traces for a collector of OpenTelemetry.
    #[serde(skip)]
    pub traces: Traces = Traces::default(),
    /// The directory of the store in this process, if there is one. Its address is only known once
    /// it serves: until then [`Backend::url`] has port 0.
    #[serde(skip)]
    pub embedded: Option<PathBuf> = None,
    /// Warnings about settings that are allowed but unwise, a sentence each.
    #[serde(skip)]
    pub warnings: Vec<String> = Vec::new(),
    #[serde(skip)]
    pub(super) described: String = String::new(),
    /// The paths of the defaults that follow from other settings.
    #[serde(skip)]
    pub(super) derived: BTreeSet<String> = BTreeSet::new(),
}
}

impl Config {
    /// The number of worker threads, at least one.
    pub fn worker_threads(&self) -> usize {
        if self.threads > 0 {
            return self.threads;
        }
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    /// All addresses where clients connect, those without TLS first.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        [self.listen.as_slice(), &self.tls.listen].concat()
    }

    /// The settings of TLS towards clients, where it is used.
    pub fn server_tls(&self) -> Option<ServerSettings> {
        let Tls { cert_file: Some(cert_file), key_file: Some(key_file), .. } = self.tls.clone()
        else {
            return None;
        };
        let first = CertificateFiles { cert_file, key_file, names: Vec::new() };
        let others = self.certificates.iter().map(Certificate::files);
        (!self.tls.listen.is_empty()).then(|| ServerSettings {
            certificates: std::iter::once(first).chain(others).collect(),
            client_ca_file: self.tls.client_ca_file.clone(),
            client_auth: self.tls.client_auth,
            min_version: self.tls.min_version,
        })
    }
}

section! {
/// TLS towards clients.
pub struct Tls {
    /// The addresses where clients connect by TLS.
    #[serde(with = "super::address::Listen")]
    pub listen: Vec<SocketAddr> = Vec::new(),
    /// The certificate for clients that ask for no name, or for one that no other certificate has:
    /// in PEM form, with its chain.
    pub cert_file: Option<PathBuf> = None,
    /// Its key.
    pub key_file: Option<PathBuf> = None,
    /// PEM certificates of the authorities that sign clients' certificates.
    pub client_ca_file: Option<PathBuf> = None,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth = ClientAuth::Off,
    /// The oldest version of TLS that is spoken.
    pub min_version: MinVersion = MinVersion::Tls12,
    /// How long a handshake may take.
    #[serde(with = "Positive")]
    pub handshake_timeout: Duration = Duration::from_secs(10),
    /// How often all files of certificates are read again, also those of the store and of Redis.
    #[serde(with = "Positive")]
    pub reload_interval: Duration = Duration::from_secs(30),
}
}

section! {
/// One more certificate towards clients.
pub struct Certificate {
    /// The certificate in PEM form, with its chain.
    pub cert_file: PathBuf = PathBuf::new(),
    /// Its key.
    pub key_file: PathBuf = PathBuf::new(),
    /// The host names for which it is shown; those that it has when empty.
    pub names: Vec<String> = Vec::new(),
}
}

impl Certificate {
    pub(super) fn files(&self) -> CertificateFiles {
        let Self { cert_file, key_file, names } = self.clone();
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        CertificateFiles { cert_file, key_file, names }
    }
}

/// A Unix socket of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub struct UpgradeSocket {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is configured. Otherwise its directory has to be created and must be private.
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
/// The store.
pub struct Backend {
    /// Scheme, host and port.
    pub url: Endpoint = Endpoint::default(),
    /// In place of `url`: the nodes of one store, each by its own name or address.
    pub urls: Vec<Endpoint> = Vec::new(),
    /// How often each node is checked; 0s for never.
    #[serde(with = "Span")]
    pub health_interval: Duration = Duration::ZERO,
    /// How long a node may take to answer a check.
    #[serde(with = "Positive")]
    pub health_timeout: Duration = Duration::from_secs(2),
    /// After how many failures in a row a node gets no more requests.
    #[serde(with = "Count::<1, 100>")]
    pub health_down_after: usize = 3,
    /// After how many answered checks in a row it gets requests again.
    #[serde(with = "Count::<1, 100>")]
    pub health_up_after: usize = 2,
    /// The bucket that a check asks for; the store itself when absent.
    pub health_bucket: Option<String> = None,
    /// How often the store's names are looked up again.
    #[serde(with = "Positive")]
    pub resolve_interval: Duration = Duration::from_secs(30),
    /// By how much the clocks of the nodes may differ, where the store orders writes by them.
    #[serde(with = "Span")]
    pub clock_skew: Duration = Duration::ZERO,
    /// The region to sign for.
    pub region: String = "us-east-1".to_owned(),
    /// The access key to sign with.
    pub access_key_id: String = String::new(),
    /// Its secret.
    pub secret_access_key: Secret = Secret::default(),
    /// The session token of a temporary credential.
    pub session_token: Option<Secret> = None,
    /// How requests to the store name the bucket.
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
    /// How long a read may wait for a byte.
    #[serde(with = "Positive")]
    pub read_timeout: Duration = Duration::from_mins(1),
    /// How long a read of a rule's keys waits for a store that lags to show what was written.
    #[serde(with = "Span")]
    pub read_patience: Duration = Duration::from_secs(5),
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf> = None,
    /// The certificate to show to the store, in PEM form, with its chain.
    pub client_cert_file: Option<PathBuf> = None,
    /// Its key.
    pub client_key_file: Option<PathBuf> = None,
    /// Idle connections kept open, to all nodes together.
    #[serde(with = "Count::<1, 65_536>")]
    pub connections: usize = 128,
    /// Whether keys with empty segments, such as `a//b`, are allowed.
    pub empty_segments: EmptySegments = EmptySegments::Kept,
    /// Whether keys with a segment `.` or `..`, such as `a/../b`, are allowed.
    pub dot_segments: DotSegments = DotSegments::Refused,
    /// The subresources of objects that the store understands.
    pub subresources: Subresources = Subresources::Seen,
    /// First path segments that are not buckets, in lower case.
    pub reserved: Vec<String> = RESERVED.map(str::to_owned).to_vec(),
    /// How many deletes of one batch are sent at the same time.
    #[serde(with = "Count::<1, 1000>")]
    pub deletes_at_once: usize = 16,
    /// S3 error codes that this store gives only before it has changed anything, even with a 5xx.
    pub definite_errors: Vec<String> = vec!["NotImplemented".to_owned()],
    /// Whether the store gets clients' checksums.
    pub checksums: Checksums = Checksums::Send,
    /// Whether objects carry the id of the write that left them.
    pub write_ids: bool = false,
    /// Headers by which this store is asked to be consistent, each as `name: value`.
    pub strong_headers: StrongHeaders = StrongHeaders::default(),
    /// Whether the store is asked at the start if it does what is configured of it.
    pub probe_at_start: ProbeAtStart = ProbeAtStart::Off,
    /// The bucket that this writes scratch objects into.
    pub probe_bucket: Option<String> = None,
    /// What their keys begin with; a random part follows.
    pub probe_prefix: String = ".ifmatch-probe/".to_owned(),
    /// How long all of it may take; four times `register.lag` is added.
    #[serde(with = "Positive")]
    pub probe_timeout: Duration = Duration::from_secs(5),
}
}

impl Backend {
    /// The nodes of the store; at least one.
    pub fn nodes(&self) -> Vec<Endpoint> {
        if self.urls.is_empty() { vec![self.url.clone()] } else { self.urls.clone() }
    }

    /// Whether the nodes are checked.
    pub fn is_checked(&self) -> bool {
        !self.health_interval.is_zero()
    }

    /// The nodes as they are shown in messages.
    pub fn show(&self) -> String {
        let nodes: Vec<_> = self.nodes().iter().map(Endpoint::to_string).collect();
        nodes.join(", ")
    }

    /// Which unusual segments keys may contain.
    pub fn segments(&self) -> Segments {
        Segments { empty: self.empty_segments, dots: self.dot_segments }
    }

    /// The files for TLS to the store, where that is used.
    pub fn tls(&self) -> ClientFiles {
        ClientFiles {
            ca_file: self.ca_file.clone(),
            cert_file: self.client_cert_file.clone(),
            key_file: self.client_key_file.clone(),
        }
    }
}

/// Paths that stores serve beside buckets, on the same port: Ceph's `admin`, `auth` and `swift`;
/// MinIO's `minio`; RustFS's `rustfs`; Swift's `auth`, `endpoints`, `healthcheck`, `info`, `v1` and
/// `v1.0`; moto's `moto-api`.
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
    /// Its URL.
    pub url: RegisterUrl = RegisterUrl::Memory,
    /// The file that a register in this process keeps locked.
    pub lock_file: Option<PathBuf> = None,
    /// The password of Redis.
    pub password: Option<Secret> = None,
    /// The Sentinels' ACL user.
    pub sentinel_username: Option<String> = None,
    /// The Sentinels' password.
    pub sentinel_password: Option<Secret> = None,
    /// With `rediss://`: PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf> = None,
    /// With `rediss://`: the certificate to show to Redis, in PEM form, with its chain.
    pub client_cert_file: Option<PathBuf> = None,
    /// Its key.
    pub client_key_file: Option<PathBuf> = None,
    /// With `rediss://`: the name that the servers' certificates are for; each server's own name or
    /// address when absent.
    pub server_name: Option<String> = None,
    /// Whether a replica of a Redis with one fixed address may become the master.
    pub replicas: Replicas = Replicas::Promotable,
    /// How much of a lease must be left before a write is sent under it; shorter than `lease`.
    #[serde(with = "Span")]
    pub margin: Duration = Duration::ZERO,
    /// How long a write waits for a busy key.
    #[serde(with = "Span")]
    pub lease_wait: Duration = Duration::from_secs(10),
    /// Connections to each server of Redis. With fewer than `threads`, threads share them.
    #[serde(with = "Count::<1, 1024>")]
    pub connections: usize = 1,
    /// How long one call to Redis may take.
    #[serde(with = "Positive")]
    pub timeout: Duration = Duration::from_secs(2),
    /// The prefix of every Redis key.
    pub namespace: String = "ifmatch".to_owned(),
    /// The object that names this store's register, as `bucket/key`; no marker is used when absent.
    pub marker: Option<ObjectName> = None,
    /// Its times, in keys of the same table. All proxies of a fleet must have the same.
    #[serde(skip)]
    pub terms: Terms = Terms::default(),
    /// The result of the keys above.
    #[serde(skip)]
    pub kind: RegisterKind = RegisterKind::Memory { lock_file: PathBuf::new() },
}
}

impl Register {
    /// The settings for TLS to Redis, where that is used.
    pub(super) fn tls(&self) -> RedisTls {
        let files = ClientFiles {
            ca_file: self.ca_file.clone(),
            cert_file: self.client_cert_file.clone(),
            key_file: self.client_key_file.clone(),
        };
        RedisTls { files, server_name: self.server_name.clone() }
    }
}

/// The place of the register.
#[derive(Debug, Clone)]
pub enum RegisterKind {
    /// In this process, which must be the only one: it holds this file locked.
    Memory {
        /// The file to lock.
        lock_file: PathBuf,
    },
    /// In Redis, shared by all proxies.
    Redis(Box<RedisSettings>),
}

section! {
/// The buffers for bodies. Sizes are in bytes.
pub struct Body {
    /// Memory for all bodies in flight.
    #[serde(with = "Size")]
    pub memory: u64 = 256 << 20,
    /// The largest body that is kept in memory; larger ones are spooled from the start.
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
    /// The directory where bodies are spooled; it must exist at start.
    pub spool_dir: PathBuf = std::env::temp_dir(),
    /// The largest body accepted.
    #[serde(with = "Size")]
    pub max: u64 = 5 << 30,
    /// How long a client may pause in the middle of a body, and take for a whole head.
    #[serde(with = "Positive")]
    pub idle_timeout: Duration = Duration::from_mins(1),
    /// The slowest rate at which a body may arrive, bytes per second; 0 for no limit.
    #[serde(with = "Size")]
    pub least_rate: u64 = 1 << 10,
    /// How a body is handled that is refused before it has arrived.
    pub early_answer: EarlyAnswer = EarlyAnswer::Close,
    /// How a body without a declared length is handled.
    pub unknown_length: UnknownLength = UnknownLength::Refuse,
}
}

section! {
/// Limits on concurrent work; requests beyond them get 503 SlowDown.
pub struct Limits {
    /// Requests under way that change something.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub writes: usize = 4096,
    /// The same for one client; not more than `writes`.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub writes_per_client: usize = 0,
    /// Writes of one key, including the one under way.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub writes_per_key: usize = 256,
    /// Forms whose fields have not arrived, so that their sender is not known.
    #[serde(with = "Count::<1, 65_536>")]
    pub strangers: usize = 256,
    /// Connections of clients.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub connections: usize = 0,
    /// Memory for the pages of guarded listings, which are read whole, in bytes; a client may have half of
    /// it.
    #[serde(with = "Size")]
    pub listing_memory: u64 = 256 << 20,
    /// Connections from one address; no limit when absent.
    #[serde(with = "Count::<1, 1_048_576>")]
    pub connections_per_address: Option<usize> = None,
}
}

section! {
/// The store in this process (`--embedded DIR`).
pub struct EmbeddedStore {
    /// Whether an answer to a write waits until the disk has it.
    pub fsync: Fsync = Fsync::Always,
}
}

section! {
/// The log.
pub struct Log {
    /// Its form.
    pub format: LogFormat = LogFormat::Text,
    /// Where the lines about requests go: `stderr`, `off`, or the path of a file.
    pub access: AccessLog = AccessLog::Stderr,
    /// Of so many successful reads one has a line: all where it is 1.
    #[serde(with = "Count::<1, 1_000_000>")]
    pub sample_reads: usize = 1,
    /// Directives of `tracing_subscriber`'s `EnvFilter`, such as `info` or `ifmatch=debug`.
    pub level: String = "info".to_owned(),
}
}

section! {
/// The admin listener: health checks, metrics and commands of operators.
pub struct Admin {
    /// Its address; there is no admin listener when absent.
    #[serde(with = "super::address::OneAddress")]
    pub listen: Option<SocketAddr> = None,
    /// The token that operators send.
    pub token: Option<Secret> = None,
    /// Who sees the names of keys on the status page and in status.json.
    pub key_names: KeyNames = KeyNames::Token,
}
}

section! {
/// Traces, sent to a collector of OpenTelemetry by OTLP over HTTP.
pub struct Traces {
    /// The collector's scheme, host and port; there are no traces when absent.
    pub endpoint: Option<Endpoint> = None,
    /// The path that spans are posted to.
    pub path: String = "/v1/traces".to_owned(),
    /// Headers that are sent along: `name=value,name=value`.
    pub headers: Option<Secret> = None,
    /// The share of requests that are recorded, where the client has not decided it.
    #[serde(with = "Ratio")]
    pub sample_ratio: f64 = 1.0,
    /// The name of this service in the spans.
    pub service_name: String = "ifmatch".to_owned(),
    /// How long the collector may take to answer.
    #[serde(with = "Positive")]
    pub timeout: Duration = Duration::from_secs(5),
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf> = None,
}
}

impl Traces {
    /// The settings, where there are traces. Headers that cannot be read are refused before.
    pub fn settings(&self) -> Option<TraceSettings> {
        let Endpoint { https, host, port } = self.endpoint.clone()?;
        let headers = self.headers.as_ref().map(|headers| traced::headers(headers.expose()));
        Some(TraceSettings {
            authority: self.endpoint.as_ref().map(Endpoint::authority).unwrap_or_default(),
            https,
            host,
            port,
            path: self.path.clone(),
            headers: headers.and_then(Result::ok).unwrap_or_default(),
            service_name: self.service_name.clone(),
            sample_ratio: self.sample_ratio,
            timeout: self.timeout,
            files: ClientFiles { ca_file: self.ca_file.clone(), ..ClientFiles::default() },
        })
    }
}
