//! Why a body is refused, one variant for each answer of AWS.

use http::{HeaderName, StatusCode};

use super::answer::{AwsAnswer, answered};
use super::checksum::Algorithm;
use crate::s3::S3Error;

/// A body that is not what its head promised, or a promise that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Fewer or more bytes than promised, or an end in the middle of the framing.
    #[error("You did not provide the number of bytes specified by the Content-Length HTTP header")]
    IncompleteBody,
    /// `aws-chunked` without a usable `x-amz-decoded-content-length`.
    #[error("You must provide the Content-Length HTTP header.")]
    MissingContentLength,
    /// A chunk, or the trailing headers, with a signature of something else.
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
    /// A chunk longer than all of the content that was promised.
    #[error("A chunk is larger than the x-amz-decoded-content-length that you specified")]
    InvalidChunkSize {
        /// Which chunk, counted from 1.
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
    /// Content with another MD5 digest than `Content-MD5` says.
    #[error("The Content-MD5 you specified did not match what we received.")]
    Md5Mismatch {
        /// The digest sent, in base64.
        expected: String,
        /// The digest of what was received, in base64.
        calculated: String,
    },
    /// Content with another checksum than promised.
    #[error("The {0} you specified did not match the calculated checksum.")]
    ChecksumMismatch(Algorithm),
    /// Content with another SHA-256 digest than `x-amz-content-sha256` says.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    Sha256Mismatch {
        /// The digest sent, in hex.
        client: String,
        /// The digest of what was received, in hex.
        computed: String,
    },
    /// A header whose value cannot be understood.
    #[error("Value for {0} header is invalid.")]
    InvalidHeader(HeaderName),
    /// A trailing header whose value cannot be understood.
    #[error("Value for {0} trailing header is invalid.")]
    InvalidTrailer(HeaderName),
    /// Checksums by more than one algorithm.
    #[error("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")]
    SeveralChecksums,
    /// The name of a checksum's algorithm without the checksum.
    #[error(
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
         x-amz-trailer headers were found."
    )]
    MissingChecksum,
    /// A checksum by an algorithm that there is not.
    #[error("The algorithm type you specified in x-amz-checksum- header is invalid.")]
    UnknownChecksum,
    /// An `x-amz-checksum-algorithm` that there is not.
    #[error("Checksum algorithm provided is unsupported.")]
    UnsupportedAlgorithm,
    /// An `x-amz-trailer` that announces anything but a checksum, or that nothing can follow.
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

impl AwsAnswer for BodyError {
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
