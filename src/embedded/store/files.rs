//! The files with the bytes of objects. Each has a name of its own that is used once, and is
//! written before a row of the index names it and removed after no row does. So a file never
//! changes: a reader that has opened it reads one whole content.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::embedded::parts::Fsync;
use crate::random;

/// The files are spread over so many directories, which keeps each short.
const DIRECTORIES: u64 = 256;

/// The directory of all files.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    fsync: Fsync,
    /// The names that this process gives begin with it, and no other process's do.
    process: String,
    next: AtomicU64,
    readers: Arc<Mutex<Readers>>,
    remover: mpsc::Sender<(Instant, Vec<String>)>,
}

/// Files that are read piece by piece, and are not to go meanwhile.
#[derive(Debug, Default)]
struct Readers {
    of: HashMap<String, usize>,
    /// Those of them that are to be removed when the last reader has ended.
    condemned: HashSet<String>,
}

impl Readers {
    /// Those of these files that can be removed; the others are when their last reader has ended.
    fn unread(&mut self, mut names: Vec<String>) -> Vec<String> {
        names.retain(|name| {
            let is_read = self.of.contains_key(name);
            if is_read {
                self.condemned.insert(name.clone());
            }
            !is_read
        });
        names
    }
}

impl Files {
    /// Files are removed so long after nothing names them any more.
    pub(super) fn open(dir: &Path, fsync: Fsync, linger: Duration) -> io::Result<Arc<Self>> {
        for number in 0..DIRECTORIES {
            DirBuilder::new().recursive(true).mode(0o700).create(dir.join(sub(number)))?;
        }
        if fsync == Fsync::Always {
            File::open(dir)?.sync_all()?;
        }
        let readers = Arc::new(Mutex::new(Readers::default()));
        let (remover, removed) = mpsc::channel::<(Instant, Vec<String>)>();
        let (from, read) = (dir.to_owned(), Arc::clone(&readers));
        thread::Builder::new().name("store-files".to_owned()).spawn(move || {
            for (since, names) in removed {
                #[allow(clippy::disallowed_methods, reason = "a thread of its own")]
                thread::sleep((since + linger).saturating_duration_since(Instant::now()));
                // The lock is not held while files are removed: readers wait for it.
                let unread = read.lock().unwrap_or_else(PoisonError::into_inner).unread(names);
                for name in unread {
                    remove(&from, &name);
                }
            }
        })?;
        let process = random::id()[..16].to_owned();
        let (dir, next) = (dir.to_owned(), AtomicU64::new(0));
        Ok(Arc::new(Self { dir, fsync, process, next, readers, remover }))
    }

    /// Makes a file that vanishes again unless it is kept. Blocks.
    pub(super) fn create(self: &Arc<Self>) -> io::Result<(File, NewFile)> {
        let name = self.new_name();
        let file = File::create_new(self.path(&name))?;
        Ok((file, NewFile { files: Arc::clone(self), name: Some(name) }))
    }

