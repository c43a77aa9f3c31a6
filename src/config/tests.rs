//! Whole configurations: the files in `tests/data/config`, the shipped example, precedence,
//! and what is printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::{REPEATED, TABLES, keys_in_file, path, variables as known_variables};
use super::*;
use crate::embedded::Fsync;
use crate::register::Writers;
use crate::register::redis::Topology;
use crate::s3::{Dialect, DotSegments, EmptySegments, Subresource, Understood};
use crate::secret::Secret;
use crate::tls::ClientAuth;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/config");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ifmatch.toml");

fn variables(extra: &[(&str, &str)]) -> Vec<(String, String)> {
    [
        ("ALICE_SECRET", "alice's"),
        ("BOB_SECRET", "bob's"),
        ("REDIS_PASSWORD", "hunter2"),
        ("BACKEND_SECRET", "store's"),
        ("SENTINEL_PASSWORD", "sentinels'"),
        ("TERRAFORM_SECRET", "terraform's"),
        ("HOME", "/root"),
    ]
    .iter()
    .chain(extra)
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect()
}

fn load(file: &str, extra: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigErrors> {
    let file = Some(Path::new(DATA).join(file));
    Config::load(Sources { file, environment: variables(extra), flags, ..Sources::default() })
}

fn smallest(extra: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    load("valid/smallest.toml", extra, Flags::default())
}

fn faults(result: Result<Config, ConfigErrors>) -> Vec<String> {
    let faults = result.expect_err("this configuration is wrong").0;
    faults.into_iter().map(|Fault { path, message }| format!("{path}: {message}")).collect()
}

fn toml_files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(DATA).join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{directory} has its files");
    files
}

#[test]
fn valid_files_load() {
    for file in toml_files("valid") {
        let loaded = load(file.to_str().unwrap(), &[], Flags::default());
        assert!(loaded.is_ok(), "{}: {}", file.display(), loaded.unwrap_err());
    }
}

