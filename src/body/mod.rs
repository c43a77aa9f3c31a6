//! A request's body, taken whole: in memory while it is small and the process's budget lasts, else
//! on disk. It can be read any number of times, so a write can be checked before it is sent and
//! sent again where the protocol allows it.

mod spool;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use spool::Spool;

/// Where bodies are kept, and how much of them in memory.
#[derive(Debug, Clone)]
pub struct Larder {
    budget: Arc<Semaphore>,
    memory_per_body_bytes: u64,
    spool_dir: PathBuf,
}

/// The budget is counted in blocks of this size, since a semaphore counts in `u32`.
const BLOCK_BYTES: u64 = 4096;

impl Larder {
    /// `memory_bytes` for all bodies together, `memory_per_body_bytes` for one; what is larger goes
    /// to unnamed files in `spool_dir`.
    pub fn new(memory_bytes: u64, memory_per_body_bytes: u64, spool_dir: PathBuf) -> Self {
        let blocks = usize::try_from(memory_bytes / BLOCK_BYTES).unwrap_or(usize::MAX);
        let blocks = blocks.min(Semaphore::MAX_PERMITS);
        Self { budget: Arc::new(Semaphore::new(blocks)), memory_per_body_bytes, spool_dir }
    }

    fn reserve(&self, length_bytes: u64) -> Option<OwnedSemaphorePermit> {
        let blocks = u32::try_from(length_bytes.div_ceil(BLOCK_BYTES)).ok()?;
        Arc::clone(&self.budget).try_acquire_many_owned(blocks).ok()
    }

    /// Begins to take a body of this many bytes: the place is reserved now, so that a body once
    /// begun in memory never has to move.
    pub async fn begin(&self, length_bytes: u64) -> io::Result<Taking> {
        if length_bytes <= self.memory_per_body_bytes
            && let Some(permit) = self.reserve(length_bytes)
        {
            return Ok(Taking { place: Place::Memory(Vec::new(), permit), length_bytes: 0 });
        }
        let spool = Spool::create(self.spool_dir.clone()).await?;
        Ok(Taking { place: Place::Disk(spool), length_bytes: 0 })
    }
}

/// A body being taken.
#[derive(Debug)]
pub struct Taking {
    place: Place,
    length_bytes: u64,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<Bytes>, OwnedSemaphorePermit),
    Disk(Spool),
}

impl Taking {
    /// How much has arrived.
    pub const fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Adds what has arrived.
    pub async fn push(&mut self, piece: Bytes) -> io::Result<()> {
        self.length_bytes += piece.len() as u64;
        match &mut self.place {
            Place::Memory(pieces, _) => gather(pieces, piece),
            Place::Disk(spool) => spool.append(piece).await?,
        }
        Ok(())
    }

    /// The body is whole.
    pub async fn finish(self) -> io::Result<Body> {
        let content = match self.place {
            Place::Memory(pieces, permit) => Content::Memory { pieces, _permit: Some(permit) },
            Place::Disk(spool) => Content::Disk(spool.finish().await?),
        };
        Ok(Body { content, length_bytes: self.length_bytes })
    }
}

/// Adds a piece; small ones are copied together, for each costs what a piece costs and keeps the
/// buffer alive that it was cut from.
fn gather(pieces: &mut Vec<Bytes>, piece: Bytes) {
    match pieces.pop() {
        Some(last) if last.len() < SMALL_BYTES => {
            let mut joined = last.try_into_mut().unwrap_or_else(|last| BytesMut::from(&last[..]));
            joined.extend_from_slice(&piece);
            pieces.push(joined.freeze());
        }
        last => {
            pieces.extend(last);
            pieces.push(piece);
        }
    }
}

/// A piece shorter than this is joined with the next one.
const SMALL_BYTES: usize = 4096;

/// A whole body.
#[derive(Debug)]
pub struct Body {
    content: Content,
    length_bytes: u64,
}

#[derive(Debug)]
enum Content {
    Memory { pieces: Vec<Bytes>, _permit: Option<OwnedSemaphorePermit> },
    Disk(spool::Spooled),
}

impl Body {
    /// No content.
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// Its length.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// The whole content as one piece; only for bodies known to be small.
    pub async fn to_bytes(&self) -> io::Result<Bytes> {
        let mut reader = self.reader();
        let Some(first) = reader.next().await? else { return Ok(Bytes::new()) };
        if first.len() as u64 == self.length_bytes {
            return Ok(first);
        }
        let mut whole = first.to_vec();
        while let Some(piece) = reader.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    /// Reads it from the beginning.
    pub fn reader(&self) -> Reader<'_> {
        Reader { body: self, pieces: 0, bytes: 0 }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let length_bytes = bytes.len() as u64;
        Self { content: Content::Memory { pieces: vec![bytes], _permit: None }, length_bytes }
    }
}

