//! Writer of an answer's head (RFC 9112 §4, §5). Header values cannot contain CR, LF or NUL: their
//! type refuses them. So what is written can be read in one way only.

use super::fields::Fields;
use super::request::write_field;
use http::{HeaderName, StatusCode};

/// `100 Continue` (RFC 9110 §15.2.1), whole.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends an answer's head to `out`, with its empty line.
pub fn write_head(out: &mut Vec<u8>, status: StatusCode, headers: &Fields) {
    out.reserve(HEAD_BYTES_USUAL);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        write_field(out, title(name), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The bytes of a usual head, and some more.
const HEAD_BYTES_USUAL: usize = 480;

/// The name as it is usually spelled. Names are case-insensitive, but some clients of HTTP/1.1 look
/// for these as they have always been written.
fn title(name: &HeaderName) -> &str {
    match name.as_str() {
        "accept-ranges" => "Accept-Ranges",
        "cache-control" => "Cache-Control",
        "connection" => "Connection",
        "content-encoding" => "Content-Encoding",
        "content-length" => "Content-Length",
        "content-range" => "Content-Range",
        "content-type" => "Content-Type",
        "date" => "Date",
        "etag" => "ETag",
        "last-modified" => "Last-Modified",
        "location" => "Location",
        "retry-after" => "Retry-After",
        "server" => "Server",
        "transfer-encoding" => "Transfer-Encoding",
        other => other,
    }
}

/// The line before a chunk of so many bytes (RFC 9112 §7.1).
pub fn write_chunk_size(out: &mut Vec<u8>, bytes: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(DIGITS[bytes >> (4 * digit) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chunk_s_size_is_in_hexadecimal_digits() {
        for bytes in [0, 1, 9, 10, 15, 16, 255, 256, 4096, 65_535, 1 << 20, usize::MAX] {
            let mut out = Vec::new();
            write_chunk_size(&mut out, bytes);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{bytes:x}\r\n"));
        }
    }

    proptest! {
        /// What another reader finds in the head is what was written.
        #[test]
        fn a_head_reads_as_it_was_written(
            status in 200_u16..600,
            fields in prop::collection::vec(("[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}", "[ -~]{0,20}"), 0..9),
        ) {
            let mut headers = Fields::new();
            for (name, value) in &fields {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
            }
            let mut out = Vec::new();
            write_head(&mut out, StatusCode::from_u16(status).unwrap(), &headers);
            let mut found = [httparse::EMPTY_HEADER; 16];
            let mut answer = httparse::Response::new(&mut found);
            let parsed = answer.parse(&out).unwrap();
            prop_assert_eq!(parsed, httparse::Status::Complete(out.len()));
            prop_assert_eq!(answer.code, Some(status));
            let mut read = Fields::new();
            for field in answer.headers.iter() {
                let name = HeaderName::from_bytes(field.name.as_bytes()).unwrap();
                read.append(name, HeaderValue::from_bytes(field.value).unwrap());
            }
            prop_assert_eq!(read, headers);
        }
    }
}
