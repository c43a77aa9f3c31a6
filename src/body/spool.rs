//! Bodies on disk: unnamed files that vanish with the process.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::gather::gather;

/// Pieces are gathered up to this size before they are written: a blocking task has its price. Every
/// body on its way to disk holds as much, beside the budget.
const WRITE_BYTES: usize = 256 * 1024;

/// A body being written.
#[derive(Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

/// A body written.
#[derive(Debug)]
pub(super) struct Spooled {
    file: Arc<File>,
}

impl Spool {
    pub(super) async fn create(directory: PathBuf) -> io::Result<Self> {
        let file = blocking(move || tempfile::tempfile_in(directory)).await?;
        Ok(Self { file: Arc::new(file), waiting: Vec::new(), waiting_bytes: 0 })
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
        let (file, pieces) = (Arc::clone(&self.file), std::mem::take(&mut self.waiting));
        self.waiting_bytes = 0;
        blocking(move || pieces.iter().try_for_each(|piece| (&*file).write_all(piece))).await
    }
}

impl Spooled {
    /// Reads `length` bytes at `offset`; fewer is an error.
    pub(super) async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        blocking(move || {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, offset)?;
            Ok(Bytes::from(piece))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
