//! Secrets: read from where they are kept, never from the file of settings itself.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::describe::Line;
use super::files;
use super::layers::{Source, Written, secret_paths};
use super::reading::Reading;
use super::values::{Raw, Setting as _, quoted};
use crate::secret::Secret;

/// The secret of this path, however it was given; `None` when it was not given, or after noting
/// why it cannot be had.
pub(super) fn read(reading: &mut Reading, stem: &str) -> Option<Secret> {
    let [inline, in_file, in_variable] = secret_paths(stem);
    let given: Vec<&str> = [&inline, &in_file, &in_variable]
        .into_iter()
        .filter(|path| reading.is_written(path))
        .map(String::as_str)
        .collect();
    if let [first, second, ..] = given[..] {
        reading.faults.push(first, format!("is given a second time by {second}; keep one"));
        return None;
    }
    if let Some(Written { raw: Raw::Plain(text), source }) = reading.written.get(&inline).cloned() {
        reading.lines.push(Line { comment: true, ..Line::of(&inline, quoted("***"), &source) });
        return Some(Secret::new(text));
    }
    if let Some(path) = reading.optional::<PathBuf>(&in_file) {
        return of_file(reading, &in_file, &path);
    }
    let name = reading.optional::<String>(&in_variable)?;
    let found = reading.variables.iter().find(|(known, value)| *known == name && !value.is_empty());
    if found.is_none() {
        let message = format!("the environment variable {name} is not set");
        reading.faults.push(in_variable, message);
    }
    found.map(|(_, value)| Secret::new(value))
}

/// A session token, if there is one: a secret that travels in a header (AWS: temporary security
/// credentials), so it has to be one's value.
pub(super) fn token(reading: &mut Reading, stem: &str) -> Option<Secret> {
    let token = read(reading, stem)?;
    if !token.expose().chars().all(|c| c.is_ascii_graphic()) {
        reading.faults.push(stem, "may hold visible ASCII characters only: it goes into a header");
    }
    Some(token)
}

/// Notes that a secret is missing, unless there is a fault about it already.
pub(super) fn refuse_missing(reading: &mut Reading, stem: &str, variable: &str) {
    let table = stem.split('.').next().unwrap_or_default();
    let given = secret_paths(stem).iter().any(|path| reading.is_written(path));
    if !given && !reading.faults.any_at(&[stem, table]) {
        let message = format!(
            "is missing: name the file that holds the secret, or a variable in {stem}_env, or set \
             {variable}"
        );
        reading.faults.push(format!("{stem}_file"), message);
    }
}

/// Reads a secret from a file; what others may read is warned about.
pub(super) fn of_file(reading: &mut Reading, at: &str, path: &Path) -> Option<Secret> {
    match read_file(path) {
        Ok((secret, mode)) => {
            if mode & 0o077 != 0 {
                let path = path.display();
                let mode = mode & 0o777;
                reading.warnings.push(format!(
                    "{at}: {path} can be read by other users (mode {mode:o}); chmod 600 it"
                ));
            }
            Some(secret)
        }
        Err(why) => {
            reading.faults.push(at, format!("{} {why}", PathBuf::from(path).show()));
            None
        }
    }
}

fn read_file(path: &Path) -> Result<(Secret, u32), String> {
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

/// Far above any secret (AWS's session tokens reach some 4 KiB), far below a file named by mistake.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// A value that a layer holds in place of a written one.
pub(super) fn fixed(text: impl Into<String>) -> Written {
    Written { raw: Raw::Plain(text.into()), source: Source::Embedded }
}
