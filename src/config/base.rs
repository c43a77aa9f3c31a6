//! Where the paths of a configuration file start: its own directory, or the credentials that systemd
//! loads for a unit.

use std::path::{Path, PathBuf};

/// How a path begins that names a credential of the unit (`LoadCredential=`, systemd.exec(5)).
const CREDENTIAL: &str = "$CREDENTIALS_DIRECTORY/";

/// The places where paths start.
pub(super) struct Base<'a> {
    /// The directory of the file.
    pub(super) directory: &'a Path,
    /// All environment variables.
    pub(super) environment: &'a [(String, String)],
}

impl Base<'_> {
    /// The path that the file means by this text. A credential stays as it is written where systemd
    /// has given none: [`check`] says so.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        let Some(credential) = text.strip_prefix(CREDENTIAL) else {
            return self.directory.join(text);
        };
        let variable = CREDENTIAL.trim_matches(['$', '/']);
        let mut given =
            self.environment.iter().filter(|(name, value)| name == variable && !value.is_empty());
        given
            .next()
            .map_or_else(|| text.into(), |(_, directory)| Path::new(directory).join(credential))
    }
}

/// Refuses the path of a credential that systemd has not given, with a sentence to put after it.
pub(super) fn check(path: &Path) -> Result<(), String> {
    if path.starts_with(CREDENTIAL) {
        let message = "is a credential of a systemd unit, and CREDENTIALS_DIRECTORY is not set: this \
                       process was not started by a unit with LoadCredential=";
        return Err(message.to_owned());
    }
    Ok(())
}
