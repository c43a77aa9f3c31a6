//! Checksums of content (AWS: Checking object integrity).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use http::HeaderName;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use xxhash_rust::xxh3::Xxh3;
use xxhash_rust::xxh64::Xxh64;

/// A checksum that can be computed here. `Display` gives AWS's name, such as `CRC64NVME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC-32 as in zip.
    Crc32,
    /// CRC-32 with Castagnoli's polynomial.
    Crc32c,
    /// CRC-64 as in NVMe; what AWS's own SDKs use by default.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512; this and all below since 2026.
    Sha512,
    /// MD5: `Content-MD5`, and `x-amz-checksum-md5`.
    Md5,
    /// XXH64, seed 0.
    Xxhash64,
    /// XXH3 of 64 bits, seed 0.
    Xxhash3,
    /// XXH3 of 128 bits, seed 0.
    Xxhash128,
}

impl Algorithm {
    /// All of them (AWS: `ChecksumAlgorithm`).
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::Xxhash64,
        Self::Xxhash3,
        Self::Xxhash128,
    ];

    /// AWS's name, in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::Xxhash64 => "XXHASH64",
            Self::Xxhash3 => "XXHASH3",
            Self::Xxhash128 => "XXHASH128",
        }
    }

    /// The algorithm of this name, in upper or lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The header that carries it.
    pub fn header(self) -> HeaderName {
        HeaderName::from_static(self.header_name())
    }

    /// The name of that header: `x-amz-checksum-` and its own.
    pub const fn header_name(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::Xxhash64 => "x-amz-checksum-xxhash64",
            Self::Xxhash3 => "x-amz-checksum-xxhash3",
            Self::Xxhash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// The algorithm whose checksum a header carries; `None` for other headers,
    /// `x-amz-checksum-type`, `-algorithm` and `-mode` among them.
    pub fn from_header(name: &HeaderName) -> Option<Self> {
        Self::from_name(name.as_str().strip_prefix("x-amz-checksum-")?)
    }

    /// How many bytes the checksum has.
    pub fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::Xxhash64 | Self::Xxhash3 => 8,
            Self::Md5 | Self::Xxhash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Reads a value of this checksum: base64 of the right number of bytes.
    pub fn decode(self, value: &str) -> Option<Vec<u8>> {
        BASE64.decode(value).ok().filter(|bytes| bytes.len() == self.bytes())
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A checksum under computation.
#[derive(Clone)]
pub struct Checksum(State);

#[derive(Clone)]
enum State {
    // Boxed: these are larger than all the others together.
    Crc32(Box<crc_fast::Digest>),
    Crc64(Box<crc_fast::Digest>),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Box<Sha512>),
    Md5(Md5),
    Xxh64(Xxh64),
    Xxh3(Box<Xxh3>),
    Xxh128(Box<Xxh3>),
}

impl Checksum {
    /// A new computation, without content.
    pub fn new(algorithm: Algorithm) -> Self {
        let crc = |algorithm| Box::new(crc_fast::Digest::new(algorithm));
        Self(match algorithm {
            Algorithm::Crc32 => State::Crc32(crc(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Crc32c => State::Crc32(crc(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc64Nvme => State::Crc64(crc(CrcAlgorithm::Crc64Nvme)),
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(Sha512::new())),
            Algorithm::Md5 => State::Md5(Md5::new()),
            Algorithm::Xxhash64 => State::Xxh64(Xxh64::new(0)),
            Algorithm::Xxhash3 => State::Xxh3(Box::new(Xxh3::new())),
            Algorithm::Xxhash128 => State::Xxh128(Box::new(Xxh3::new())),
        })
    }

    /// Adds content.
    pub fn update(&mut self, content: &[u8]) {
        match &mut self.0 {
            State::Crc32(crc) | State::Crc64(crc) => crc.update(content),
            State::Sha1(hash) => hash.update(content),
            State::Sha256(hash) => hash.update(content),
            State::Sha512(hash) => hash.update(content),
            State::Md5(hash) => hash.update(content),
            State::Xxh64(hash) => hash.update(content),
            State::Xxh3(hash) | State::Xxh128(hash) => hash.update(content),
        }
    }

    /// The checksum's bytes, most significant first.
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            State::Crc32(crc) => crc.finalize().to_be_bytes()[4..].to_vec(),
            State::Crc64(crc) => crc.finalize().to_be_bytes().to_vec(),
            State::Sha1(hash) => hash.finalize().to_vec(),
            State::Sha256(hash) => hash.finalize().to_vec(),
            State::Sha512(hash) => hash.finalize().to_vec(),
            State::Md5(hash) => hash.finalize().to_vec(),
            State::Xxh64(hash) => hash.digest().to_be_bytes().to_vec(),
            State::Xxh3(hash) => hash.digest().to_be_bytes().to_vec(),
            State::Xxh128(hash) => hash.digest128().to_be_bytes().to_vec(),
        }
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checksum")
    }
}

/// A digest in base64, as headers carry it.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_come_out() {
        // The check values of the CRC catalogue, the digests of RFC 1321, RFC 3174, FIPS 180, and
        // what AWS's own library gives (aws-checksums).
        for (algorithm, content, hex_digits) in [
            (Algorithm::Crc32, "123456789", "cbf43926"),
            (Algorithm::Crc32c, "123456789", "e3069283"),
            (Algorithm::Crc64Nvme, "123456789", "ae8b14860a799888"),
            (Algorithm::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Algorithm::Sha256,
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Algorithm::Sha512,
                "abc",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (Algorithm::Md5, "abc", "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Xxhash64, "Hello world", "c500b0c912b376d8"),
            (Algorithm::Xxhash3, "Hello world", "b6acb9d84a38ff74"),
            (Algorithm::Xxhash128, "Hello world", "7351f89812f97382b91d05b31e04dd7f"),
        ] {
            let mut checksum = Checksum::new(algorithm);
            let (first, second) = content.split_at(2);
            checksum.update(first.as_bytes());
            checksum.update(second.as_bytes());
            let bytes = checksum.finish();
            assert_eq!(hex::encode(&bytes), hex_digits, "{algorithm}");
            assert_eq!(bytes.len(), algorithm.bytes());
            assert_eq!(algorithm.decode(&to_base64(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn an_algorithm_is_found_by_name_and_by_header() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_header(&algorithm.header()), Some(algorithm));
        }
        for other in ["x-amz-checksum-type", "x-amz-checksum-mode", "x-amz-checksum-", "crc32"] {
            assert_eq!(Algorithm::from_header(&HeaderName::from_static(other)), None, "{other}");
        }
    }

    #[test]
    fn a_value_has_to_be_base64_of_the_right_length() {
        assert_eq!(Algorithm::Crc32.decode("AAAAAA=="), Some(vec![0; 4]));
        for wrong in ["", "AAAA", "AAAAAAA=", "AAAAAA", "*", "AAAAAA==-2", " AAAAAA=="] {
            assert_eq!(Algorithm::Crc32.decode(wrong), None, "{wrong}");
        }
    }
}
