//! Authentication errors: one variant for each answer of AWS.

use http::StatusCode;

use super::date::AmzDate;
use super::error::{AwsError, answered};
use crate::s3::S3Error;

/// A request that is not authenticated. Only [`AuthError::Anonymous`] is no fault: the request is
/// not signed, and the caller decides whether that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` header and no signature in the query.
    #[error("Access Denied")]
    Anonymous,
    /// Signature Version 2 where it is not accepted, or Version 4 with elliptic curves.
    #[error(
        "The authorization mechanism you have provided is not supported. \
         Please use AWS4-HMAC-SHA256."
    )]
    UnsupportedMechanism,
    /// An `Authorization` header of another scheme, or several of them.
    #[error("Unsupported Authorization Type")]
    UnsupportedScheme {
        /// The scheme; what follows it may be a password and is not kept.
        scheme: String,
    },
    /// A header and a query that both claim to authenticate the request.
    #[error(
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature \
         query string parameter or the Authorization header should be specified"
    )]
    SeveralMechanisms,
    /// An `Authorization` header with missing or invalid parts.
    #[error("The authorization header is malformed; {message}")]
    AuthorizationHeaderMalformed {
        /// What is wrong, in AWS's words.
        message: String,
        /// The region that this server expects, when the region is the fault.
        region: Option<String>,
    },
    /// A presigned query with missing or invalid parts.
    #[error("{message}")]
    AuthorizationQueryParametersError {
        /// What is wrong, in AWS's words.
        message: String,
        /// The region that this server expects, when the region is the fault.
        region: Option<String>,
    },
    /// No usable `x-amz-date` or `Date`.
    #[error("AWS authentication requires a valid Date or x-amz-date header")]
    MissingDate,
    /// No `x-amz-content-sha256` beside an `Authorization` header.
    #[error("Missing required header for this request: x-amz-content-sha256")]
    MissingContentSha256,
    /// An `x-amz-content-sha256` that is neither a digest nor a known keyword.
    #[error(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
         STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
         STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, \
         STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value."
    )]
    InvalidContentSha256 {
        /// The value.
        value: String,
    },
    /// A body framed in a way that AWS knows and this module does not.
    #[error("A header you provided implies functionality that is not implemented")]
    UnsupportedPayload {
        /// The value of `x-amz-content-sha256`.
        value: String,
    },
    /// `aws-chunked` as the encoding of a body that is declared as neither framed nor digested.
    #[error(
        "aws-chunked encoding is not supported when x-amz-content-sha256 UNSIGNED-PAYLOAD is \
         supplied"
    )]
    ChunkedUnsigned,
    /// Headers that contradict each other about the body's framing, in a request that the store
    /// reads itself.
    #[error("The headers of this request do not agree on whether its body is aws-chunked")]
    AmbiguousFraming,
    /// A parameter of a presigned query that stands for a header and is not a valid value of it, or
    /// that contradicts the header.
    #[error(
        "A query parameter that stands for a header is no header's value, or contradicts the header"
    )]
    HeaderInQuery {
        /// The header's name.
        name: String,
    },
    /// A parameter that would turn a presigned request into another operation, in the query of a
    /// request that is not presigned.
    #[error("A header you provided implies functionality that is not implemented")]
    OnlyWherePresigned {
        /// The parameter, in lower case.
        name: String,
    },
    /// An `Authorization` header of Version 2 with missing or invalid parts.
    #[error("AWS authorization header is invalid.  Expected AwsAccessKeyId:signature")]
    InvalidHeaderV2 {
        /// What follows the scheme.
        value: String,
    },
    /// A presigned query of Version 2 with parts missing or repeated.
    #[error(
        "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
    )]
    IncompleteQueryV2,
    /// A presigned query of Version 2 whose expiry is not a time.
    #[error("Invalid date (should be seconds since epoch): {value}")]
    InvalidExpiresV2 {
        /// The value.
        value: String,
    },
    /// A subresource that Version 2 does not sign: anyone who gets hold of the request could add
    /// it.
    #[error("Signature Version 2 does not cover this subresource. Please use AWS4-HMAC-SHA256.")]
    NotCoveredByV2 {
        /// The subresource.
        name: String,
    },
    /// An unknown access key.
    #[error("The AWS Access Key Id you provided does not exist in our records.")]
    InvalidAccessKeyId {
        /// The access key.
        access_key_id: String,
    },
    /// A session token that does not belong to the access key.
    #[error("The provided token is malformed or otherwise invalid.")]
    InvalidToken,
    /// A signature made at a time too far from now.
    #[error("The difference between the request time and the current time is too large.")]
    RequestTimeTooSkewed {
        /// The signing time by the client.
        request_time: AmzDate,
        /// Now.
        server_time: AmzDate,
        /// How far apart they may be, in milliseconds.
        max_allowed_skew_ms: u32,
    },
    /// An expired presigned request.
    #[error("Request has expired")]
    Expired {
        /// How long it was valid, in seconds, where the request says that (Version 4).
        expires_seconds: Option<u32>,
        /// When it expired.
        expires_at: AmzDate,
        /// Now.
        server_time: AmzDate,
    },
    /// A presigned request that is not valid yet.
    #[error("Request is not valid yet")]
    NotYetValid {
        /// The signing time by the client.
        request_time: AmzDate,
        /// Until when it is valid.
        expires_at: AmzDate,
        /// Now.
        server_time: AmzDate,
    },
    /// `host` or an `x-amz-*` header that is not signed, so that anything on the way could have
    /// added or changed it.
    #[error("There were headers present in the request which were not signed")]
    HeadersNotSigned {
        /// The headers' names.
        names: Vec<String>,
    },
    /// A wrong signature: of another text, or with another secret.
    #[error(
        "The request signature we calculated does not match the signature you provided. \
         Check your key and signing method."
    )]
    SignatureDoesNotMatch(Box<Mismatch>),
}