#[test]
fn invalid_files_are_refused_with_exactly_the_expected_text() {
    let mut differences = Vec::new();
    for file in toml_files("invalid") {
        let told = load(file.to_str().unwrap(), &[], Flags::default()).unwrap_err().to_string();
        let told = told.replace(&format!("{DATA}/"), "") + "\n";
        assert!(!told.contains("hunter2"), "a secret is shown: {told}");
        let expected = fs::read_to_string(file.with_extension("expected")).unwrap_or_default();
        if told != expected {
            differences.push(format!("{}:\n{told}", file.display()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// All keys of the file; those of clients and rules begin with `client.` and `rule.`.
fn all_keys() -> Vec<String> {
    let keys = |table| keys_in_file(table).into_iter().map(move |key| path(table, &key));
    TABLES.into_iter().flat_map(keys).collect()
}

#[test]
fn every_setting_that_the_pages_for_operators_name_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = all_keys();
    let tables = ["tls.", "backend.", "register.", "body.", "limits.", "log.", "anonymous."];
    let mut seen = 0;
    for page in ["README.md", "CHANGELOG.md", "docs/operations.md", "docs/clients.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let name = quoted.split([' ', '=']).next().unwrap_or_default();
            if tables.iter().any(|table| name.starts_with(table)) {
                assert!(known.iter().any(|known| known == name), "{page} names {name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "the pages were not read: {seen} settings");
}

#[test]
fn the_shipped_example_loads() {
    let loaded = load(EXAMPLE, &[], Flags::default()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_shipped_example_shows_every_key_with_its_default() {
    let text = fs::read_to_string(EXAMPLE).unwrap();
    let mut table = String::new();
    let mut shown: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if line.starts_with('[') {
            table = format!("{}.", line.trim_matches(['[', ']']));
        } else if let Some((name, value)) = line.split_once(" = ") {
            shown.push((format!("{table}{name}"), value.to_owned()));
        }
    }
    // Its third rule says nothing.
    let described = load("valid/rules.toml", &[], Flags::default()).unwrap().describe().to_owned();
    let mut in_effect: Vec<(String, &str)> = Vec::new();
    let (mut table, mut counts) = (String::new(), [0; REPEATED.len()]);
    for line in described.lines() {
        if let Some(repeated) = REPEATED.iter().position(|of| line == format!("[[{of}]]")) {
            counts[repeated] += 1;
            table = format!("{} #{}", REPEATED[repeated], counts[repeated]);
        } else if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned();
        } else if let Some((setting, "default")) = line.split_once("  # ") {
            let (key, value) = setting.split_once(" = ").unwrap();
            in_effect.push((path(&table, key), value.trim()));
        }
    }
    let mut compared = 0;
    for key in all_keys() {
        let found: Vec<_> = shown.iter().filter(|(known, _)| *known == key).collect();
        assert_eq!(found.len(), 1, "{key} is in the example once");
        let effective = key.replace("client.", "client #1.").replace("rule.", "rule #3.");
        if let Some((_, value)) = in_effect.iter().find(|(path, _)| *path == effective) {
            assert_eq!(found[0].1, *value, "{key}");
            compared += 1;
        }
    }
    assert!(compared > 45, "defaults were not compared: {compared}");
    assert_eq!(shown.len(), all_keys().len(), "the example has no other keys");
}

#[test]
fn the_page_for_people_is_that_of_the_types() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = fs::read_to_string(root.join("docs/configuration.md")).unwrap_or_default();
    let remedy = "cargo run -- check-config --page > docs/configuration.md";
    assert!(kept == settings_page(), "docs/configuration.md is old: {remedy}");
    let rows = kept.lines().filter(|line| line.starts_with("| `")).count();
    let all: usize = TABLES.iter().map(|table| keys_in_file(table).len()).sum();
    assert_eq!(rows, all, "each key has a row");
}

#[test]
fn the_schema_for_editors_is_that_of_the_types() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = fs::read_to_string(root.join("config/ifmatch.schema.json")).unwrap_or_default();
    let remedy = "cargo run -- check-config --schema > config/ifmatch.schema.json";
    assert!(kept == json_schema(), "config/ifmatch.schema.json is old: {remedy}");
    let schema: serde_json::Value = serde_json::from_str(&kept).unwrap();
    for table in TABLES {
        let of = match table {
            "" => &schema,
            table if REPEATED.contains(&table) => &schema["properties"][table]["items"],
            table => &schema["properties"][table],
        };
        for key in keys_in_file(table) {
            let description = &of["properties"][&key]["description"];
            assert!(description.is_string(), "{table}.{key} has no description");
        }
    }
}

#[test]
fn a_setting_that_is_not_written_has_its_default() {
    let config = smallest(&[]).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:9000".parse().unwrap()]);
    assert_eq!(config.threads, 0);
    assert!(config.worker_threads() >= 1);
    assert_eq!((config.writers, config.dialect), (Writers::Shared, Dialect::Aws));
    assert_eq!((config.region, config.embedded), (None, None));
    let backend = config.backend;
    assert_eq!(backend.url.to_string(), "http://10.0.0.5:3900");
    assert_eq!(backend.secret_access_key.expose(), "store-secret");
    assert_eq!(backend.write_timeout, Duration::from_mins(1));
    assert_eq!(backend.definite_errors, ["NotImplemented"]);
    let terms = config.register.terms;
    assert_eq!(terms.lease, Duration::from_secs(6));
    assert_eq!(config.register.margin, Duration::from_secs(3));
    assert_eq!(terms.record_ttl, Duration::from_hours(24));
    let RegisterKind::Memory { lock_file } = config.register.kind else {
        panic!("memory is the default");
    };
    assert!(lock_file.starts_with(std::env::temp_dir()), "{}", lock_file.display());
    assert_eq!(config.body.memory, 256 << 20);
    assert_eq!(config.body.memory_per_client, 128 << 20);
    let (spool, of_one) = (config.body.spool, config.body.spool_per_client);
    assert_eq!(of_one, (spool / 2).max(5 << 30).min(spool));
    assert_eq!(config.limits.writes_per_client, config.limits.writes / 2);
    assert!(config.clients[0].rights.may_touch("anything") && !config.clients[0].rights.read_only);
}

#[test]
fn what_the_file_says_is_used() {
    let config = load("valid/redis.toml", &[], Flags::default()).unwrap();
    assert_eq!((config.threads, config.writers), (3, Writers::Exclusive));
    assert_eq!(config.register.connections, 3, "one for each thread");
    assert_eq!(config.domains, ["s3.example.com"]);
    assert_eq!(config.backend.empty_segments, EmptySegments::Refused);
    assert_eq!(config.backend.dot_segments, DotSegments::Kept);
    assert_eq!(config.backend.deletes_at_once, 4);
    assert_eq!(config.backend.definite_errors, ["NotImplemented", "SlowDown"]);
    let RegisterKind::Redis(redis) = config.register.kind else { panic!("Redis is written") };
    assert_eq!(String::from(config.register.url.clone()), "redis://joe@redis.internal:7000/3");
    assert_eq!(redis.password.as_ref().map(Secret::expose), Some("hunter2"));
    assert_eq!(config.register.margin, Duration::from_secs(2), "half of the lease written");
    assert_eq!(config.body.memory_per_body, 65536);
    assert_eq!(config.body.memory_per_client, 100 << 20);
    let spool = (config.body.spool, config.body.spool_per_client);
    assert_eq!(spool, (40 << 30, 10 << 30));
    assert_eq!((config.limits.writes, config.limits.writes_per_client), (100, 30));
    assert_eq!(config.signature_v2, SignatureV2::Refuse);
    assert_eq!(config.body.unknown_length, UnknownLength::Take);
    let defaults = smallest(&[]).unwrap();
    assert_eq!(defaults.signature_v2, SignatureV2::Accept);
    assert_eq!(defaults.body.unknown_length, UnknownLength::Refuse);
    let [alice, bob] = &config.clients[..] else { panic!("two are written") };
    let reach = |name| (alice.rights.may_touch(name), bob.rights.may_touch(name));
    assert_eq!(reach("photos"), (true, true));
    assert_eq!(reach("state-1"), (true, true));
    assert_eq!(reach("photos2"), (false, true));
    assert_eq!((alice.rights.read_only, bob.rights.read_only), (false, true));
    assert_eq!((alice.rights.configure, bob.rights.configure), (true, false));
    let understood = [Subresource::Acl, Subresource::Tagging].into_iter().collect();
    assert_eq!(config.backend.subresources, Subresources::Named(understood));
    assert_eq!(config.backend.reserved, ["admin"]);
}

#[test]
fn a_register_may_be_behind_sentinels_or_in_a_cluster() {
    let read = |file: &str| load(file, &[], Flags::default()).unwrap();
    let config = read("valid/sentinel.toml");
    let RegisterKind::Redis(redis) = &config.register.kind else { panic!("Redis is written") };
    let url = "redis+sentinel://joe@s1:26379,s2:26379,[::1]:26380/my-master/3";
    assert_eq!(String::from(config.register.url.clone()), url);
    assert_eq!(redis.password.as_ref().map(Secret::expose), Some("hunter2"));
    let Topology::Sentinels(topology) = &redis.topology else { panic!("Sentinels are written") };
    assert_eq!(topology.username.as_deref(), Some("asker"));
    assert_eq!(topology.password.as_ref().map(Secret::expose), Some("store's"));
    assert_eq!(config.register.terms.failover_lag, Duration::from_secs(2));
    assert!(!redis.failover_lag_is_stated);
    let few = config.warnings.iter().filter(|warning| warning.contains("Sentinels"));
    assert_eq!(few.count(), 0, "three are enough");

    let config = read("valid/cluster.toml");
    let RegisterKind::Redis(redis) = &config.register.kind else { panic!("Redis is written") };
    assert_eq!(String::from(config.register.url.clone()), "redis+cluster://r1:6379,r2:7000");
    assert_eq!(config.register.terms.failover_lag, Duration::from_secs(8));
    assert!(redis.failover_lag_is_stated);

    let lag = |url| smallest(&[("IFMATCH_REGISTER_URL", url)]).unwrap().register.terms.failover_lag;
    assert_eq!(lag("redis://r"), Duration::ZERO);
    assert_eq!(lag("redis+cluster://r"), Duration::from_secs(18));
    let two = smallest(&[("IFMATCH_REGISTER_URL", "redis+sentinel://s1,s2/m")]).unwrap();
    assert!(two.warnings.iter().any(|warning| warning.contains("names 2 of the Sentinels")));
}

#[test]
fn which_subresources_are_understood_is_seen_unless_it_is_written() {
    let with =
        |text| smallest(&[("IFMATCH_BACKEND_SUBRESOURCES", text)]).unwrap().backend.subresources;
    assert_eq!(smallest(&[]).unwrap().backend.subresources, Subresources::Seen);
    assert_eq!(with("seen"), Subresources::Seen);
    assert_eq!(with("restore"), Subresources::Named(Understood::NONE.with(Subresource::Restore)));
    let config = smallest(&[]).unwrap();
    for name in ["admin", "minio", "moto-api", "swift", "v1.0"] {
        assert!(config.backend.reserved.iter().any(|reserved| reserved == name), "{name}");
    }
}

#[test]
fn a_reserved_name_among_the_buckets_is_warned_about() {
    let warned = |text| {
        let config = smallest(&[("IFMATCH_ANONYMOUS_BUCKETS", text)]).unwrap();
        config
            .warnings
            .into_iter()
            .filter(|told| told.contains("backend.reserved"))
            .collect::<Vec<_>>()
    };
    let told = warned("Swift,public");
    assert!(
        told.len() == 1 && told[0].starts_with("anonymous.buckets names \"Swift\""),
        "{told:?}"
    );
    assert_eq!(warned("public,swift*"), Vec::<String>::new());
}

fn warnings_about_rules(config: &Config) -> Vec<&String> {
    config.warnings.iter().filter(|warning| warning.starts_with("rule ")).collect()
}

#[test]
fn rules_are_kept_in_order_and_described() {
    let config = load("valid/rules.toml", &[], Flags::default()).unwrap();
    let [once, pass, all] = &config.rules[..] else { panic!("three are written") };
    assert!(once.fits("logs-1", "wal/7") && once.fits("audit", "wal/"));
    assert!(!once.fits("logs-1", "wal") && !once.fits("audit-2", "wal/7"));
    assert_eq!((once.mode, once.require), (RuleMode::Guard, Some(Require::CreateOnly)));
    assert_eq!((pass.mode, pass.require), (RuleMode::Pass, None));
    assert!(all.fits("any", "key") && all.mode == RuleMode::Guard);
    assert_eq!(warnings_about_rules(&config), Vec::<&String>::new());
    let text = config.describe();
    assert_eq!(text.matches("[[rule]]").count(), 3, "{text}");
    assert!(text.contains("require = \"create-only\""), "{text}");
}

#[test]
fn rules_that_cannot_do_what_they_say_are_warned_about() {
    let with_rules = |rules: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ifmatch.toml");
        let start = fs::read_to_string(format!("{DATA}/valid/smallest.toml")).unwrap();
        let start = start.replace("secret.txt", &format!("{DATA}/valid/secret.txt"));
        fs::write(&file, start + rules).unwrap();
        let config = load(file.to_str().unwrap(), &[], Flags::default()).unwrap();
        warnings_about_rules(&config).into_iter().cloned().collect::<Vec<_>>()
    };
    let [covered] = &with_rules(
        "[[rule]]\nbuckets = [\"a-*\"]\n[[rule]]\nbuckets = [\"b\"]\nprefix = \"x\"\n\
         [[rule]]\nbuckets = [\"a-1\", \"b\"]\nprefix = \"x/\"",
    )[..] else {
        panic!("one warning")
    };
    assert!(covered.starts_with("rule #3 never decides"), "{covered}");
    let reachable = "[[rule]]\nbuckets = [\"a-1\"]\n[[rule]]\nbuckets = [\"a-*\"]\n\
                     [[rule]]\nbuckets = [\"c\"]\nprefix = \"x\"\n[[rule]]\nbuckets = [\"c\"]";
    assert_eq!(with_rules(reachable), Vec::<String>::new());
    let [left] = &with_rules("[[rule]]\nmode = \"pass\"\nrequire = \"create-only\"")[..] else {
        panic!("one warning")
    };
    assert!(left.contains("left to the store"), "{left}");
}

#[test]
fn a_lock_file_is_per_store() {
    let lock_file = |url| {
        let config = smallest(&[("IFMATCH_BACKEND_URL", url)]).unwrap();
        match config.register.kind {
            RegisterKind::Memory { lock_file } => lock_file,
            RegisterKind::Redis(_) => panic!("memory is the default"),
        }
    };
    assert_eq!(lock_file("http://a:80"), lock_file("HTTP://A/"));
    assert_ne!(lock_file("http://a"), lock_file("http://b"));
}

#[test]
fn a_store_has_one_url_or_several_nodes_which_are_checked() {
    let config = load("valid/nodes.toml", &[], Flags::default()).unwrap();
    assert_eq!(config.backend.show(), "http://n1:3900, http://n2:3900, http://n3:3900");
    assert_eq!(config.backend.health_interval, Duration::from_secs(5));
    assert_eq!(config.backend.clock_skew, Duration::from_millis(250));
    assert!(!config.describe().contains("\nurl = \"http"), "{}", config.describe());
    let at_once = load("valid/nodes.toml", &[("IFMATCH_REGISTER_SETTLE", "0s")], Flags::default());
    assert_eq!(at_once.unwrap().backend.clock_skew, Duration::ZERO, "not more than settle");
    let one = smallest(&[]).unwrap();
    assert!(!one.backend.is_checked() && one.backend.clock_skew.is_zero());
    assert!(smallest(&[("IFMATCH_BACKEND_HEALTH_INTERVAL", "1s")]).unwrap().backend.is_checked());
}

#[test]
fn nodes_that_cannot_be_those_of_one_store_are_refused() {
    let list = |urls: &str| {
        let extra = [("IFMATCH_BACKEND_URLS", urls)];
        faults(load("valid/nodes.toml", &extra, Flags::default())).join("\n")
    };
    assert_eq!(list("http://a,http://A:80/"), "backend.urls: names a node twice");
    assert!(list("http://a,https://b").starts_with("backend.urls: has http:// and https://"));
    assert!(list("http://a,b").starts_with("backend.urls: "), "{}", list("http://a,b"));
    assert!(list(",").starts_with("backend.urls: names no node"), "{}", list(","));
    let many: Vec<_> = (0..33).map(|number| format!("http://n{number}")).collect();
    assert!(list(&many.join(",")).starts_with("backend.urls: has more than 32 nodes"));
    let both = faults(smallest(&[("IFMATCH_BACKEND_URLS", "http://a")]));
    assert_eq!(both, ["backend.url: and backend.urls both name the store; keep one of them"]);
    let never = [("IFMATCH_BACKEND_HEALTH_INTERVAL", "0s")];
    let [never] = &faults(load("valid/nodes.toml", &never, Flags::default()))[..] else {
        panic!("one fault")
    };
    assert!(never.starts_with("backend.health_interval: is 0s"), "{never}");
}

#[test]
fn an_upgrade_socket_is_per_address_and_for_a_register_in_redis() {
    let redis = |listen: &str, more: &[(&str, &str)]| {
        let variables = [&[("IFMATCH_LISTEN", listen)], more].concat();
        load("valid/redis.toml", &variables, Flags::default()).unwrap()
    };
    let derived = redis("0.0.0.0:9000", &[]).upgrade_socket.unwrap();
    assert!(!derived.written && derived.path.starts_with(std::env::temp_dir()));
    assert_ne!(derived, redis("0.0.0.0:9001", &[]).upgrade_socket.unwrap());
    assert_eq!(redis("0.0.0.0:0", &[]).upgrade_socket, None);
    let named = ("IFMATCH_UPGRADE_SOCKET", "/run/ifmatch/upgrade.sock");
    let path = PathBuf::from(named.1);
    let written = redis("0.0.0.0:0", &[named]).upgrade_socket;
    assert_eq!(written, Some(UpgradeSocket { path, written: true }));

    let memory = smallest(&[]).unwrap();
    assert_eq!(memory.upgrade_socket, None);
    assert!(memory.describe().contains("# upgrade_socket "), "{}", memory.describe());
    let [refused] = &faults(smallest(&[named]))[..] else { panic!("one fault") };
    assert!(refused.starts_with("upgrade_socket: is for a register in Redis"), "{refused}");
}

#[test]
fn tls_alone_opens_no_plain_port_and_every_side_has_its_files() {
    let config = load("valid/tls.toml", &[], Flags::default()).unwrap();
    assert!(config.listen.is_empty() && config.addresses().len() == 2);
    let settings = config.server_tls().unwrap();
    assert_eq!(settings.certificates.len(), 2);
    assert_eq!(settings.certificates[1].names, ["redis.test"]);
    assert_eq!(settings.client_auth, ClientAuth::Optional);
    let RegisterKind::Redis(redis) = &config.register.kind else { panic!("Redis is written") };
    let tls = redis.tls.as_ref().unwrap();
    assert_eq!(tls.server_name.as_deref(), Some("redis.test"));
    assert_eq!(tls.files, config.backend.tls());
    assert!(tls.files.key_file.as_ref().unwrap().ends_with("tls/client.key"));
    let path = config.upgrade_socket.unwrap().path;
    assert!(path.ends_with("0.0.0.0:9443.sock"), "{}", path.display());

    let listen = |variables: &[(&str, &str)]| smallest(variables).unwrap().listen;
    assert_eq!(listen(&[("IFMATCH_LISTEN", "[::1]:1,127.0.0.1:2")]).len(), 2);
    let file = |name: &str| format!("{DATA}/../tls/{name}");
    let (cert, key) = (file("server.pem"), file("server.key"));
    let beside = [
        ("IFMATCH_TLS_LISTEN", "127.0.0.1:9443"),
        ("IFMATCH_TLS_CERT_FILE", &cert),
        ("IFMATCH_TLS_KEY_FILE", &key),
    ];
    assert!(listen(&beside).is_empty(), "no plain port but where one is written");
    assert!(smallest(&[]).unwrap().server_tls().is_none());
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
    let all = [("IFMATCH_LISTEN", "[::1]:1"), ("IFMATCH_REGISTER_LEASE", "8s")];
    let flags = Flags { listen: Some("[::1]:2".to_owned()), ..Flags::default() };
    let config = load("valid/redis.toml", &all, flags).unwrap();
    assert_eq!(config.listen[0].port(), 2);
    assert_eq!(config.register.terms.lease, Duration::from_secs(8));
    assert_eq!(config.register.terms.grace, Duration::from_millis(2500));
    assert_eq!(load("valid/redis.toml", &all, Flags::default()).unwrap().listen[0].port(), 1);
}

#[test]
fn a_secret_in_the_environment_displaces_the_one_of_the_file() {
    let secret = ("IFMATCH_BACKEND_SECRET_ACCESS_KEY", "from the environment");
    let config = smallest(&[secret]).unwrap();
    assert_eq!(config.backend.secret_access_key.expose(), "from the environment");
}

#[test]
fn a_credential_of_systemd_is_read_from_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("secret_backend"), "of the unit\n").unwrap();
    let file = directory.path().join("ifmatch.toml");
    let text = fs::read_to_string(Path::new(DATA).join("valid/smallest.toml")).unwrap();
    let named = text.replace("secret.txt", "$CREDENTIALS_DIRECTORY/secret_backend");
    assert_ne!(named, text);
    fs::write(&file, named).unwrap();
    let load = |extra: &[(&str, &str)]| {
        let (file, environment) = (Some(file.clone()), variables(extra));
        Config::load(Sources { file, environment, ..Sources::default() })
    };
    let given = ("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap());
    assert_eq!(load(&[given]).unwrap().backend.secret_access_key.expose(), "of the unit");
    let [refused] = &faults(load(&[]))[..] else { panic!("one fault") };
    let expected = "backend.secret_access_key_file: \"$CREDENTIALS_DIRECTORY/secret_backend\" is a \
                    credential of a systemd unit, and CREDENTIALS_DIRECTORY is not set";
    assert!(refused.starts_with(expected), "{refused}");
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let mut names: Vec<String> = known_variables().into_iter().map(|(name, ..)| name).collect();
    assert!(names.contains(&"IFMATCH_BACKEND_SECRET_ACCESS_KEY_FILE".to_owned()));
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count > 70, "{count}");
}

#[test]
fn lists_numbers_and_truths_can_be_written_in_the_environment() {
    let config = smallest(&[
        ("IFMATCH_BACKEND_DEFINITE_ERRORS", "SlowDown, NotImplemented"),
        ("IFMATCH_BODY_MAX", "1024"),
        ("IFMATCH_THREADS", "7"),
        ("IFMATCH_REGION", ""),
    ])
    .unwrap();
    assert_eq!(config.backend.definite_errors, ["SlowDown", "NotImplemented"]);
    assert_eq!((config.body.max, config.threads), (1024, 7));
    assert_eq!(config.region, None, "an empty variable is not set");
}

#[test]
fn a_fault_in_the_environment_names_the_variable() {
    let wrong = [("IFMATCH_REGISTER_LEASE", "6"), ("IFMATCH_REGISTER_LAESE", "6s")];
    assert_eq!(
        faults(smallest(&wrong)),
        [
            "register.lease: \"6\" is not a duration such as \"250ms\", \"6s\", \"5m\" or \"1h\" \
             (from environment IFMATCH_REGISTER_LEASE)",
            "IFMATCH_REGISTER_LAESE: there is no such setting; the nearest is \
             IFMATCH_REGISTER_LEASE",
        ]
    );
}

#[test]
fn a_variable_that_holds_a_secret_may_have_any_name() {
    let named = ("IFMATCH_BACKEND_SECRET_ACCESS_KEY_ENV", "IFMATCH_MINE");
    let config = smallest(&[named, ("IFMATCH_MINE", "mine")]).unwrap();
    assert_eq!(config.backend.secret_access_key.expose(), "mine");
    assert_eq!(faults(smallest(&[("IFMATCH_MINE", "mine")])).len(), 1);
}

#[test]
fn the_environment_adds_one_client() {
    let id = ("IFMATCH_ACCESS_KEY_ID", "carol");
    let secret = ("IFMATCH_SECRET_ACCESS_KEY", "carol's");
    let config = smallest(&[id, secret]).unwrap();
    let keys: Vec<_> = config.clients.iter().map(|client| &client.access_key_id).collect();
    assert_eq!(keys, ["alice", "carol"]);
    assert_eq!(config.clients[1].secret_access_key.expose(), "carol's");
    let file = format!("{DATA}/valid/secret.txt");
    let in_file = [id, ("IFMATCH_SECRET_ACCESS_KEY_FILE", file.as_str())];
    let config = smallest(&in_file).unwrap();
    assert_eq!(config.clients[1].secret_access_key.expose(), "store-secret");

    assert!(faults(smallest(&[id]))[0].starts_with("client #2.secret_access_key_file: is missing"));
    assert!(faults(smallest(&[secret]))[0].starts_with("IFMATCH_ACCESS_KEY_ID: is missing"));
    let twice = faults(smallest(&[("IFMATCH_ACCESS_KEY_ID", "alice"), secret]));
    assert_eq!(twice, ["client #2.access_key_id: alice is the key of an earlier client"]);
}

#[test]
fn a_credential_may_have_a_session_token() {
    let backend = ("IFMATCH_BACKEND_SESSION_TOKEN", "hunter2");
    let config = load("valid/session-tokens.toml", &[backend], Flags::default()).unwrap();
    let token = |secret: &Option<Secret>| secret.as_ref().map(|token| token.expose().to_owned());
    assert_eq!(token(&config.backend.session_token).as_deref(), Some("hunter2"));
    assert_eq!(token(&config.clients[0].session_token).as_deref(), Some("alice's"));
    assert_eq!(token(&config.clients[1].session_token), None);
    assert!(!config.describe().contains("hunter2") && !config.describe().contains("alice's"));

    let all = [
        ("IFMATCH_ACCESS_KEY_ID", "carol"),
        ("IFMATCH_SECRET_ACCESS_KEY", "carol's"),
        ("IFMATCH_SESSION_TOKEN", "of carol"),
    ];
    let told = faults(smallest(&all));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("client #2.session_token: may hold visible ASCII"), "{told:?}");
    assert_eq!(faults(smallest(&all[2..])).len(), 1, "a token alone is no client");
}

#[test]
fn what_is_open_to_all_is_named_and_read_only_unless_said() {
    assert!(smallest(&[]).unwrap().anonymous.is_none());
    let config = smallest(&[("IFMATCH_ANONYMOUS_BUCKETS", "public, site-*")]).unwrap();
    let rights = config.anonymous.unwrap();
    assert_eq!(
        ["public", "site-1", "public2"].map(|name| rights.may_touch(name)),
        [true, true, false]
    );
    assert!(rights.read_only && !config.warnings.iter().any(|told| told.contains("anonymous")));
    let config = load("valid/anonymous.toml", &[], Flags::default()).unwrap();
    assert!(config.clients.is_empty() && !config.anonymous.as_ref().unwrap().read_only);
    assert!(config.warnings.iter().any(|told| told.starts_with("anonymous.read_only is false")));
    assert!(config.describe().contains("[anonymous]\nbuckets = [\"drop\"]"));
    for (wrong, at) in [
        (("IFMATCH_ANONYMOUS_READ_ONLY", "true"), "anonymous.buckets: is missing"),
        (("IFMATCH_ANONYMOUS_BUCKETS", ","), "anonymous.buckets: is empty"),
        (("IFMATCH_ANONYMOUS_BUCKETS", "a/b"), "anonymous.buckets: \"a/b\" is not a bucket"),
    ] {
        let told = faults(smallest(&[wrong]));
        assert!(told.len() == 1 && told[0].starts_with(at), "{told:?}");
    }
}

#[test]
fn where_signatures_pass_through_the_store_knows_its_clients() {
    assert_eq!(smallest(&[]).unwrap().signatures, Signatures::Resign);
    let config = load("valid/passthrough.toml", &[], Flags::default()).unwrap();
    assert_eq!((config.signatures, config.clients.len()), (Signatures::Passthrough, 0));
    assert!(config.warnings.iter().any(|told| told.starts_with("signatures = ")));
    let dir = tempfile::tempdir().unwrap();
    let told = faults(embedded(None, &[("IFMATCH_SIGNATURES", "passthrough")], dir.path()));
    assert!(told.len() == 1 && told[0].starts_with("signatures: "), "{told:?}");
}

#[test]
fn a_whole_configuration_fits_in_the_environment() {
    let environment = variables(&[
        ("IFMATCH_BACKEND_URL", "http://10.0.0.5:3900"),
        ("IFMATCH_BACKEND_ACCESS_KEY_ID", "store"),
        ("IFMATCH_BACKEND_SECRET_ACCESS_KEY", "s"),
        ("IFMATCH_ACCESS_KEY_ID", "alice"),
        ("IFMATCH_SECRET_ACCESS_KEY", "a"),
        ("IFMATCH_REGISTER_URL", "redis://r"),
        ("IFMATCH_REGISTER_PASSWORD", "hunter2"),
        ("IFMATCH_CONFIG", "read by the command line"),
    ]);
    let config = Config::load(Sources { environment, ..Sources::default() }).unwrap();
    let text = config.describe();
    assert!(!text.contains("hunter2") && text.contains("# password = \"***\""), "{text}");
}

#[test]
fn a_secret_that_others_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, "s\r\n").unwrap();
    let variable = ("IFMATCH_BACKEND_SECRET_ACCESS_KEY_FILE", path.to_str().unwrap());
    for (mode, warnings) in [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let config = smallest(&[variable]).unwrap();
        assert_eq!(config.warnings.len(), warnings, "{mode:o}: {:?}", config.warnings);
        assert_eq!(config.backend.secret_access_key.expose(), "s");
    }
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let url = Some("redis://:hunter2@r".to_owned());
    let flags = Flags { register_url: url, ..Flags::default() };
    let told = faults(load("valid/smallest.toml", &[], flags)).join("\n");
    assert!(told.starts_with("--register-url: ") && !told.contains("hunter2"), "{told}");
}

