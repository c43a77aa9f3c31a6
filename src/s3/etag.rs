//! Entity tags as S3 compares them: opaque bytes, without their quotes.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;

/// An ETag without its quotes; a weak one, `W/"…"` (RFC 9110 §8.8.3), with all its characters. Two
/// ETags are equal when all their bytes are (AWS removes one pair of double quotes on both sides,
/// and knows no weak ETags). Never computed from content: the ETag of a multipart or encrypted
/// object is not a digest.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ETag(Bytes);

impl ETag {
    /// Parses a header or element value: outer white space and one pair of double quotes are
    /// removed, everything else stays. So a list is a string that equals no stored ETag, and
    /// `W/"…"` equals itself.
    pub fn parse(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        Self(Bytes::copy_from_slice(bare))
    }

    /// The bytes between the quotes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is weak: then it means equivalent content, not equal bytes.
    pub fn is_weak(&self) -> bool {
        self.opaque().len() < self.0.len()
    }

    /// The part that weak comparison compares (RFC 9110 §8.8.3.2).
    pub fn opaque(&self) -> &[u8] {
        let inside = self.0.strip_prefix(b"W/\"").and_then(|rest| rest.strip_suffix(b"\""));
        inside.unwrap_or(&self.0)
    }

    /// As in answers: with double quotes, a weak ETag as it is.
    pub fn quoted(&self) -> Bytes {
        if self.is_weak() {
            return self.0.clone();
        }
        [b"\"", self.as_bytes(), b"\""].concat().into()
    }

    /// The quoted form as a header value; `None` when the bytes cannot stand in a header.
    pub fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(self.quoted()).ok()
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.quoted()))
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ETag({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_of_quotes_is_no_part_of_the_tag() {
        for (value, bare) in [
            ("\"abc\"", "abc"),
            ("abc", "abc"),
            (" \"abc-2\"\t", "abc-2"),
            ("\"\"abc\"\"", "\"abc\""),
            ("\"abc", "\"abc"),
            ("\"", "\""),
            ("\"\"", ""),
            ("W/\"abc\"", "W/\"abc\""),
        ] {
            assert_eq!(ETag::parse(value.as_bytes()).as_bytes(), bare.as_bytes(), "{value}");
        }
    }

    #[test]
    fn comparison_is_exact() {
        let stored = ETag::parse(b"\"abc\"");
        assert_eq!(stored, ETag::parse(b"abc"));
        for other in ["ABC", "W/\"abc\"", "\"abc\", \"def\"", "\"\"abc\"\"", ""] {
            assert_ne!(stored, ETag::parse(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_weak_one_is_quoted_as_it_came_and_no_more() {
        for value in ["W/\"abc\"", "\"W/\"abc\"\"", " W/\"abc\" "] {
            let etag = ETag::parse(value.as_bytes());
            assert!(etag.is_weak());
            assert_eq!(etag.header_value().unwrap(), "W/\"abc\"", "{value}");
            assert_eq!((etag.to_string().as_str(), etag.opaque()), ("W/\"abc\"", &b"abc"[..]));
            assert_ne!(etag, ETag::parse(b"abc"));
        }
        for value in ["abc", "W/abc", "W/\"", "W/", "w/\"abc\""] {
            let etag = ETag::parse(value.as_bytes());
            assert!(!etag.is_weak(), "{value}");
            assert_eq!(etag.quoted(), format!("\"{value}\""));
        }
        // Empty between its quotes, and still weak.
        assert!(ETag::parse(b"W/\"\"").is_weak());
    }

    #[test]
    fn quoted_goes_into_a_header_unless_it_cannot() {
        assert_eq!(ETag::parse(b"abc").header_value().unwrap(), "\"abc\"");
        assert_eq!(ETag::parse(b"a\nb").header_value(), None);
        assert_eq!(ETag::parse(b"abc").to_string(), "\"abc\"");
    }
}