/// What a client needs to find out why its signature differs from the expected one. All of it comes
/// from the client's own request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The access key.
    pub access_key_id: String,
    /// The expected string to sign.
    pub string_to_sign: String,
    /// The signature as sent.
    pub signature_provided: String,
    /// The request in canonical form; empty for Version 2, which has none.
    pub canonical_request: String,
}

impl AuthError {
    fn row(&self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        match self {
            Self::UnsupportedMechanism
            | Self::MissingContentSha256
            | Self::NotCoveredByV2 { .. } => (BAD, "InvalidRequest"),
            Self::UnsupportedScheme { .. }
            | Self::SeveralMechanisms
            | Self::ChunkedUnsigned
            | Self::AmbiguousFraming
            | Self::HeaderInQuery { .. }
            | Self::InvalidHeaderV2 { .. }
            | Self::InvalidContentSha256 { .. } => (BAD, "InvalidArgument"),
            Self::AuthorizationHeaderMalformed { .. } => (BAD, "AuthorizationHeaderMalformed"),
            Self::AuthorizationQueryParametersError { .. } => {
                (BAD, "AuthorizationQueryParametersError")
            }
            Self::InvalidToken => (BAD, "InvalidToken"),
            Self::UnsupportedPayload { .. } | Self::OnlyWherePresigned { .. } => {
                (StatusCode::NOT_IMPLEMENTED, "NotImplemented")
            }
            Self::Anonymous
            | Self::MissingDate
            | Self::IncompleteQueryV2
            | Self::InvalidExpiresV2 { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::HeadersNotSigned { .. } => (FORBIDDEN, "AccessDenied"),
            Self::InvalidAccessKeyId { .. } => (FORBIDDEN, "InvalidAccessKeyId"),
            Self::RequestTimeTooSkewed { .. } => (FORBIDDEN, "RequestTimeTooSkewed"),
            Self::SignatureDoesNotMatch(_) => (FORBIDDEN, "SignatureDoesNotMatch"),
        }
    }
}

impl From<AuthError> for S3Error {
    fn from(error: AuthError) -> Self {
        answered(&error)
    }
}

impl AwsError for AuthError {
    fn status(&self) -> StatusCode {
        self.row().0
    }

