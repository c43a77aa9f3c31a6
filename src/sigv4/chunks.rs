//! Decoder of `aws-chunked` framing (AWS: Transferring Payload in Multiple Chunks; Including
//! Trailing Headers).
//!
//! ```text
//! 10000;chunk-signature=ad80c7…\r\n   a chunk's size in hex, in signed framing its signature
//! …65536 bytes…\r\n
//! 0;chunk-signature=b6c6ea…\r\n       the last chunk is empty
//! x-amz-checksum-crc32c:sOO8/Q==\r\n  trailing headers, where they were announced
//! x-amz-trailer-signature:d81f82…\r\n
//! \r\n
//! ```

use std::mem;

use bytes::Bytes;
use http::HeaderName;
use sha2::{Digest, Sha256};

use super::body_error::BodyError;
use super::chunk_chain::ChunkSeed;
use super::payload::PayloadKind;
use super::signature::Signature;

/// An incremental decoder of `aws-chunked`.
///
/// Content is returned as it arrives, before the signature of its chunk can be checked. It must not
/// be trusted or used until [`Decoder::finish`] has returned without an error. After an error the
/// decoder is of no further use.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// The beginning of an incomplete line.
    line: Vec<u8>,
    chain: Option<ChunkSeed>,
    has_trailer: bool,
    decoded_bytes: u64,
    decoded_bytes_promised: u64,
    chunks: u64,
    trailers: Trailers,
    trailers_canonical: Vec<u8>,
    trailer_signature: Option<String>,
}

#[derive(Debug)]
enum State {
    SizeLine,
    /// Inside a chunk; the rest of its length, and the signature to match at its end.
    Content {
        left: u64,
        signed: Option<SignedChunk>,
    },
    /// Before the line end that follows a chunk's content.
    ContentEnd,
    Trailer,
    Done,
}

#[derive(Debug)]
struct SignedChunk {
    hash: Sha256,
    provided: String,
}

impl SignedChunk {
    fn check(self, chain: &mut ChunkSeed) -> Result<(), BodyError> {
        let expected = chain.chunk_signature(&self.hash.finalize().into());
        check_signature(&self.provided, expected)?;
        chain.signature = expected;
        Ok(())
    }
}

impl Decoder {
    /// A decoder of one body. `kind` must be chunked: any other kind is decoded as
    /// [`PayloadKind::UnsignedChunksTrailer`]. Without a `seed` the framing is removed and no
    /// signature is checked. `decoded_bytes`: `x-amz-decoded-content-length`.
    pub fn new(kind: PayloadKind, seed: impl Into<Option<ChunkSeed>>, decoded_bytes: u64) -> Self {
        let signed = matches!(kind, PayloadKind::SignedChunks { .. });
        Self {
            state: State::SizeLine,
            line: Vec::new(),
            chain: seed.into().filter(|_| signed),
            has_trailer: !signed || kind.has_trailer(),
            decoded_bytes: 0,
            decoded_bytes_promised: decoded_bytes,
            chunks: 0,
            trailers: Trailers::default(),
            trailers_canonical: Vec::new(),
            trailer_signature: None,
        }
    }

    /// Processes the next bytes of the body, split anywhere, and passes their content to `out`,
    /// without copying it.
    pub fn feed(&mut self, mut bytes: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), BodyError> {
        while !bytes.is_empty() {
            if let State::Content { left, signed } = &mut self.state {
                let size = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                let content = bytes.split_to(size);
                *left -= size as u64;
                self.decoded_bytes += size as u64;
                if let Some(chunk) = signed {
                    chunk.hash.update(&content);
                }
                if *left == 0 {
                    let signed = signed.take();
                    self.end_content(signed)?;
                }
                out(content);
            } else {
                let Some(line) = self.take_line(&mut bytes)? else { return Ok(()) };
                self.take_in(&line)?;
            }
        }
        Ok(())
    }

    /// Ends the body: everything promised must have arrived. The last line end may be missing,
    /// since clients differ there.
    pub fn finish(mut self) -> Result<Trailers, BodyError> {
        let line = mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        match self.state {
            State::Trailer | State::Done if line.is_empty() => {}
            State::Trailer => self.trailer_line(line)?,
            State::Done => return Err(DATA_AFTER_END),
            _ => return Err(BodyError::IncompleteBody),
        }
        if self.decoded_bytes != self.decoded_bytes_promised {
            return Err(BodyError::IncompleteBody);
        }
        if let Some(chain) = self.chain.filter(|_| self.has_trailer) {
            let provided = self.trailer_signature.ok_or(BodyError::MalformedTrailer)?;
            check_signature(&provided, chain.trailer_signature(&self.trailers_canonical))?;
        }
        Ok(self.trailers)
    }

