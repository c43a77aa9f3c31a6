//! What settings are read from: a file, the environment, and flags.

use std::fmt;
use std::path::PathBuf;

/// Where settings come from.
#[derive(Default)]
pub struct Sources {
    /// The TOML file; none is no fault.
    pub file: Option<PathBuf>,
    /// All variables, not only ours: a `_env` key may name any. [`of_process`] gives them.
    pub environment: Vec<(String, String)>,
    /// What the command line says.
    pub flags: Flags,
    /// Whether nothing may be created, as when a configuration is only checked.
    pub only_look: bool,
}

impl fmt::Debug for Sources {
    /// Without the variables, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The settings that the command line has, as written there.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--backend-url`.
    pub backend_url: Option<String>,
    /// `--register-url`; one with a password is refused, as other users see command lines.
    pub register_url: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--embedded`: the directory of a store in this process.
    pub embedded: Option<PathBuf>,
}

/// The variables of this process. What is not UTF-8 comes with replacement characters.
pub fn of_process() -> Vec<(String, String)> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
}
