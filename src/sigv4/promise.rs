//! The promises of a request's head about its body.

use std::str::FromStr;

use http::{HeaderName, Method, header};

use super::accepted::Authenticated;
use super::body_error::BodyError;
use super::checksum::Algorithm;
use super::chunk_chain::ChunkSeed;
use super::payload::PayloadKind;
use crate::http1::fields::Fields;
use crate::s3::RequestHead;
use crate::s3::decimal::decimal;

/// The promises of the head about the body; [`super::BodyCheck`] verifies them.
#[derive(Debug, Clone)]
pub struct BodyPromise {
    /// How the body is framed; for [`PayloadKind::Digest`] also its SHA-256.
    pub payload: PayloadKind,
    /// The length of the content in bytes, without framing. `None` when the head does not say it
    /// (`Transfer-Encoding: chunked`).
    pub length: Option<u64>,
    /// `Content-MD5`.
    pub content_md5: Option<[u8; 16]>,
    /// The checksum; there may be one at most.
    pub checksum: Option<PromisedChecksum>,
    /// `None`: the chunks' signatures, if there are any, cannot be checked here.
    pub(super) seed: Option<ChunkSeed>,
}

/// A checksum that was sent or announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromisedChecksum {
    /// Sent in a header.
    Header {
        /// The algorithm.
        algorithm: Algorithm,
        /// The checksum's bytes.
        value: Vec<u8>,
    },
    /// Announced by `x-amz-trailer`.
    Trailer(Algorithm),
}

impl PromisedChecksum {
    /// The algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Header { algorithm, .. } | Self::Trailer(algorithm) => *algorithm,
        }
    }
}

impl BodyPromise {
    /// Collects the promises. Errors: a malformed promise, or one that contradicts another.
    pub fn from_head(
        head: &RequestHead<'_>,
        authenticated: &Authenticated,
    ) -> Result<Self, BodyError> {
        Self::collect(head, authenticated.payload, authenticated.seed.clone())
    }

    /// The promises of a head that was not authenticated: all but the signatures of chunks can be
    /// verified. Errors as for [`BodyPromise::from_head`].
    pub fn of_unproved(head: &RequestHead<'_>, payload: PayloadKind) -> Result<Self, BodyError> {
        Self::collect(head, payload, None)
    }

    /// Refuses a body whose head names a checksum algorithm but has no checksum, in a header or as
    /// a trailer (AWS: PutObject, `x-amz-sdk-checksum-algorithm`).
    pub fn check_announced(&self, headers: &Fields) -> Result<(), BodyError> {
        let announced = headers.contains_key(X_AMZ_SDK_CHECKSUM_ALGORITHM);
        if announced && self.checksum.is_none() {
            return Err(BodyError::MissingChecksum);
        }
        Ok(())
    }

    fn collect(
        head: &RequestHead<'_>,
        payload: PayloadKind,
        seed: Option<ChunkSeed>,
    ) -> Result<Self, BodyError> {
        let checksum = promised_checksum(head, payload)?;
        check_sdk_algorithm(head.headers, checksum.as_ref())?;
        check_choices(head.headers)?;
        Ok(Self {
            payload,
            length: length(head.headers, payload)?,
            content_md5: content_md5(head.headers)?,
            checksum,
            seed,
        })
    }
}

fn length(headers: &Fields, payload: PayloadKind) -> Result<Option<u64>, BodyError> {
    if payload.is_chunked() {
        let length = single(headers, &X_AMZ_DECODED_CONTENT_LENGTH)?;
        let length = length.ok_or(BodyError::MissingContentLength)?;
        let length =
            decimal(length).ok_or(BodyError::InvalidHeader(X_AMZ_DECODED_CONTENT_LENGTH))?;
        return Ok(Some(length));
    }
    let Some(length) = single(headers, &header::CONTENT_LENGTH)? else { return Ok(None) };
    decimal(length).map(Some).ok_or(BodyError::InvalidHeader(header::CONTENT_LENGTH))
}

fn content_md5(headers: &Fields) -> Result<Option<[u8; 16]>, BodyError> {
    let Some(value) = single(headers, &CONTENT_MD5)? else { return Ok(None) };
    let digest = Algorithm::Md5.decode(value).and_then(|bytes| bytes.try_into().ok());
    digest.map(Some).ok_or_else(|| BodyError::InvalidMd5 { value: value.into() })
}

