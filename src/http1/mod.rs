//! HTTP/1.1 as it stands on the wire (RFC 9112), as functions of bytes: no IO, no clock, no Pingora.

pub mod answer;
pub mod chunks;
pub mod pace;

use http::{HeaderMap, Version, header};

/// How a request says where its body ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It has none.
    Nothing,
    /// After this many bytes.
    Length(u64),
    /// Where its last chunk does.
    Chunked,
}

/// Whether another request may follow on the connection of this one (RFC 9112 §9.3): `close` says
/// no, whatever stands beside it; without it HTTP/1.1 says yes, and HTTP/1.0 where `keep-alive` asks
/// for it.
pub fn persists(version: Version, headers: &HeaderMap) -> bool {
    let options = headers.get_all(header::CONNECTION);
    let has = |wanted: &str| {
        options
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    !has("close") && (version == Version::HTTP_11 || has("keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_persists_as_rfc_9112_9_3_has_it() {
        for (version, lines, expected) in [
            (Version::HTTP_11, &[][..], true),
            (Version::HTTP_11, &["keep-alive"], true),
            (Version::HTTP_11, &["close"], false),
            (Version::HTTP_11, &["close, keep-alive"], false),
            (Version::HTTP_11, &["keep-alive , Close"], false),
            (Version::HTTP_11, &["keep-alive", "x, close"], false),
            (Version::HTTP_11, &["closed"], true),
            (Version::HTTP_10, &[], false),
            (Version::HTTP_10, &["Keep-Alive"], true),
            (Version::HTTP_10, &["x", "keep-alive"], true),
            (Version::HTTP_10, &["keep-alive", "close"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONNECTION, line.parse().unwrap());
            }
            assert_eq!(persists(version, &headers), expected, "{version:?} {lines:?}");
        }
    }
}
