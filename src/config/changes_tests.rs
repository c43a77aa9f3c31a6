//! Every key of the schema, changed alone: a reload puts it into effect, or says that it needs a
//! restart.

use std::path::PathBuf;

use super::*;
use crate::config::access::{Anonymous, Buckets, Rights, Rule};
use crate::config::keys::{TABLES, fields};
use crate::config::values::Read;
use crate::config::{EmbeddedStore, Sources};
use crate::register::Terms;

/// Where a change of a key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// At a reload; this is its name among the changes.
    Applied(&'static str),
    /// At the next start, named by its path.
    Restart,
}

use Effect::{Applied, Restart};

/// A reload applies the key under its own path.
const LIVE: Effect = Applied("");

/// Each field of the schema, with a value that [`first`] has not, as TOML.
const OTHER: &[(&str, &str, Effect)] = &[
    ("listen", "\"127.0.0.1:9100\"", Restart),
    ("upgrade_socket", "\"/tmp/other.sock\"", Restart),
    ("shutdown_delay", "\"7s\"", Restart),
    ("threads", "3", Restart),
    ("domains", "[\"s3.example.com\"]", LIVE),
    ("writers", "\"exclusive\"", Restart),
    ("dialect", "\"rfc\"", LIVE),
    ("signatures", "\"passthrough\"", LIVE),
    ("signature_v2", "\"refuse\"", LIVE),
    ("region", "\"eu-west-1\"", LIVE),
    ("tls.listen", "\"127.0.0.1:9443\"", Restart),
    ("tls.cert_file", "\"other.pem\"", LIVE),
    ("tls.key_file", "\"other.key\"", LIVE),
    ("tls.client_ca_file", "\"ca.pem\"", LIVE),
    ("tls.client_auth", "\"required\"", LIVE),
    ("tls.min_version", "\"1.3\"", LIVE),
    ("tls.handshake_timeout", "\"7s\"", LIVE),
    ("tls.reload_interval", "\"7s\"", LIVE),
    ("certificate.cert_file", "\"other.pem\"", Applied("certificate")),
    ("certificate.key_file", "\"other.key\"", Applied("certificate")),
    ("certificate.names", "[\"other.test\"]", Applied("certificate")),
    ("backend.url", "\"http://10.0.0.6:3900\"", Restart),
    ("backend.urls", "[\"http://10.0.0.6:3900\", \"http://10.0.0.7:3900\"]", Restart),
    ("backend.health_interval", "\"7s\"", Restart),
    ("backend.health_timeout", "\"7s\"", Restart),
    ("backend.health_down_after", "7", Restart),
    ("backend.health_up_after", "7", Restart),
    ("backend.health_bucket", "\"health\"", Restart),
    ("backend.resolve_interval", "\"7s\"", Restart),
    ("backend.clock_skew", "\"7s\"", LIVE),
    ("backend.region", "\"eu-west-1\"", LIVE),
    ("backend.access_key_id", "\"other\"", LIVE),
    ("backend.secret_access_key", "\"OTHER\"", LIVE),
    ("backend.session_token", "\"OTHER\"", LIVE),
    ("backend.addressing", "\"virtual-host\"", Restart),
    ("backend.connect_timeout", "\"7s\"", Restart),
    ("backend.write_timeout", "\"7s\"", LIVE),
    ("backend.long_write_timeout", "\"7m\"", LIVE),
    ("backend.read_timeout", "\"7s\"", Restart),
    ("backend.read_patience", "\"7s\"", LIVE),
    ("backend.strong_headers", "[\"x-newest: true\"]", LIVE),
    ("backend.probe_at_start", "\"warn\"", Restart),
    ("backend.probe_bucket", "\"scratch\"", Restart),
    ("backend.probe_prefix", "\"p/\"", Restart),
    ("backend.probe_timeout", "\"7s\"", Restart),
    ("backend.ca_file", "\"ca.pem\"", Restart),
    ("backend.client_cert_file", "\"client.pem\"", Restart),
    ("backend.client_key_file", "\"client.key\"", Restart),
    ("backend.connections", "7", Restart),
    ("backend.empty_segments", "\"refuse\"", LIVE),
    ("backend.dot_segments", "\"keep\"", LIVE),
    ("backend.subresources", "[\"acl\"]", Restart),
    ("backend.reserved", "[\"admin\"]", LIVE),
    ("backend.deletes_at_once", "7", LIVE),
    ("backend.definite_errors", "[\"SlowDown\"]", LIVE),
    ("backend.checksums", "\"drop\"", LIVE),
    ("backend.write_ids", "true", LIVE),
    ("register.url", "\"redis://r:6379\"", Restart),
    ("register.lock_file", "\"other.lock\"", Restart),
    ("register.password", "\"OTHER\"", Restart),
    ("register.sentinel_username", "\"other\"", Restart),
    ("register.sentinel_password", "\"OTHER\"", Restart),
    ("register.ca_file", "\"ca.pem\"", Restart),
    ("register.client_cert_file", "\"client.pem\"", Restart),
    ("register.client_key_file", "\"client.key\"", Restart),
    ("register.server_name", "\"redis.test\"", Restart),
    ("register.replicas", "\"never-promoted\"", Restart),
    ("register.margin", "\"1s\"", Restart),
    ("register.lease_wait", "\"7s\"", LIVE),
    ("register.connections", "7", Restart),
    ("register.timeout", "\"1s\"", Restart),
    ("register.namespace", "\"other\"", Restart),
    ("register.marker", "\"tables/other\"", Restart),
    ("register.lease", "\"8s\"", Restart),
    ("register.grace", "\"7s\"", Restart),
    ("register.settle", "\"7s\"", Restart),
    ("register.settle_long", "\"7m\"", Restart),
    ("register.retry_horizon", "\"7m\"", Restart),
    ("register.record_ttl", "\"7h\"", Restart),
    ("register.failover_lag", "\"7s\"", Restart),
    ("register.lag", "\"7s\"", Restart),
    ("register.spacing", "\"7s\"", Restart),
    ("body.memory", "\"70MiB\"", LIVE),
    ("body.memory_per_body", "\"7MiB\"", LIVE),
    ("body.memory_per_client", "\"9MiB\"", LIVE),
    ("body.spool", "\"7GiB\"", LIVE),
    ("body.spool_per_client", "\"6GiB\"", LIVE),
    ("body.spool_dir", "\"/\"", LIVE),
    ("body.max", "\"5MiB\"", LIVE),
    ("body.idle_timeout", "\"7s\"", LIVE),
    ("body.least_rate", "\"7KiB\"", LIVE),
    ("body.early_answer", "\"read\"", LIVE),
    ("body.unknown_length", "\"take\"", LIVE),
    ("limits.writes", "70", LIVE),
    ("limits.writes_per_client", "7", LIVE),
    ("limits.writes_per_key", "7", LIVE),
    ("limits.strangers", "7", LIVE),
    ("limits.listing_memory", "\"64MiB\"", LIVE),
    ("limits.connections", "7", LIVE),
    ("limits.connections_per_address", "7", LIVE),
    ("embedded.fsync", "\"never\"", Restart),
    ("admin.listen", "\"127.0.0.1:9101\"", Restart),
    ("admin.token", "\"OTHER\"", Restart),
    ("admin.key_names", "\"never\"", Restart),
    ("traces.endpoint", "\"http://127.0.0.1:4318\"", LIVE),
    ("traces.path", "\"/otlp/v1/traces\"", LIVE),
    ("traces.headers", "\"OTHER\"", LIVE),
    ("traces.sample_ratio", "0.5", LIVE),
    ("traces.service_name", "\"storage\"", LIVE),
    ("traces.timeout", "\"7s\"", LIVE),
    ("traces.ca_file", "\"ca.pem\"", LIVE),
    ("log.format", "\"json\"", Restart),
    ("log.access", "\"off\"", LIVE),
    ("log.sample_reads", "7", LIVE),
    ("log.level", "\"warn\"", LIVE),
    ("anonymous.buckets", "[\"public\"]", Applied("anonymous")),
    ("anonymous.read_only", "false", Applied("anonymous")),
    ("client.access_key_id", "\"b\"", Applied("client a (removed)")),
    ("client.secret_access_key", "\"OTHER\"", Applied("client a")),
    ("client.previous_secret_access_key", "\"OTHER\"", Applied("client a")),
    ("client.session_token", "\"OTHER\"", Applied("client a")),
    ("client.certificate_names", "[\"DNS:app.test\"]", Applied("client a")),
    ("client.buckets", "[\"b\"]", Applied("client a")),
    ("client.read_only", "true", Applied("client a")),
    ("client.configure", "true", Applied("client a")),
    ("rule.buckets", "[\"b\"]", Applied("rule")),
    ("rule.prefix", "\"wal/\"", Applied("rule")),
    ("rule.mode", "\"pass\"", Applied("rule")),
    ("rule.consistency", "\"guarded\"", Applied("rule")),
    ("rule.require", "\"create-only\"", Applied("rule")),
    ("rule.allow_configuration", "[\"policy\"]", Applied("rule")),
];

