//! HTTP/1.1 on the wire (RFC 9112), as functions of bytes: no IO, no clock, no Pingora.

pub mod answer;
pub mod answer_head;
pub mod body;
pub mod chunks;
pub mod fields;
pub mod names;
pub mod pace;
pub mod request;

use crate::http1::fields::Fields;
use http::{StatusCode, Version, header};

/// Where the body of a request ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Nothing,
    /// After this many bytes.
    Length(u64),
    /// After its last chunk.
    Chunked,
}

/// Whether an answer with this status has no content, and does not say its length (RFC 9110 §8.6,
/// §15.3.5, §15.4.5).
pub fn has_no_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whether another request may follow on this connection (RFC 9112 §9.3): not after `close`,
/// whatever else the header says; without `close`, yes for HTTP/1.1, and for HTTP/1.0 only with
/// `keep-alive`.
pub fn persists(version: Version, headers: &Fields) -> bool {
    let has = |wanted: &str| {
        headers
            .get_all(header::CONNECTION)
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
            let mut headers = Fields::new();
            for line in lines {
                headers.append(header::CONNECTION, line.parse().unwrap());
            }
            assert_eq!(persists(version, &headers), expected, "{version:?} {lines:?}");
        }
    }
}
