//! What is wrong with a configuration: every fault at once, each with its path.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: a key such as `register.lease`, a variable such as `IFMATCH_LISTEN`, or a file.
    pub path: String,
    /// What is wrong there and what to do about it. Never holds a secret.
    pub message: String,
}

/// All that is wrong, in the order in which it was found. Prints one line for each fault.
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

    /// Whether one of these paths is at fault already: a rule over it would only add noise.
    pub(super) fn any_at(&self, paths: &[&str]) -> bool {
        self.0.iter().any(|fault| paths.contains(&fault.path.as_str()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_errors(self) -> ConfigErrors {
        ConfigErrors(self.0)
    }
}
