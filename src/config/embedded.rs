//! The settings that `--embedded DIR` decides: the store is in this process and ends with it, so no
//! write can land later, and there is no other writer.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::access::Client;
use super::keys::secret_paths;
use super::overlay::{Source, Written};
use super::reading::Reading;
use crate::random;
use crate::secret::Secret;

/// The DIR of `--embedded DIR`.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) dir: PathBuf,
    /// Whether nothing may be created in it.
    pub(super) only_look: bool,
}

/// Sets what `--embedded` decides, and refuses settings that contradict it.
pub(super) fn decide(reading: &mut Reading, Directory { dir, only_look }: &Directory) {
    if *only_look && let Err(error) = can_hold_files(dir) {
        let message = format!("the directory {} cannot hold the store: {error}", dir.display());
        reading.faults.push("--embedded", message);
    }
    let mut meaningless = ["url", "urls", "ca_file", "client_cert_file", "client_key_file"]
        .map(|key| format!("backend.{key}"))
        .to_vec();
    meaningless.extend(secret_paths("backend.secret_access_key"));
    meaningless.extend(secret_paths("backend.session_token"));
    let decided = DECIDED.iter().map(|(path, _)| *path);
    for path in decided.chain(meaningless.iter().map(String::as_str)) {
        if reading.overlay.written.remove(path).is_some() {
            let message = "contradicts --embedded, which decides it; leave one of them out";
            reading.faults.push(path, message);
        }
    }
    let lock_file = dir.join(".ifmatch.lock").display().to_string();
    let secret = random_secret();
    let unless_written = [("writers", "exclusive"), ("register.lock_file", lock_file.as_str())];
    let secret = ("backend.secret_access_key", secret.as_str());
    for (path, value) in DECIDED.into_iter().chain(unless_written).chain([secret]) {
        let fixed = Written::text(value, Source::Embedded);
        reading.overlay.written.entry(path.to_owned()).or_insert(fixed);
    }
}

/// The default client: `ifmatch`, with a secret that is created at the first start and stored in
/// the directory. `None` only after noting the fault.
pub(super) fn client(reading: &mut Reading, directory: &Directory) -> Option<Client> {
    let path = directory.dir.join(".ifmatch-secret");
    let created = if directory.only_look { Ok(()) } else { create_secret(&directory.dir, &path) };
    if let Err(error) = created {
        reading.faults.push("--embedded", format!("cannot create {}: {error}", path.display()));
        return None;
    }
    let is_to_be_made = directory.only_look && path.symlink_metadata().is_err();
    let secret_access_key = if is_to_be_made {
        Secret::new(random_secret())
    } else {
        reading.secret_of_file("--embedded", &path)?
    };
    let origin = if is_to_be_made { "--embedded; made at the first start" } else { "--embedded" };
    for (key, value, origin) in [
        ("access_key_id", "ifmatch".to_owned(), "--embedded"),
        ("secret_access_key_file", path.display().to_string(), origin),
    ] {
        let written = Written::text(value, Source::Made(origin));
        reading.overlay.written.insert(format!("client #1.{key}"), written);
    }
    Some(Client { access_key_id: "ifmatch".to_owned(), secret_access_key, ..Client::default() })
}

/// Whether files can be created in this directory, or the directory itself can be created.
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

/// The decided settings, with a note for each.
const DECIDED: [(&str, &str); 6] = [
    ("backend.access_key_id", "embedded"),
    ("backend.empty_segments", "keep"),
    ("backend.dot_segments", "keep"),
    ("register.url", "memory:"),
    ("register.settle", "0s"),
    ("register.settle_long", "0s"),
];
