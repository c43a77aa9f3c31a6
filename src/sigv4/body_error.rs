//! Body errors: one variant for each answer of AWS.

use http::{HeaderName, StatusCode};

use super::checksum::Algorithm;
use super::error::{AwsError, answered};
use crate::s3::S3Error;

/// A body that breaks a promise in its head, or a promise that is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Fewer or more bytes than promised, or an end inside the framing.
    #[error("You did not provide the number of bytes specified by the Content-Length HTTP header")]
    IncompleteBody,
    /// `aws-chunked` without a usable `x-amz-decoded-content-length`.
    #[error("You must provide the Content-Length HTTP header.")]
    MissingContentLength,
    /// A chunk, or the trailing headers, with a wrong signature.
    #[error(
        "The request signature we calculated does not match the signature you provided. \
         Check your key and signing method."
    )]
    SignatureDoesNotMatch {
        /// The signature as sent.
        provided: String,
    },
    /// Framing that is not `aws-chunked`.
    #[error("The aws-chunked encoding of the body is malformed: {0}")]
    MalformedChunk(&'static str),
    /// A chunk longer than the whole promised content.
    #[error("A chunk is larger than the x-amz-decoded-content-length that you specified")]
    InvalidChunkSize {
        /// The number of the chunk, from 1.
        chunk: u64,
        /// Its size as sent, in hex.
        size: String,
    },
    /// Trailing headers that are malformed, were not announced, or are missing.
    #[error(
        "The request contained trailing data that was not well-formed or did not conform to our \
         published schema."
    )]
    MalformedTrailer,
    /// A `Content-MD5` that is not the base64 of 16 bytes.
    #[error("The Content-MD5 you specified is not valid.")]
    InvalidMd5 {
        /// The value.
        value: String,
    },
    /// Content whose MD5 digest differs from `Content-MD5`.
    #[error("The Content-MD5 you specified did not match what we received.")]
    Md5Mismatch {
        /// The digest sent, in base64.
        expected: String,
        /// The digest of what was received, in base64.
        calculated: String,
    },
    /// Content whose checksum differs from the promised one.
    #[error("The {0} you specified did not match the calculated checksum.")]
    ChecksumMismatch(Algorithm),
    /// Content whose SHA-256 digest differs from `x-amz-content-sha256`.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    Sha256Mismatch {
        /// The digest sent, in hex.
        client: String,
        /// The digest of what was received, in hex.
        computed: String,
    },
    /// A header with an invalid value.
    #[error("Value for {0} header is invalid.")]
    InvalidHeader(HeaderName),
    /// A trailing header with an invalid value.
    #[error("Value for {0} trailing header is invalid.")]
    InvalidTrailer(HeaderName),
    /// Checksums by more than one algorithm.
    #[error("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")]
    SeveralChecksums,
    /// A checksum algorithm without its checksum.
    #[error(
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
         x-amz-trailer headers were found."
    )]
    MissingChecksum,
    /// A checksum with an unknown algorithm.
    #[error("The algorithm type you specified in x-amz-checksum- header is invalid.")]
    UnknownChecksum,
    /// An `x-amz-checksum-algorithm` with an unknown algorithm.
    #[error("Checksum algorithm provided is unsupported.")]
    UnsupportedAlgorithm,
    /// An `x-amz-trailer` that names anything but a checksum, or in a body that cannot have
    /// trailers.
    #[error("The value specified in the x-amz-trailer header is not supported")]
    UnsupportedTrailer,
}

impl BodyError {
    fn row(&self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::IncompleteBody => (BAD, "IncompleteBody"),
            Self::MissingContentLength => (StatusCode::LENGTH_REQUIRED, "MissingContentLength"),
            Self::SignatureDoesNotMatch { .. } => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
            Self::InvalidChunkSize { .. } => (StatusCode::FORBIDDEN, "InvalidChunkSizeError"),
            Self::MalformedTrailer => (BAD, "MalformedTrailerError"),
            Self::InvalidMd5 { .. } => (BAD, "InvalidDigest"),
            Self::Md5Mismatch { .. } | Self::ChecksumMismatch(_) => (BAD, "BadDigest"),
            Self::Sha256Mismatch { .. } => (BAD, "XAmzContentSHA256Mismatch"),
            Self::MalformedChunk(_)
            | Self::InvalidHeader(_)
            | Self::InvalidTrailer(_)
            | Self::SeveralChecksums
            | Self::MissingChecksum
            | Self::UnknownChecksum
            | Self::UnsupportedAlgorithm
            | Self::UnsupportedTrailer => (BAD, "InvalidRequest"),
        }
    }
}

impl From<BodyError> for S3Error {
    fn from(error: BodyError) -> Self {
        answered(&error)
    }
}

impl AwsError for BodyError {
    fn status(&self) -> StatusCode {
        self.row().0
    }

    fn code(&self) -> &'static str {
        self.row().1
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::IncompleteBody
            | Self::MissingContentLength
            | Self::MalformedChunk(_)
            | Self::MalformedTrailer
            | Self::ChecksumMismatch(_)
            | Self::InvalidHeader(_)
            | Self::InvalidTrailer(_)
            | Self::SeveralChecksums
            | Self::MissingChecksum
            | Self::UnknownChecksum
            | Self::UnsupportedAlgorithm
            | Self::UnsupportedTrailer => Vec::new(),
            Self::SignatureDoesNotMatch { provided } => {
                vec![("SignatureProvided", provided.clone())]
            }
            Self::InvalidChunkSize { chunk, size } => {
                vec![("Chunk", chunk.to_string()), ("BadChunkSize", size.clone())]
            }
            Self::InvalidMd5 { value } => vec![("Content-MD5", value.clone())],
            Self::Md5Mismatch { expected, calculated } => {
                vec![("ExpectedDigest", expected.clone()), ("CalculatedDigest", calculated.clone())]
            }
            Self::Sha256Mismatch { client, computed } => vec![
                ("ClientComputedContentSHA256", client.clone()),
                ("S3ComputedContentSHA256", computed.clone()),
            ],
        }
    }
}