#[test]
fn what_is_described_says_where_it_came_from_and_loads_again() {
    let flags = Flags { log_format: Some("text".to_owned()), ..Flags::default() };
    let environment = [("IFMATCH_REGISTER_LEASE", "8s")];
    let config = load("valid/redis.toml", &environment, flags).unwrap();
    let text = config.describe();
    for line in [
        "listen = \"0.0.0.0:9000\"                       # file",
        "dialect = \"aws\"                               # default",
        "lease = \"8s\"                                  # environment IFMATCH_REGISTER_LEASE",
        "margin = \"4s\"                                 # default: half of register.lease",
        "format = \"text\"                               # flag --log-format",
        "password_env = \"REDIS_PASSWORD\"               # file",
        "read_only = true                              # file",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\nis not in\n{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("described.toml");
    fs::write(&file, text).unwrap();
    let again = load(file.to_str().unwrap(), &[], Flags::default()).unwrap();
    let values = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split("  #").next()).map(str::to_owned).collect()
    };
    assert_eq!(values(again.describe()), values(text));
    assert_eq!(text.matches("[[client]]").count(), 2);
}

#[test]
fn no_secret_is_ever_printed() {
    let mine = ("IFMATCH_BACKEND_SECRET_ACCESS_KEY", "hunter2");
    let config = load("valid/password-in-url.toml", &[mine], Flags::default()).unwrap();
    let RegisterKind::Redis(redis) = &config.register.kind else { panic!("Redis is written") };
    assert_eq!(redis.password.as_ref().map(Secret::expose), Some("hunter2"));
    for print in
        [config.describe().to_owned(), format!("{config:?}"), config.register.url.clone().into()]
    {
        assert!(print.contains("***") && !print.contains("hunter2"), "{print}");
        assert!(!print.contains("alice's"), "{print}");
    }
    let sources = Sources { environment: variables(&[]), ..Sources::default() };
    assert!(!format!("{sources:?}").contains("hunter2"));
}

