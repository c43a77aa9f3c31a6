//! Checks of a request's head as bytes, before any parser: a head that two readers could take for
//! two different requests is refused (RFC 9112 §11.2).

use std::str;

use super::answer::S3Error;
use super::code::Code;
use crate::http1::Framing;

/// The longest head accepted, in bytes. AWS accepts 8 KiB; some stores allow more metadata.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most header fields accepted; Pingora reads no more.
pub const FIELDS_MAX: usize = 256;

/// Searches for the end of a head while it arrives; each byte is read once.
#[derive(Debug, Default)]
pub struct HeadScan {
    scanned: usize,
    previous: u8,
    /// Length of the incomplete line, without its end.
    line_bytes: usize,
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
        for (at, byte) in received.iter().copied().enumerate().skip(self.scanned) {
            if at >= HEAD_BYTES_MAX {
                return Err(too_large());
            }
            match (self.previous, byte) {
                (b'\r', b'\n') if self.line_bytes == 0 && self.begun => return Ok(Some(at + 1)),
                (b'\r', b'\n') => (self.begun, self.line_bytes) = (self.line_bytes > 0, 0),
                (b'\r', _) | (_, b'\n') => return Err(malformed("a line must end with CR LF")),
                (_, b'\r') => {}
                (_, 0) => return Err(malformed("a NUL in the head")),
                _ => self.line_bytes += 1,
            }
            self.previous = byte;
        }
        self.scanned = received.len();
        Ok(None)
    }
}

