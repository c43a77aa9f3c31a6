//! Changes of the configuration of a running process: which settings a reload puts into effect, and
//! which ones need a restart. No IO.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::access::Client;
use super::keys::{SECRETS, path};
use super::schema::{Backend, Body, Certificate, Config, Log, Register, Tls};
use super::values::keys_of;
use crate::secret::Secret;

/// What a reload changes. A setting is named by its path, a client by its access key, the rules and
/// the rights of anonymous requests by the name of their table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// In effect from now on.
    pub applied: Vec<String>,
    /// Read, but not in effect before the process is restarted, or replaced with `--upgrade`.
    pub needs_restart: Vec<String>,
}

/// The changes from the configuration in effect to one that was read later.
pub fn changes(running: &Config, read: &Config) -> Changes {
    let effective = effective(running, read);
    let read = with_credential_of(running, read);
    // A default that follows from another setting is not a change of its own.
    let derived = &running.derived & &read.derived;
    Changes {
        applied: differences(running, &effective, &derived),
        needs_restart: differences(&effective, &read, &derived),
    }
}

/// The configuration that is in effect after a reload: what can change in a running process is as
/// read, everything else is as before.
pub fn effective(running: &Config, read: &Config) -> Config {
    let read = with_credential_of(running, read);
    let (now, new) = (running.clone(), read);
    let (tls, certificates) = tls((now.tls, now.certificates), (new.tls, new.certificates));
    let (store, register) = (now.backend, now.register);
    Config {
        listen: now.listen,
        upgrade_socket: now.upgrade_socket,
        shutdown_delay: now.shutdown_delay,
        threads: now.threads,
        domains: new.domains,
        writers: now.writers,
        dialect: new.dialect,
        signatures: new.signatures,
        signature_v2: new.signature_v2,
        region: new.region,
        tls,
        certificates,
        backend: Backend {
            url: store.url,
            urls: store.urls,
            health_interval: store.health_interval,
            health_timeout: store.health_timeout,
            health_down_after: store.health_down_after,
            health_up_after: store.health_up_after,
            health_bucket: store.health_bucket,
            resolve_interval: store.resolve_interval,
            addressing: store.addressing,
            connect_timeout: store.connect_timeout,
            read_timeout: store.read_timeout,
            ca_file: store.ca_file,
            client_cert_file: store.client_cert_file,
            client_key_file: store.client_key_file,
            connections: store.connections,
            subresources: store.subresources,
            probe_at_start: store.probe_at_start,
            probe_bucket: store.probe_bucket,
            probe_prefix: store.probe_prefix,
            probe_timeout: store.probe_timeout,
            ..new.backend
        },
        register: Register { lease_wait: new.register.lease_wait, ..register },
        body: room_for_bodies(&now.body, new.body, &(&now.derived & &new.derived)),
        limits: new.limits,
        rules: new.rules,
        clients: new.clients,
        anonymous: new.anonymous,
        embedded_store: now.embedded_store,
        log: Log { format: now.log.format, ..new.log },
        admin: now.admin,
        traces: new.traces,
        embedded: now.embedded,
        warnings: new.warnings,
        described: new.described,
        derived: &now.derived & &new.derived,
    }
}

/// TLS towards clients: new connections begin by what is new. Addresses stay, and so does everything
/// that belongs to them, where TLS is turned on or off.
fn tls(now: (Tls, Vec<Certificate>), new: (Tls, Vec<Certificate>)) -> (Tls, Vec<Certificate>) {
    let (listen, is_turned) =
        (now.0.listen.clone(), now.0.listen.is_empty() != new.0.listen.is_empty());
    let Tls { handshake_timeout, reload_interval, .. } = new.0;
    let (tls, certificates) = if is_turned { now } else { new };
    (Tls { listen, handshake_timeout, reload_interval, ..tls }, certificates)
}

/// `--embedded` invents the credential of its store each time that it is read.
fn with_credential_of(running: &Config, read: &Config) -> Config {
    let mut read = read.clone();
    if running.embedded.is_some() && read.embedded.is_some() {
        read.backend.secret_access_key = running.backend.secret_access_key.clone();
    }
    read
}