// --embedded

fn embedded(
    file: Option<&str>,
    extra: &[(&str, &str)],
    dir: &Path,
) -> Result<Config, ConfigErrors> {
    let flags = Flags { embedded: Some(dir.to_path_buf()), ..Flags::default() };
    let file = file.map(|file| Path::new(DATA).join(file));
    Config::load(Sources { file, environment: variables(extra), flags, ..Sources::default() })
}

#[test]
fn embedded_needs_nothing_else_and_keeps_its_secret() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made");
    let config = embedded(None, &[], &dir).unwrap();
    let [client] = &config.clients[..] else { panic!("one client is made") };
    assert_eq!(client.access_key_id, "ifmatch");
    assert!(client.rights.may_touch("anything") && !client.rights.read_only);
    assert_eq!(client.secret_access_key.expose().len(), 40);
    let kept = dir.join(".ifmatch-secret");
    assert_eq!(fs::read_to_string(&kept).unwrap(), client.secret_access_key.expose());
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
    assert_eq!(config.warnings, Vec::<String>::new());

    let again = embedded(None, &[], &dir).unwrap();
    assert_eq!(again.clients[0].secret_access_key, client.secret_access_key);
    assert_ne!(again.backend.secret_access_key, config.backend.secret_access_key);

    assert_eq!(config.embedded, Some(dir.clone()));
    assert_eq!(config.writers, Writers::Exclusive);
    assert_eq!(config.backend.empty_segments, EmptySegments::Kept);
    assert_eq!(config.backend.dot_segments, DotSegments::Kept);
    assert_eq!(config.embedded_store.fsync, Fsync::Always);
    let terms = config.register.terms;
    assert_eq!((terms.settle, terms.settle_long), (Duration::ZERO, Duration::ZERO));
    assert_eq!(terms.grace, Duration::from_secs(3));
    let RegisterKind::Memory { lock_file } = config.register.kind.clone() else {
        panic!("an embedded store has its register in memory");
    };
    assert_eq!(lock_file, dir.join(".ifmatch.lock"));
    let text = config.describe();
    assert!(text.contains("# settle = \"0s\"") && text.contains("# --embedded"), "{text}");
    assert!(!text.contains(client.secret_access_key.expose()));
}