/// Checks a complete head: its grammar, and that it says in only one way where the body ends and
/// which host it is for. Returns where the body ends.
///
/// 400 `BadRequest` or `RequestHeaderSectionTooLarge`; 405 for CONNECT; 501 for a transfer coding
/// other than `chunked`; 505 for another version than 1.0 and 1.1.
pub fn check_head(head: &[u8]) -> Result<Framing, S3Error> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
        Ok(_) => return Err(malformed("the head does not end where it ends")),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(httparse::Error::Version) if names_a_version(head) => {
            return Err(S3Error::new(Code::HttpVersionNotSupported));
        }
        Err(error) => return Err(malformed(&error.to_string())),
    }
    let version_1_0 = request.version == Some(0);
    let only = |name: &str| only_value(request.headers, name);
    let host = only("host")?;
    if host.is_none() && !version_1_0 {
        return Err(malformed("no Host header"));
    }
    if host.is_some_and(|host| !is_host(host)) {
        return Err(malformed("a Host header that names no host"));
    }
    if let Some(authority) = authority(head) {
        check_authority(&authority, host)?;
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
    let start = head.iter().position(|byte| *byte == b' ')? + 1;
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
    let authority = authority(head)?;
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
    Some(whole)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(head: &str) -> Result<(), String> {
        let bytes = head.as_bytes();
        let code = |error: S3Error| format!("{} {}", error.status().as_u16(), error.code());
        match HeadScan::default().scan(bytes).map_err(code)? {
            Some(end) => check_head(&bytes[..end]).map(drop).map_err(code),
            None => Err("not whole".to_owned()),
        }
    }

    #[test]
    fn ordinary_heads_pass() {
        for head in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "PUT /b/k HTTP/1.1\r\nhost: h\r\nCONTENT-LENGTH: 0005\r\n\r\nhello\n\0",
            "PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n",
            "BREW /b/\u{e9}?q HTTP/1.1\r\nHost: h\r\nx-amz-meta-a: \u{e9}\t\r\n\r\n",
            "GET http://h/b HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n",
        ] {
            assert_eq!(judged(head), Ok(()), "{head:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let put = |fields: &str| format!("PUT /b/k HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 0x5",
            "Content-Length:",
            "Content-Length: 9223372036854775808",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: chunked\r\n folded: yes",
            " Content-Length: 5",
            "Content-Length\t: 5",
            "Host: other",
            "a: b\0c",
            "a: b\nContent-Length: 5",
            "a: b\rContent-Length: 5",
            "no colon",
            ": no name",
            "a b: c",
        ] {
            assert_eq!(judged(&put(fields)), Err("400 BadRequest".to_owned()), "{fields:?}");
        }
        for coding in ["gzip, chunked", "chunked, identity", "xchunked", "identity", "\"chunked\""]
        {
            let fields = format!("Transfer-Encoding: {coding}");
            assert_eq!(judged(&put(&fields)), Err("501 NotImplemented".to_owned()), "{coding}");
        }
        for (head, refused) in [
            ("GET / HTTP/1.1\r\n\r\n", "400 BadRequest"),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 BadRequest"),
            ("GET / HTTP/1.1\nHost: h\n\n", "400 BadRequest"),
            ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400 BadRequest"),
            ("GET /\r\nHost: h\r\n\r\n", "400 BadRequest"),
            ("GET http://other/b HTTP/1.1\r\nHost: h\r\n\r\n", "400 BadRequest"),
            ("GET http://a@h/b HTTP/1.1\r\nHost: h\r\n\r\n", "400 BadRequest"),
            ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505 HttpVersionNotSupported"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HttpVersionNotSupported"),
            ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "405 MethodNotAllowed"),
            ("\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "400 BadRequest"),
        ] {
            assert_eq!(judged(head), Err(refused.to_owned()), "{head:?}");
        }
    }

    #[test]
    fn a_target_in_absolute_form_is_brought_into_origin_form_rfc_9112_3_2_2() {
        let brought = |line: &str, host: &str| {
            let head = format!("{line} HTTP/1.1\r\na: b\r\n{host}\r\n");
            judged(&head).unwrap();
            String::from_utf8(in_origin_form(head.as_bytes())?).ok()
        };
        for (line, brought_to) in [
            ("GET http://h:81/b/k?q=http://x/", "GET /b/k?q=http://x/"),
            ("GET HTTPS://H:81/", "GET /"),
            ("GET http://h:81?q=/", "GET /?q=/"),
            ("GET http://h:81", "GET /"),
            ("OPTIONS http://h:81", "OPTIONS *"),
            ("OPTIONS http://h:81/", "OPTIONS /"),
        ] {
            let expected = format!("{brought_to} HTTP/1.1\r\na: b\r\nHost: h:81\r\n\r\n");
            assert_eq!(brought(line, "Host: h:81\r\n"), Some(expected), "{line}");
        }
        for line in ["GET /http://h/", "GET ftp://h/", "OPTIONS *", "GET x"] {
            assert_eq!(brought(line, "Host: h\r\n"), None, "{line}");
        }
        let of_1_0 = b"GET http://h:81/k HTTP/1.0\r\na: b\r\n\r\n";
        let with_host = b"GET /k HTTP/1.0\r\nHost: h:81\r\na: b\r\n\r\n";
        assert_eq!(in_origin_form(of_1_0).as_deref(), Some(with_host.as_slice()));
    }

    #[test]
    fn a_host_is_one_and_named_rfc_9112_3_2() {
        let with = |host: &str, target: &str| {
            judged(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        };
        for host in
            ["h", "h:80", "h:", "a-b.c_d~:1", "127.0.0.1:9000", "[::1]", "[::1]:9000", "a%20b"]
        {
            assert_eq!(with(host, "/"), Ok(()), "{host}");
        }
        for host in [
            "", ":80", "h/", "h/b", "h,i", "a@h", "h:80x", "h:80:81", "[::1", "::1", "[::1]x",
            "[]x", "h i", "h?q", "h#f", "h\\i", "[h]",
        ] {
            assert_eq!(with(host, "/"), Err("400 BadRequest".to_owned()), "{host}");
        }
        for (host, target) in
            [("h", "http://h:80/"), ("h:80", "http://H"), ("h", "https://h:443/x")]
        {
            assert_eq!(with(host, target), Ok(()), "{host} {target}");
        }
        for (host, target) in [
            ("h", "http://h:443/"),
            ("h", "http://i/"),
            ("h", "http:///"),
            ("h", "http://a@h/"),
            ("a@h", "http://a@h/"),
            ("h", "http://?q"),
        ] {
            assert_eq!(with(host, target), Err("400 BadRequest".to_owned()), "{host} {target}");
        }
    }

    #[test]
    fn a_head_says_where_its_body_ends() {
        let framing = |fields: &str| {
            check_head(format!("PUT / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).unwrap()
        };
        assert_eq!(framing(""), Framing::Nothing);
        assert_eq!(framing("Content-Length: 0\r\n"), Framing::Nothing);
        assert_eq!(framing("Content-Length: 007\r\n"), Framing::Length(7));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
    }

    #[test]
    fn a_head_has_a_greatest_length_and_number_of_fields() {
        let of_length = |bytes: usize| {
            let start = "GET / HTTP/1.1\r\nHost: h\r\na: ";
            format!("{start}{}\r\n\r\n", "b".repeat(bytes - start.len() - 4))
        };
        let refused = Err("400 RequestHeaderSectionTooLarge".to_owned());
        assert_eq!(judged(&of_length(HEAD_BYTES_MAX)), Ok(()));
        assert_eq!(judged(&of_length(HEAD_BYTES_MAX + 1)), refused);
        assert_eq!(judged(&"a".repeat(HEAD_BYTES_MAX + 1)), refused);
        let of_fields =
            |count| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
        assert_eq!(judged(&of_fields(FIELDS_MAX)), Ok(()));
        assert_eq!(judged(&of_fields(FIELDS_MAX + 1)), refused);
    }

    proptest! {
        #[test]
        fn a_head_is_found_however_it_arrives(
            head in "(\r\n){0,2}[a-z /:]{1,20}\r\n([a-z: ]{1,10}\r\n){0,3}\r\n",
            rest in "[a-z\r\n\0]{0,10}",
            step in 1_usize..9,
        ) {
            let received = [head.as_bytes(), rest.as_bytes()].concat();
            let mut scan = HeadScan::default();
            let mut found = None;
            for end in (0..received.len()).step_by(step).chain([received.len()]) {
                found = scan.scan(&received[..end]).unwrap();
                if found.is_some() {
                    break;
                }
            }
            prop_assert_eq!(found, Some(head.len()));
        }
    }
}
