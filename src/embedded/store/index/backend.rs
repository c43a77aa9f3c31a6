//! The index's file: the database's own, with three differences. It may leave out waiting for the
//! disk; space on the disk is reserved before the database counts on it; and a failure is noticed.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, StorageBackend};
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::Errno;

use crate::embedded::parts::Fsync;

type Range = Bound<u64>;

/// Whether an operation on the file has failed. After one failure `redb` refuses to use the file until
/// the database is opened again.
#[derive(Debug, Clone, Default)]
pub(super) struct Failed(Arc<AtomicBool>);

impl Failed {
    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.0.store(true, Ordering::Release);
        }
        result
    }
}

/// A file whose writes reach the kernel at once, and the disk as [`Fsync`] says. A process that is
/// killed loses nothing of what the kernel has.
#[derive(Debug)]
pub(super) struct IndexFile<B> {
    backend: B,
    /// The same file.
    file: File,
    fsync: Fsync,
    failed: Failed,
}

impl<B: StorageBackend> IndexFile<B> {
    /// `backend` must keep the database in `file`. Forgets what the kernel remembers of the file: after
    /// a failure of the disk that may be what the disk has lost.
    pub(super) fn new(backend: B, file: File, fsync: Fsync, failed: Failed) -> io::Result<Self> {
        fadvise(&file, 0, None, Advice::DontNeed)?;
        Ok(Self { backend, file, fsync, failed })
    }

    /// Reserves what is missing of `len` bytes, so that a full disk is noticed before the database
    /// writes what it needs to be opened again.
    fn reserve(&self, len: u64) -> io::Result<()> {
        let present = self.backend.len()?;
        if len <= present {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), present, len - present) {
            // The file system cannot reserve.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            reserved => Ok(reserved?),
        }
    }
}

impl<B: StorageBackend> StorageBackend for IndexFile<B> {
    fn len(&self) -> io::Result<u64> {
        self.failed.note(self.backend.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.failed.note(self.backend.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.failed.note(self.reserve(len).and_then(|()| self.backend.set_len(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.fsync {
            Fsync::Always => self.failed.note(self.backend.sync_data()),
            Fsync::Never => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.failed.note(self.backend.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Range, end: Range) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Range, end: Range) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Range, end: Range) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Range, end: Range) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Range, end: Range) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Range, end: Range) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
