//! Request bodies in buffers: in memory while a body is small and the process's budget lasts,
//! otherwise on disk, while that has room. A body can be read any number of times, so a write can
//! be checked before it is sent, and sent again where the protocol allows it.

mod gather;
mod spool;

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use crate::config;
use crate::shares::{NoRoom, Share, Shares};
use gather::gather;
use spool::{Disk, Spool, Spooled};

/// The buffers for bodies: a budget of memory and one of disk, each with a share for one client.
#[derive(Debug, Clone)]
pub struct BufferPool {
    memory: Shares,
    memory_per_body_bytes: u64,
    spool: Shares,
    disk: Disk,
}

/// The unit in which memory and disk are counted: neither can be had in smaller amounts.
const BLOCK_BYTES: u64 = 4096;

/// The expected length of a body, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Declared in its head. Its room is reserved at once.
    Known(u64),
    /// Declared in the head of a request whose sender is not authenticated. On disk its room is
    /// taken as it arrives, so that a large claim reserves nothing.
    Claimed(u64),
    /// Not declared; at most this. On disk its room is taken as it arrives.
    AtMost(u64),
}

/// Why a body cannot be buffered.
#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    /// There is no room for it on disk.
    #[error("there is no room for it on disk: {0:?}")]
    Full(NoRoom),
    /// The disk fails.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl BufferPool {
    /// Bodies of up to `memory_per_body_bytes` are kept in memory while the budget lasts; all
    /// others in unnamed files in `spool_dir`.
    pub fn new(
        memory: Shares,
        memory_per_body_bytes: u64,
        spool: Shares,
        spool_dir: PathBuf,
    ) -> Self {
        Self { memory, memory_per_body_bytes, spool, disk: Disk::new(spool_dir) }
    }

    /// The same buffers with other settings: the bodies that are in them count.
    #[must_use]
    pub fn with_settings(&self, settings: &config::Body) -> Self {
        Self {
            memory: self.memory.with_limits(settings.memory, settings.memory_per_client),
            memory_per_body_bytes: settings.memory_per_body,
            spool: self.spool.with_limits(settings.spool, settings.spool_per_client),
            disk: self.disk.with_directory(settings.spool_dir.clone()),
        }
    }

    /// How many bytes of memory bodies take, and may take.
    pub fn memory_level(&self) -> (u64, u64) {
        self.memory.level()
    }

    /// How many bytes of disk bodies take, and may take.
    pub fn spool_level(&self) -> (u64, u64) {
        self.spool.level()
    }

    /// Begins to buffer a client's body. Its place is chosen now, so that a body that begins in
    /// memory never has to move, and a body of known length that has no room is refused before it
    /// is read.
    ///
    /// # Errors
    /// [`BufferError`].
    pub async fn begin(&self, client: &str, expected: Expected) -> Result<BodyWriter, BufferError> {
        let (Expected::Known(most) | Expected::Claimed(most) | Expected::AtMost(most)) = expected;
        if most <= self.memory_per_body_bytes
            && let Ok(share) = self.memory.take(client, in_blocks(most))
        {
            return Ok(BodyWriter { storage: Storage::Memory(Vec::new(), share), length_bytes: 0 });
        }
        let bytes = match expected {
            Expected::Known(bytes) | Expected::Claimed(bytes) => in_blocks(bytes),
            Expected::AtMost(_) => 0,
        };
        let room = self.disk.take(|| self.spool.take(client, bytes)).await;
        let mut share = room.map_err(BufferError::Full)?;
        if matches!(expected, Expected::Claimed(_)) {
            share.give_back();
        }
        let spool = Spool::create(self.disk.clone(), share).await?;
        Ok(BodyWriter { storage: Storage::Disk(spool), length_bytes: 0 })
    }
}

const fn in_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES)
}

/// A body being written into its buffer.
#[derive(Debug)]
pub struct BodyWriter {
    storage: Storage,
    length_bytes: u64,
}

#[derive(Debug)]
enum Storage {
    Memory(Vec<Bytes>, Share),
    Disk(Spool),
}

