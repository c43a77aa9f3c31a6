//! A request's head as it stands on the wire, judged before anybody reads it into anything: what
//! two readers could take for two different requests is refused (RFC 9112 §11.2).

use std::ops::Range;
use std::str;

use super::answer::S3Error;
use super::code::Code;

/// The longest head taken, in bytes. AWS takes 8 KiB; some stores allow more metadata.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most header fields taken; Pingora reads no more.
pub const FIELDS_MAX: usize = 256;

/// Looks for the end of a head while it arrives, at each byte once.
#[derive(Debug, Default)]
pub struct HeadScan {
    scanned: usize,
    previous: u8,
    /// Of the line that is arriving, without its end.
    line_bytes: usize,
    /// Whether a line that is not empty has come: empty ones before it are passed over (§2.2).
    begun: bool,
}

impl HeadScan {
    /// Goes on to scan `received`: all that has come since the head began. Returns the head's
    /// length once it is whole.
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

/// Judges a whole head: its grammar, that it says in one way where the body ends, and to whom it
/// is addressed.
///
/// 400 `BadRequest` or `RequestHeaderSectionTooLarge`; 405 for CONNECT; 501 for a transfer coding
/// other than `chunked`; 505 for another version than 1.0 and 1.1.
pub fn check_head(head: &[u8]) -> Result<(), S3Error> {
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
    if let Some(authority) = authority(head)
        && !host.is_some_and(|host| host.eq_ignore_ascii_case(&head[authority.named]))
    {
        return Err(malformed("the target and the Host header name two hosts"));
    }
    let length = only("content-length")?;
    if length.is_some_and(|length| content_length(length).is_none()) {
        return Err(malformed("a Content-Length that is no length"));
    }
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
    }
    if request.method == Some("CONNECT") {
        return Err(S3Error::new(Code::MethodNotAllowed).with("Method", "CONNECT"));
    }
    Ok(())
}

/// What a target in absolute form has before its path: a client that takes us for a forward proxy
/// sends it, and every server must understand it (RFC 9112 §3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Where the scheme and the host are, to be cut out.
    pub all: Range<usize>,
    named: Range<usize>,
}

/// Finds the authority in the target of a head; `None` when the target has another form.
pub fn authority(head: &[u8]) -> Option<Authority> {
    let start = head.iter().position(|byte| *byte == b' ')? + 1;
    let target = head[start..].split(|byte| *byte == b' ').next()?;
    let is_scheme = |scheme: &&[u8]| {
        target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    let scheme = [b"http://".as_slice(), b"https://"].into_iter().find(is_scheme)?.len();
    let length = target[scheme..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'))?;
    let end = start + scheme + length;
    (head[end] == b'/').then(|| Authority { all: start..end, named: start + scheme..end })
}

/// Whether the request line has the three parts it should have, the last of them a version.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.trim_ascii_start().split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ').skip(2);
    parts.next().is_some_and(|last| last.starts_with(b"HTTP/")) && parts.next().is_none()
}

/// The value of a header that may be sent once at most.
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

/// `1*DIGIT` (RFC 9110 §8.6), and a length that every reader can count to.
fn content_length(value: &[u8]) -> Option<i64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

fn too_large() -> S3Error {
    S3Error::new(Code::RequestHeaderSectionTooLarge)
        .with("MaxSizeAllowed", HEAD_BYTES_MAX.to_string())
}

/// The head is no HTTP request.
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
            Some(end) => check_head(&bytes[..end]).map_err(code),
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
    fn the_authority_of_a_target_can_be_cut_out() {
        let cut = |line: &str| {
            let found = authority(line.as_bytes()).map(|authority| authority.all)?;
            Some([&line[..found.start], &line[found.end..]].concat())
        };
        for (line, left) in [
            ("GET http://h:80/b/k?q=http://x/ HTTP/1.1", Some("GET /b/k?q=http://x/ HTTP/1.1")),
            ("GET HTTPS://h/ HTTP/1.1", Some("GET / HTTP/1.1")),
            ("GET http://h?q=/ HTTP/1.1", None),
            ("GET http://h HTTP/1.1", None),
            ("GET /http://h/ HTTP/1.1", None),
            ("GET ftp://h/ HTTP/1.1", None),
            ("GET", None),
        ] {
            assert_eq!(cut(line).as_deref(), left, "{line}");
        }
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
