//! Verification of a body against the promises in its head, while it arrives.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use md5::Md5;
use sha2::{Digest, Sha256};

use super::body_error::BodyError;
use super::checksum::{Algorithm, Checksum, to_base64};
use super::chunks::{Decoder, Trailers};
use super::payload::PayloadKind;
use super::promise::{BodyPromise, PromisedChecksum};
use super::signature::Hex;

/// Digests that the caller needs of the content, promised or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// SHA-256, to sign the request towards the store.
    pub sha256: bool,
    /// MD5, for a `Content-MD5` towards the store.
    pub md5: bool,
}

/// A body under verification. Only promised or wanted digests are computed.
///
/// The content must not be trusted until [`BodyCheck::finish`] has returned without an error. After
/// an error the check is of no further use.
#[derive(Debug)]
pub struct BodyCheck {
    payload: PayloadKind,
    framing: Option<Decoder>,
    length: u64,
    length_promised: Option<u64>,
    content_md5: Option<[u8; 16]>,
    checksum: Option<PromisedChecksum>,
    hashes: Vec<(Algorithm, Checksum)>,
}

/// A body that has kept its promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBody {
    /// The length of the content in bytes.
    pub length: u64,
    /// The content's SHA-256 digest, when it was promised or wanted.
    pub sha256: Option<[u8; 32]>,
    /// The content's MD5 digest, when it was promised or wanted.
    pub md5: Option<[u8; 16]>,
    /// Checksums that came as trailing headers, to be sent on as headers.
    pub trailing_checksums: Vec<(HeaderName, HeaderValue)>,
}

impl CheckedBody {
    /// The digests of a body that was made here.
    pub fn of(content: &[u8]) -> Self {
        Self {
            length: content.len() as u64,
            sha256: Some(Sha256::digest(content).into()),
            md5: Some(Md5::digest(content).into()),
            trailing_checksums: Vec::new(),
        }
    }

    /// The value of `Content-MD5`, when the digest was promised or wanted.
    pub fn content_md5(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&to_base64(&self.md5?)).ok()
    }
}

impl BodyCheck {
    /// Prepares the check of a body against its promise.
    pub fn new(promise: BodyPromise, also: Wanted) -> Self {
        let BodyPromise { payload, length, content_md5, checksum, seed } = promise;
        let checksum_algorithm = checksum.as_ref().map(PromisedChecksum::algorithm);
        let needs = |algorithm: &Algorithm| match algorithm {
            _ if checksum_algorithm == Some(*algorithm) => true,
            Algorithm::Sha256 => also.sha256 || matches!(payload, PayloadKind::Digest(_)),
            Algorithm::Md5 => also.md5 || content_md5.is_some(),
            _ => false,
        };
        let hashes = Algorithm::ALL.into_iter().filter(needs);
        Self {
            payload,
            framing: payload
                .is_chunked()
                .then(|| Decoder::new(payload, seed, length.unwrap_or_default())),
            length: 0,
            length_promised: length,
            content_md5,
            hashes: hashes.map(|algorithm| (algorithm, Checksum::new(algorithm))).collect(),
            checksum,
        }
    }

    /// Processes the next bytes of the body as they came, and passes the content in them to `out`.
    pub fn feed(&mut self, bytes: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), BodyError> {
        let (length, hashes) = (&mut self.length, &mut self.hashes);
        let mut content = |part: Bytes| {
            *length += part.len() as u64;
            for (_, hash) in hashes.iter_mut() {
                hash.update(&part);
            }
            out(part);
        };
        match &mut self.framing {
            Some(decoder) => decoder.feed(bytes, &mut content)?,
            None => content(bytes),
        }
        match self.length_promised {
            Some(promised) if self.length > promised => Err(BodyError::IncompleteBody),
            _ => Ok(()),
        }
    }

    /// Ends the body: checks that every promise was kept.
    pub fn finish(mut self) -> Result<CheckedBody, BodyError> {
        let trailers = match self.framing.take() {
            Some(decoder) => decoder.finish()?,
            None => Trailers::default(),
        };
        if self.length_promised.is_some_and(|promised| promised != self.length) {
            return Err(BodyError::IncompleteBody);
        }
        let digests = Digests(
            self.hashes.drain(..).map(|(algorithm, hash)| (algorithm, hash.finish())).collect(),
        );
        let sha256 = digests.of(Algorithm::Sha256).and_then(|digest| digest.try_into().ok());
        let md5 = digests.of(Algorithm::Md5).and_then(|digest| digest.try_into().ok());
        self.check_sha256(sha256)?;
        self.check_md5(md5)?;
        let trailing_checksums = self.check_checksum(&trailers, &digests)?;
        Ok(CheckedBody { length: self.length, sha256, md5, trailing_checksums })
    }

    fn check_sha256(&self, computed: Option<[u8; 32]>) -> Result<(), BodyError> {
        match (self.payload, computed) {
            (PayloadKind::Digest(client), Some(computed)) if client != computed => {
                Err(BodyError::Sha256Mismatch {
                    client: Hex::of(&client).as_str().into(),
                    computed: Hex::of(&computed).as_str().into(),
                })
            }
            _ => Ok(()),
        }
    }

    fn check_md5(&self, computed: Option<[u8; 16]>) -> Result<(), BodyError> {
        match (self.content_md5, computed) {
            (Some(expected), Some(computed)) if expected != computed => {
                Err(BodyError::Md5Mismatch {
                    expected: to_base64(&expected),
                    calculated: to_base64(&computed),
                })
            }
            _ => Ok(()),
        }
    }

    /// Checks the checksum, from a header or a trailer, and returns the trailers.
    fn check_checksum(
        &self,
        trailers: &Trailers,
        digests: &Digests,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, BodyError> {
        let announced = match &self.checksum {
            Some(PromisedChecksum::Trailer(algorithm)) => Some(*algorithm),
            Some(PromisedChecksum::Header { algorithm, value }) => {
                digests.check(*algorithm, value)?;
                None
            }
            None => None,
        };
        let mut sent = trailers.iter();
        match (announced, sent.next(), sent.next()) {
            (None, None, _) => Ok(Vec::new()),
            (Some(algorithm), Some((header, value)), None) if algorithm.header() == *header => {
                let invalid = || BodyError::InvalidTrailer(header.clone());
                let expected = algorithm.decode(value).ok_or_else(invalid)?;
                digests.check(algorithm, &expected)?;
                let value = HeaderValue::from_str(value).map_err(|_| invalid())?;
                Ok(vec![(header.clone(), value)])
            }
            _ => Err(BodyError::MalformedTrailer),
        }
    }
}

struct Digests(Vec<(Algorithm, Vec<u8>)>);

impl Digests {
    fn of(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.0.iter().find(|(of, _)| *of == algorithm).map(|(_, digest)| digest.as_slice())
    }

    fn check(&self, algorithm: Algorithm, expected: &[u8]) -> Result<(), BodyError> {
        if self.of(algorithm) == Some(expected) {
            return Ok(());
        }
        Err(BodyError::ChecksumMismatch(algorithm))
    }
}

#[cfg(test)]
#[path = "body_check_tests.rs"]
mod tests;
