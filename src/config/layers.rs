//! Where values come from, and which of them wins: flag, then environment, then file.

use std::collections::BTreeMap;
use std::fmt;

use super::keys;
use super::values::Raw;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// This flag.
    Flag(&'static str),
    /// This variable.
    Environment(String),
    /// The file.
    File,
    /// Nobody wrote it.
    Default,
    /// Nobody wrote it; it follows from other values in this way.
    Derived(&'static str),
    /// `--embedded` decides it.
    Embedded,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File => f.write_str("file"),
            Self::Default => f.write_str("default"),
            Self::Derived(how) => write!(f, "default: {how}"),
            Self::Embedded => f.write_str("--embedded"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) raw: Raw,
    pub(super) source: Source,
}

/// One source's values by path.
pub(super) type Layer = BTreeMap<String, Written>;

/// Puts a stronger layer over what is there. A secret given in one way displaces the same secret
/// given in another way: a variable with the password wins over the file's `password_file`.
pub(super) fn overlay(below: &mut Layer, above: Layer) {
    for path in above.keys() {
        if keys::find(path).is_some_and(|key| key.fallback == keys::Fallback::Secret) {
            for other in secret_paths(secret_stem(path)) {
                below.remove(&other);
            }
        }
    }
    below.extend(above);
}

/// The three ways to give one secret: itself, a file, the name of a variable.
pub(super) fn secret_paths(stem: &str) -> [String; 3] {
    [stem.to_owned(), format!("{stem}_file"), format!("{stem}_env")]
}

fn secret_stem(path: &str) -> &str {
    path.strip_suffix("_file").or_else(|| path.strip_suffix("_env")).unwrap_or(path)
}
