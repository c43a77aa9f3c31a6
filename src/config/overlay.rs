//! The layers of settings: the file, the environment over it, the flags over both. They are merged
//! into one map from a key's path (`register.lease`, `client #3.buckets`) to its value and its
//! origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::{Table, Value};

use super::base::Base;
use super::faults::Faults;
use super::keys::{
    CONFIG_VARIABLE, PREFIX, SECRETS, STORE_VARIABLES, TABLES, fields, is_repeated, keys_in_file,
    path, secret_paths, variables,
};
use super::sources::{Flags, Sources};
use crate::files;

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// This flag.
    Flag(&'static str),
    /// This variable.
    Environment(String),
    /// The file.
    File,
    /// `--embedded` decides it; it may not be set.
    Embedded,
    /// Created because no value was given.
    Made(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File => f.write_str("file"),
            Self::Embedded => f.write_str("--embedded"),
            Self::Made(how) => f.write_str(how),
        }
    }
}

/// A value and its origin. A value that is not from the file is a text.
pub(super) struct Written {
    pub(super) value: Value,
    pub(super) source: Source,
}

impl Written {
    pub(super) fn text(text: impl Into<String>, source: Source) -> Self {
        Self { value: Value::String(text.into()), source }
    }
}

/// All given values, by path.
pub(super) type Layer = BTreeMap<String, Written>;

/// The merged layers.
#[derive(Default)]
pub(super) struct Overlay {
    pub(super) written: Layer,
    /// How many `[[client]]` there are, including the one of the environment, which is the last.
    pub(super) clients: usize,
    /// How many `[[rule]]` there are.
    pub(super) rules: usize,
    /// How many `[[certificate]]` there are.
    pub(super) certificates: usize,
    /// Whether the environment describes a client.
    pub(super) client_of_environment: bool,
}

impl Overlay {
    /// Reads and merges all layers. `None` after noting that the file cannot be read or is not
    /// TOML: otherwise all its settings would be reported as missing.
    pub(super) fn read(sources: &Sources, faults: &mut Faults) -> Option<Self> {
        let mut overlay = Self::default();
        if let Some(file) = &sources.file {
            match read_file(file) {
                Ok(table) => {
                    let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                    let directory = path.parent().unwrap_or_else(|| Path::new(""));
                    let base = Base { directory, environment: &sources.environment };
                    overlay.add_file(table, &base, faults);
                }
                Err(why) => {
                    faults.push(file.display().to_string(), why);
                    return None;
                }
            }
        }
        overlay.add_environment(&sources.environment);
        overlay.add_flags(&sources.flags, faults);
        Some(overlay)
    }

    /// Puts a stronger layer over the present values. A secret given in one way replaces the same
    /// secret given in another way: a variable with the password wins over the file's
    /// `password_file`.
    fn put(&mut self, above: Layer) {
        for written in above.keys() {
            let (table, key) = written.rsplit_once('.').unwrap_or_default();
            if let Some(secret) = SECRETS.into_iter().find(|secret| key.starts_with(secret)) {
                for other in secret_paths(&path(table, secret)) {
                    self.written.remove(&other);
                }
            }
        }
        self.written.extend(above);
    }

    fn add_environment(&mut self, environment: &[(String, String)]) {
        // An empty variable counts as not set, since container tools cannot omit one.
        let set: BTreeMap<_, _> =
            environment.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
        let client = format!("client #{}", self.clients + 1);
        let mut above = Layer::new();
        for (name, table, key) in variables() {
            let Some(value) = set.get(&name) else { continue };
            let table = if table == "client" { client.as_str() } else { table };
            self.client_of_environment |= table == client;
            above.insert(path(table, &key), Written::text(value, Source::Environment(name)));
        }
        self.put(above);
        self.clients += usize::from(self.client_of_environment);
    }

    fn add_flags(&mut self, flags: &Flags, faults: &mut Faults) {
        let Flags { listen, backend_url, register_url, log_format, embedded: _ } = flags;
        let all = [
            ("listen", "--listen", listen),
            ("backend.url", "--backend-url", backend_url),
            ("register.url", "--register-url", register_url),
            ("log.format", "--log-format", log_format),
        ];
        let above = all.into_iter().filter_map(|(path, flag, value)| {
            Some((path.to_owned(), Written::text(value.clone()?, Source::Flag(flag))))
        });
        self.put(above.collect());
        if register_url.as_deref().is_some_and(|url| url.contains('@')) {
            let message = "holds a user or a password, which others see in the list of processes; \
                           set IFMATCH_REGISTER_URL instead";
            faults.push("--register-url", message);
        }
    }