#[test]
fn embedded_refuses_another_store_or_register() {
    let dir = tempfile::tempdir().unwrap();
    let told = faults(embedded(Some("valid/smallest.toml"), &[], dir.path()));
    let at: Vec<_> = told.iter().filter_map(|fault| fault.split(": ").next()).collect();
    assert_eq!(at, ["backend.url", "backend.access_key_id", "backend.secret_access_key_file"]);
    for variable in ["IFMATCH_REGISTER_URL", "IFMATCH_REGISTER_SETTLE"] {
        assert_eq!(faults(embedded(None, &[(variable, "redis://r")], dir.path())).len(), 1);
    }
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is created on a fault");
}

#[test]
fn an_embedded_store_is_looked_at_without_making_anything() {
    let dir = tempfile::tempdir().unwrap();
    // The default is what is free on the disk, which others change meanwhile.
    let disk = [("IFMATCH_BODY_SPOOL", "10GiB")];
    let look = |dir: &Path| {
        let flags = Flags { embedded: Some(dir.to_path_buf()), ..Flags::default() };
        let environment = variables(&disk);
        Config::load(Sources { environment, flags, only_look: true, ..Sources::default() })
    };
    let made = dir.path().join("not/there/yet");
    let text = look(&made).unwrap().describe().to_owned();
    assert!(text.contains("# --embedded; made at the first start"), "{text}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is created");

    let served = embedded(None, &disk, &made).unwrap();
    let seen = look(&made).unwrap();
    assert_eq!(seen.clients[0].secret_access_key, served.clients[0].secret_access_key);
    assert_eq!(seen.describe(), served.describe());

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
    for no_place in [file.clone(), file.join("below"), dir.path().join("link")] {
        let told = faults(look(&no_place));
        assert!(told.len() == 1 && told[0].starts_with("--embedded: "), "{told:?}");
        assert!(told[0].contains(no_place.to_str().unwrap()), "{told:?}");
    }
}

