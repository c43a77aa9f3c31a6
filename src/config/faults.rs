//! Faults of a configuration: all of them at once, each with its path.

use std::fmt;

use super::keys::{FILE_FLAG, TABLES, fields};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The place: a key such as `register.lease`, a variable such as `IFMATCH_LISTEN`, or a file.
    pub path: String,
    /// The fault and its remedy. Never contains a secret.
    pub message: String,
}

/// All faults, in the order of the tables and of their keys. Prints one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Fault>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let s = if count == 1 { "" } else { "s" };
        write!(f, "the configuration has {count} fault{s}")?;
        for Fault { path, message } in &self.0 {
            write!(f, "\n  {path}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn push(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { path: path.into(), message: message.into() });
    }

    /// Whether one of these paths has a fault already: then a rule about it would only add noise.
    pub(super) fn any_at(&self, paths: &[&str]) -> bool {
        self.0.iter().any(|fault| paths.contains(&fault.path.as_str()))
    }

    /// Why a key that is missing must be there.
    pub(super) fn missing(&self, path: &str) -> Option<&str> {
        let at = self.0.iter().find(|fault| fault.path == path)?;
        at.message.strip_prefix("is missing: ")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_errors(mut self) -> ConfigErrors {
        self.0.sort_by_cached_key(|fault| place(&fault.path));
        ConfigErrors(self.0)
    }
}

/// The position of a path: its table, the table's number, the key in it. A path that is no key
/// comes last, except the flag that names the file: it explains the others.
fn place(path: &str) -> (usize, usize, usize) {
    if path == FILE_FLAG {
        return (0, 0, 0);
    }
    let (table, key) = path.split_once('.').unwrap_or(("", path));
    let (name, number) = table.split_once(" #").unwrap_or((table, ""));
    let position = |found: Option<usize>| found.unwrap_or(usize::MAX);
    let of_key = || fields(name).iter().rposition(|field| key.starts_with(field));
    match TABLES.iter().position(|known| *known == name) {
        Some(0) if !fields("").contains(&key) => {
            (position(TABLES.iter().position(|known| *known == key)), 0, 0)
        }
        Some(table) => (table, number.parse().unwrap_or_default(), position(of_key())),
        None => (usize::MAX, 0, 0),
    }
}