impl BodyWriter {
    /// How many bytes have arrived.
    pub const fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Adds a piece that has arrived.
    ///
    /// # Errors
    /// [`BufferError`].
    pub async fn push(&mut self, piece: Bytes) -> Result<(), BufferError> {
        self.length_bytes += piece.len() as u64;
        match &mut self.storage {
            Storage::Memory(pieces, _) => gather(pieces, piece),
            Storage::Disk(spool) => {
                spool.take(in_blocks(self.length_bytes)).await.map_err(BufferError::Full)?;
                spool.append(piece).await?;
            }
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`BufferError::Disk`].
    pub async fn finish(self) -> Result<Body, BufferError> {
        let content = match self.storage {
            Storage::Memory(pieces, share) => Content::Memory { pieces, _share: Some(share) },
            Storage::Disk(spool) => Content::Disk(spool.finish().await?),
        };
        Ok(Body { content, length_bytes: self.length_bytes })
    }
}

/// A whole body, which can be read again.
#[derive(Debug)]
pub struct Body {
    content: Content,
    length_bytes: u64,
}

#[derive(Debug)]
enum Content {
    Memory { pieces: Vec<Bytes>, _share: Option<Share> },
    Disk(Spooled),
}

impl Body {
    /// An empty body.
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

    /// A reader from the beginning.
    pub fn reader(&self) -> Reader<'_> {
        Reader { body: self, pieces: 0, bytes: 0 }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let length_bytes = bytes.len() as u64;
        Self { content: Content::Memory { pieces: vec![bytes], _share: None }, length_bytes }
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

/// The largest piece that a reader gives: small enough that an early answer of the store is noticed
/// soon.
pub const PIECE_BYTES_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(memory_bytes: u64, per_body: u64) -> BufferPool {
        let memory = Shares::new(memory_bytes, memory_bytes);
        BufferPool::new(memory, per_body, Shares::new(1 << 30, 1 << 30), std::env::temp_dir())
    }

    async fn begun(pool: &BufferPool, length: u64) -> BodyWriter {
        pool.begin("a", Expected::Known(length)).await.unwrap()
    }