/// One reading of a body.
#[derive(Debug)]
pub struct Reader<'a> {
    body: &'a Body,
    pieces: usize,
    bytes: u64,
}

impl Reader<'_> {
    /// The next piece, at most [`PIECE_BYTES_MAX`] long and never empty; `None` at the end.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match &self.body.content {
            Content::Memory { pieces, .. } => loop {
                let Some(piece) = pieces.get(self.pieces) else { return Ok(None) };
                let start = usize::try_from(self.bytes).unwrap_or(usize::MAX);
                if start >= piece.len() {
                    (self.pieces, self.bytes) = (self.pieces + 1, 0);
                    continue;
                }
                let end = piece.len().min(start + PIECE_BYTES_MAX);
                self.bytes = end as u64;
                return Ok(Some(piece.slice(start..end)));
            },
            Content::Disk(spooled) => {
                let left = self.body.length_bytes - self.bytes;
                if left == 0 {
                    return Ok(None);
                }
                let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES_MAX);
                let piece = spooled.read(self.bytes, want).await?;
                self.bytes += piece.len() as u64;
                Ok(Some(piece))
            }
        }
    }
}

/// How much a reader gives at a time: small enough that a store's early answer is seen soon.
pub const PIECE_BYTES_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn larder(memory_bytes: u64, per_body: u64) -> Larder {
        Larder::new(memory_bytes, per_body, std::env::temp_dir())
    }

    async fn taken(larder: &Larder, pieces: &[&'static [u8]]) -> Body {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut taking = larder.begin(length as u64).await.unwrap();
        for piece in pieces {
            taking.push(Bytes::from_static(piece)).await.unwrap();
        }
        taking.finish().await.unwrap()
    }

    fn is_in_memory(body: &Body) -> bool {
        matches!(body.content, Content::Memory { .. })
    }

    #[tokio::test]
    async fn a_body_reads_the_same_from_memory_and_disk_as_often_as_asked() {
        for (larder, in_memory) in [(larder(1 << 20, 1 << 20), true), (larder(1 << 20, 3), false)] {
            let body = taken(&larder, &[b"abc", b"", b"defg"]).await;
            assert_eq!(is_in_memory(&body), in_memory);
            assert_eq!(body.length_bytes(), 7);
            for _ in 0..2 {
                assert_eq!(body.to_bytes().await.unwrap(), "abcdefg");
            }
        }
    }

    #[tokio::test]
    async fn a_body_of_crumbs_is_kept_in_few_pieces() {
        let mut taking = larder(1 << 20, 1 << 20).begin(100_000).await.unwrap();
        for _ in 0..100_000 {
            taking.push(Bytes::from_static(b"x")).await.unwrap();
        }
        let body = taking.finish().await.unwrap();
        let Content::Memory { pieces, .. } = &body.content else { panic!("not in memory") };
        assert!(pieces.len() <= 100_000 / SMALL_BYTES + 1, "{}", pieces.len());
        assert_eq!(body.to_bytes().await.unwrap(), vec![b'x'; 100_000]);
    }

    #[tokio::test]
    async fn long_bodies_come_in_bounded_pieces() {
        let content: Vec<u8> = (0..u8::MAX).cycle().take(3 * PIECE_BYTES_MAX + 5).collect();
        let in_memory = Body::from(Bytes::from(content.clone()));
        let mut taking = larder(0, 0).begin(content.len() as u64).await.unwrap();
        taking.push(content.clone().into()).await.unwrap();
        let on_disk = taking.finish().await.unwrap();
        for body in [in_memory, on_disk] {
            let mut reader = body.reader();
            let mut whole = Vec::new();
            while let Some(piece) = reader.next().await.unwrap() {
                assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES_MAX);
                whole.extend_from_slice(&piece);
            }
            assert!(whole == content);
        }
    }

    #[tokio::test]
    async fn the_budget_is_shared_and_comes_back() {
        let larder = larder(2 * BLOCK_BYTES, BLOCK_BYTES);
        let first = taken(&larder, &[b"a"]).await;
        let second = taken(&larder, &[b"b"]).await;
        let third = taken(&larder, &[b"c"]).await;
        assert_eq!([&first, &second, &third].map(is_in_memory), [true, true, false]);
        drop(first);
        assert!(is_in_memory(&taken(&larder, &[b"d"]).await));
    }

    #[tokio::test]
    async fn an_unwritable_spool_directory_is_an_error() {
        let larder = Larder::new(0, 0, PathBuf::from("/nonexistent/spool"));
        assert!(larder.begin(1).await.is_err());
    }
}
