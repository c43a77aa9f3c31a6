//! The configuration: a TOML file, overridden by the environment, overridden by flags. It is read
//! once, whole, and either every setting is right or all that is wrong is listed.
//!
//! `file`, `environment` and the flags each give a layer of values; `layers` puts them over each
//! other; `sections` and `clients` turn them into [`Config`], following the table in `keys`.

mod address;
mod clients;
mod describe;
mod embedded;
mod environment;
mod faults;
mod file;
mod files;
mod keys;
mod layers;
mod reading;
mod rules;
mod secrets;
mod sections;
mod settings;
mod treatments;
mod trust;
mod values;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use environment::of_process;
pub use faults::{ConfigErrors, Fault};
pub use settings::{
    Addressing, Backend, Body, BucketPattern, Checksums, Client, Config, Dialect, DotSegments,
    EarlyAnswer, EmptySegments, Endpoint, HostPort, Limits, Log, LogFormat, Redis, RedisPlace,
    Register, RegisterKind, Replicas, Require, Rights, Rule, RuleMode, SignatureV2, Signatures,
    Subresources, Terms, UnknownLength, UpgradeSocket, Writers,
};

pub use trust::certificates;

use embedded::Directory;
use file::Counts;
use layers::{Layer, Source, Written};
use reading::Reading;
use values::Raw;

/// Where settings come from.
#[derive(Default)]
pub struct Sources {
    /// The TOML file; none is no fault.
    pub file: Option<PathBuf>,
    /// All variables, not only ours: a `_env` key may name any. [`of_process`] gives them.
    pub environment: Vec<(String, String)>,
    /// What the command line says.
    pub flags: Flags,
    /// Whether nothing may be created, as when a configuration is only checked.
    pub only_look: bool,
}