    async fn taken(pool: &BufferPool, pieces: &[&'static [u8]]) -> Body {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut writer = begun(pool, length as u64).await;
        for piece in pieces {
            writer.push(Bytes::from_static(piece)).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    fn is_in_memory(body: &Body) -> bool {
        matches!(body.content, Content::Memory { .. })
    }

    #[tokio::test]
    async fn a_body_reads_the_same_from_memory_and_disk_as_often_as_asked() {
        for (pool, in_memory) in [(pool(1 << 20, 1 << 20), true), (pool(1 << 20, 3), false)] {
            let body = taken(&pool, &[b"abc", b"", b"defg"]).await;
            assert_eq!(is_in_memory(&body), in_memory);
            assert_eq!(body.length_bytes(), 7);
            for _ in 0..2 {
                assert_eq!(body.to_bytes().await.unwrap(), "abcdefg");
            }
        }
    }

    #[tokio::test]
    async fn a_body_of_crumbs_is_kept_in_few_pieces() {
        let mut writer = begun(&pool(1 << 20, 1 << 20), 100_000).await;
        for _ in 0..100_000 {
            writer.push(Bytes::from_static(b"x")).await.unwrap();
        }
        let body = writer.finish().await.unwrap();
        let Content::Memory { pieces, .. } = &body.content else { panic!("not in memory") };
        assert!(pieces.len() <= 100_000 / gather::SMALL_BYTES + 1, "{}", pieces.len());
        assert_eq!(body.to_bytes().await.unwrap(), vec![b'x'; 100_000]);
    }

    #[tokio::test]
    async fn long_bodies_come_in_bounded_pieces() {
        let content: Vec<u8> = (0..u8::MAX).cycle().take(3 * PIECE_BYTES_MAX + 5).collect();
        let in_memory = Body::from(Bytes::from(content.clone()));
        let mut writer = begun(&pool(0, 0), content.len() as u64).await;
        writer.push(content.clone().into()).await.unwrap();
        let on_disk = writer.finish().await.unwrap();
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
        let pool = pool(2 * BLOCK_BYTES, BLOCK_BYTES);
        let first = taken(&pool, &[b"a"]).await;
        let second = taken(&pool, &[b"b"]).await;
        let third = taken(&pool, &[b"c"]).await;
        assert_eq!([&first, &second, &third].map(is_in_memory), [true, true, false]);
        drop(first);
        assert!(is_in_memory(&taken(&pool, &[b"d"]).await));
    }

    #[tokio::test]
    async fn an_unwritable_spool_directory_is_an_error() {
        let (memory, spool) = (Shares::new(0, 0), Shares::new(1 << 20, 1 << 20));
        let pool = BufferPool::new(memory, 0, spool, PathBuf::from("/nonexistent/spool"));
        let refused = pool.begin("a", Expected::Known(1)).await;
        assert!(matches!(refused, Err(BufferError::Disk(_))));
    }

    #[tokio::test]
    async fn a_client_s_share_of_memory_is_full_then_its_share_of_the_disk() {
        let shares = |blocks| Shares::new(2 * blocks * BLOCK_BYTES, blocks * BLOCK_BYTES);
        let pool = BufferPool::new(shares(1), BLOCK_BYTES, shares(2), std::env::temp_dir());
        let full = |refused: Result<BodyWriter, BufferError>| match refused {
            Err(BufferError::Full(no_room)) => no_room,
            other => panic!("{other:?}"),
        };
        let a = taken(&pool, &[b"a"]).await;
        let b = pool.begin("b", Expected::Known(BLOCK_BYTES)).await.unwrap();
        assert!(is_in_memory(&a) && matches!(b.storage, Storage::Memory(..)));
        let spooled = [taken(&pool, &[b"a"]).await, taken(&pool, &[b"b"]).await];
        assert_eq!(spooled.each_ref().map(is_in_memory), [false, false]);
        assert_eq!(full(pool.begin("a", Expected::Known(1)).await), NoRoom::OfClient);
        let too_much = pool.begin("b", Expected::Known(3 * BLOCK_BYTES)).await;
        assert_eq!(full(too_much), NoRoom::TooMuch(2 * BLOCK_BYTES));
        let b = pool.begin("b", Expected::Known(2 * BLOCK_BYTES)).await.unwrap();
        assert_eq!(full(pool.begin("c", Expected::Known(1 << 13)).await), NoRoom::InAll);
        drop((spooled, b));
        pool.begin("c", Expected::Known(1 << 13)).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_only_claimed_takes_room_on_disk_as_it_comes() {
        let spool = Shares::new(2 * BLOCK_BYTES, BLOCK_BYTES);
        let pool = BufferPool::new(Shares::new(0, 0), 0, spool, std::env::temp_dir());
        let begin = async |bytes| pool.begin("a", Expected::Claimed(bytes)).await;
        let mut claims = Vec::new();
        for _ in 0..10 {
            claims.push(begin(BLOCK_BYTES).await.unwrap());
        }
        assert!(matches!(
            begin(BLOCK_BYTES + 1).await,
            Err(BufferError::Full(NoRoom::TooMuch(BLOCK_BYTES)))
        ));
        claims[0].push(Bytes::from_static(b"x")).await.unwrap();
        assert!(matches!(begin(1).await, Err(BufferError::Full(NoRoom::OfClient))));
        let refused = claims[1].push(Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(refused, BufferError::Full(NoRoom::OfClient)), "{refused}");
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_takes_room_on_disk_as_it_comes() {
        let spool = Shares::new(2 * BLOCK_BYTES, BLOCK_BYTES);
        let pool = BufferPool::new(Shares::new(0, 0), 0, spool, std::env::temp_dir());
        let begin = async |client| pool.begin(client, Expected::AtMost(1 << 40)).await.unwrap();
        let (mut first, mut second) = (begin("a").await, begin("a").await);
        first.push(Bytes::from_static(&[0; 4096])).await.unwrap();
        let refused = second.push(Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(refused, BufferError::Full(NoRoom::OfClient)), "{refused}");
        let refused = first.push(Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(refused, BufferError::Full(NoRoom::TooMuch(4096))), "{refused}");
        begin("b").await.push(Bytes::from_static(b"x")).await.unwrap();
        drop(first);
        pool.begin("a", Expected::Known(BLOCK_BYTES)).await.unwrap();
    }
}
