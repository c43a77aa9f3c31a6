//! Parser of the chunked transfer coding, byte by byte (RFC 9112 §7.1). It finds the end of a body
//! and ensures that no other reader finds it elsewhere. Where one reader is lax and the next is
//! not, a request can be hidden in a body; so only what the grammar allows is accepted.

use std::fmt;
use std::ops::Range;

/// The longest line with a chunk's size, in bytes. Longer extensions have no use.
const SIZE_LINE_BYTES_MAX: usize = 256;

/// The most bytes of extensions in one body, so that they cannot exceed the content.
const EXTENSION_BYTES_MAX: usize = 16 * 1024;

/// The most bytes of trailer fields.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// The most digits of a size: those of a 64-bit number.
const SIZE_DIGITS_MAX: usize = 16;

/// Follows the body of one message.
#[derive(Debug, Default)]
pub struct Chunks {
    expected: Expected,
    /// The incomplete line, without its end.
    line: Vec<u8>,
    extension_bytes: usize,
    trailer_bytes: usize,
}

/// The beginning of what has arrived of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// How many bytes were parsed.
    pub bytes: usize,
    /// Which of them are content.
    pub content: Range<usize>,
}

/// What has to come next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expected {
    #[default]
    Size,
    Data(u64),
    DataCr,
    DataLf,
    Trailer,
    Nothing,
}

/// Why a body is not a valid chunked body: one of a few sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChunks(&'static str);

impl fmt::Display for BadChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadChunks {}

impl Chunks {
    /// Parses the bytes that have arrived, and returns how many of them belong to this body: all,
    /// or those up to its end.
    ///
    /// Fails where the bytes are not a chunked body. Bytes after that have no meaning.
    pub fn follow(&mut self, came: &[u8]) -> Result<usize, BadChunks> {
        let mut at = 0;
        while at < came.len() && !self.is_done() {
            at += self.next(&came[at..])?.bytes;
        }
        Ok(at)
    }

    /// Parses the bytes that have arrived up to the end of the first piece of content among them, or
    /// to the end of the body.
    ///
    /// Fails as [`Self::follow`] does.
    pub fn next(&mut self, came: &[u8]) -> Result<Piece, BadChunks> {
        let mut at = 0;
        while at < came.len() && self.expected != Expected::Nothing {
            match self.expected {
                Expected::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(came.len() - at);
                    let left = left - here as u64;
                    self.expected = if left == 0 { Expected::DataCr } else { Expected::Data(left) };
                    return Ok(Piece { bytes: at + here, content: at..at + here });
                }
                Expected::DataCr | Expected::DataLf => {
                    self.end_of_data(came[at])?;
                    at += 1;
                }
                Expected::Size | Expected::Trailer => {
                    self.line_byte(came[at])?;
                    at += 1;
                }
                Expected::Nothing => {}
            }
        }
        Ok(Piece { bytes: at, content: at..at })
    }

    /// Whether the body has come to its end.
    pub fn is_done(&self) -> bool {
        self.expected == Expected::Nothing
    }

    /// The size is known: CR LF must follow the last byte, even if another reader would search for
    /// it.
    fn end_of_data(&mut self, byte: u8) -> Result<(), BadChunks> {
        self.expected = match (self.expected, byte) {
            (Expected::DataCr, b'\r') => Expected::DataLf,
            (Expected::DataLf, b'\n') => Expected::Size,
            _ => return Err(BadChunks("a chunk is not as long as it says")),
        };
        Ok(())
    }

    fn line_byte(&mut self, byte: u8) -> Result<(), BadChunks> {
        match (self.line.last(), byte) {
            (Some(b'\r'), b'\n') => {
                self.line.pop();
                let line = std::mem::take(&mut self.line);
                self.line_ended(&line)?;
                // The next line uses the same memory.
                self.line = line;
                self.line.clear();
                return Ok(());
            }
            (Some(b'\r'), _) | (_, b'\n') => {
                return Err(BadChunks("a line must end with CR LF"));
            }
            (_, b'\r' | b'\t') => {}
            (_, byte) if byte.is_ascii_control() => {
                return Err(BadChunks("a control character between chunks"));
            }
            _ => {}
        }
        if self.expected == Expected::Trailer {
            self.trailer_bytes += 1;
            if self.trailer_bytes > TRAILER_BYTES_MAX {
                return Err(BadChunks("the trailer fields are too long"));
            }
        } else if self.line.len() == SIZE_LINE_BYTES_MAX {
            return Err(BadChunks("the line of a chunk's size is too long"));
        }
        self.line.push(byte);
        Ok(())
    }

    fn line_ended(&mut self, line: &[u8]) -> Result<(), BadChunks> {
        if self.expected == Expected::Trailer {
            if line.is_empty() {
                self.expected = Expected::Nothing;
                return Ok(());
            }
            return check_trailer(line);
        }
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = size(&line[..digits])?;
        check_extensions(&line[digits..])?;
        self.extension_bytes += line.len() - digits;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(BadChunks("the chunk extensions are too long"));
        }
        self.expected = if size == 0 { Expected::Trailer } else { Expected::Data(size) };
        Ok(())
    }
}

/// `chunk-size = 1*HEXDIG`, no larger than every reader can count.
fn size(digits: &[u8]) -> Result<u64, BadChunks> {
    if digits.is_empty() {
        return Err(BadChunks("a chunk without a size"));
    }
    let too_large = BadChunks("the size of a chunk is too large");
    if digits.len() > SIZE_DIGITS_MAX {
        return Err(too_large);
    }
    let value = digits.iter().fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(16).unwrap_or_default();
        value << 4 | u64::from(digit)
    });
    if i64::try_from(value).is_err() { Err(too_large) } else { Ok(value) }
}

/// `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (§7.1.1).
fn check_extensions(mut rest: &[u8]) -> Result<(), BadChunks> {
    while !rest.is_empty() {
        rest = extension(rest).ok_or(BadChunks("a chunk extension that is none"))?;
    }
    Ok(())
}

/// The rest after the first extension.
fn extension(rest: &[u8]) -> Option<&[u8]> {
    let rest = without_token(without_blanks(without_blanks(rest).strip_prefix(b";")?))?;
    match without_blanks(rest).strip_prefix(b"=") {
        None => Some(rest),
        Some(value) => {
            let value = without_blanks(value);
            match value.strip_prefix(b"\"") {
                Some(quoted) => without_quoted(quoted),
                None => without_token(value),
            }
        }
    }
}

fn without_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[blanks..]
}

fn without_token(bytes: &[u8]) -> Option<&[u8]> {
    let token = bytes.iter().take_while(|byte| is_token(**byte)).count();
    (token > 0).then(|| &bytes[token..])
}

/// The rest after the closing quotation mark; control characters were refused before.
fn without_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut escaped = false;
    let end = bytes.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some(&bytes[end + 1..])
}

/// `field-line = field-name ":" OWS field-value OWS` (§5), except fields about the message's end or
/// its recipient (RFC 9110 §6.5.1).
fn check_trailer(line: &[u8]) -> Result<(), BadChunks> {
    let name = line.iter().take_while(|byte| is_token(**byte)).count();
    if name == 0 || line.get(name) != Some(&b':') {
        return Err(BadChunks("a trailer that is no field"));
    }
    let framing = ["content-length", "transfer-encoding", "host"];
    if framing.iter().any(|field| line[..name].eq_ignore_ascii_case(field.as_bytes())) {
        return Err(BadChunks("a trailer that may stand in a head only"));
    }
    Ok(())
}

/// `tchar` (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
