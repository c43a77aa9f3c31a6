//! The lock file of the in-memory register: locked by one process at a time. It also holds what a
//! process tells the next one.

use std::fs::{File, OpenOptions, TryLockError, symlink_metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use crate::register::identity::RegisterId;
use crate::register::{RegisterError, Terms};

/// The content of the file: what the next process must wait for if this one ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// What the store needs after a landing: the process ended in good order with no write on its way.
    Clean,
    /// A plain write may be on its way.
    Open,
    /// A complete or copy may be on its way.
    Long,
}

impl Marker {
    fn text(self) -> &'static str {
        match self {
            Self::Clean => "clean\n",
            Self::Open => "",
            Self::Long => "long\n",
        }
    }

    /// How long the next process grants nothing. The lock proves that no other holder of a lease
    /// lives, so only writes on their way to the store must end, and the store must show what was
    /// written.
    pub(super) fn quarantine(self, terms: &Terms) -> Duration {
        let landed_by = match self {
            Self::Clean => Duration::ZERO,
            Self::Open => terms.settle,
            Self::Long => terms.settle_long.max(terms.settle),
        };
        landed_by + terms.after_landing()
    }
}

/// The file, locked for the life of the value.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    inherited: Marker,
    /// `None` after a write to the file that failed: any part of it may be in the file.
    standing: Option<Marker>,
    /// The register's id, where it was ever asked for; on a line of its own.
    id: Option<RegisterId>,
    /// How long the disk takes to sync, besides.
    #[cfg(test)]
    pub(super) sync_takes: Duration,
}

impl LockFile {
    /// Opens and locks the file, and leaves its content unchanged.
    ///
    /// `Unsuitable` when another process holds the lock, or when the file is a symbolic link, whose
    /// target may be changed; `Unreachable` when it cannot be opened.
    pub(super) fn open(path: &Path) -> Result<Self, RegisterError> {
        let shown = path.display();
        let broken = |error| RegisterError::Unreachable(format!("lock file {shown}: {error}"));
        match symlink_metadata(path) {
            Ok(found) if found.is_symlink() => {
                return Err(RegisterError::Unsuitable(format!(
                    "the lock file {shown} is a symbolic link. Name the file itself"
                )));
            }
            // A pipe could be opened, but reading it to its end would block.
            Ok(found) if !found.is_file() => {
                return Err(RegisterError::Unsuitable(format!(
                    "the lock file {shown} is not a file. Name one, or a place for one, with \
                     register.lock_file"
                )));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(broken(error)),
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RegisterError::Unsuitable(format!(
                    "another ifmatch process holds {shown}. The in-memory register serves one \
                     process; for several, set register.url to a Redis"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(broken(error)),
        }
        let (inherited, id) = read(&mut file).map_err(broken)?;
        Ok(Self {
            file,
            inherited,
            standing: Some(inherited),
            id,
            #[cfg(test)]
            sync_takes: Duration::ZERO,
        })
    }

    /// The marker that the process before this one left.
    pub(super) fn inherited(&self) -> Marker {
        self.inherited
    }

    /// The register's id, if it has one.
    pub(super) fn id(&self) -> Option<&RegisterId> {
        self.id.as_ref()
    }

    /// Stores this id in the file.
    pub(super) fn take_id(&mut self, id: RegisterId) -> Result<(), RegisterError> {
        self.id = Some(id);
        let standing = self.standing.take().unwrap_or(self.inherited);
        self.leave(standing).map(|_| ()).inspect_err(|_| self.id = None)
    }

    /// Writes what the next process must wait for, and syncs it to the disk to survive a power cut.
    /// Whether that took any time: it was not in the file already.
    pub(super) fn leave(&mut self, marker: Marker) -> Result<bool, RegisterError> {
        if self.standing == Some(marker) {
            return Ok(false);
        }
        // Not synced here: if the write is lost, the next process only waits longer than needed.
        let relief = self.standing == Some(Marker::Long) && marker == Marker::Open;
        self.standing = None;
        self.write(marker, !relief)
            .map_err(|error| RegisterError::Unreachable(format!("lock file: {error}")))?;
        self.standing = Some(marker);
        Ok(true)
    }

    fn write(&mut self, marker: Marker, synced: bool) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        let id = self.id.as_ref().map(|id| format!("{ID}{id}\n")).unwrap_or_default();
        self.file.write_all([marker.text(), &id].concat().as_bytes())?;
        #[cfg(test)]
        #[allow(clippy::disallowed_methods, reason = "a disk that is slow blocks the thread, too")]
        std::thread::sleep(self.sync_takes);
        if synced { self.file.sync_all() } else { Ok(()) }
    }
}

/// How many bytes of the file are read: the path may name any file.
const MARKER_BYTES_MAX: u64 = 64;

/// The beginning of the line with the id.
const ID: &str = "id ";

fn read(file: &mut File) -> io::Result<(Marker, Option<RegisterId>)> {
    let mut text = Vec::new();
    file.take(MARKER_BYTES_MAX).read_to_end(&mut text)?;
    let lines = String::from_utf8_lossy(&text);
    let id =
        lines.lines().find_map(|line| Some((line, RegisterId::parse(line.strip_prefix(ID)?)?)));
    let Some((line, id)) = id else { return Ok((marker(&text), None)) };
    Ok((marker(lines.replace(&format!("{line}\n"), "").as_bytes()), Some(id)))
}

fn marker(text: &[u8]) -> Marker {
    let long = Marker::Long.text().trim_end().as_bytes();
    if text == Marker::Clean.text().as_bytes() {
        Marker::Clean
    } else if text.windows(long.len()).any(|window| window == long) {
        Marker::Long
    } else {
        Marker::Open
    }
}
