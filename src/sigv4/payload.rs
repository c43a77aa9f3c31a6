//! What `x-amz-content-sha256` promises about the body (AWS: Authenticating Requests: Using the
//! Authorization Header).

use http::{HeaderMap, header};

use super::auth_error::AuthError;
use super::claim::X_AMZ_CONTENT_SHA256;
use super::signature::digest_from_hex;
use crate::s3::RequestHead;

/// How the body is framed and what vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// The body as it is, with this SHA-256 digest.
    Digest([u8; 32]),
    /// The body as it is, under no signature.
    Unsigned,
    /// `aws-chunked`, each chunk with a signature.
    SignedChunks {
        /// Whether signed trailing headers follow the last chunk.
        trailer: bool,
    },
    /// `aws-chunked` without signatures, followed by trailing headers.
    UnsignedChunksTrailer,
}

impl PayloadKind {
    /// Reads a value of `x-amz-content-sha256`. Errors: [`AuthError::UnsupportedPayload`] for
    /// elliptic curves, [`AuthError::InvalidContentSha256`] for what AWS does not know either.
    pub fn parse(value: &str) -> Result<Self, AuthError> {
        match value {
            UNSIGNED_PAYLOAD => Ok(Self::Unsigned),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::UnsignedChunksTrailer),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::SignedChunks { trailer: false }),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Ok(Self::SignedChunks { trailer: true })
            }
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
            | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                Err(AuthError::UnsupportedPayload { value: value.into() })
            }
            digest => digest_from_hex(digest.as_bytes())
                .map(Self::Digest)
                .ok_or_else(|| AuthError::InvalidContentSha256 { value: value.into() }),
        }
    }

    /// What the head of a request says whose signature, if it has one, is not checked here. Nothing
    /// need be said; a body marked `aws-chunked` is then the form without signatures, as SDKs send
    /// it that do not sign. Errors as for [`PayloadKind::parse`], and for a repeated header.
    pub fn of_unproved(head: &RequestHead<'_>) -> Result<Self, AuthError> {
        if head.headers.contains_key(X_AMZ_CONTENT_SHA256) {
            return Self::parse(head.header(&X_AMZ_CONTENT_SHA256).unwrap_or_default());
        }
        if let Some(value) = head.query_value("X-Amz-Content-Sha256") {
            return Self::parse(value);
        }
        let codings = head.headers.get_all(header::CONTENT_ENCODING).iter();
        let mut codings = codings.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
        let is_chunked = codings.any(|coding| coding.trim().eq_ignore_ascii_case("aws-chunked"));
        Ok(if is_chunked { Self::UnsignedChunksTrailer } else { Self::Unsigned })
    }

    /// The same for a request that nobody signed: signed chunks continue from no signature, and are
    /// refused like a digest that is none.
    pub fn of_anonymous(head: &RequestHead<'_>) -> Result<Self, AuthError> {
        match Self::of_unproved(head)? {
            Self::SignedChunks { .. } => Err(AuthError::InvalidContentSha256 {
                value: head.header(&X_AMZ_CONTENT_SHA256).unwrap_or_default().into(),
            }),
            kind => Ok(kind),
        }
    }

    /// Whether the body is wrapped in `aws-chunked` framing.
    pub fn is_chunked(self) -> bool {
        matches!(self, Self::SignedChunks { .. } | Self::UnsignedChunksTrailer)
    }

    /// Whether trailing headers follow the content.
    pub fn has_trailer(self) -> bool {
        matches!(self, Self::SignedChunks { trailer: true } | Self::UnsignedChunksTrailer)
    }
}

/// The `Content-Encoding` that is left once the framing is undone: the codings named, in order,
/// without `aws-chunked`. `None` when none is left (AWS does not store `aws-chunked` either).
pub fn stored_content_encoding(headers: &HeaderMap) -> Option<String> {
    let codings: Vec<&str> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!codings.is_empty()).then(|| codings.join(","))
}

/// The value of `x-amz-content-sha256` for a body that the signature does not cover.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::AwsAnswer;
    use http::{HeaderValue, Method};

    #[test]
    fn every_promise_that_aws_knows_is_read() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(matches!(PayloadKind::parse(digest), Ok(PayloadKind::Digest(d)) if d[0] == 0xe3));
        for (value, kind, chunked, trailer) in [
            ("UNSIGNED-PAYLOAD", PayloadKind::Unsigned, false, false),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", PayloadKind::UnsignedChunksTrailer, true, true),
            (
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                PayloadKind::SignedChunks { trailer: false },
                true,
                false,
            ),
            (
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                PayloadKind::SignedChunks { trailer: true },
                true,
                true,
            ),
        ] {
            assert_eq!(PayloadKind::parse(value), Ok(kind));
            assert_eq!((kind.is_chunked(), kind.has_trailer()), (chunked, trailer));
        }
    }

    #[test]
    fn other_promises_are_refused_with_the_answer_of_aws() {
        for (value, status, code) in [
            ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", 501, "NotImplemented"),
            ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", 501, "NotImplemented"),
            ("", 400, "InvalidArgument"),
            ("unsigned-payload", 400, "InvalidArgument"),
            ("e3b0c4", 400, "InvalidArgument"),
        ] {
            let error = PayloadKind::parse(value).expect_err(value);
            assert_eq!((error.status().as_u16(), error.code()), (status, code), "{value}");
        }
    }

    #[test]
    fn a_head_that_nobody_signed_may_say_nothing_and_promise_no_signature() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let head =
                RequestHead { method: &Method::PUT, path: "/", query: "", headers: &headers };
            PayloadKind::of_anonymous(&head).map_err(|error| error.code())
        };
        let sha256 = "x-amz-content-sha256";
        let trailer = PayloadKind::UnsignedChunksTrailer;
        assert_eq!(of(&[]), Ok(PayloadKind::Unsigned));
        assert_eq!(of(&[("content-encoding", "gzip, aws-chunked")]), Ok(trailer));
        assert_eq!(of(&[(sha256, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")]), Ok(trailer));
        for wrong in ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", "e3b0c4"] {
            assert_eq!(of(&[(sha256, wrong)]), Err("InvalidArgument"), "{wrong}");
        }
        let twice = [(sha256, UNSIGNED_PAYLOAD), (sha256, UNSIGNED_PAYLOAD)];
        assert_eq!(of(&twice), Err("InvalidArgument"));
    }

    #[test]
    fn framing_is_no_content_encoding() {
        for (values, left) in [
            (&[][..], None),
            (&["aws-chunked"], None),
            (&["aws-chunked,gzip"], Some("gzip")),
            (&["gzip, AWS-Chunked", "br"], Some("gzip,br")),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(stored_content_encoding(&headers).as_deref(), left);
        }
    }
}