fn promised_checksum(
    head: &RequestHead<'_>,
    payload: PayloadKind,
) -> Result<Option<PromisedChecksum>, BodyError> {
    let mut promised = Vec::new();
    // The checksum in a CompleteMultipartUpload is about the object, not about the request's body.
    let completes = head.method == Method::POST && head.query.has("uploadId");
    let names = head.headers.iter().map(|(name, _)| name).filter(|_| !completes);
    for algorithm in names.filter_map(Algorithm::from_header) {
        let header = algorithm.header();
        let value = single(head.headers, &header)?.unwrap_or_default();
        let value = algorithm.decode(value).ok_or(BodyError::InvalidHeader(header))?;
        promised.push(PromisedChecksum::Header { algorithm, value });
    }
    if let Some(announced) = single(head.headers, &X_AMZ_TRAILER)? {
        for name in announced.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name = HeaderName::from_str(name).ok();
            let algorithm = name.as_ref().and_then(Algorithm::from_header);
            let algorithm = algorithm.filter(|_| payload.has_trailer());
            let algorithm = algorithm.ok_or(BodyError::UnsupportedTrailer)?;
            promised.push(PromisedChecksum::Trailer(algorithm));
        }
    }
    match promised.len() {
        0 | 1 => Ok(promised.pop()),
        _ => Err(BodyError::SeveralChecksums),
    }
}

/// `x-amz-sdk-checksum-algorithm` must not contradict the checksum itself. Whether it may occur
/// without a checksum depends on the operation ([`BodyPromise::check_announced`]).
fn check_sdk_algorithm(
    headers: &Fields,
    checksum: Option<&PromisedChecksum>,
) -> Result<(), BodyError> {
    match (single(headers, &X_AMZ_SDK_CHECKSUM_ALGORITHM)?, checksum) {
        (Some(said), Some(checksum))
            if Algorithm::from_name(said) != Some(checksum.algorithm()) =>
        {
            Err(BodyError::InvalidHeader(X_AMZ_SDK_CHECKSUM_ALGORITHM))
        }
        _ => Ok(()),
    }
}

/// The algorithm of the checksum that a store has to compute or compare must exist (AWS:
/// CreateMultipartUpload, CopyObject, CompleteMultipartUpload).
fn check_choices(headers: &Fields) -> Result<(), BodyError> {
    for (name, _) in headers {
        let Some(what) = name.as_str().strip_prefix("x-amz-checksum-") else { continue };
        let value = single(headers, name)?.unwrap_or_default();
        match what {
            "algorithm" if Algorithm::from_name(value).is_none() => {
                return Err(BodyError::UnsupportedAlgorithm);
            }
            "type" if !matches!(value, "COMPOSITE" | "FULL_OBJECT") => {
                return Err(BodyError::InvalidHeader(name.clone()));
            }
            "algorithm" | "mode" | "type" => {}
            _ => {
                let algorithm = Algorithm::from_header(name).ok_or(BodyError::UnknownChecksum)?;
                // For an object in parts, the number of parts may follow.
                let (digest, parts) = value.rsplit_once('-').unwrap_or((value, "1"));
                if algorithm.decode(digest).is_none() || decimal::<u64>(parts).is_none() {
                    return Err(BodyError::InvalidHeader(name.clone()));
                }
            }
        }
    }
    Ok(())
}

/// The only value of a header. A repeated promise is malformed, even with the same value.
fn single<'a>(headers: &'a Fields, name: &HeaderName) -> Result<Option<&'a str>, BodyError> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(BodyError::InvalidHeader(name.clone())),
    }
}

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const X_AMZ_DECODED_CONTENT_LENGTH: HeaderName =
    HeaderName::from_static("x-amz-decoded-content-length");
const X_AMZ_SDK_CHECKSUM_ALGORITHM: HeaderName =
    HeaderName::from_static("x-amz-sdk-checksum-algorithm");
const X_AMZ_TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");

#[cfg(test)]
#[path = "promise_tests.rs"]
mod tests;
