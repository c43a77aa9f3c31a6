//! Checks of a request's head as bytes, before any parser: a head that two readers could take for
//! two different requests is refused (RFC 9112 §11.2).

use std::mem::MaybeUninit;
use std::str;

use bytes::Bytes;
use http::{HeaderValue, Method, Version};
use memchr::{memchr, memchr3};

use super::code::Code;
use super::error::S3Error;
use crate::http1::Framing;
use crate::http1::fields::Fields;
use crate::http1::names::field_name;

/// The longest head accepted, in bytes. AWS accepts 8 KiB; some stores allow more metadata.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most header fields accepted.
pub const FIELDS_MAX: usize = 256;

/// Searches for the end of a head while it arrives; each byte is read once.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// How many bytes need not be looked at again.
    scanned: usize,
    /// Where the present line begins.
    line: usize,
    /// Whether a non-empty line has arrived: empty lines before it are skipped (§2.2).
    begun: bool,
}

impl HeadScan {
    /// Continues to scan `received`, which holds everything since the head began. Returns the
    /// head's length once it is complete.
    ///
    /// 400 for a line that ends in anything but CR LF, a NUL, or a head longer than
    /// [`HEAD_BYTES_MAX`].
    pub fn scan(&mut self, received: &[u8]) -> Result<Option<usize>, S3Error> {
        let head = &received[..received.len().min(HEAD_BYTES_MAX)];
        while let Some(found) = memchr3(b'\r', b'\n', 0, &head[self.scanned..]) {
            let at = self.scanned + found;
            match (head[at], head.get(at + 1)) {
                (0, _) => return Err(malformed("a NUL in the head")),
                (b'\r', Some(b'\n')) if self.line == at && self.begun => return Ok(Some(at + 2)),
                (b'\r', Some(b'\n')) => {
                    self.begun = self.line < at;
                    (self.scanned, self.line) = (at + 2, at + 2);
                }
                (b'\r', None) => {
                    self.scanned = at;
                    return if received.len() > head.len() { Err(too_large()) } else { Ok(None) };
                }
                _ => return Err(malformed("a line must end with CR LF")),
            }
        }
        self.scanned = head.len();
        if received.len() > head.len() { Err(too_large()) } else { Ok(None) }
    }
}

/// A request's head, as it has arrived.
#[derive(Debug, Clone)]
pub struct ReceivedHead {
    /// The method.
    pub method: Method,
    /// Path and query, in origin form (or `*`). It may not be valid UTF-8.
    pub target: Bytes,
    /// 1.0 or 1.1.
    pub version: Version,
    /// The fields.
    pub headers: Fields,
    /// Where the body ends.
    pub framing: Framing,
}

/// Reads a complete head, after the checks of [`check_head`].
///
/// Fails as [`check_head`] does.
pub fn read_head(head: &Bytes) -> Result<ReceivedHead, S3Error> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let request = parse(head, &mut fields)?;
    let authority = authority(head);
    let framing = check(authority.as_ref(), &request)?;
    match authority.map(|authority| Bytes::from(without_authority(head, &authority))) {
        None => received(head, &request, framing),
        Some(head) => {
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
            let request = parse(&head, &mut fields)?;
            received(&head, &request, framing)
        }
    }
}

/// The parts of a head that was checked.
fn received(
    head: &Bytes,
    request: &httparse::Request<'_, '_>,
    framing: Framing,
) -> Result<ReceivedHead, S3Error> {
    let mut headers = Fields::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let name = field_name(field.name.as_bytes());
        let name = name.map_err(|_| malformed("a field with a name that is none"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value));
        let value = value.map_err(|_| malformed("a control character in a field"))?;
        headers.append(name, value);
    }
    let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes());
    Ok(ReceivedHead {
        method: method.map_err(|_| malformed("a method that is none"))?,
        target: head.slice_ref(request.path.unwrap_or_default().as_bytes()),
        version: if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 },
        headers,
        framing,
    })
}

/// Checks a complete head: its grammar, and that it says in only one way where the body ends and
/// which host it is for. Returns where the body ends.
///
/// 400 `BadRequest` or `RequestHeaderSectionTooLarge`; 405 for CONNECT; 501 for a transfer coding
/// other than `chunked`; 505 for another version than 1.0 and 1.1.
pub fn check_head(head: &[u8]) -> Result<Framing, S3Error> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let request = parse(head, &mut fields)?;
    check(authority(head).as_ref(), &request)
}

fn parse<'h, 'b>(
    head: &'b [u8],
    fields: &'h mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<httparse::Request<'h, 'b>, S3Error> {
    // Room for all fields, of which most requests use few, is not filled first.
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, fields) {
        Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => Ok(request),
        Ok(_) => Err(malformed("the head does not end where it ends")),
        Err(httparse::Error::TooManyHeaders) => Err(too_large()),
        Err(httparse::Error::Version) if names_a_version(head) => {
            Err(S3Error::new(Code::HttpVersionNotSupported))
        }
        Err(error) => Err(malformed(&error.to_string())),
    }
}

