//! Writer of a request's head (RFC 9112 §3, §5). Values cannot contain CR, LF or NUL, and the target
//! neither these nor a space: their types refuse them. So what is written can be read in one way only.

use http::Method;

use super::fields::Fields;

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    target: Vec<u8>,
    /// The fields.
    pub headers: Fields,
}

/// A target that would end the request line early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the target of the request has a space or a control character, or is empty")]
pub struct BadTarget;

/// The bytes of a usual head, and some more. The allocator has more to do for a KiB.
const HEAD_BYTES_USUAL: usize = 960;

impl Request {
    /// A head with this target, in origin form. Fails where the target would not be read as one.
    pub fn new(
        method: Method,
        target: impl Into<Vec<u8>>,
        headers: Fields,
    ) -> Result<Self, BadTarget> {
        let target = target.into();
        let ends_it = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
        if target.is_empty() || target.iter().any(ends_it) {
            return Err(BadTarget);
        }
        Ok(Self { method, target, headers })
    }

    /// The head as it is sent, with its empty line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES_USUAL);
        for part in [self.method.as_str().as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"] {
            out.extend_from_slice(part);
        }
        for (name, value) in &self.headers {
            write_field(&mut out, name.as_str(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// Appends a field line.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_target_that_ends_the_line_early_is_refused() {
        for wrong in ["", "/a b", "/a\r\nx: y", "/a\n", "/\0", "/\t", "/\x7f"] {
            assert!(Request::new(Method::GET, wrong, Fields::new()).is_err(), "{wrong:?}");
        }
        assert!(Request::new(Method::GET, "/ü?a=\"<>\"", Fields::new()).is_ok());
    }

    proptest! {
        /// What another reader finds in the head is what was written.
        #[test]
        fn a_head_reads_as_it_was_written(
            target in "/[!-~]{0,20}",
            fields in prop::collection::vec(("[a-z0-9!#$%&'*+.^_`|~-]{1,12}", "[ -~]{0,20}"), 0..9),
        ) {
            let mut headers = Fields::new();
            for (name, value) in &fields {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
            }
            let out = Request::new(Method::PUT, target.as_str(), headers).unwrap().to_bytes();
            let mut found = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut found);
            prop_assert_eq!(request.parse(&out).unwrap(), httparse::Status::Complete(out.len()));
            prop_assert_eq!((request.method, request.path), (Some("PUT"), Some(target.as_str())));
            let read = request.headers.iter().map(|it| (it.name, it.value));
            let written = fields.iter().map(|(name, value)| (&**name, value.trim().as_bytes()));
            prop_assert!(read.eq(written));
        }
    }
}