impl fmt::Debug for Sources {
    /// Without the variables, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The settings that the command line has, as written there.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--backend-url`.
    pub backend_url: Option<String>,
    /// `--register-url`; one with a password is refused, as other users see command lines.
    pub register_url: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--embedded`: the directory of a store in this process.
    pub embedded: Option<PathBuf>,
}

impl Config {
    /// Reads and judges all settings. Blocks on the file system; leaves nothing there, except for
    /// `--embedded` without a client, which makes that client's secret at its first start (not
    /// where [`Sources::only_look`] says so).
    ///
    /// # Errors
    /// All faults there are, each with its path.
    pub fn load(sources: Sources) -> Result<Self, ConfigErrors> {
        let Sources { file, environment, flags, only_look } = sources;
        let mut reading = Reading::default();
        let counts = overlay_all(&mut reading, file, environment, &flags);
        if reading.file_is_lost {
            // All that the file would have said now looks missing: no use in saying so.
            return Err(reading.faults.into_errors());
        }
        let embedded = flags.embedded.map(|dir| Directory { dir, only_look });
        if let Some(directory) = &embedded {
            embedded::decide(&mut reading, directory);
        }
        let config = assemble(&mut reading, embedded, counts);
        environment::refuse_unknown(&reading.variables, &reading.written, &mut reading.faults);
        match config {
            Some(config) if reading.faults.is_empty() => {
                Ok(Self { warnings: reading.warnings, lines: reading.lines, ..config })
            }
            Some(_) | None => Err(reading.faults.into_errors()),
        }
    }
}

/// How many clients and rules are written, and whether the last client is the environment's.
type WrittenCounts = (Counts, bool);

fn overlay_all(
    reading: &mut Reading,
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    flags: &Flags,
) -> WrittenCounts {
    let mut counts = Counts::default();
    if let Some(file) = file {
        match file::read(&file, &mut reading.faults) {
            Some((layer, in_file)) => (reading.written, counts) = (layer, in_file),
            None => reading.file_is_lost = true,
        }
    }
    let (layer, in_environment) = environment::read(&environment, counts.clients);
    layers::overlay(&mut reading.written, layer);
    layers::overlay(&mut reading.written, flag_layer(flags));
    if flags.register_url.as_deref().is_some_and(|url| url.contains('@')) {
        let message = "holds a user or a password, which others see in the list of processes; set \
                       IFMATCH_REGISTER_URL instead";
        reading.faults.push("--register-url", message);
    }
    reading.variables = environment;
    counts.clients += usize::from(in_environment);
    (counts, in_environment)
}

fn flag_layer(flags: &Flags) -> Layer {
    [
        ("listen", "--listen", &flags.listen),
        ("backend.url", "--backend-url", &flags.backend_url),
        ("register.url", "--register-url", &flags.register_url),
        ("log.format", "--log-format", &flags.log_format),
    ]
    .into_iter()
    .filter_map(|(path, flag, value)| {
        let raw = Raw::Plain(value.clone()?);
        Some((path.to_owned(), Written { raw, source: Source::Flag(flag) }))
    })
    .collect()
}

/// `None` only after noting a fault.
fn assemble(
    reading: &mut Reading,
    embedded: Option<Directory>,
    (counts, last_is_environment): WrittenCounts,
) -> Option<Config> {
    let listen: SocketAddr = reading.value("listen");
    let upgrade_socket = sections::upgrade_socket(reading, listen);
    let threads = threads(reading.count("threads", 0..=1024));
    let domains = domains(reading);
    let writers = reading.value("writers");
    let dialect = reading.value("dialect");
    let signatures = reading.value("signatures");
    let signature_v2 = reading.value("signature_v2");
    let region = reading.optional::<String>("region");
    rules::region(reading, "region", region.as_deref());
    let backend = sections::backend(reading, embedded.is_some());
    let store = backend.as_ref().map(|backend| &backend.endpoint);
    // Port 0 is yet to be chosen, and never becomes the store's, which is taken.
    let chosen = listen.port() != 0;
    if chosen && store.is_some_and(|store| address::is_loop(store, listen)) {
        let message = format!("is where this proxy itself listens ({listen}); change one of them");
        reading.faults.push("backend.url", message);
    }
    let register = sections::register(reading, store, embedded.is_some());
    let upgrade_socket =
        rules::upgrade_socket(reading, upgrade_socket, &register.kind, embedded.is_some());
    let body = sections::body(reading);
    let limits = sections::limits(reading);
    let log = sections::log(reading);
    let rules = treatments::read(reading, counts.rules);
    let mut clients = clients::read(reading, counts.clients, last_is_environment);
    let anonymous = clients::anonymous(reading);
    if let Some(backend) = &backend {
        warn_of_reserved(reading, &backend.reserved, (&clients, &rules, anonymous.as_ref()));
    }
    if signatures == Signatures::Passthrough {
        rules::passthrough(reading, counts.clients, embedded.is_some());
    }
    match &embedded {
        _ if signatures == Signatures::Passthrough => {}
        Some(directory) if counts.clients == 0 => {
            if reading.faults.is_empty() {
                clients.extend(embedded::client(reading, directory));
            }
        }
        None if counts.clients == 0
            && anonymous.is_none()
            && !reading.faults.any_at(&["client", "anonymous.buckets"]) =>
        {
            reading.faults.push("client", NO_CLIENT);
        }
        Some(_) | None => {}
    }
    Some(Config {
        listen,
        upgrade_socket,
        threads,
        domains,
        writers,
        dialect,
        signatures,
        signature_v2,
        region,
        backend: backend?,
        register,
        body,
        limits,
        rules,
        clients,
        anonymous,
        log,
        embedded: embedded.map(|directory| directory.dir),
        warnings: Vec::new(),
        lines: Vec::new(),
    })
}

/// Says where a name is used for a bucket that cannot be one.
fn warn_of_reserved(
    reading: &mut Reading,
    reserved: &[String],
    (clients, treatments, anonymous): (&[Client], &[Rule], Option<&Rights>),
) {
    for (index, client) in clients.iter().enumerate() {
        let path = keys::client_path(index + 1, "buckets");
        rules::not_reserved(reading, &path, &client.rights.buckets, reserved);
    }
    for (index, rule) in treatments.iter().enumerate() {
        let path = keys::rule_path(index + 1, "buckets");
        rules::not_reserved(reading, &path, &rule.buckets, reserved);
    }
    if let Some(rights) = anonymous {
        rules::not_reserved(reading, "anonymous.buckets", &rights.buckets, reserved);
    }
}

fn threads(written: usize) -> usize {
    if written > 0 {
        return written;
    }
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn domains(reading: &mut Reading) -> Vec<String> {
    let mut domains = Vec::new();
    for domain in reading.value::<Vec<String>>("domains") {
        if !address::is_host_name(&domain) {
            let message = format!("\"{domain}\" is not a host name such as \"s3.example.com\"");
            reading.faults.push("domains", message);
        }
        domains.push(domain.to_ascii_lowercase());
    }
    domains
}

const NO_CLIENT: &str = "no client is configured, so nobody could come in; write a [[client]] with \
                         access_key_id and secret_access_key_file, or set IFMATCH_ACCESS_KEY_ID \
                         and IFMATCH_SECRET_ACCESS_KEY";
