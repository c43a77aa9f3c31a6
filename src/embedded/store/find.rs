//! Finding the version of a key that a request is about.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use s3s::{S3Error, S3Result, s3_error};

use super::described::{http_date, timestamp_ms};
use super::failure::{Refused, with_elements};
use super::index::{Placed, Read};
use super::records::{Bucket, Object, Version, Versioning};

/// The longest key (AWS: "Creating object key names"), in bytes.
const KEY_BYTES_MAX: usize = 1024;
/// The highest number of a part (AWS: "Amazon S3 multipart upload limits").
pub(super) const PARTS_MAX: u16 = 10_000;

/// A version that is an object.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) version: Version,
    pub(super) object: Object,
    /// Its id, if answers are to name it: not in a bucket that was never versioned.
    pub(super) version_id: Option<String>,
}

impl Found {
    /// Whether it is the same version with the same bytes.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.sequence == other.sequence && self.object.content == other.object.content
    }
}

/// The version that a request names.
#[derive(Debug)]
pub(super) struct Target {
    bucket: String,
    key: String,
    /// `None` for the latest.
    version_id: Option<String>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, key, version_id } = self;
        write!(f, "{bucket}/{key}")?;
        version_id.as_ref().map_or(Ok(()), |id| write!(f, "?versionId={id}"))
    }
}

impl Target {
    pub(super) fn new(bucket: String, key: String, version_id: Option<String>) -> Self {
        Self { bucket, key, version_id }
    }

    /// Whether it is a version by its id.
    pub(super) fn names_version(&self) -> bool {
        self.version_id.is_some()
    }

    /// Looks for it.
    pub(super) fn find(&self, index: &impl Read) -> Result<Found, Refused> {
        object(index, (&self.bucket, &self.key), self.version_id.as_deref())
    }
}

/// The bucket of a request.
pub(super) fn bucket(index: &impl Read, name: &str) -> Result<Bucket, Refused> {
    Ok(index.bucket(name)?.ok_or_else(|| s3_error!(NoSuchBucket))?)
}

/// The latest version of a key, or the version with this id; not a delete marker.
pub(super) fn object(
    index: &impl Read,
    (bucket_name, key): (&str, &str),
    version_id: Option<&str>,
) -> Result<Found, Refused> {
    let bucket = bucket(index, bucket_name)?;
    let placed = match version_id {
        None => index.latest(bucket_name, key)?.ok_or_else(no_such_key)?,
        Some(id) => {
            check_version_id(id)?;
            index.version(bucket_name, key, id)?.ok_or_else(no_such_version)?
        }
    };
    let shown = shown_id(&bucket, &placed.version);
    let Placed { sequence, mut version, .. } = placed;
    match version.object.take() {
        Some(object) => Ok(Found { sequence, version, object, version_id: shown }),
        None => Err(is_a_marker(&version, version_id.is_some()).into()),
    }
}

/// The same, whose tags are asked for: a delete marker has none, also where it is not named (AWS:
/// GetObjectTagging).
pub(super) fn tagged(
    index: &impl Read,
    (bucket_name, key): (&str, &str),
    version_id: Option<&str>,
) -> Result<Found, Refused> {
    if version_id.is_none()
        && let Some(Placed { version, .. }) = index.latest(bucket_name, key)?
        && version.object.is_none()
    {
        return Err(is_a_marker(&version, true).into());
    }
    object(index, (bucket_name, key), version_id)
}

/// The id of a version, if answers are to name it.
pub(super) fn shown_id(bucket: &Bucket, version: &Version) -> Option<String> {
    (bucket.versioning != Versioning::Off).then(|| version.id().to_owned())
}

/// AWS: NoSuchKey.
pub(super) fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

pub(super) fn no_such_version() -> S3Error {
    s3_error!(NoSuchVersion, "The specified version does not exist.")
}

/// AWS: "Working with delete markers".
fn is_a_marker(version: &Version, was_named: bool) -> S3Error {
    let mut error = if was_named {
        s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource.")
    } else {
        no_such_key()
    };
    let mut headers = HeaderMap::new();
    let marker = HeaderName::from_static("x-amz-delete-marker");
    headers.insert(marker, HeaderValue::from_static("true"));
    if let Ok(id) = HeaderValue::from_str(version.id()) {
        headers.insert(HeaderName::from_static("x-amz-version-id"), id);
    }
    if was_named {
        headers.insert(header::ALLOW, HeaderValue::from_static("DELETE"));
        if let Some(date) = http_date(&timestamp_ms(version.modified_ms)) {
            headers.insert(header::LAST_MODIFIED, date);
        }
    }
    error.set_headers(headers);
    error
}

/// Refuses what can be no id of this store's.
pub(super) fn check_version_id(id: &str) -> S3Result<()> {
    let is_one =
        id == "null" || (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_one {
        return Ok(());
    }
    let error = s3_error!(InvalidArgument, "Invalid version id specified");
    Err(with_elements(error, [("ArgumentName", "versionId"), ("ArgumentValue", id)].into_iter()))
}

/// Refuses a key that is too long (AWS: KeyTooLongError).
pub(super) fn check_key(key: &str) -> S3Result<()> {
    if key.len() > KEY_BYTES_MAX {
        return Err(s3_error!(KeyTooLongError, "Your key is too long"));
    }
    Ok(())
}

/// A part's number (AWS: UploadPart).
pub(super) fn part_number(number: i32) -> S3Result<u16> {
    let number = u16::try_from(number).ok();
    number.filter(|number| (1..=PARTS_MAX).contains(number)).ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and {PARTS_MAX}, inclusive"
        )
    })
}
