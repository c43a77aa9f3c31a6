//! Percent-encoding as AWS defines it for paths and queries (AWS: Create a signed request,
//! `UriEncode`): everything but `A-Z a-z 0-9 - . _ ~` is encoded, in upper-case hex.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Encodes an object key for a path; `/` stays as it is.
pub fn encode_path(key: &str) -> String {
    Cow::from(utf8_percent_encode(key, PATH)).into_owned()
}

/// Encodes a query name or value, `/` included.
pub fn encode_query(text: &str) -> String {
    Cow::from(utf8_percent_encode(text, QUERY)).into_owned()
}

/// Decodes a path once. `+` stays `+` here, unlike in a query ([`decode_query`]). `None` when a `%`
/// is not followed by two hex digits or the bytes are not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if memchr(b'%', bytes).is_none() {
        return Some(text.to_owned());
    }
    let hex = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
    let whole =
        bytes.iter().enumerate().all(|(i, byte)| *byte != b'%' || (hex(i + 1) && hex(i + 2)));
    if !whole {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// Decodes a name or value of a query, or a copy's source, once: as [`decode`] does, but `+` is a
/// space, as AWS reads both. A plus is spelled `%2B` there. `None` as for [`decode`].
pub fn decode_query(text: &str) -> Option<String> {
    if text.contains('+') { decode(&text.replace('+', "%20")) } else { decode(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_in_a_query_is_a_space() {
        for (sent, meant) in [("a+b", "a b"), ("a%20b", "a b"), ("a%2Bb", "a+b"), ("+%2b+", " + ")]
        {
            assert_eq!(decode_query(sent).as_deref(), Some(meant));
            assert_eq!(decode_query(&encode_query(meant)).as_deref(), Some(meant));
        }
        assert_eq!(decode("a+b").as_deref(), Some("a+b"), "in a path it is itself");
        assert_eq!(decode_query("+%zz"), None);
    }

    #[test]
    fn decoding_undoes_encoding_and_refuses_broken_escapes() {
        for text in ["", "a b", "a/b", "é=&?%", "a+b", "~-._"] {
            assert_eq!(decode(&encode_path(text)).as_deref(), Some(text));
            assert_eq!(decode(&encode_query(text)).as_deref(), Some(text));
        }
        for broken in ["%", "%4", "%zz", "a%2", "%C3", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
        assert_eq!(encode_path("a b/ü+"), "a%20b/%C3%BC%2B");
        assert_eq!(encode_query("a/b"), "a%2Fb");
    }
}
