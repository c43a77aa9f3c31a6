//! Reads sections from the merged layers: each key is tried against its section's type separately,
//! so that all faults of a section are found, and not only the first.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::faults::Faults;
use super::keys::path;
use super::overlay::{Overlay, Source, Written};
use super::values::{Read, Wrong, keys_of};

/// The given values, and the findings about them so far.
pub(super) struct Reading {
    pub(super) overlay: Overlay,
    /// All variables: a `_env` key may name any.
    pub(super) variables: Vec<(String, String)>,
    pub(super) faults: Faults,
    pub(super) warnings: Vec<String>,
    /// Defaults that follow from other values: the path, and the rule.
    pub(super) derived: BTreeMap<String, &'static str>,
}

impl Reading {
    pub(super) fn new(overlay: Overlay, variables: Vec<(String, String)>, faults: Faults) -> Self {
        Self { overlay, variables, faults, warnings: Vec::new(), derived: BTreeMap::new() }
    }

    /// The section of this name. Keys that are faulty or missing have their defaults.
    pub(super) fn section<T: DeserializeOwned + Default>(&mut self, table: &str) -> T {
        let mut section = Table::new();
        for key in keys_of::<T>() {
            let path = path(table, key);
            let Some(Written { value, source }) = self.overlay.written.get(&path) else { continue };
            match tried::<T>(key, value, source) {
                Ok(value) => {
                    section.insert((*key).to_owned(), value);
                }
                Err(message) => self.faults.push(path, message),
            }
        }
        // Each of its keys was read before.
        T::deserialize(Read(Value::Table(section))).unwrap_or_default()
    }

    /// Sets a default that follows from other values.
    pub(super) fn derive<T>(&mut self, path: &str, field: &mut T, value: T, how: &'static str) {
        if !self.is_written(path) {
            *field = value;
            self.derived.insert(path.to_owned(), how);
        }
    }

    /// Notes that a key is missing.
    pub(super) fn require(&mut self, path: &str, reason: &str) {
        if !self.is_written(path) && !self.is_faulty(&[path.split('.').next().unwrap_or_default()])
        {
            self.faults.push(path, format!("is missing: {reason}"));
        }
    }

    /// Whether this key is set, validly or not.
    pub(super) fn is_written(&self, path: &str) -> bool {
        self.overlay.written.contains_key(path)
    }

    /// Whether one of these paths has a fault already.
    pub(super) fn is_faulty(&self, paths: &[&str]) -> bool {
        self.faults.any_at(paths)
    }

    /// Notes a fault, unless one of its paths has a fault already.
    pub(super) fn fault(&mut self, paths: &[&str], message: impl Into<String>) {
        if let [at, ..] = paths
            && !self.faults.any_at(paths)
        {
            self.faults.push(*at, message);
        }
    }
}

/// Tries one key against the type of its section; returns the value as TOML that the type accepts.
/// A variable or a flag is a text that may stand for a number, a boolean or a list with commas.
fn tried<T: DeserializeOwned>(key: &str, value: &Value, source: &Source) -> Result<Value, String> {
    let read = |value: &Value| {
        let table = Table::from_iter([(key.to_owned(), value.clone())]);
        T::deserialize(Read(Value::Table(table)))?;
        if value.as_str() == Some("") {
            return Err(Wrong::Said("may not be empty".to_owned()));
        }
        Ok(value.clone())
    };
    let wrong = match (read(value), value, source) {
        (Ok(value), ..) => return Ok(value),
        (Err(wrong), Value::String(text), Source::Flag(_) | Source::Environment(_)) => {
            let other = other_than_text(text);
            match read(&other) {
                Ok(value) => return Ok(value),
                Err(said @ Wrong::Said(_)) => said,
                // Then it was meant as a text.
                Err(Wrong::Not(_) | Wrong::Unknown(_)) => wrong,
            }
        }
        (Err(wrong), ..) => return Err(wrong.about(value)),
    };
    Err(format!("{} (from {source})", wrong.about(value)))
}

/// The other values that a text may stand for.
fn other_than_text(text: &str) -> Value {
    if let Ok(number) = text.parse() {
        return Value::Integer(number);
    }
    if let Ok(truth) = text.parse() {
        return Value::Boolean(truth);
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::Array(items.map(Value::from).collect())
}
