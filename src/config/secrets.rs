//! Secrets, read from the file or the variable that contains them; the configuration file only
//! names the place.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::base;
use super::keys::secret_paths;
use super::reading::Reading;
use crate::files;
use crate::secret::Secret;

impl Reading {
    /// The secret of this path, in whichever way it is given; `None` where it is not given, or
    /// after noting why it cannot be read. The keys that name its place must be texts:
    /// [`Self::section`] does not read them.
    pub(super) fn secret(&mut self, stem: &str) -> Option<Secret> {
        let paths = secret_paths(stem);
        let mut given = paths.iter().filter(|path| self.is_written(path));
        let path = given.next()?.clone();
        if let Some(second) = given.next() {
            self.faults.push(path, format!("is given a second time by {second}; keep one"));
            return None;
        }
        let value = &self.overlay.written.get(&path)?.value;
        let Some(text) = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned) else {
            let message = match value.as_str() {
                Some(_) => "may not be empty".to_owned(),
                None => format!("{value} is not a text in quotes"),
            };
            self.faults.push(path, message);
            return None;
        };
        if path == stem {
            return Some(Secret::new(text));
        }
        if path.ends_with("_file") {
            return self.secret_of_file(&path, Path::new(&text));
        }
        let found = self.variables.iter().find(|(name, value)| *name == text && !value.is_empty());
        if found.is_none() {
            self.faults.push(path, format!("the environment variable {text} is not set"));
        }
        found.map(|(_, value)| Secret::new(value))
    }

    /// A required secret; empty after noting that it is missing, or why it cannot be read.
    pub(super) fn required_secret(&mut self, stem: &str, variable: &str) -> Secret {
        let table = stem.split('.').next().unwrap_or_default();
        let given = secret_paths(stem).iter().any(|path| self.is_written(path));
        if !given && !self.is_faulty(&[stem, table]) {
            let message = format!(
                "is missing: name the file that holds the secret, or a variable in {stem}_env, or set \
                 {variable}"
            );
            self.faults.push(format!("{stem}_file"), message);
        }
        self.secret(stem).unwrap_or_default()
    }

    /// A session token, if there is one. It is sent in a header (AWS: temporary security
    /// credentials), so it must be a valid header value.
    pub(super) fn session_token(&mut self, stem: &str) -> Option<Secret> {
        let token = self.secret(stem)?;
        if !token.expose().chars().all(|c| c.is_ascii_graphic()) {
            let message = "may hold visible ASCII characters only: it goes into a header";
            self.faults.push(stem, message);
        }
        Some(token)
    }

    /// Reads a secret from a file; a file that other users may read causes a warning.
    pub(super) fn secret_of_file(&mut self, at: &str, path: &Path) -> Option<Secret> {
        let shown = path.display();
        match read_file(path) {
            Ok((secret, mode)) => {
                if mode & 0o077 != 0 {
                    let mode = mode & 0o777;
                    self.warnings.push(format!(
                        "{at}: {shown} can be read by other users (mode {mode:o}); chmod 600 it"
                    ));
                }
                Some(secret)
            }
            Err(why) => {
                self.faults.push(at, format!("\"{shown}\" {why}"));
                None
            }
        }
    }
}

fn read_file(path: &Path) -> Result<(Secret, u32), String> {
    base::check(path)?;
    let content = files::read(path, SECRET_BYTES_MAX)?;
    let text = String::from_utf8(content.bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("is empty".to_owned()),
        secret if secret.contains(char::is_control) => {
            Err("holds more than one line of text, so it is another file than meant".to_owned())
        }
        secret => Ok((Secret::new(secret), content.metadata.mode())),
    }
}

/// Larger than any secret (AWS's session tokens have about 4 KiB), and smaller than most files
/// named by mistake.
const SECRET_BYTES_MAX: u64 = 16 * 1024;