fn loaded(toml: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ifmatch.toml");
    let start = "backend.url = \"http://10.0.0.5:3900\"\nbackend.access_key_id = \"store\"\n";
    std::fs::write(&file, format!("{start}{toml}")).unwrap();
    let environment = [("IFMATCH_BACKEND_SECRET_ACCESS_KEY", "***"), ("SECRET", "***")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Config::load(Sources { file: Some(file), environment, ..Sources::default() }).unwrap()
}

const CLIENT: &str = "[[client]]\naccess_key_id = \"a\"\nsecret_access_key_env = \"SECRET\"\n";

/// A configuration in which every table can be changed.
fn first() -> Config {
    let mut config = loaded(&format!("{CLIENT}[[rule]]\nprefix = \"first/\"\n"));
    config.derived.clear();
    config.certificates.push(Certificate::default());
    // By default they follow from the free space of the disk, which others use too.
    (config.body.spool, config.body.spool_per_client) = (8 << 30, 4 << 30);
    config
}

/// The section with one key set. Secrets become `***`, as all of them are at first.
fn set<T: Serialize + DeserializeOwned>(section: &mut T, key: &str, value: &Value) {
    let mut table = Table::try_from(&*section).unwrap();
    table.insert(key.to_owned(), value.clone());
    *section = T::deserialize(Read(Value::Table(table))).unwrap();
}

fn is_field<T: DeserializeOwned>(key: &str) -> bool {
    keys_of::<T>().contains(&key)
}

/// The first configuration with this key changed, and nothing else.
fn with(path: &str, value: &Value) -> Config {
    let mut config = first();
    let (table, key) = path.split_once('.').unwrap_or(("", path));
    match table {
        "" => {
            let mut top: Config = config.clone();
            set(&mut top, key, value);
            let first = config;
            config = Config {
                listen: top.listen,
                upgrade_socket: top.upgrade_socket,
                shutdown_delay: top.shutdown_delay,
                threads: top.threads,
                domains: top.domains,
                writers: top.writers,
                dialect: top.dialect,
                signatures: top.signatures,
                signature_v2: top.signature_v2,
                region: top.region,
                ..first
            };
        }
        "tls" => set(&mut config.tls, key, value),
        "certificate" => set(&mut config.certificates[0], key, value),
        "backend" => {
            set(&mut config.backend, key, value);
            config.backend.session_token =
                config.backend.session_token.take().filter(|token| token.expose() == "OTHER");
        }
        "register" if is_field::<Terms>(key) => set(&mut config.register.terms, key, value),
        "register" => {
            let terms = config.register.terms;
            set(&mut config.register, key, value);
            config.register.terms = terms;
        }
        "body" => set(&mut config.body, key, value),
        "limits" => set(&mut config.limits, key, value),
        "embedded" => set::<EmbeddedStore>(&mut config.embedded_store, key, value),
        "log" => set(&mut config.log, key, value),
        "admin" => set(&mut config.admin, key, value),
        "traces" => set(&mut config.traces, key, value),
        "anonymous" => {
            let mut anonymous = Anonymous { buckets: Some(Buckets::default()), read_only: None };
            set(&mut anonymous, key, value);
            config.anonymous = anonymous.rights();
        }
        "client" if is_field::<Rights>(key) => set(&mut config.clients[0].rights, key, value),
        "client" => {
            let rights = config.clients[0].rights.clone();
            set(&mut config.clients[0], key, value);
            config.clients[0].rights = rights;
        }
        "rule" => set::<Rule>(&mut config.rules[0], key, value),
        table => panic!("a table that this test does not know: {table}"),
    }
    config
}

fn value(toml: &str) -> Value {
    let table: Table = format!("value = {toml}").parse().unwrap();
    table["value"].clone()
}

#[test]
fn every_key_is_applied_or_needs_a_restart() {
    let mut known: Vec<String> = TABLES
        .iter()
        .flat_map(|table| fields(table).into_iter().map(|key| path(table, key)))
        .collect();
    let mut tried: Vec<String> = OTHER.iter().map(|(path, ..)| (*path).to_owned()).collect();
    known.sort();
    tried.sort();
    assert_eq!(
        known, tried,
        "each key stands in OTHER once: is it live, or does it need a restart?"
    );
    let first = first();
    for (path, toml, effect) in OTHER {
        let other = with(path, &value(toml));
        let changes = changes(&first, &other);
        let (applied, needs_restart) = match effect {
            Restart => (vec![], vec![(*path).to_owned()]),
            Applied("") => (vec![(*path).to_owned()], vec![]),
            Applied("client a (removed)") => {
                (vec!["client a (removed)".to_owned(), "client b (added)".to_owned()], vec![])
            }
            Applied(name) => (vec![(*name).to_owned()], vec![]),
        };
        assert_eq!(changes, Changes { applied, needs_restart }, "{path}");
    }
}

#[test]
fn what_needs_a_restart_is_named_at_every_reload_until_then() {
    let (first, other) = (first(), with("register.lease", &value("\"8s\"")));
    let after = effective(&first, &other);
    assert_eq!(after.register.terms.lease, first.register.terms.lease);
    assert_eq!(changes(&after, &other).needs_restart, ["register.lease"]);
    assert_eq!(changes(&after, &first), Changes::default());
}

/// Addresses are bound at the start, so nothing of TLS can be used where there was none.
#[test]
fn turning_tls_on_or_off_needs_a_restart_with_all_that_belongs_to_it() {
    let plain = first();
    let mut secured = plain.clone();
    secured.tls.listen = vec![([127, 0, 0, 1], 9443).into()];
    secured.tls.cert_file = Some(PathBuf::from("a.pem"));
    secured.tls.reload_interval = std::time::Duration::from_secs(7);
    secured.certificates.clear();
    for (running, read) in [(&plain, &secured), (&secured, &plain)] {
        let Changes { applied, needs_restart } = changes(running, read);
        assert_eq!(applied, ["tls.reload_interval"]);
        assert_eq!(needs_restart, ["tls.cert_file", "tls.listen", "certificate"]);
        let effective = effective(running, read);
        assert_eq!(effective.tls.listen, running.tls.listen);
        assert_eq!(effective.tls.cert_file, running.tls.cert_file);
        assert_eq!(effective.certificates.len(), running.certificates.len());
    }
}

#[test]
fn an_address_for_tls_needs_a_restart_and_what_is_shown_there_does_not() {
    let mut running = first();
    running.tls.listen = vec![([127, 0, 0, 1], 9443).into()];
    let mut read = running.clone();
    read.tls.listen.push(([127, 0, 0, 1], 9444).into());
    read.tls.cert_file = Some(PathBuf::from("a.pem"));
    let Changes { applied, needs_restart } = changes(&running, &read);
    assert_eq!(
        (applied, needs_restart),
        (vec!["tls.cert_file".to_owned()], vec!["tls.listen".to_owned()])
    );
    assert_eq!(effective(&running, &read).tls.listen, running.tls.listen);
}

#[test]
fn a_default_that_follows_from_another_setting_is_no_change_of_its_own() {
    let before = loaded(CLIENT);
    let after = loaded(&format!("limits.writes = 100\nregister.lease = \"8s\"\n{CLIENT}"));
    let changes = changes(&before, &after);
    assert_eq!(changes.applied, ["limits.writes"]);
    assert_eq!(changes.needs_restart, ["register.lease"]);
    let effective = effective(&before, &after);
    assert_eq!(effective.limits.writes_per_client, 50);
    assert_eq!(effective.register.margin, before.register.margin);
}

#[test]
fn a_setting_that_is_no_longer_written_stays_pending() {
    let before = loaded(&format!("register.margin = \"2s\"\n{CLIENT}"));
    let after = loaded(CLIENT);
    assert_eq!(changes(&before, &after).needs_restart, ["register.margin"]);
    let running = effective(&before, &after);
    assert_eq!(changes(&running, &after).needs_restart, ["register.margin"]);
}

/// By then bodies have taken a part of the space that was free at the start.
#[test]
fn the_room_on_disk_that_was_found_at_the_start_stays() {
    let (before, mut after) = (loaded(CLIENT), loaded(CLIENT));
    after.body.spool = before.body.spool / 2;
    after.body.spool_per_client = before.body.spool / 4;
    assert_eq!(changes(&before, &after), Changes::default());
    let kept = effective(&before, &after).body;
    assert_eq!(kept.spool, before.body.spool);
    assert_eq!(kept.spool_per_client, before.body.spool_per_client);
}

#[test]
fn the_secret_that_the_embedded_store_invents_is_no_change() {
    let (mut before, mut after) = (first(), first());
    for config in [&mut before, &mut after] {
        config.embedded = Some(PathBuf::from("/data"));
    }
    after.backend.secret_access_key = Secret::new("invented");
    assert_eq!(changes(&before, &after), Changes::default());
    assert_eq!(effective(&before, &after).backend.secret_access_key.expose(), "***");
}

#[test]
fn a_password_in_the_url_of_the_register_is_seen_and_not_shown() {
    let with = |password: &str| {
        let mut config = first();
        config.register.url = format!("redis://joe:{password}@r:6379").try_into().unwrap();
        config
    };
    let changes = changes(&with("hunter2"), &with("hunter3"));
    assert_eq!(changes.needs_restart, ["register.url"]);
}