/// A limit that follows from the free space of the disk is that of the start: by now bodies have
/// taken a part of this space.
fn room_for_bodies(now: &Body, mut new: Body, derived: &BTreeSet<String>) -> Body {
    if derived.contains("body.spool") && now.spool_dir == new.spool_dir {
        new.spool = now.spool;
        if derived.contains("body.spool_per_client") && now.max == new.max {
            new.spool_per_client = now.spool_per_client;
        }
        new.spool_per_client = new.spool_per_client.min(new.spool);
    }
    new
}

/// The names of what differs, in the order of the tables.
fn differences(a: &Config, b: &Config, derived: &BTreeSet<String>) -> Vec<String> {
    let (of_a, of_b) = (settings(a), settings(b));
    let paths = of_a.keys().chain(of_b.keys()).collect::<BTreeSet<_>>();
    let mut names: Vec<String> = paths
        .into_iter()
        .filter(|path| of_a.get(*path) != of_b.get(*path) && !derived.contains(*path))
        .cloned()
        .collect();
    for ((name, of_a), (_, of_b)) in secrets(a).into_iter().zip(secrets(b)) {
        if of_a != of_b {
            names.push(name.to_owned());
        }
    }
    // As shown it has no password.
    let url = "register.url";
    if a.register.url != b.register.url && !names.iter().any(|name| name == url) {
        names.push(url.to_owned());
    }
    if a.anonymous != b.anonymous {
        names.push("anonymous".to_owned());
    }
    names.extend(clients(&a.clients, &b.clients));
    if a.certificates
        .iter()
        .map(Certificate::files)
        .ne(b.certificates.iter().map(Certificate::files))
    {
        names.push("certificate".to_owned());
    }
    if a.rules != b.rules {
        names.push("rule".to_owned());
    }
    names
}

/// All settings outside of the repeated tables, without secrets, by path.
fn settings(config: &Config) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    add(&mut all, "", config);
    add(&mut all, "tls", &config.tls);
    add(&mut all, "backend", &config.backend);
    add(&mut all, "register", &config.register);
    add(&mut all, "register", &config.register.terms);
    add(&mut all, "body", &config.body);
    add(&mut all, "limits", &config.limits);
    add(&mut all, "embedded", &config.embedded_store);
    add(&mut all, "log", &config.log);
    add(&mut all, "admin", &config.admin);
    add(&mut all, "traces", &config.traces);
    all
}

fn add<T: Serialize + DeserializeOwned>(
    all: &mut BTreeMap<String, Value>,
    table: &str,
    section: &T,
) {
    // Every section is a table, with nothing in it that TOML has not.
    let mut values = Table::try_from(section).unwrap_or_default();
    for key in keys_of::<T>().iter().filter(|key| !SECRETS.contains(key)) {
        if let Some(value) = values.remove(*key) {
            all.insert(path(table, key), value);
        }
    }
}

/// The secrets outside of the repeated tables.
fn secrets(config: &Config) -> [(&'static str, Option<&Secret>); 6] {
    let Config { backend, register, admin, traces, .. } = config;
    [
        ("backend.secret_access_key", Some(&backend.secret_access_key)),
        ("backend.session_token", backend.session_token.as_ref()),
        ("register.password", register.password.as_ref()),
        ("register.sentinel_password", register.sentinel_password.as_ref()),
        ("admin.token", admin.token.as_ref()),
        ("traces.headers", traces.headers.as_ref()),
    ]
}

/// The clients that differ, in any order of the tables.
fn clients(a: &[Client], b: &[Client]) -> Vec<String> {
    let find = |clients: &[Client], id: &str| {
        clients.iter().find(|client| client.access_key_id == id).cloned()
    };
    let ids: BTreeSet<&str> =
        a.iter().chain(b).map(|client| client.access_key_id.as_str()).collect();
    let told = ids.into_iter().filter_map(|id| match (find(a, id), find(b, id)) {
        (None, Some(_)) => Some(format!("client {id} (added)")),
        (Some(_), None) => Some(format!("client {id} (removed)")),
        (of_a, of_b) if of_a != of_b => Some(format!("client {id}")),
        _ => None,
    });
    told.collect()
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
