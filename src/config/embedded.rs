//! What `--embedded DIR` decides: the store is in this process and dies with it, so nothing is
//! left to settle, and nobody else writes there.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::describe::Line;
use super::keys;
use super::layers::Source;
use super::reading::Reading;
use super::secrets::{self, fixed};
use super::settings::{BucketPattern, Client, Rights};
use super::values::quoted;
use crate::random;
use crate::secret::Secret;

/// The DIR of `--embedded DIR`.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) dir: PathBuf,
    /// Whether nothing may be created in it.
    pub(super) only_look: bool,
}

/// Puts in place what `--embedded` decides and refuses what is written against it.
pub(super) fn decide(reading: &mut Reading, Directory { dir, only_look }: &Directory) {
    if *only_look && let Err(error) = can_hold_files(dir) {
        let message = format!("the directory {} cannot hold the store: {error}", dir.display());
        reading.faults.push("--embedded", message);
    }
    let refused: Vec<String> = reading
        .written
        .keys()
        .filter(|path| {
            DECIDED.iter().any(|(decided, _)| decided == path)
                || MEANINGLESS.contains(&path.as_str())
        })
        .cloned()
        .collect();
    for path in refused {
        reading
            .faults
            .push(path, "contradicts --embedded, which decides it; leave one of them out");
    }
    for (path, value) in DECIDED {
        reading.written.insert(path.to_owned(), fixed(value));
    }
    for path in MEANINGLESS {
        reading.written.remove(path);
    }
    reading.written.insert("backend.secret_access_key".to_owned(), fixed(random_secret()));
    for (path, value) in [
        ("writers", "exclusive".to_owned()),
        ("register.lock_file", dir.join(".ifmatch.lock").display().to_string()),
    ] {
        reading.written.entry(path.to_owned()).or_insert_with(|| fixed(value));
    }
}

/// The client for whom nobody had to write anything: `ifmatch`, with a secret that is made at the
/// first start and kept in the directory. `None` only after noting the fault.
pub(super) fn client(reading: &mut Reading, directory: &Directory) -> Option<Client> {
    let path = directory.dir.join(".ifmatch-secret");
    let created = if directory.only_look { Ok(()) } else { create_secret(&directory.dir, &path) };
    if let Err(error) = created {
        reading.faults.push("--embedded", format!("cannot create {}: {error}", path.display()));
        return None;
    }
    let (secret_access_key, note) = if directory.only_look && path.symlink_metadata().is_err() {
        (Secret::new(random_secret()), TO_BE_MADE.to_owned())
    } else {
        let secret = secrets::of_file(reading, "--embedded", &path)?;
        (secret, Source::Embedded.to_string())
    };
    for (name, value) in [
        ("access_key_id", quoted("ifmatch")),
        ("secret_access_key_file", quoted(&path.display().to_string())),
        ("buckets", "[\"*\"]".to_owned()),
    ] {
        let line = Line::of(&keys::client_path(1, name), value, &Source::Embedded);
        let note = if name == "secret_access_key_file" { note.clone() } else { line.note };
        reading.lines.push(Line { comment: false, note, ..line });
    }
    Some(Client {
        access_key_id: "ifmatch".to_owned(),
        secret_access_key,
        session_token: None,
        rights: Rights {
            buckets: vec![BucketPattern::Prefix(String::new())],
            read_only: false,
            configure: false,
        },
    })
}

/// Whether files can be made in this directory, or in one that can itself be made.
fn can_hold_files(dir: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let above = dir.ancestors().find(|above| above.symlink_metadata().is_ok()).unwrap_or(here);
    if !above.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(above, Access::WRITE_OK | Access::EXEC_OK)?)
}

fn create_secret(dir: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(random_secret().as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// 40 hex digits, more than 150 of their bits random.
fn random_secret() -> String {
    let mut text = format!("{}{}", random::id(), random::id());
    text.truncate(40);
    text
}

/// What the line of a secret says that is not there yet.
const TO_BE_MADE: &str = "--embedded; made at the first start";

/// What it decides, and how.
const DECIDED: [(&str, &str); 6] = [
    ("backend.access_key_id", "embedded"),
    ("backend.empty_segments", "refuse"),
    ("backend.dot_segments", "refuse"),
    ("register.url", "memory:"),
    ("register.settle", "0s"),
    ("register.settle_long", "0s"),
];

/// What has no meaning beside it.
const MEANINGLESS: [&str; 8] = [
    "backend.url",
    "backend.ca_file",
    "backend.secret_access_key",
    "backend.secret_access_key_file",
    "backend.secret_access_key_env",
    "backend.session_token",
    "backend.session_token_file",
    "backend.session_token_env",
];
