//! Checksums (AWS: "Checking object integrity"): which one a request declares, its value over bytes,
//! and that of an object made of parts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::dto::{self, ChecksumAlgorithm, ChecksumType};
use s3s::{S3Result, s3_error};

use super::failure::not_implemented;
use super::records::{Algorithm, Checksum, Part};

impl Algorithm {
    /// Every algorithm that is supported.
    pub(super) const ALL: [Self; 5] =
        [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// From the name that AWS gives it.
    pub(super) fn of(name: &ChecksumAlgorithm) -> S3Result<Self> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name.as_str());
        known.ok_or_else(|| s3_error!(NotImplemented, "This checksum algorithm is not supported."))
    }

    /// AWS: ChecksumAlgorithm.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => ChecksumAlgorithm::CRC32,
            Self::Crc32c => ChecksumAlgorithm::CRC32C,
            Self::Crc64Nvme => ChecksumAlgorithm::CRC64NVME,
            Self::Sha1 => ChecksumAlgorithm::SHA1,
            Self::Sha256 => ChecksumAlgorithm::SHA256,
        }
    }

    /// The header or trailer field that carries it.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The parameters of those that can be combined; the others cannot be (AWS: ChecksumType).
    const fn crc(self) -> Option<crc_fast::CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(crc_fast::CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(crc_fast::CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(crc_fast::CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether an upload's checksum is that of the whole object if its creator does not say (AWS:
    /// CreateMultipartUpload).
    pub(super) fn is_whole_by_default(self) -> bool {
        self == Self::Crc64Nvme
    }

    /// Whether an upload may have this type of checksum (AWS: CreateMultipartUpload).
    pub(super) fn allows(self, whole: bool) -> bool {
        if whole { self.crc().is_some() } else { self != Self::Crc64Nvme }
    }

    /// A hasher of this algorithm.
    pub(super) fn hasher(self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        match self {
            Self::Crc32 => hasher.crc32 = Some(s3s::crypto::Checksum::new()),
            Self::Crc32c => hasher.crc32c = Some(s3s::crypto::Checksum::new()),
            Self::Crc64Nvme => hasher.crc64nvme = Some(s3s::crypto::Checksum::new()),
            Self::Sha1 => hasher.sha1 = Some(s3s::crypto::Checksum::new()),
            Self::Sha256 => hasher.sha256 = Some(s3s::crypto::Checksum::new()),
        }
        hasher
    }

    fn of_bytes(self, bytes: &[u8]) -> Option<String> {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        sum(hasher).map(|sum| sum.value)
    }
}

/// The one sum of a hasher.
pub(super) fn sum(hasher: ChecksumHasher) -> Option<Checksum> {
    let sums = hasher.finalize();
    let values = [
        sums.checksum_crc32,
        sums.checksum_crc32c,
        sums.checksum_crc64nvme,
        sums.checksum_sha1,
        sums.checksum_sha256,
    ];
    single(values).ok().flatten()
}

/// The one checksum of five optional ones, in the order of [`Algorithm::ALL`].
fn single(values: [Option<String>; 5]) -> S3Result<Option<Checksum>> {
    let mut given = Algorithm::ALL.into_iter().zip(values);
    let mut given = given
        .by_ref()
        .filter_map(|(algorithm, value)| value.map(|value| Checksum { algorithm, value }));
    let first = given.next();
    if given.next().is_some() {
        return Err(s3_error!(
            InvalidRequest,
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        ));
    }
    Ok(first)
}

/// The checksum that a request's fields declare: an expression with the five fields.
macro_rules! declared {
    ($input:expr) => {
        $crate::embedded::store::checksums::of_fields([
            $input.checksum_crc32.take(),
            $input.checksum_crc32c.take(),
            $input.checksum_crc64nvme.take(),
            $input.checksum_sha1.take(),
            $input.checksum_sha256.take(),
        ])
    };
}

/// Puts a checksum into the field of an answer that is for its algorithm.
macro_rules! show {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            use $crate::embedded::store::records::Algorithm;
            let value = Some(checksum.value.clone());
            match checksum.algorithm {
                Algorithm::Crc32 => $output.checksum_crc32 = value,
                Algorithm::Crc32c => $output.checksum_crc32c = value,
                Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
                Algorithm::Sha1 => $output.checksum_sha1 = value,
                Algorithm::Sha256 => $output.checksum_sha256 = value,
            }
        }
    };
}

pub(super) use {declared, show};

/// The checksum of a request, of which at most one may be given.
pub(super) fn of_fields(values: [Option<String>; 5]) -> S3Result<Option<Checksum>> {
    let checksum = single(values)?;
    if let Some(Checksum { algorithm, value }) = &checksum
        && !is_a_value(*algorithm, value)
    {
        let field = algorithm.field();
        return Err(s3_error!(InvalidRequest, "Value for {field} header is invalid."));
    }
    Ok(checksum)
}