    fn add_file(&mut self, root: Table, base: &Base<'_>, faults: &mut Faults) {
        for (name, value) in root {
            match value {
                Value::Table(keys)
                    if TABLES[1..].contains(&name.as_str()) && !is_repeated(&name) =>
                {
                    self.add_table(&name, keys, base, faults);
                }
                Value::Array(tables)
                    if is_repeated(&name) && tables.iter().all(Value::is_table) =>
                {
                    let count = match name.as_str() {
                        "client" => &mut self.clients,
                        "rule" => &mut self.rules,
                        _ => &mut self.certificates,
                    };
                    *count = tables.len();
                    for (number, table) in (1..).zip(tables) {
                        let keys = table.try_into().unwrap_or_default();
                        self.add_table(&format!("{name} #{number}"), keys, base, faults);
                    }
                }
                value => {
                    self.add_table("", Table::from_iter([(name, value)]), base, faults);
                }
            }
        }
    }

    fn add_table(&mut self, at: &str, keys: Table, base: &Base<'_>, faults: &mut Faults) {
        let name = at.split(' ').next().unwrap_or(at);
        let known = keys_in_file(name);
        for (key, value) in keys {
            let path = path(at, &key);
            if !known.contains(&key) {
                faults.push(path, unknown(at, &key, value.is_table()));
                continue;
            }
            let value = match value {
                Value::String(text) if is_path(&key, &text) => {
                    Value::String(base.path(&text).display().to_string())
                }
                value => value,
            };
            self.written.insert(path, Written { value, source: Source::File });
        }
    }

    /// Notes every unknown variable with the program's prefix, except those that a `_env` key names
    /// as the place of a secret.
    pub(super) fn refuse_unknown(&self, environment: &[(String, String)], faults: &mut Faults) {
        let mut known: Vec<String> = variables().into_iter().map(|(name, ..)| name).collect();
        known.push(CONFIG_VARIABLE.to_owned());
        let of_the_store = |name: &str| STORE_VARIABLES.contains(&name);
        let holds_a_secret = |name: &str| {
            let keys = self.written.iter().filter(|(path, _)| path.ends_with("_env"));
            keys.into_iter().any(|(_, written)| written.value.as_str() == Some(name))
        };
        let mut names: Vec<_> = environment.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        for name in names.into_iter().filter(|name| name.starts_with(PREFIX)) {
            let is_known = known.iter().any(|known| known == name) || of_the_store(name);
            if !is_known && !holds_a_secret(name) {
                faults.push(name, no_such("setting", name, known.iter().cloned()));
            }
        }
    }
}

/// The message for an unknown key or table.
fn unknown(at: &str, key: &str, is_table: bool) -> String {
    let full = path(at, key);
    let name = at.split(' ').next().unwrap_or(at);
    if fields(name).contains(&key) {
        return format!(
            "a secret does not belong in this file; write {full}_file = \"path\" or \
             {full}_env = \"VARIABLE\""
        );
    }
    if is_repeated(name) {
        return no_such("key", key, keys_in_file(name).into_iter());
    }
    if at.is_empty() && is_repeated(key) {
        return format!("write [[{key}]], with two brackets, once for each");
    }
    if at.is_empty() && TABLES[1..].contains(&key) {
        return format!("is a table: write [{key}]");
    }
    if at.is_empty() && is_table {
        return no_such("key", key, TABLES[1..].iter().map(ToString::to_string));
    }
    let once = TABLES.into_iter().filter(|table| !is_repeated(table));
    let paths = |table| keys_in_file(table).into_iter().map(move |key| path(table, &key));
    no_such("key", &full, once.flat_map(paths))
}

/// The message for an unknown name, with the most similar valid one: by the whole path, or by its
/// last part for a key that is written in the wrong table.
fn no_such(what: &str, mistaken: &str, valid: impl Iterator<Item = String>) -> String {
    let last = |path: &str| path.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let name = last(mistaken);
    let begins = format!("{name}_");
    let distance = |path: &String| {
        let by_name = strsim::levenshtein(&name, &last(path)) + 1;
        // A name that was not written to its end is a slip of one letter.
        let by_beginning = if last(path).starts_with(&begins) { 2 } else { usize::MAX };
        strsim::levenshtein(mistaken, path).min(by_name).min(by_beginning)
    };
    // A name that shares less than half of its letters with any other is no slip of one.
    let nearest = valid.map(|path| (distance(&path), path)).min_by_key(|(distance, _)| *distance);
    match nearest.filter(|(distance, _)| distance * 2 <= mistaken.chars().count().max(4)) {
        Some((_, nearest)) => format!("there is no such {what}; the nearest is {nearest}"),
        None => format!("there is no such {what}, and none that is spelled like it"),
    }
}

/// Whether a value is a path: in a file it starts from its [`Base`].
fn is_path(key: &str, text: &str) -> bool {
    let is_always = key.ends_with("_file") || key.ends_with("_dir");
    (is_always && !text.is_empty()) || (key == "access" && text.contains('/'))
}

/// Reads the file as a table; the error is the message about it.
fn read_file(path: &Path) -> Result<Table, String> {
    let content = files::read(path, FILE_BYTES_MAX)?;
    let text = String::from_utf8(content.bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    // Some editors begin a file with this mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    text.parse().map_err(|error| format!("is not TOML: {}", syntax_error(text, &error)))
}

/// Larger than any configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The parser's message with line and column, but without the line itself, which may hold a
/// password.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', ", ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return message;
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{message} (line {line}, column {column})")
}
