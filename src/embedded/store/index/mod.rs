//! The index: which objects there are, what is known of each, and in which files their bytes are.
//! It is one ordered database (`redb`). A thread of its own writes: it takes all requests that wait
//! into one transaction, so that they share the wait for the disk, and answers them after the
//! commit. Readers see the index as it was at one moment.

mod backend;
mod broken;
mod past;
mod tables;

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use redb::{Database, ReadableDatabase};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::files::{Files, NewFile};
use crate::embedded::parts::Options;
use backend::IndexFile;
pub(super) use broken::Broken;
use past::Past;
pub(super) use tables::{Placed, Read, Snapshot, Writing, behind_all_with, just_behind};

/// The format of the tables and of the files beside them.
const FORMAT: &str = "1";
/// The database's memory, in bytes.
const CACHE_BYTES: usize = 32 << 20;
/// How many requests one transaction serves.
const BATCH_MAX: usize = 256;

/// Why a request that was to write has not written.
#[derive(Debug)]
pub(super) enum Unwritten<E> {
    /// It is refused, and no row was changed.
    Refused(E),
    /// The index fails; nothing of its transaction is kept.
    Broken(Broken),
}

impl<E> From<Broken> for Unwritten<E> {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// What a request writes; it must change no row before it has decided not to refuse.
type Job = Box<dyn FnOnce(&mut Writing<'_>) -> Result<Answer, Broken> + Send>;
/// Gives a request its answer, after the commit.
type Answer = Box<dyn FnOnce() + Send>;

/// The index of a store.
#[derive(Debug)]
pub(super) struct Index {
    database: Arc<Database>,
    /// Where readers are shown what stood there earlier.
    past: Option<Arc<Past>>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Index {
    /// Opens the index, or makes a new one.
    pub(super) fn open(path: &Path, options: Options, files: Arc<Files>) -> Result<Self, Broken> {
        let mut opening = OpenOptions::new();
        let file = opening.read(true).write(true).create(true).truncate(false).open(path)?;
        let file = IndexFile::new(file, options.fsync)?;
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(file)?;
        let transaction = database.begin_write()?;
        {
            let mut tables = Writing::of(&transaction)?;
            match tables.meta("format")?.as_deref() {
                Some(FORMAT) => {}
                None => tables.set_meta("format", FORMAT)?,
                Some(other) => {
                    let why = format!("its format is {other}, and this version reads {FORMAT}");
                    return Err(Broken::because(why));
                }
            }
        }
        transaction.commit()?;
        let database = Arc::new(database);
        let lag = options.misbehaviour.lag;
        let past = (!lag.is_zero()).then(|| Arc::new(Past::new(lag)));
        if let Some(past) = &past {
            past.add(snapshot(&database)?);
        }
        let (jobs, waiting) = mpsc::channel();
        let writer = {
            let (database, past) = (Arc::clone(&database), past.clone());
            thread::Builder::new()
                .name("store-index".to_owned())
                .spawn(move || write(&database, past.as_deref(), &files, &waiting))?
        };
        Ok(Self { database, past, jobs: Some(jobs), writer: Some(writer) })
    }

    /// Reads the index as it is now, on a blocking thread.
    pub(super) async fn read<T: Send + 'static, E: From<Broken> + Send + 'static>(
        &self,
        work: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let database = Arc::clone(&self.database);
        let read = spawn_blocking(move || work(&snapshot(&database)?));
        read.await.map_err(Broken::row)?
    }

    /// The index as it is now.
    pub(super) fn now(&self) -> Result<Arc<Snapshot>, Broken> {
        Ok(Arc::new(snapshot(&self.database)?))
    }

    /// The index as it was so long ago, where that is kept.
    pub(super) fn past(&self, ago: Duration) -> Option<Arc<Snapshot>> {
        self.past.as_ref()?.at(ago)
    }

    /// Writes, and returns when it is committed. The work goes on if its caller does not wait.
    pub(super) async fn write<T: Send + 'static, E: From<Broken> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Unwritten<E>> + Send + 'static,
    ) -> Result<T, E> {
        let (send, answer) = oneshot::channel();
        let job: Job = Box::new(move |tables| {
            let done = match work(tables) {
                Ok(value) => Ok(value),
                Err(Unwritten::Refused(refused)) => Err(refused),
                Err(Unwritten::Broken(broken)) => return Err(broken),
            };
            Ok(Box::new(move || drop(send.send(done))))
        });
        let ended = || Broken::because("its transaction was not committed; the log says why");
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(ended().into());
        }
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Index {
    /// Ends the writer, when it has written what was asked before.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the index of the embedded store was not closed: its thread failed");
        }
    }
}

fn snapshot(database: &Database) -> Result<Snapshot, Broken> {
    Ok(Snapshot::of(&database.begin_read()?)?)
}

/// The writer's thread.
fn write(database: &Database, past: Option<&Past>, files: &Files, waiting: &mpsc::Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let jobs = std::iter::once(first).chain(waiting.try_iter()).take(BATCH_MAX).collect();
        if let Err(error) = commit(database, past, files, jobs) {
            tracing::error!(%error, "the embedded store could not write");
        }
    }
}

/// Runs all jobs in one transaction. When one of them fails, all do.
fn commit(
    database: &Database,
    past: Option<&Past>,
    files: &Files,
    jobs: Vec<Job>,
) -> Result<(), Broken> {
    let transaction = database.begin_write()?;
    let (answers, named, unnamed) = {
        let mut tables = Writing::of(&transaction)?;
        let answers: Result<Vec<_>, _> = jobs.into_iter().map(|job| job(&mut tables)).collect();
        let named = std::mem::take(&mut tables.named);
        (answers?, named, std::mem::take(&mut tables.unnamed))
    };
    // A commit that fails may be on the disk all the same: files too many are found at a start.
    named.into_iter().for_each(NewFile::keep);
    transaction.commit()?;
    if let Some(past) = past {
        match snapshot(database) {
            Ok(snapshot) => past.add(snapshot),
            Err(error) => tracing::error!(%error, "the embedded store cannot look back"),
        }
    }
    for answer in answers {
        answer();
    }
    files.remove(unnamed);
    Ok(())
}
