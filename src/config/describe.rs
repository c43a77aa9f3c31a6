//! The configuration in effect, printed as TOML with the origin of each value.

use std::fmt::Write as _;

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::access::Anonymous;
use super::address::RegisterUrl;
use super::keys::{SECRETS, path, secret_paths};
use super::overlay::{Source, Written};
use super::reading::Reading;
use super::schema::{Config, RegisterKind};
use super::values::keys_of;
use crate::register::redis::Topology;

impl Config {
    /// The configuration in effect as TOML, with a comment on each line saying where the value
    /// came from. Secrets are masked.
    pub fn describe(&self) -> &str {
        &self.described
    }
}

/// What [`Config::describe`] prints.
pub(super) fn describe(reading: &mut Reading, config: &Config) -> String {
    let mut anonymous: Anonymous = reading.section("anonymous");
    if anonymous.buckets.is_some() {
        let how = "what is open to all may only be read";
        reading.derive("anonymous.read_only", &mut anonymous.read_only, Some(true), how);
    }
    let embedded = config.embedded.is_some();
    let lives_here = matches!(config.register.kind, RegisterKind::Memory { .. });
    let by_sentinels =
        matches!(&config.register.url, RegisterUrl::Redis { topology: Topology::Sentinels(_), .. });
    let text = String::from("# ifmatch: the configuration in effect\n");
    let mut page = Page { reading, embedded, lives_here, by_sentinels, text };
    page.section("", config);
    page.heading("[tls]");
    page.section("tls", &config.tls);
    for (number, certificate) in (1..).zip(&config.certificates) {
        page.heading("[[certificate]]");
        page.section(&format!("certificate #{number}"), certificate);
    }
    page.heading("[backend]");
    page.section("backend", &config.backend);
    page.heading("[register]");
    page.section("register", &config.register);
    page.section("register", &config.register.terms);
    page.heading("[body]");
    page.section("body", &config.body);
    page.heading("[limits]");
    page.section("limits", &config.limits);
    if embedded {
        page.heading("[embedded]");
        page.section("embedded", &config.embedded_store);
    }
    page.heading("[log]");
    page.section("log", &config.log);
    page.heading("[admin]");
    page.section("admin", &config.admin);
    // A build without traces refuses the table, and its keys say nothing without a collector.
    if config.traces.endpoint.is_some() {
        page.heading("[traces]");
        page.section("traces", &config.traces);
    }
    page.heading("[anonymous]");
    page.section("anonymous", &anonymous);
    for (number, client) in (1..).zip(&config.clients) {
        page.heading("[[client]]");
        page.section(&format!("client #{number}"), client);
        page.section(&format!("client #{number}"), &client.rights);
    }
    for (number, rule) in (1..).zip(&config.rules) {
        page.heading("[[rule]]");
        page.section(&format!("rule #{number}"), rule);
    }
    page.text
}

struct Page<'a> {
    reading: &'a Reading,
    embedded: bool,
    /// Whether the register is in this process, as it is with `--embedded`.
    lives_here: bool,
    by_sentinels: bool,
    text: String,
}

impl Page<'_> {
    fn heading(&mut self, heading: &str) {
        let _ = write!(self.text, "\n{heading}\n");
    }

    /// One line for each key of a section.
    fn section<T: Serialize + DeserializeOwned>(&mut self, table: &str, section: &T) {
        // Every section is a table, with nothing in it that TOML has not.
        let values = Table::try_from(section).unwrap_or_default();
        for key in keys_of::<T>() {
            let path = path(table, key);
            let written = self.reading.overlay.written.get(&path);
            if SECRETS.contains(key) {
                self.secret(key, &path);
            } else if let Some(value) = values.get(*key)
                && !self.is_hidden(&path, value)
            {
                let source = written.map(|written| &written.source);
                let note = match (source, self.reading.derived.get(&path)) {
                    (Some(source), _) => source.to_string(),
                    (None, Some(how)) => format!("default: {how}"),
                    (None, None) => "default".to_owned(),
                };
                let mark = if source == Some(&Source::Embedded) { "# " } else { "" };
                self.line(&format!("{mark}{key} = {value}"), &note);
            } else if let Some(meaning) = self.meaning(&path) {
                self.line(&format!("# {key}"), &format!("not set: {meaning}"));
            }
        }
    }

    /// Whether a value says nothing: the store is named elsewhere.
    fn is_hidden(&self, path: &str, value: &Value) -> bool {
        match path {
            "backend.url" => self.embedded || self.reading.is_written("backend.urls"),
            "backend.urls" => value.as_array().is_some_and(Vec::is_empty),
            _ => false,
        }
    }

    /// The place of a secret; for one in an environment variable, only that it is set.
    fn secret(&mut self, key: &str, stem: &str) {
        let paths = secret_paths(stem);
        let written =
            paths.iter().find_map(|path| self.reading.overlay.written.get_key_value(path));
        match written {
            Some((path, Written { source, .. })) if path == stem => {
                self.line(&format!("# {key} = \"***\""), &source.to_string());
            }
            Some((path, Written { value, source })) => {
                let key = path.rsplit('.').next().unwrap_or_default();
                self.line(&format!("{key} = {value}"), &source.to_string());
            }
            None => {}
        }
    }

    fn line(&mut self, setting: &str, note: &str) {
        let _ = writeln!(self.text, "{setting:<44}  # {note}");
    }

    /// The meaning of a missing value; `None` where a missing value is not shown.
    fn meaning(&self, path: &str) -> Option<&'static str> {
        Some(match path {
            "backend.url" if self.embedded => "the store of --embedded",
            "backend.url" | "backend.urls" | "register.lock_file" | "anonymous.read_only" => {
                return None;
            }
            "register.sentinel_username" if !self.by_sentinels => return None,
            "upgrade_socket" if self.lives_here => {
                "no process can take over a register or a store in this process"
            }
            "upgrade_socket" => "the port is not known before the start",
            _ => meaning(path),
        })
    }
}

/// What it means that this key has no value, wherever it has none.
pub(super) fn meaning(path: &str) -> &'static str {
    match (path, path.rsplit('.').next().unwrap_or_default()) {
        ("register.sentinel_username", _) => "the Sentinels' default user",
        ("upgrade_socket", _) => "no process can take over",
        ("region", _) => "any region that a client signs for is accepted",
        ("tls.cert_file" | "tls.key_file", _) => "clients connect without TLS",
        ("tls.client_ca_file", _) => "no client certificate is asked for",
        ("backend.probe_bucket", _) => "nothing is written into any bucket at the start",
        ("backend.health_bucket", _) => "checks ask for the store itself",
        ("register.server_name", _) => "each server's own name or address",
        (_, "ca_file") => "the system's certificate authorities are trusted",
        ("register.marker", _) => "a second register for this store would not be noticed",
        ("limits.connections_per_address", _) => "one address may have all connections",
        ("admin.listen", _) => "there is no admin listener, so no health checks and no metrics",
        ("anonymous.buckets", _) => "every request must be signed",
        (_, "certificate_names") => "no certificate has to be shown",
        (_, "prefix") => "all keys of these buckets",
        (_, "require") => "no condition is required",
        _ => "nothing",
    }
}