    /// Gives a file's content a second name, without copying it where the file system can do that.
    /// Blocks.
    pub(super) fn copy(self: &Arc<Self>, name: &str) -> io::Result<NewFile> {
        let copy = self.new_name();
        let (from, to) = (self.path(name), self.path(&copy));
        let is_linked = match fs::hard_link(&from, &to) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Err(gone),
            linked => linked.is_ok(),
        };
        let copy = NewFile { files: Arc::clone(self), name: Some(copy) };
        if is_linked {
            self.sync_directory(&copy)?;
        } else {
            fs::copy(&from, &to)?;
            self.sync(&File::open(&to)?, &copy)?;
        }
        Ok(copy)
    }

    /// Waits until a file is on the disk, if that is wanted. Blocks.
    pub(super) fn sync(&self, file: &File, named: &NewFile) -> io::Result<()> {
        if self.fsync == Fsync::Always {
            file.sync_data()?;
        }
        self.sync_directory(named)
    }

    fn sync_directory(&self, named: &NewFile) -> io::Result<()> {
        match self.path(named.name()).parent() {
            Some(directory) if self.fsync == Fsync::Always => File::open(directory)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Opens a file. `NotFound` means that it was replaced since the caller read its name. Blocks.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        File::open(self.path(name))
    }

    /// Keeps files for as long as the value lives, also if they are removed meanwhile. They are
    /// certainly there only if a row still names them afterwards.
    pub(super) fn pin(self: &Arc<Self>, names: Vec<String>) -> Pinned {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &names {
            *readers.of.entry(name.clone()).or_default() += 1;
        }
        drop(readers);
        Pinned { files: Arc::clone(self), names }
    }

    /// Removes files that no row names any more, when no reader needs them.
    pub(super) fn remove(&self, names: Vec<String>) {
        if !names.is_empty() && self.remover.send((Instant::now(), names)).is_err() {
            tracing::error!("the embedded store cannot remove files: its thread has failed");
        }
    }

    /// Removes the files of earlier processes that no row names; returns how many there were. They are
    /// what a process leaves that is killed. `each_named` calls its argument with the name of each file
    /// that a row names; it is called once for about `at_once` files. Blocks for long.
    pub(super) fn sweep<E: From<io::Error>>(
        &self,
        at_once: usize,
        each_named: impl Fn(&mut dyn FnMut(&str)) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (mut removed, mut unnamed) = (0, HashSet::new());
        for number in 0..DIRECTORIES {
            for entry in fs::read_dir(self.dir.join(sub(number)))? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if !name.starts_with(&self.process) {
                    unnamed.insert(name);
                }
            }
            if unnamed.len() < at_once && number + 1 < DIRECTORIES {
                continue;
            }
            each_named(&mut |name| {
                unnamed.remove(name);
            })?;
            for name in unnamed.drain() {
                match fs::remove_file(self.path(&name)) {
                    Ok(()) => removed += 1,
                    // No file of this store: its name does not belong into its directory.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(removed)
    }

    fn new_name(&self) -> String {
        format!("{}{:012x}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn path(&self, name: &str) -> PathBuf {
        path(&self.dir, name)
    }
}

fn sub(number: u64) -> String {
    format!("{number:02x}")
}

/// A file's path: its directory is the last two digits of its name.
fn path(dir: &Path, name: &str) -> PathBuf {
    let sub = name.get(name.len().saturating_sub(2)..).unwrap_or(name);
    dir.join(sub).join(name)
}

fn remove(dir: &Path, name: &str) {
    if let Err(error) = fs::remove_file(path(dir, name)) {
        tracing::warn!(%error, name, "the embedded store cannot remove a file");
    }
}

/// A file that no row names yet. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct NewFile {
    files: Arc<Files>,
    /// `None` once it is kept.
    name: Option<String>,
}

impl NewFile {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// A row names it from now on.
    pub(super) fn keep(mut self) {
        self.name = None;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.files.remove(vec![name]);
        }
    }
}

/// Files that stay for as long as this does.
#[derive(Debug)]
pub(super) struct Pinned {
    files: Arc<Files>,
    names: Vec<String>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut readers = self.files.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unread = Vec::new();
        for name in self.names.drain(..) {
            match readers.of.get_mut(&name) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    readers.of.remove(&name);
                    if readers.condemned.remove(&name) {
                        unread.push(name);
                    }
                }
            }
        }
        drop(readers);
        self.files.remove(unread);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_sweep_removes_what_no_row_names_and_remembers_few_names_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let of_earlier = |number: u64| format!("earlier{number:021x}");
        let files = || Files::open(dir.path(), Fsync::Never, Duration::ZERO).unwrap();
        let swept = files();
        for number in 0..1000 {
            File::create(swept.path(&of_earlier(number))).unwrap();
        }
        let (_own, named_later) = swept.create().unwrap();
        let scans = Cell::new(0);
        let removed = swept.sweep(100, |keep| {
            scans.set(scans.get() + 1);
            (0..1000).filter(|number| number % 3 == 0).for_each(|number| keep(&of_earlier(number)));
            Ok::<_, io::Error>(())
        });
        assert_eq!(removed.unwrap(), 666);
        assert!((9..=11).contains(&scans.get()), "{}", scans.get());
        assert!(swept.read(named_later.name()).is_ok(), "it is of this process");
        for number in 0..1000 {
            assert_eq!(swept.read(&of_earlier(number)).is_ok(), number % 3 == 0, "{number}");
        }
    }
}
