//! Bodies on disk: unnamed files that vanish with the process.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::gather::gather;
use crate::shares::{NoRoom, Share};

/// Pieces are gathered up to this size before they are written, since each blocking task has a
/// cost. Every body on its way to disk needs this much memory beyond the budget.
const WRITE_BYTES: usize = 256 * 1024;

/// How many calls of the file system run at once, each on its own thread. More calls do not make a
/// disk faster, and on a slow disk every waiting thread uses memory.
const CALLS_MAX: usize = 16;

/// How long a body that finds no room waits for the next file to be closed.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// The directory of the files. All calls of the file system go through it, also the closing of a
/// file: freeing the blocks of a large file can take seconds on a busy disk, and the runtime's
/// threads have to renew leases meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    directory: PathBuf,
    calls: Arc<Semaphore>,
    files: Arc<Files>,
}

/// Counts files, so that a body can wait for the room of those that nothing uses any more.
#[derive(Debug, Default)]
struct Files {
    dropped: AtomicU64,
    closed: watch::Sender<u64>,
}

impl Disk {
    pub(super) fn new(directory: PathBuf) -> Self {
        let calls = Arc::new(Semaphore::new(CALLS_MAX));
        Self { directory, calls, files: Arc::default() }
    }

    /// The same disk, with another directory for the next files.
    pub(super) fn with_directory(&self, directory: PathBuf) -> Self {
        Self { directory, ..self.clone() }
    }

    /// Takes room. While there is none, waits for the files that are being closed now: a client that
    /// sends one body after the other finds the room of the last one free.
    pub(super) async fn take<T>(
        &self,
        mut take: impl FnMut() -> Result<T, NoRoom>,
    ) -> Result<T, NoRoom> {
        match take() {
            Err(NoRoom::OfClient | NoRoom::InAll) => {}
            done => return done,
        }
        let mut closed = self.files.closed.subscribe();
        let dropped = self.files.dropped.load(Ordering::Relaxed);
        loop {
            let are_closed = *closed.borrow_and_update();
            match take() {
                Err(none @ (NoRoom::OfClient | NoRoom::InAll)) if are_closed < dropped => {
                    if timeout(CLOSING_MAX, closed.changed()).await.is_err() {
                        return Err(none);
                    }
                }
                done => return done,
            }
        }
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let permit = Arc::clone(&self.calls).acquire_owned().await.map_err(io::Error::other)?;
        let call = spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        call.await.map_err(io::Error::other)?
    }
}

/// The part of a body that is on disk.
#[derive(Debug)]
struct Held {
    file: File,
    /// Its room is free again when the file is closed.
    share: Mutex<Share>,
}

/// An unnamed file that is closed on a blocking thread, not on a thread of the runtime. The order
/// of the fields matters: when `_open` is dropped, the last reference to the file is held by the
/// task that waits for this, or by a call under way.
#[derive(Debug)]
struct Unnamed {
    disk: Disk,
    held: Arc<Held>,
    _open: oneshot::Sender<Infallible>,
}

impl Unnamed {
    async fn create(disk: Disk, share: Share) -> io::Result<Self> {
        let directory = disk.directory.clone();
        let file = disk.call(move || tempfile::tempfile_in(directory)).await?;
        let held = Arc::new(Held { file, share: Mutex::new(share) });
        let (open, dropped) = oneshot::channel();
        let (last, on) = (Arc::clone(&held), disk.clone());
        tokio::spawn(async move {
            let Err(_) = dropped.await;
            let closing = on.call(move || {
                drop(last);
                Ok(())
            });
            let done = closing.await;
            on.files.closed.send_modify(|closed| *closed += 1);
            done
        });
        Ok(Self { disk, held, _open: open })
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let held = Arc::clone(&self.held);
        self.disk.call(move || work(&held.file)).await
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        self.disk.files.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A body being written.
#[derive(Debug)]
pub(super) struct Spool {
    file: Unnamed,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

/// A body written.
#[derive(Debug)]
pub(super) struct Spooled {
    file: Unnamed,
}

impl Spool {
    pub(super) async fn create(disk: Disk, share: Share) -> io::Result<Self> {
        let file = Unnamed::create(disk, share).await?;
        Ok(Self { file, waiting: Vec::new(), waiting_bytes: 0 })
    }

    /// Ensures that this much room is reserved, in bytes.
    pub(super) async fn take(&self, bytes: u64) -> Result<(), NoRoom> {
        let grow = || {
            let mut share = self.file.held.share.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = bytes.saturating_sub(share.amount());
            share.grow(missing)
        };
        self.file.disk.take(grow).await
    }

    pub(super) async fn append(&mut self, piece: Bytes) -> io::Result<()> {
        self.waiting_bytes += piece.len();
        gather(&mut self.waiting, piece);
        if self.waiting_bytes >= WRITE_BYTES { self.write_out().await } else { Ok(()) }
    }

    pub(super) async fn finish(mut self) -> io::Result<Spooled> {
        self.write_out().await?;
        Ok(Spooled { file: self.file })
    }

    async fn write_out(&mut self) -> io::Result<()> {
        let pieces = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let write =
            move |mut file: &File| pieces.iter().try_for_each(|piece| file.write_all(piece));
        self.file.call(write).await
    }
}

impl Spooled {
    /// Reads `length` bytes at `offset`; fewer is an error.
    pub(super) async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let read = move |file: &File| {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, offset)?;
            Ok(Bytes::from(piece))
        };
        self.file.call(read).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::Shares;

    #[tokio::test]
    async fn a_file_is_closed_by_a_call_and_then_its_room_is_free() {
        let (room, disk) = (Shares::new(1, 1), Disk::new(std::env::temp_dir()));
        let spool = Spool::create(disk.clone(), room.take("a", 1).unwrap()).await.unwrap();
        let all_calls = Arc::clone(&disk.calls).acquire_many_owned(16).await.unwrap();
        drop(spool);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(room.take("a", 1).is_err(), "the file is open while no call can close it");
        drop(all_calls);
        // The next call runs after it: permits are given in the order of the requests.
        while room.take("a", 1).is_err() {
            disk.call(|| Ok(())).await.unwrap();
        }
    }

    #[tokio::test]
    async fn room_that_is_about_to_be_free_is_waited_for() {
        let (room, disk) = (Shares::new(1, 1), Disk::new(std::env::temp_dir()));
        for _ in 0..100 {
            let share = disk.take(|| room.take("a", 1)).await.unwrap();
            drop(Spool::create(disk.clone(), share).await.unwrap());
        }
        let share = disk.take(|| room.take("a", 1)).await.unwrap();
        let _open = Spool::create(disk.clone(), share).await.unwrap();
        assert!(disk.take(|| room.take("a", 1)).await.is_err(), "no file is being closed");
    }
}
