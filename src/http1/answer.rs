//! Reader of the head of an answer (RFC 9112 §4), and of where its body ends (§6.3).

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, Version, header};

use super::{Framing, has_no_content, persists};
use crate::http1::fields::Fields;
use crate::http1::names::field_name;

/// The longest head that is read, bytes.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;

/// The most fields in a head.
const FIELDS_MAX: usize = 256;

/// An answer's head.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: Fields,
    /// Where the body ends; `None` where that is the end of the connection.
    pub framing: Option<Framing>,
    /// Whether the connection may be used for another request once the body has been read.
    pub persists: bool,
}

/// Why bytes are not the head of an answer: one of a few sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be read: {0}")]
pub struct BadAnswer(&'static str);

/// Takes the head of an answer from the beginning of what has arrived; `None` while it is
/// incomplete. `to_head`: the answer to a HEAD, which has no body whatever it says.
///
/// Fails where the bytes are not the head of an answer.
pub fn take_head(came: &mut BytesMut, to_head: bool) -> Result<Option<AnswerHead>, BadAnswer> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let bytes = match parser.parse_response_with_uninit_headers(&mut answer, came, &mut fields) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) if came.len() <= HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(BadAnswer("its head is too long")),
        Err(httparse::Error::TooManyHeaders) => return Err(BadAnswer("it has too many fields")),
        Err(_) => return Err(BadAnswer("it is not HTTP/1.1")),
    };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(BadAnswer("it has no status"))?;
    let version = if answer.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let begin = came.as_ptr() as usize;
    let within = |part: &[u8]| {
        let start = part.as_ptr() as usize - begin;
        start..start + part.len()
    };
    let places: Vec<(Range<usize>, Range<usize>)> = answer
        .headers
        .iter()
        .map(|field| (within(field.name.as_bytes()), within(field.value)))
        .collect();
    let head = came.split_to(bytes).freeze();
    let mut headers = headers(&head, places)?;
    let (framing, clear) = framing(status, version, &headers, to_head)?;
    say_once(&mut headers)?;
    let persists = clear && persists(version, &headers) && framing.is_some();
    Ok(Some(AnswerHead { status, headers, framing, persists }))
}

fn headers(head: &Bytes, places: Vec<(Range<usize>, Range<usize>)>) -> Result<Fields, BadAnswer> {
    let mut headers = Fields::with_capacity(places.len() + FIELDS_ADDED_USUAL);
    for (name, value) in places {
        let name = field_name(&head[name]);
        let value = HeaderValue::from_maybe_shared(head.slice(value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(BadAnswer("a field is malformed"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

/// How many fields are added to an answer before a client gets it.
const FIELDS_ADDED_USUAL: usize = 6;

/// Where the body ends, and whether all readers agree on that (RFC 9112 §6.3).
fn framing(
    status: StatusCode,
    version: Version,
    headers: &Fields,
    to_head: bool,
) -> Result<(Option<Framing>, bool), BadAnswer> {
    let coded = headers.contains_key(header::TRANSFER_ENCODING);
    let length = length(headers)?;
    if to_head || status.is_informational() || has_no_content(status) {
        return Ok((Some(Framing::Nothing), true));
    }
    if !coded {
        return Ok((length.map(Framing::Length), true));
    }
    let mut codings = headers
        .get_all(header::TRANSFER_ENCODING)
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let only_chunked = codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none();
    if !only_chunked || version == Version::HTTP_10 {
        return Err(BadAnswer("its transfer coding is not chunked"));
    }
    Ok((Some(Framing::Chunked), length.is_none()))
}

/// Leaves one length that all readers read alike, or none beside a coding (RFC 9112 §6.3).
fn say_once(headers: &mut Fields) -> Result<(), BadAnswer> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    } else if let Some(length) = length(headers)? {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Ok(())
}

/// The Content-Length; several equal values are one (RFC 9110 §8.6).
fn length(headers: &Fields) -> Result<Option<u64>, BadAnswer> {
    let bad = BadAnswer("its Content-Length is no length");
    let mut found = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        for digits in value.as_bytes().split(|byte| *byte == b',') {
            let digits = digits.trim_ascii();
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(bad);
            }
            let text = str::from_utf8(digits).map_err(|_| bad)?;
            let length: i64 = text.parse().map_err(|_| bad)?;
            if found.is_some_and(|found| found != length) {
                return Err(BadAnswer("it has two Content-Lengths"));
            }
            found = Some(length);
        }
    }
    Ok(found.and_then(|length| u64::try_from(length).ok()))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