fn is_a_value(algorithm: Algorithm, value: &str) -> bool {
    let sum = value.split('-').next().unwrap_or_default();
    let length = match algorithm {
        Algorithm::Crc32 | Algorithm::Crc32c => 4,
        Algorithm::Crc64Nvme => 8,
        Algorithm::Sha1 => 20,
        Algorithm::Sha256 => 32,
    };
    BASE64_STANDARD.decode(sum).is_ok_and(|sum| sum.len() == length)
}

/// The algorithm that a client says its body is protected by.
pub(super) fn named(headers: &HeaderMap) -> S3Result<Option<Algorithm>> {
    let name = headers.get("x-amz-sdk-checksum-algorithm").and_then(|name| name.to_str().ok());
    name.map(|name| Algorithm::of(&name.to_uppercase().into())).transpose()
}

/// The algorithm that a request says its trailer has.
pub(super) fn announced(headers: &HeaderMap) -> S3Result<Option<Algorithm>> {
    let Some(trailer) = headers.get("x-amz-trailer") else { return Ok(None) };
    let trailer = trailer.to_str().unwrap_or_default().trim().to_ascii_lowercase();
    let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.field() == trailer);
    let unknown = "The value specified in the x-amz-trailer header is not supported";
    known.map(Some).ok_or_else(|| s3_error!(InvalidRequest, "{unknown}"))
}

/// The checksum in a trailer, or in a head. One that would not be compared is refused.
pub(super) fn in_fields(trailers: &HeaderMap) -> S3Result<Option<Checksum>> {
    let is_known = |name: &str| Algorithm::ALL.iter().any(|known| known.field() == name);
    let unknown = trailers.keys().find(|name| {
        let name = name.as_str();
        name.starts_with("x-amz-checksum-") && !is_known(name) && !NO_SUMS.contains(&name)
    });
    if let Some(name) = unknown {
        return Err(not_implemented(name.as_str()));
    }
    of_fields(Algorithm::ALL.map(|algorithm| {
        trailers.get(algorithm.field())?.to_str().ok().map(|value| value.trim().to_owned())
    }))
}

/// The headers of such names that are no checksums.
const NO_SUMS: [&str; 3] =
    ["x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"];

/// The type of a checksum.
pub(super) fn kind(checksum: &Checksum) -> ChecksumType {
    kind_of(!checksum.is_composite())
}

/// AWS: ChecksumType, of a checksum of the whole object or of its parts' checksums.
pub(super) fn kind_of(whole: bool) -> ChecksumType {
    let kind = if whole { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
    ChecksumType::from_static(kind)
}

/// Whether a type that a request names is that of a whole object's checksum.
pub(super) fn is_whole(asked: &ChecksumType) -> S3Result<bool> {
    match asked.as_str() {
        ChecksumType::FULL_OBJECT => Ok(true),
        ChecksumType::COMPOSITE => Ok(false),
        _ => Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid.")),
    }
}

/// AWS: the `Checksum` element.
pub(super) fn element(checksum: &Checksum) -> dto::Checksum {
    // AWS leaves out the number of parts, which it writes behind a composite checksum elsewhere.
    let value = checksum.value.split('-').next().unwrap_or_default().to_owned();
    let bare = Checksum { value, ..checksum.clone() };
    let mut element = dto::Checksum { checksum_type: Some(kind(checksum)), ..<_>::default() };
    show!(element, Some(&bare));
    element
}

/// The checksum of an object that is made of parts; `None` where a part has none of this
/// algorithm.
pub(super) fn of_parts(algorithm: Algorithm, whole: bool, parts: &[Part]) -> Option<Checksum> {
    let mut sums = Vec::with_capacity(parts.len());
    for part in parts {
        let checksum = part.checksum.as_ref()?;
        if checksum.algorithm != algorithm {
            return None;
        }
        sums.push(BASE64_STANDARD.decode(&checksum.value).ok()?);
    }
    let value = if whole {
        let crc = algorithm.crc()?;
        let lengths = parts.iter().map(|part| part.size);
        let sum = sums.iter().zip(lengths).fold(0, |so_far, (sum, length)| {
            let sum = sum.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            crc_fast::checksum_combine(crc, so_far, sum, length)
        });
        let width = if algorithm == Algorithm::Crc64Nvme { 8 } else { 4 };
        BASE64_STANDARD.encode(&sum.to_be_bytes()[8 - width..])
    } else {
        format!("{}-{}", algorithm.of_bytes(&sums.concat())?, parts.len())
    };
    Some(Checksum { algorithm, value })
}
