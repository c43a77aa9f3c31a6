//! The thread that writes the index. It takes all requests that wait into one transaction, so that they
//! share the wait for the disk, and answers them after the commit. After a failure of the disk it opens
//! the index again: `redb` uses no file that has failed once.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redb::{Database, ReadableDatabase as _};
use tokio::time::Instant;

use super::backend::Failed;
use super::broken::Broken;
use super::opening::{Opened, Opener, number_commit};
use super::past::Past;
use super::tables::{Snapshot, Writing};
use crate::embedded::store::files::{Files, NewFile};

/// How many requests one transaction serves.
const BATCH_MAX: usize = 256;
/// How long the writer waits before it tries again to open the index; twice as long each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// After the index was opened again, writes are refused for so many times as long as that took. Where
/// each of them fails, as on a full disk, most of the time is left to readers.
const READERS_SHARE: u32 = 10;

/// What a request writes. Where it fails on its own, it has taken back what it changed.
pub(super) type Job = Box<dyn FnOnce(&mut Writing<'_>) -> Result<Answer, Broken> + Send>;
/// Gives a request its answer, after the commit.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

/// What the writer is told.
pub(super) enum Task {
    Write(Job),
    /// A reader saw that the file has failed.
    Failed,
}

/// The database, as readers and the writer share it.
#[derive(Debug)]
pub(super) struct Shared {
    /// `None` while it is opened again.
    open: RwLock<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    database: Database,
    failed: Failed,
    writes_from: Instant,
}

impl Shared {
    pub(super) fn new(database: Database, failed: Failed) -> Self {
        Self { open: RwLock::new(Some(Open { database, failed, writes_from: Instant::now() })) }
    }

    /// The index as it is now.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Broken> {
        self.with(|open| Ok(Snapshot::of(&open.database.begin_read()?)?))
    }

    /// Refuses a write that would not be tried.
    pub(super) fn check_writes(&self) -> Result<(), Broken> {
        let is_time = self.with(|open| Ok(open.writes_from <= Instant::now()))?;
        if is_time { Ok(()) } else { Err(Broken::Reopening) }
    }

    /// Whether the file has failed, and is not opened again yet.
    pub(super) fn has_failed(&self) -> bool {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().is_some_and(|open| open.failed.is())
    }

    fn with<T>(&self, work: impl FnOnce(&Open) -> Result<T, Broken>) -> Result<T, Broken> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        match open.as_ref() {
            Some(open) if !open.failed.is() => work(open),
            _ => Err(Broken::Reopening),
        }
    }

    /// The database that was open before is closed.
    fn set(&self, open: Option<Open>) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = open;
    }
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) past: Option<Arc<Past>>,
    pub(super) files: Arc<Files>,
    pub(super) open: Opener,
    pub(super) tasks: Receiver<Task>,
    /// The number of the last commit.
    pub(super) commit: u64,
    pub(super) undecided: Option<Undecided>,
}

/// The files of a transaction whose commit has failed: it may be on the disk all the same.
#[derive(Debug)]
pub(super) struct Undecided {
    commit: u64,
    /// Files that its rows name.
    named: Vec<NewFile>,
    /// Files that no row names any more, if it is there.
    unnamed: Vec<String>,
}

impl Writer {
    /// Serves until no task can come any more.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.tasks.recv() {
            let tasks = std::iter::once(first).chain(self.tasks.try_iter()).take(BATCH_MAX);
            let jobs: Vec<_> = tasks.filter_map(Task::job).collect();
            if !jobs.is_empty()
                && let Err(error) = self.write(jobs)
            {
                tracing::error!(%error, "the embedded store could not write");
            }
            if self.shared.has_failed() && self.reopen().is_none() {
                return;
            }
        }
    }

    /// Runs all jobs in one transaction. When the database fails one of them, all fail.
    fn write(&mut self, jobs: Vec<Job>) -> Result<(), Broken> {
        let transaction = self.shared.with(|open| Ok(open.database.begin_write()?))?;
        let commit = self.commit + 1;
        let (answers, named, unnamed) = {
            let mut tables = Writing::of(&transaction)?;
            let answers: Result<Vec<_>, _> = jobs.into_iter().map(|job| job(&mut tables)).collect();
            let answers = answers?;
            number_commit(&mut tables, commit)?;
            (answers, std::mem::take(&mut tables.named), std::mem::take(&mut tables.unnamed))
        };
        if let Err(error) = transaction.commit() {
            self.undecided = Some(Undecided { commit, named, unnamed });
            return Err(error.into());
        }
        self.commit = commit;
        named.into_iter().for_each(NewFile::keep);
        self.remember();
        for answer in answers {
            answer();
        }
        self.files.remove(unnamed);
        Ok(())
    }

    /// Keeps what is true now for readers who are shown the past.
    fn remember(&self) {
        if let Some(past) = &self.past {
            match self.shared.snapshot() {
                Ok(snapshot) => past.add(snapshot),
                Err(error) => tracing::error!(%error, "the embedded store cannot look back"),
            }
        }
    }

    /// Opens the index again, and tries until that succeeds. Requests that come meanwhile are refused.
    /// `None`: the store ends.
    fn reopen(&mut self) -> Option<()> {
        self.shared.set(None);
        if let Some(past) = &self.past {
            past.forget();
        }
        let mut pause = RETRY_FIRST;
        loop {
            let began = Instant::now();
            match (self.open)() {
                Ok(Opened { database, failed, commit }) => {
                    self.decide(commit);
                    let writes_from = Instant::now() + began.elapsed() * READERS_SHARE;
                    self.shared.set(Some(Open { database, failed, writes_from }));
                    self.remember();
                    tracing::warn!(
                        "the embedded store has opened its index again, after a failure"
                    );
                    return Some(());
                }
                Err(error) => {
                    tracing::error!(%error, "the embedded store cannot open its index again");
                }
            }
            self.refuse_for(pause)?;
            pause = (pause * 2).min(RETRY_MOST);
        }
    }

    /// Refuses what comes, for so long. `None`: nothing can come any more.
    fn refuse_for(&self, pause: Duration) -> Option<()> {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.tasks.recv_timeout(left) {
                // A job that is dropped fails its request.
                Ok(task) => drop(task),
                Err(RecvTimeoutError::Timeout) => return Some(()),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Keeps or removes the files of a commit that had failed: the last commit that is there tells.
    fn decide(&mut self, last: u64) {
        self.commit = last;
        let Some(mut undecided) = self.undecided.take() else { return };
        if undecided.commit == last {
            self.files.remove(std::mem::take(&mut undecided.unnamed));
        } else {
            undecided.named.clear();
        }
    }
}

impl Drop for Undecided {
    /// Files too many are found at the next start; one that is missing would be an object that is lost.
    fn drop(&mut self) {
        self.named.drain(..).for_each(NewFile::keep);
    }
}

impl Task {
    fn job(self) -> Option<Job> {
        match self {
            Self::Write(job) => Some(job),
            Self::Failed => None,
        }
    }
}