    fn code(&self) -> &'static str {
        self.row().1
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Anonymous
            | Self::UnsupportedMechanism
            | Self::SeveralMechanisms
            | Self::MissingDate
            | Self::MissingContentSha256
            | Self::IncompleteQueryV2
            | Self::InvalidExpiresV2 { .. }
            | Self::InvalidToken => Vec::new(),
            Self::UnsupportedScheme { scheme } => argument("Authorization", scheme),
            Self::InvalidHeaderV2 { value } => argument("Authorization", value),
            Self::ChunkedUnsigned | Self::AmbiguousFraming => {
                argument("Content-Encoding", "aws-chunked")
            }
            Self::HeaderInQuery { name } | Self::NotCoveredByV2 { name } => {
                vec![("ArgumentName", name.clone())]
            }
            Self::InvalidContentSha256 { value } => argument("x-amz-content-sha256", value),
            Self::AuthorizationHeaderMalformed { region, .. }
            | Self::AuthorizationQueryParametersError { region, .. } => {
                region.iter().map(|region| ("Region", region.clone())).collect()
            }
            Self::OnlyWherePresigned { name } => vec![
                ("Header", name.clone()),
                (
                    "additionalMessage",
                    "In a query it is understood where the signature stands there too".into(),
                ),
            ],
            Self::UnsupportedPayload { value } => {
                vec![
                    ("Header", "x-amz-content-sha256".into()),
                    ("additionalMessage", value.clone()),
                ]
            }
            Self::InvalidAccessKeyId { access_key_id } => {
                vec![("AWSAccessKeyId", access_key_id.clone())]
            }
            Self::RequestTimeTooSkewed { request_time, server_time, max_allowed_skew_ms } => vec![
                ("RequestTime", request_time.to_string()),
                ("ServerTime", server_time.to_iso8601()),
                ("MaxAllowedSkewMilliseconds", max_allowed_skew_ms.to_string()),
            ],
            Self::Expired { expires_seconds, expires_at, server_time } => {
                let seconds = expires_seconds.map(|seconds| ("X-Amz-Expires", seconds.to_string()));
                let at = [
                    ("Expires", expires_at.to_iso8601()),
                    ("ServerTime", server_time.to_iso8601()),
                ];
                seconds.into_iter().chain(at).collect()
            }
            Self::NotYetValid { request_time, expires_at, server_time } => vec![
                ("X-Amz-Date", request_time.to_string()),
                ("Expires", expires_at.to_iso8601()),
                ("ServerTime", server_time.to_iso8601()),
            ],
            Self::HeadersNotSigned { names } => vec![("HeadersNotSigned", names.join(", "))],
            Self::SignatureDoesNotMatch(mismatch) => mismatch.fields(),
        }
    }
}

impl Mismatch {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("AWSAccessKeyId", self.access_key_id.clone()),
            ("StringToSign", self.string_to_sign.clone()),
            ("SignatureProvided", self.signature_provided.clone()),
            ("StringToSignBytes", spaced_hex(&self.string_to_sign)),
        ];
        // Only Version 4 has one.
        if !self.canonical_request.is_empty() {
            fields.push(("CanonicalRequest", self.canonical_request.clone()));
            fields.push(("CanonicalRequestBytes", spaced_hex(&self.canonical_request)));
        }
        fields
    }
}

fn argument(name: &str, value: &str) -> Vec<(&'static str, String)> {
    vec![("ArgumentName", name.into()), ("ArgumentValue", value.into())]
}

/// A text's bytes as AWS shows them: two hex digits each, separated by spaces.
fn spaced_hex(text: &str) -> String {
    let digits = hex::encode(text);
    let mut spaced = String::with_capacity(digits.len() / 2 * 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && i % 2 == 0 {
            spaced.push(' ');
        }
        spaced.push(digit);
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_spaced_hex() {
        assert_eq!(spaced_hex(""), "");
        assert_eq!(spaced_hex("A\nz"), "41 0a 7a");
    }

    #[test]
    fn a_skewed_clock_is_told_both_times() {
        let error = AuthError::RequestTimeTooSkewed {
            request_time: AmzDate::from_unix(0),
            server_time: AmzDate::from_unix(1_369_353_600),
            max_allowed_skew_ms: 900_000,
        };
        assert_eq!((error.status().as_u16(), error.code()), (403, "RequestTimeTooSkewed"));
        assert_eq!(
            error.fields(),
            [
                ("RequestTime", "19700101T000000Z".to_owned()),
                ("ServerTime", "2013-05-24T00:00:00Z".to_owned()),
                ("MaxAllowedSkewMilliseconds", "900000".to_owned()),
            ]
        );
    }
}
