//! The kind of payload that `x-amz-content-sha256` promises (AWS: Authenticating Requests: Using
//! the Authorization Header).

use http::{HeaderValue, header};

use super::auth_error::AuthError;
use super::mechanism::Mechanism;
use super::names::{UNSIGNED_PAYLOAD, X_AMZ_CONTENT_SHA256};
use super::signature::digest_from_hex;
use crate::http1::fields::Fields;
use crate::s3::RequestHead;

/// How the body is framed and how it is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// Unframed, with this SHA-256 digest.
    Digest([u8; 32]),
    /// Unframed, not covered by a signature.
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
    /// Parses a value of `x-amz-content-sha256`. Errors: [`AuthError::UnsupportedPayload`] for
    /// elliptic curves, [`AuthError::InvalidContentSha256`] for values that AWS does not know
    /// either.
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

    /// How the body of a request is framed. Two headers say it: `x-amz-content-sha256` (`said`, or
    /// its substitute) and `Content-Encoding`. Only this function compares them:
    ///
    /// - `STREAMING-*` means framed, whatever `Content-Encoding` says: some SDKs name no encoding;
    /// - a digest means unframed, and `aws-chunked` beside it describes the object;
    /// - `aws-chunked` beside `UNSIGNED-PAYLOAD`, sent or implied, is refused;
    /// - in an unsigned request without the header, `aws-chunked` means the framing without
    ///   signatures, as SDKs send it that do not sign.
    ///
    /// Errors: those of [`PayloadKind::parse`]; [`AuthError::InvalidContentSha256`] for signed
    /// chunks in an unsigned request or under Version 2, which has no framing;
    /// [`AuthError::ChunkedUnsigned`] as above (AWS: 400 `InvalidArgument`).
    pub fn of(
        mechanism: Mechanism,
        said: Option<&str>,
        headers: &Fields,
    ) -> Result<Self, AuthError> {
        let names_chunks = names_chunks(headers);
        let kind = match said {
            Some(value) => Self::parse(value)?,
            None if names_chunks && mechanism == Mechanism::Unsigned => Self::UnsignedChunksTrailer,
            None => Self::Unsigned,
        };
        let misplaced = match kind {
            Self::SignedChunks { .. } => {
                mechanism == Mechanism::Unsigned || mechanism.is_version_2()
            }
            Self::UnsignedChunksTrailer => mechanism.is_version_2(),
            Self::Unsigned if names_chunks => return Err(AuthError::ChunkedUnsigned),
            Self::Unsigned | Self::Digest(_) => false,
        };
        if misplaced {
            let value = said.unwrap_or_default().to_owned();
            return Err(AuthError::InvalidContentSha256 { value });
        }
        Ok(kind)
    }

    /// The same for a request whose signature, if it has one, is not checked here. Errors as for
    /// [`PayloadKind::of`], and for a repeated header.
    pub fn of_unproved(head: &RequestHead<'_>, mechanism: Mechanism) -> Result<Self, AuthError> {
        let in_header = head.headers.contains_key(X_AMZ_CONTENT_SHA256);
        let header = in_header.then(|| head.header(&X_AMZ_CONTENT_SHA256).unwrap_or_default());
        let in_query = || {
            let mut named = head.query.parameters();
            named.find(|(name, _)| name.eq_ignore_ascii_case(X_AMZ_CONTENT_SHA256.as_str()))
        };
        let in_query = if mechanism.is_presigned() { in_query() } else { None };
        let said = header.or_else(|| in_query.map(|(_, value)| value));
        Self::of(mechanism, said, head.headers)
    }

    /// Refuses a body whose headers contradict each other about its framing, since stores read such
    /// a body differently. Errors: [`AuthError::AmbiguousFraming`].
    pub fn check_unambiguous(self, headers: &Fields) -> Result<(), AuthError> {
        let says = names_chunks(headers) || headers.contains_key("x-amz-decoded-content-length");
        if says && !self.is_chunked() {
            return Err(AuthError::AmbiguousFraming);
        }
        Ok(())
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

/// Removes `aws-chunked` from `Content-Encoding` once the framing is removed; the other encodings
/// stay byte for byte (AWS does not store `aws-chunked` either, and keeps the rest).
pub fn unframe(headers: &mut Fields) {
    if !names_chunks(headers) {
        return;
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let codings = value.as_bytes().split(|byte| *byte == b',');
        kept.extend(codings.filter(|coding| !is_chunks(coding)));
    }
    let kept = kept.join(&b","[..]);
    match HeaderValue::from_bytes(kept.trim_ascii()) {
        Ok(left) if !left.is_empty() => headers.insert(header::CONTENT_ENCODING, left),
        _ => {
            headers.remove(header::CONTENT_ENCODING);
        }
    }
}

fn names_chunks(headers: &Fields) -> bool {
    let values = headers.get_all(header::CONTENT_ENCODING);
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(is_chunks)
}

fn is_chunks(coding: &[u8]) -> bool {
    coding.trim_ascii().eq_ignore_ascii_case(b"aws-chunked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::AwsError;
    use http::HeaderName;

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

    fn of(
        mechanism: Mechanism,
        sha256: Option<&str>,
        encodings: &[&'static str],
    ) -> Result<PayloadKind, (u16, &'static str)> {
        let mut headers = Fields::new();
        for value in encodings {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        PayloadKind::of(mechanism, sha256, &headers)
            .map_err(|error| (error.status().as_u16(), error.code()))
    }

    #[test]
    fn two_headers_say_together_how_a_body_is_framed() {
        use Mechanism::{Header, HeaderV2, Query, QueryV2, Unsigned};
        const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
        const TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
        let plain = Ok(PayloadKind::Unsigned);
        let refused = Err((400, "InvalidArgument"));
        let digest = PayloadKind::parse(DIGEST).map_err(|_| (0, ""));
        let signed = Ok(PayloadKind::SignedChunks { trailer: false });
        let trailer = Ok(PayloadKind::UnsignedChunksTrailer);
        for chunks in [
            &["aws-chunked"][..],
            &["AWS-Chunked"],
            &["gzip, aws-chunked"],
            &["aws-chunked,aws-chunked"],
            &["gzip", " aws-chunked "],
        ] {
            for mechanism in [Header, Query] {
                assert_eq!(of(mechanism, Some(UNSIGNED_PAYLOAD), chunks), refused, "{chunks:?}");
                assert_eq!(of(mechanism, Some(DIGEST), chunks), digest);
                assert_eq!(of(mechanism, Some(SIGNED), chunks), signed);
                assert_eq!(of(mechanism, Some(TRAILER), chunks), trailer);
            }
            for mechanism in [HeaderV2, QueryV2] {
                for sha256 in [None, Some(UNSIGNED_PAYLOAD), Some(SIGNED), Some(TRAILER)] {
                    assert_eq!(of(mechanism, sha256, chunks), refused, "{sha256:?}");
                }
                assert_eq!(of(mechanism, Some(DIGEST), chunks), digest);
            }
            assert_eq!(of(Unsigned, None, chunks), trailer, "as SDKs send it that do not sign");
            assert_eq!(of(Unsigned, Some(UNSIGNED_PAYLOAD), chunks), refused);
            assert_eq!(of(Unsigned, Some(SIGNED), chunks), refused);
        }
        for other in [&[][..], &["gzip"], &["aws-chunked-not", "deflate, gzip"]] {
            for mechanism in [Unsigned, Header, HeaderV2, Query, QueryV2] {
                assert_eq!(of(mechanism, None, other), plain);
                assert_eq!(of(mechanism, Some(UNSIGNED_PAYLOAD), other), plain);
            }
            assert_eq!(of(Header, Some(SIGNED), other), signed, "some SDKs name no encoding");
            assert_eq!(of(Unsigned, Some(TRAILER), other), trailer);
            assert_eq!(of(Unsigned, Some(SIGNED), other), refused);
            assert_eq!(of(QueryV2, Some(TRAILER), other), refused);
        }
    }

    #[test]
    fn where_the_store_reads_the_framing_itself_it_is_said_in_one_way() {
        let check = |kind: PayloadKind, name, value| {
            let headers = [(name, HeaderValue::from_static(value))].into_iter().collect();
            kind.check_unambiguous(&headers).map_err(|error| error.code())
        };
        let trailer = PayloadKind::UnsignedChunksTrailer;
        let decoded = HeaderName::from_static("x-amz-decoded-content-length");
        for kind in [PayloadKind::Unsigned, PayloadKind::Digest([0; 32])] {
            let refused = Err("InvalidArgument");
            assert_eq!(check(kind, header::CONTENT_ENCODING, "gzip,aws-chunked"), refused);
            assert_eq!(check(kind, decoded.clone(), "1"), refused);
            assert_eq!(check(kind, header::CONTENT_ENCODING, "gzip"), Ok(()));
        }
        assert_eq!(check(trailer, decoded, "1"), Ok(()));
    }

    #[test]
    fn framing_is_no_content_encoding_and_the_rest_stays_byte_for_byte() {
        for (values, left) in [
            (&[][..], None),
            (&["aws-chunked"], None),
            (&["aws-chunked,aws-chunked"], None),
            (&["aws-chunked,gzip"], Some("gzip")),
            (&["gzip, AWS-Chunked"], Some("gzip")),
            (&["aws-chunked, deflate, gzip"], Some("deflate, gzip")),
            (&["deflate, gzip"], Some("deflate, gzip")),
            (&["gzip, AWS-Chunked", "br"], Some("gzip,br")),
        ] {
            let mut headers = Fields::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            unframe(&mut headers);
            let stored = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap());
            assert_eq!(stored, left);
        }
    }
}
