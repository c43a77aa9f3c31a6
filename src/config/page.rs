//! All settings as a page for people, `docs/configuration.md`. It is made of the schema, of the defaults,
//! and of the rules by which defaults follow from other settings, so that it cannot contradict them.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use toml::Table;

use super::access::{Anonymous, Client, Rights, Rule};
use super::faults::Faults;
use super::json_schema::json_schema;
use super::keys::{REPEATED, TABLES, keys_in_file, path};
use super::overlay::Overlay;
use super::reading::Reading;
use super::schema::{Certificate, Config};
use super::{assemble, describe};

/// The page in Markdown.
pub fn settings_page() -> String {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap_or_default();
    // Nothing is written: what is missing are faults, and the rest are defaults.
    let mut reading = Reading::new(Overlay::default(), Vec::new(), Faults::default());
    let config = assemble::config(&mut reading, None);
    let mut page = INTRODUCTION.to_owned();
    for table in TABLES {
        let (heading, about) = heading(table);
        let _ = write!(page, "\n## {heading}\n\n{about}\n\n{HEAD}");
        let properties = match table {
            "" => &schema["properties"],
            repeated if REPEATED.contains(&repeated) => {
                &schema["properties"][table]["items"]["properties"]
            }
            _ => &schema["properties"][table]["properties"],
        };
        let defaults = defaults(&config, table);
        for key in keys_in_file(table) {
            let default = default(&reading, &defaults, table, &key);
            row(&mut page, &key, &properties[&key], &default);
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

Every setting, as `ifmatch check-config --page` prints it: a test compares this page with that. [config/ifmatch.toml](../config/ifmatch.toml) explains
each at length, and can be copied; [config/ifmatch.schema.json](../config/ifmatch.schema.json) is for editors.

The settings of a process come from a file in TOML (`--config`), from the environment, which wins over it, and from a few flags, which win over both. The variable of a
key is `IFMATCH_` and its path in upper case, dots as `_`: `IFMATCH_REGISTER_LEASE`, `IFMATCH_BACKEND_URL`; lists have commas. Durations are written `250ms`, `6s`, `5m` or
`1h`; sizes `4096`, `8MiB` or `5GiB`. A secret is never in the file: a key that ends in `_file` names the file that holds it, one that ends in
`_env` the environment variable. `ifmatch check-config` prints what is in effect, and where each value came from.
[Operations](operations.md#change-settings-without-a-restart) says what a reload does.
";

const HEAD: &str = "| key | what it is | values | default |\n|---|---|---|---|\n";

/// The heading of a table of the file, and what it is.
fn heading(table: &str) -> (String, &'static str) {
    let about = match table {
        "" => "At the beginning of the file, before the first table.",
        "tls" => "TLS towards clients.",
        "backend" => "The store.",
        "register" => "The register of ETags and leases. All proxies of a fleet agree on it.",
        "body" => "The buffers for bodies of requests.",
        "limits" => "Limits on what is done at the same time.",
        "embedded" => "The store in this process, with `--embedded`.",
        "log" => "The log.",
        "admin" => "The admin listener: health checks, metrics, the status page.",
        "traces" => "Traces for a collector of OpenTelemetry, in a build with the feature `otel`.",
        "anonymous" => "What is open to requests without a signature.",
        "client" => "A client with its own access key; may be there several times.",
        "rule" => {
            "How writes of some keys are treated; may be there several times, and the first that fits decides."
        }
        _ => "One more certificate towards clients; may be there several times.",
    };
    let heading = match table {
        "" => "Without a table".to_owned(),
        repeated if REPEATED.contains(&repeated) => format!("[[{repeated}]]"),
        table => format!("[{table}]"),
    };
    (heading, about)
}

fn defaults(config: &Config, table: &str) -> Table {
    // Every section is a table, with nothing in it that TOML has not.
    fn of(section: &impl Serialize) -> Table {
        Table::try_from(section).unwrap_or_default()
    }
    match table {
        "" => of(config),
        "tls" => of(&config.tls),
        "backend" => of(&config.backend),
        "register" => {
            let mut all = of(&config.register);
            all.extend(of(&config.register.terms));
            all
        }
        "body" => of(&config.body),
        "limits" => of(&config.limits),
        "embedded" => of(&config.embedded_store),
        "log" => of(&config.log),
        "admin" => of(&config.admin),
        "traces" => of(&config.traces),
        "anonymous" => of(&Anonymous::default()),
        "client" => {
            let mut all = of(&Client::default());
            all.extend(of(&Rights::default()));
            all
        }
        "rule" => of(&Rule::default()),
        _ => of(&Certificate::default()),
    }
}

/// What is in effect where the key is not written.
fn default(reading: &Reading, defaults: &Table, table: &str, key: &str) -> String {
    let path = path(table, key);
    if let Some(reason) = reading.faults.missing(&path) {
        return format!("required: {reason}");
    }
    let required = match (table, key) {
        ("client", "access_key_id") | ("certificate", "cert_file" | "key_file") => Some("required"),
        ("client", "secret_access_key_file") => Some("required, or `secret_access_key_env`"),
        _ => None,
    };
    if let Some(required) = required {
        return required.to_owned();
    }
    match (reading.derived.get(&path), defaults.get(key)) {
        (Some(how), _) => (*how).to_owned(),
        (None, Some(value)) => format!("`{value}`"),
        (None, None) => describe::meaning(&path).to_owned(),
    }
}

fn row(page: &mut String, key: &str, schema: &Value, default: &str) {
    let what = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
    let cells = [format!("`{key}`"), what, values(schema), default.to_owned()];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// What a value may be, in words.
fn values(schema: &Value) -> String {
    if let Some(fixed) = schema["const"].as_str() {
        let about = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        return format!("`\"{fixed}\"`: {}", about.trim_end_matches('.'));
    }
    for (forms, between) in [("oneOf", "; "), ("anyOf", ", or ")] {
        if let Some(forms) = schema[forms].as_array() {
            return forms.iter().map(values).collect::<Vec<_>>().join(between);
        }
    }
    let is = |name: &str| {
        schema["type"] == name
            || schema["type"].as_array().is_some_and(|types| types.iter().any(|it| it == name))
    };
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match () {
        () if pattern.contains("ms|s|m|h") && pattern.contains("[1-9]") => {
            "a duration longer than 0s".to_owned()
        }
        () if pattern.contains("ms|s|m|h") => "a duration".to_owned(),
        () if pattern.contains("KiB") => "a size".to_owned(),
        () if is("integer") || is("number") => match (&schema["minimum"], &schema["maximum"]) {
            (Value::Number(least), Value::Number(most)) => {
                format!("a number from {least} to {most}")
            }
            _ => "a number".to_owned(),
        },
        () if is("boolean") => "`true` or `false`".to_owned(),
        () if is("array") => match values(&schema["items"]).as_str() {
            TEXT => "a list of texts".to_owned(),
            other => format!("a list of {other}"),
        },
        () => TEXT.to_owned(),
    }
}

const TEXT: &str = "a text";
