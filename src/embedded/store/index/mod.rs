//! The index: which objects there are, what is known of each, and in which files their bytes are.
//! It is one ordered database (`redb`). A thread of its own writes ([`writer`]). Readers see the index
//! as it was at one moment.

mod backend;
mod broken;
mod opening;
mod past;
mod tables;
mod undo;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::files::Files;
use crate::embedded::parts::Options;
pub(super) use broken::Broken;
use opening::{Opened, Opener, opener};
use past::Past;
pub(super) use tables::{Placed, Read, Snapshot, Writing, behind_all_with, just_behind};
use writer::{Job, Shared, Task, Writer};

/// Why a request that was to write has not written.
#[derive(Debug)]
pub(super) enum Unwritten<E> {
    /// It is refused.
    Refused(E),
    /// The index fails.
    Broken(Broken),
}

impl<E> From<Broken> for Unwritten<E> {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// The index of a store.
#[derive(Debug)]
pub(super) struct Index {
    shared: Arc<Shared>,
    /// Where readers are shown what stood there earlier.
    past: Option<Arc<Past>>,
    tasks: Option<mpsc::Sender<Task>>,
    writer: Option<JoinHandle<()>>,
}

impl Index {
    /// Opens the index, or makes a new one.
    pub(super) fn open(path: &Path, options: Options, files: Arc<Files>) -> Result<Self, Broken> {
        Self::opened_by(opener(path.to_owned(), options.fsync), options, files)
    }

    fn opened_by(open: Opener, options: Options, files: Arc<Files>) -> Result<Self, Broken> {
        let Opened { database, failed, commit } = open()?;
        let shared = Arc::new(Shared::new(database, failed));
        let lag = options.misbehaviour.lag;
        let past = (!lag.is_zero()).then(|| Arc::new(Past::new(lag)));
        if let Some(past) = &past {
            past.add(shared.snapshot()?);
        }
        let (tasks, waiting) = mpsc::channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            past: past.clone(),
            files,
            open,
            tasks: waiting,
            commit,
            undecided: None,
        };
        let writer =
            thread::Builder::new().name("store-index".to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared, past, tasks: Some(tasks), writer: Some(writer) })
    }

    /// Reads the index as it is now, on a blocking thread.
    pub(super) async fn read<T: Send + 'static, E: From<Broken> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let index = Arc::clone(self);
        let read = spawn_blocking(move || work(&*index.now()?));
        read.await.map_err(|failed| Broken::because(failed.to_string()))?
    }

    /// The index as it is now.
    pub(super) fn now(&self) -> Result<Arc<Snapshot>, Broken> {
        if self.shared.has_failed() {
            // The writer cannot receive it only when it has ended.
            let _ = self.tell(Task::Failed);
        }
        Ok(Arc::new(self.shared.snapshot()?))
    }

    /// The index as it was so long ago, where that is kept.
    pub(super) fn past(&self, ago: Duration) -> Option<Arc<Snapshot>> {
        self.past.as_ref()?.at(ago)
    }

    /// Writes, and returns when it is committed; where it fails, no row is changed. The work goes on if
    /// its caller does not wait.
    pub(super) async fn write<T: Send + 'static, E: From<Broken> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Unwritten<E>> + Send + 'static,
    ) -> Result<T, E> {
        if let Err(refused) = self.shared.check_writes() {
            self.tell(Task::Failed)?;
            return Err(refused.into());
        }
        let (send, answer) = oneshot::channel();
        let job: Job = Box::new(move |tables| {
            let done = match tables.whole(work) {
                Ok(value) => Ok(value),
                Err(Unwritten::Refused(refused)) => Err(refused),
                Err(Unwritten::Broken(damaged @ Broken::Row(_))) => Err(damaged.into()),
                Err(Unwritten::Broken(broken)) => return Err(broken),
            };
            Ok(Box::new(move || drop(send.send(done))))
        });
        self.tell(Task::Write(job))?;
        answer.await.map_err(|_| not_committed())?
    }

    fn tell(&self, task: Task) -> Result<(), Broken> {
        let told = self.tasks.as_ref().is_some_and(|tasks| tasks.send(task).is_ok());
        if told { Ok(()) } else { Err(not_committed()) }
    }
}

fn not_committed() -> Broken {
    Broken::because("the transaction was not committed; the log says why")
}

impl Drop for Index {
    /// Ends the writer, when it has written what was asked before.
    fn drop(&mut self) {
        drop(self.tasks.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the index of the embedded store was not closed: its thread failed");
        }
    }
}
