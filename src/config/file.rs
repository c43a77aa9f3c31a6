//! The TOML file as written. It is walked by hand and not by serde, which stops at the first
//! unknown key: all faults are to be told at once.

use std::path::Path;

use toml::Value;

use super::faults::Faults;
use super::files;
use super::keys::{self, KEYS, TABLES};
use super::layers::{Layer, Source, Written};
use super::values::Raw;

/// How many tables there are of those that are written once for each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) clients: usize,
    pub(super) rules: usize,
}

/// The values of a file, and how many `[[client]]` and `[[rule]]` it has. `None` after noting that
/// it cannot be read or is not TOML.
pub(super) fn read(path: &Path, faults: &mut Faults) -> Option<(Layer, Counts)> {
    let name = path.display().to_string();
    let text = match read_text(path) {
        Ok(text) => text,
        Err(why) => {
            faults.push(name, why);
            return None;
        }
    };
    match text.parse::<toml::Table>() {
        Ok(table) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let directory = path.parent().unwrap_or_else(|| Path::new(""));
            Some(Walk { directory, layer: Layer::new(), faults }.root(table))
        }
        Err(error) => {
            faults.push(name, format!("is not TOML: {}", syntax_error(&text, &error)));
            None
        }
    }
}

/// Far above any configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn read_text(path: &Path) -> Result<String, String> {
    let content = files::read(path, FILE_BYTES_MAX)?;
    let text = String::from_utf8(content.bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    // What some editors begin a file with.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

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

struct Walk<'a> {
    directory: &'a Path,
    layer: Layer,
    faults: &'a mut Faults,
}

impl Walk<'_> {
    fn root(mut self, table: toml::Table) -> (Layer, Counts) {
        let mut counts = Counts::default();
        for (name, value) in table {
            match value {
                Value::Table(inner) if TABLES.contains(&name.as_str()) => {
                    for (key, value) in inner {
                        self.key(format!("{name}.{key}"), value);
                    }
                }
                _ if TABLES.contains(&name.as_str()) => {
                    self.faults.push(name.clone(), format!("is a table: write [{name}]"));
                }
                Value::Array(tables) if name == "client" && tables.iter().all(Value::is_table) => {
                    counts.clients = tables.len();
                    self.each(&name, tables);
                }
                Value::Array(tables) if name == "rule" && tables.iter().all(Value::is_table) => {
                    counts.rules = tables.len();
                    self.each(&name, tables);
                }
                _ if keys::keys_of_each(&name).is_some() => {
                    let message = format!("write [[{name}]], with two brackets, once for each");
                    self.faults.push(name, message);
                }
                Value::Table(_) if keys::find(&name).is_none() => {
                    let tables = TABLES.into_iter().chain(["client", "rule"]);
                    self.unknown(name.clone(), keys::nearest(&name, tables));
                }
                value => self.key(name, value),
            }
        }
        (self.layer, counts)
    }

    fn key(&mut self, path: String, value: Value) {
        if keys::find(&path).is_some() {
            self.insert(path, value);
        } else {
            let nearest = keys::nearest(&path, KEYS.iter().filter(written).map(|key| key.path));
            self.unknown(path, nearest);
        }
    }

    /// The tables that are all called so, numbered from 1.
    fn each(&mut self, called: &str, tables: Vec<Value>) {
        for (index, table) in tables.into_iter().enumerate() {
            let Value::Table(table) = table else { continue };
            for (name, value) in table {
                let path = format!("{called} #{}.{name}", index + 1);
                if keys::find(&path).is_some() {
                    self.insert(path, value);
                } else {
                    let known = keys::keys_of_each(called).unwrap_or_default().iter();
                    let names = known.filter(written).map(keys::Key::name);
                    self.unknown(path, keys::nearest(&name, names));
                }
            }
        }
    }

    fn insert(&mut self, path: String, value: Value) {
        if keys::find(&path).is_some_and(keys::Key::is_inline_secret) {
            let message = format!(
                "a secret does not belong in this file; write {path}_file = \"path\" or \
                 {path}_env = \"VARIABLE\""
            );
            self.faults.push(path, message);
            return;
        }
        let value = match value {
            Value::String(text) if is_path(&path) && !text.is_empty() => {
                Value::String(self.directory.join(text).display().to_string())
            }
            value => value,
        };
        self.layer.insert(path, Written { raw: Raw::Toml(value), source: Source::File });
    }

    fn unknown(&mut self, path: String, nearest: Option<&str>) {
        let nearest = nearest.unwrap_or_default();
        self.faults.push(path, format!("there is no such key; the nearest is {nearest}"));
    }
}

/// Keys whose values are paths; in a file these start from its directory.
fn is_path(path: &str) -> bool {
    path.ends_with("_file") || path.ends_with("_dir")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that filter asks for")]
fn written(key: &&keys::Key) -> bool {
    !key.is_inline_secret()
}