    /// The next line without its end; `None` when its end has not arrived.
    fn take_line(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        // Only CR LF ends a line: minio-go ends the text of a trailer with an additional bare LF.
        let mut before = self.line.last().copied();
        let end =
            bytes.iter().position(|byte| before.replace(*byte) == Some(b'\r') && *byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        if self.line.len() + taken > LINE_BYTES_MAX {
            return Err(BodyError::MalformedChunk("a line is too long"));
        }
        let part = bytes.split_to(taken);
        if end.is_none() {
            self.line.extend_from_slice(&part);
            return Ok(None);
        }
        let mut line = if self.line.is_empty() {
            part
        } else {
            self.line.extend_from_slice(&part);
            mem::take(&mut self.line).into()
        };
        line.truncate(line.len() - 2);
        Ok(Some(line))
    }

    fn take_in(&mut self, line: &[u8]) -> Result<(), BodyError> {
        match self.state {
            State::SizeLine => self.size_line(line),
            State::ContentEnd if line.is_empty() => {
                self.state = State::SizeLine;
                Ok(())
            }
            State::ContentEnd => {
                Err(BodyError::MalformedChunk("a chunk is longer than its size says"))
            }
            State::Trailer if line.is_empty() => {
                self.state = State::Done;
                Ok(())
            }
            State::Trailer => self.trailer_line(line),
            State::Done if line.is_empty() => Ok(()),
            State::Done | State::Content { .. } => Err(DATA_AFTER_END),
        }
    }

    fn size_line(&mut self, line: &[u8]) -> Result<(), BodyError> {
        const NOT_TEXT: BodyError = BodyError::MalformedChunk("a chunk's size is not hex");
        let line = std::str::from_utf8(line).map_err(|_| NOT_TEXT)?;
        let (digits, extensions) = line.split_once(';').unwrap_or((line, ""));
        let digits = digits.trim();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NOT_TEXT);
        }
        self.chunks += 1;
        let left = u64::from_str_radix(digits, 16)
            .ok()
            .filter(|size| *size <= self.decoded_bytes_promised - self.decoded_bytes)
            .ok_or_else(|| BodyError::InvalidChunkSize {
                chunk: self.chunks,
                size: digits.into(),
            })?;
        let signed = match self.chain {
            Some(_) => {
                let provided = chunk_signature(extensions)?.to_owned();
                Some(SignedChunk { hash: Sha256::new(), provided })
            }
            None => None,
        };
        if left > 0 {
            self.state = State::Content { left, signed };
            return Ok(());
        }
        self.end_content(signed)?;
        self.state = State::Trailer;
        Ok(())
    }

    fn end_content(&mut self, signed: Option<SignedChunk>) -> Result<(), BodyError> {
        self.state = State::ContentEnd;
        match (signed, &mut self.chain) {
            (Some(chunk), Some(chain)) => chunk.check(chain),
            _ => Ok(()),
        }
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), BodyError> {
        let line = std::str::from_utf8(line).map_err(|_| BodyError::MalformedTrailer)?;
        let (name, value) = line.split_once(':').ok_or(BodyError::MalformedTrailer)?;
        let name: HeaderName = name.trim().parse().map_err(|_| BodyError::MalformedTrailer)?;
        let value = value.trim();
        if !self.has_trailer || self.trailer_signature.is_some() {
            return Err(BodyError::MalformedTrailer);
        }
        if name == TRAILER_SIGNATURE {
            self.trailer_signature = Some(value.into());
            return Ok(());
        }
        if self.trailers.0.len() >= TRAILERS_MAX {
            return Err(BodyError::MalformedTrailer);
        }
        for part in [name.as_str(), ":", value, "\n"] {
            self.trailers_canonical.extend_from_slice(part.as_bytes());
        }
        self.trailers.0.push((name, value.into()));
        Ok(())
    }
}

/// The trailing headers, without their signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trailers(Vec<(HeaderName, String)>);

impl Trailers {
    /// Name and value, in the order sent.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_str()))
    }
}

/// The value of `chunk-signature` among a chunk's extensions (RFC 9112 §7.1.1).
fn chunk_signature(extensions: &str) -> Result<&str, BodyError> {
    extensions
        .split(';')
        .filter_map(|extension| extension.split_once('='))
        .find(|(name, _)| name.trim() == "chunk-signature")
        .map(|(_, value)| value.trim())
        .ok_or(BodyError::MalformedChunk("a chunk has no signature"))
}

fn check_signature(provided: &str, expected: Signature) -> Result<(), BodyError> {
    match Signature::from_hex(provided) {
        Some(signature) if signature.matches(&expected) => Ok(()),
        _ => Err(BodyError::SignatureDoesNotMatch { provided: provided.into() }),
    }
}

const TRAILER_SIGNATURE: HeaderName = HeaderName::from_static("x-amz-trailer-signature");
const DATA_AFTER_END: BodyError = BodyError::MalformedChunk("data follows the last chunk");
const LINE_BYTES_MAX: usize = 4096;
const TRAILERS_MAX: usize = 16;

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
