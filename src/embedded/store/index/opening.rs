//! Opening the index: at a start, and again after a failure of the disk.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::backend::{Failed, IndexFile};
use super::broken::Broken;
use super::tables::Writing;
use crate::embedded::parts::Fsync;

/// The format of the tables and of the files beside them.
const FORMAT: &str = "1";
/// The database's memory, in bytes.
const CACHE_BYTES: usize = 32 << 20;
/// The name of the number of the last commit.
const COMMIT: &str = "commit";

/// An open index.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) database: Database,
    /// Whether it has to be opened again.
    pub(super) failed: Failed,
    /// The number of the last commit.
    pub(super) commit: u64,
}

/// Opens an index, as often as it is called.
pub(super) type Opener = Box<dyn Fn() -> Result<Opened, Broken> + Send>;

/// Opens the index in a file, which is made if it is missing.
pub(super) fn opener(path: PathBuf, fsync: Fsync) -> Opener {
    Box::new(move || {
        let mut opening = OpenOptions::new();
        let file = opening.read(true).write(true).create(true).truncate(false).open(&path)?;
        open(FileBackend::new(file.try_clone()?)?, file, fsync, CACHE_BYTES)
    })
}

/// Opens the index that `backend` keeps in `file`, and keeps so many bytes of it in memory.
pub(super) fn open(
    backend: impl StorageBackend,
    file: File,
    fsync: Fsync,
    cache_bytes: usize,
) -> Result<Opened, Broken> {
    let failed = Failed::default();
    let file = IndexFile::new(backend, file, fsync, failed.clone())?;
    let database = Database::builder().set_cache_size(cache_bytes).create_with_backend(file)?;
    let transaction = database.begin_write()?;
    let commit = {
        let mut tables = Writing::of(&transaction)?;
        match tables.meta("format")?.as_deref() {
            Some(FORMAT) => {}
            None => tables.set_meta("format", FORMAT)?,
            Some(other) => {
                let why = format!("its format is {other}, and this version reads {FORMAT}");
                return Err(Broken::because(why));
            }
        }
        last_commit(&tables)?
    };
    transaction.commit()?;
    Ok(Opened { database, failed, commit })
}

fn last_commit(tables: &Writing<'_>) -> Result<u64, Broken> {
    tables.meta(COMMIT)?.map_or(Ok(0), |number| number.parse().map_err(Broken::row))
}

/// Gives the commit of a transaction its number, by which it is known later whether it was done.
pub(super) fn number_commit(tables: &mut Writing<'_>, number: u64) -> Result<(), Broken> {
    tables.set_meta(COMMIT, &number.to_string())
}
