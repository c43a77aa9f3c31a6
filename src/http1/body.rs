//! What is left to read of a message's body, and what is written of one (RFC 9112 §6, §7.1).

use bytes::{Bytes, BytesMut};

use super::Framing;
use super::chunks::{BadChunks, Chunks};

/// The last chunk of a body, without trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The rest of a body that says where it ends.
#[derive(Debug)]
pub enum BodyRest {
    /// It was read to its end, or there is none.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Up to the last chunk.
    Chunked(Chunks),
}

impl From<Framing> for BodyRest {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Nothing | Framing::Length(0) => Self::Nothing,
            Framing::Length(bytes) => Self::Length(bytes),
            Framing::Chunked => Self::Chunked(Chunks::default()),
        }
    }
}

impl BodyRest {
    /// Whether the body has come to its end.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// How many bytes are to be read at once, if `most` at most.
    pub fn wanted(&self, most: usize) -> usize {
        match self {
            Self::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(most),
            Self::Nothing | Self::Chunked(_) => most,
        }
    }

    /// Takes a piece of the body from the bytes that have arrived: its content, which may be empty.
    /// Bytes behind the end of the body stay.
    ///
    /// Fails where the bytes are not a chunked body.
    pub fn take(&mut self, came: &mut BytesMut) -> Result<Bytes, BadChunks> {
        let (content, done) = match self {
            Self::Nothing => return Ok(Bytes::new()),
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(came.len());
                *left -= here as u64;
                (came.split_to(here).freeze(), *left == 0)
            }
            Self::Chunked(chunks) => {
                let piece = chunks.next(came)?;
                let content = came.split_to(piece.bytes).freeze().slice(piece.content);
                (content, chunks.is_done())
            }
        };
        if done {
            *self = Self::Nothing;
        }
        Ok(content)
    }
}

/// Content that is written, and what frames it.
#[derive(Debug, Clone, Copy)]
pub struct Framed<'a> {
    /// A head, or the size of a chunk.
    pub before: &'a [u8],
    /// The content.
    pub content: &'a [u8],
    /// The end of a chunk.
    pub behind: &'a [u8],
}

impl<'a> Framed<'a> {
    /// Bytes without content.
    pub const fn bare(bytes: &'a [u8]) -> Self {
        Self { before: bytes, content: b"", behind: b"" }
    }

    /// The content of a chunk, if there is any, behind `before`, which ends with its size.
    pub const fn chunk(before: &'a [u8], content: &'a [u8]) -> Self {
        Self { before, content, behind: if content.is_empty() { b"" } else { b"\r\n" } }
    }
}