fn check(
    authority: Option<&Authority<'_>>,
    request: &httparse::Request<'_, '_>,
) -> Result<Framing, S3Error> {
    let version_1_0 = request.version == Some(0);
    let only = |name: &str| only_value(request.headers, name);
    let host = only("host")?;
    if host.is_none() && !version_1_0 {
        return Err(malformed("no Host header"));
    }
    if host.is_some_and(|host| !is_host(host)) {
        return Err(malformed("a Host header that names no host"));
    }
    if let Some(authority) = authority {
        check_authority(authority, host)?;
    }
    let length = only("content-length")?;
    let length_bytes = match length {
        Some(length) => {
            content_length(length).ok_or_else(|| malformed("a Content-Length that is no length"))?
        }
        None => 0,
    };
    let mut framing =
        if length_bytes == 0 { Framing::Nothing } else { Framing::Length(length_bytes) };
    if let Some(coding) = only("transfer-encoding")? {
        if length.is_some() {
            return Err(malformed("both Content-Length and Transfer-Encoding"));
        }
        if version_1_0 {
            return Err(malformed("Transfer-Encoding in HTTP/1.0"));
        }
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(S3Error::not_implemented("Transfer-Encoding", None));
        }
        framing = Framing::Chunked;
    }
    if request.method == Some("CONNECT") {
        return Err(S3Error::new(Code::MethodNotAllowed).with("Method", "CONNECT"));
    }
    Ok(framing)
}

/// The authority of a target in absolute form: a client that takes the proxy for a forward proxy
/// sends this form, and every server must understand it (RFC 9112 §3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Authority<'a> {
    /// Where the target begins.
    start: usize,
    /// Where the part after the authority begins.
    end: usize,
    named: &'a [u8],
    /// The port that the scheme implies.
    implied_port: &'a [u8],
}

/// Finds the authority in the target of a head; `None` when the target has another form.
fn authority(head: &[u8]) -> Option<Authority<'_>> {
    let start = memchr(b' ', head)? + 1;
    // In origin form, as nearly always.
    if head.get(start) == Some(&b'/') {
        return None;
    }
    let target = head[start..].split(|byte| matches!(byte, b' ' | b'\r')).next()?;
    let is_scheme = |(scheme, _): &(&[u8], _)| {
        target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    let schemes = [(b"http://".as_slice(), b":80".as_slice()), (b"https://", b":443")];
    let (scheme, implied_port) = schemes.into_iter().find(is_scheme)?;
    let rest = &target[scheme.len()..];
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let end = start + scheme.len() + length;
    Some(Authority { start, end, named: &rest[..length], implied_port })
}

/// Checks that the target's authority is a host, and the same one as in the Host header. RFC 9112
/// §3.2.2 gives precedence to the target; but the sender may have signed the header.
fn check_authority(authority: &Authority<'_>, host: Option<&[u8]>) -> Result<(), S3Error> {
    if !is_host(authority.named) {
        return Err(malformed("a target whose host is none"));
    }
    let bare = |named: &[u8]| {
        let bare = named.strip_suffix(authority.implied_port).unwrap_or(named);
        bare.to_ascii_lowercase()
    };
    match host {
        Some(host) if bare(host) != bare(authority.named) => {
            Err(malformed("the target and the Host header name two hosts"))
        }
        Some(_) | None => Ok(()),
    }
}

/// `uri-host [ ":" port ]` (RFC 9112 §3.2, RFC 3986 §3.2.2) with a non-empty host. A comma, which
/// the grammar allows, is refused: it may join two Host headers.
fn is_host(value: &[u8]) -> bool {
    let name_bytes = match value {
        [b'[', ..] => value.iter().position(|byte| *byte == b']').map_or(0, |end| end + 1),
        _ => value.iter().position(|byte| *byte == b':').unwrap_or(value.len()),
    };
    let (name, port) = value.split_at(name_bytes);
    let address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let valid = match name {
        [] => false,
        [b'[', address_bytes @ .., b']'] => address_bytes.iter().all(address),
        _ => name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte)),
    };
    valid && (port.is_empty() || port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit))
}

/// A head that [`check_head`] has accepted, with its target changed from absolute form to origin
/// form, and its authority as the Host header where it has none; `None` where nothing has to change
/// (RFC 9112 §3.2.1, §3.2.4).
pub fn in_origin_form(head: &[u8]) -> Option<Vec<u8>> {
    authority(head).map(|authority| without_authority(head, &authority))
}

fn without_authority(head: &[u8], authority: &Authority<'_>) -> Vec<u8> {
    let rest = &head[authority.end..];
    let path: &[u8] = match rest.first() {
        Some(b'/') => b"",
        Some(b' ') if head.starts_with(b"OPTIONS ") => b"*",
        _ => b"/",
    };
    let line_bytes = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
    let (line, fields) = rest.split_at(line_bytes);
    let mut whole = [&head[..authority.start], path, line].concat();
    let names_host = |line: &[u8]| line.get(..5).is_some_and(|n| n.eq_ignore_ascii_case(b"host:"));
    if !fields.split(|byte| *byte == b'\n').any(names_host) {
        whole.extend_from_slice(&[b"Host: ", authority.named, b"\r\n"].concat());
    }
    whole.extend_from_slice(fields);
    whole
}

/// Whether the request line has three parts and ends with a version.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.trim_ascii_start().split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ').skip(2);
    parts.next().is_some_and(|last| last.starts_with(b"HTTP/")) && parts.next().is_none()
}

/// The value of a header that may occur at most once.
fn only_value<'a>(
    fields: &[httparse::Header<'a>],
    name: &str,
) -> Result<Option<&'a [u8]>, S3Error> {
    let mut values = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(malformed(&format!("more than one {name} header"))),
        (value, _) => Ok(value.map(|field| field.value)),
    }
}

/// `1*DIGIT` (RFC 9110 §8.6), no larger than every reader can count.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let length: i64 = str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()?;
    length.try_into().ok()
}

fn too_large() -> S3Error {
    S3Error::new(Code::RequestHeaderSectionTooLarge)
        .with("MaxSizeAllowed", HEAD_BYTES_MAX.to_string())
}

/// The error for a head that is not an HTTP request.
fn malformed(why: &str) -> S3Error {
    let message = Code::BadRequest.message().trim_end_matches('.');
    S3Error::new(Code::BadRequest).because(format!("{message}: {why}."))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
