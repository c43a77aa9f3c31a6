//! The sources of settings: a file, the environment, and flags.

use std::fmt;
use std::path::PathBuf;

/// The sources of settings.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file; it may be absent.
    pub file: Option<PathBuf>,
    /// All environment variables, not only the program's: a `_env` key may name any. [`of_process`]
    /// returns them.
    pub environment: Vec<(String, String)>,
    /// The flags of the command line.
    pub flags: Flags,
    /// Whether nothing may be created, for example when a configuration is only checked.
    pub only_look: bool,
}

impl fmt::Debug for Sources {
    /// Without the variables, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The settings on the command line, as written there.
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

/// The variables of this process. Invalid UTF-8 becomes replacement characters.
pub fn of_process() -> Vec<(String, String)> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
}