#[test]
fn embedded_uses_what_is_configured_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = embedded(
        None,
        &[
            ("IFMATCH_WRITERS", "shared"),
            ("IFMATCH_REGISTER_GRACE", "1s"),
            ("IFMATCH_ACCESS_KEY_ID", "alice"),
            ("IFMATCH_SECRET_ACCESS_KEY", "a"),
        ],
        dir.path(),
    )
    .unwrap();
    assert_eq!(config.writers, Writers::Shared);
    assert_eq!(config.register.terms.grace, Duration::from_secs(1));
    assert_eq!(config.clients.len(), 1);
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "no secret was needed");
}

#[test]
fn a_name_that_is_like_no_other_is_not_compared_with_one() {
    let told = |name| faults(smallest(&[(name, "x")])).remove(0);
    assert!(
        told("IFMATCH_BACKEND_ACESS_KEY_ID").ends_with("nearest is IFMATCH_BACKEND_ACCESS_KEY_ID")
    );
    assert!(told("IFMATCH_QUUX_ZYXWVU_PONML_JKLMN").ends_with("none that is spelled like it"));
}

#[test]
fn variables_of_the_store_s_own_command_are_no_faults() {
    let both = [
        ("IFMATCH_STORE_ACCESS_KEY_ID", "storekey"),
        ("IFMATCH_STORE_SECRET_ACCESS_KEY", "storesecret"),
    ];
    assert!(smallest(&both).is_ok());
    assert_eq!(faults(smallest(&[("IFMATCH_STORE_SECRET", "x")])).len(), 1);
}

#[test]
fn where_no_file_was_named_that_is_told_first() {
    let nothing = || Sources { environment: variables(&[]), ..Sources::default() };
    let told = faults(Config::load(nothing()));
    assert!(told[0].starts_with("--config: no file was named"), "{told:?}");
    assert!(told[1].starts_with("backend.url: is missing"), "{told:?}");
    let url = ("IFMATCH_BACKEND_URL", "http://10.0.0.5:3900");
    let environment = variables(&[url]);
    let told = faults(Config::load(Sources { environment, ..nothing() }));
    assert!(!told.iter().any(|fault| fault.starts_with("--config")), "{told:?}");
}
