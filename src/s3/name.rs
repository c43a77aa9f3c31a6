//! Names of buckets and keys, and the name of an object, which is both together.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::code::Code;
use super::encoding::encode_path;
use super::error::S3Error;

/// The longest object key, in bytes of UTF-8 (AWS: Naming Amazon S3 objects).
pub const KEY_BYTES_MAX: usize = 1024;

/// Whether a key may contain an empty segment (`a//b`, `/a`). Some stores treat `a//b` as `a/b`:
/// then one object has two names, which a lock by name cannot protect, so such keys are refused
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum EmptySegments {
    /// The store keeps them distinct, as AWS does.
    #[default]
    #[serde(rename = "keep")]
    Kept,
    /// Keys with empty segments get 400. A trailing `/` ("directory") stays legal.
    #[serde(rename = "refuse")]
    Refused,
}

/// Whether a key may contain a segment `.` or `..` (`a/../b`, `./a`). Some stores resolve them as a
/// file system does: then two keys are one object, and `/bucket/../other/key` is another bucket's
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DotSegments {
    /// Such keys get 400.
    #[default]
    #[serde(rename = "refuse")]
    Refused,
    /// The store keeps them distinct, as AWS does.
    #[serde(rename = "keep")]
    Kept,
}

/// Which unusual segments a key may contain, because the store keeps such keys distinct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Segments {
    /// Empty segments.
    pub empty: EmptySegments,
    /// Segments `.` and `..`.
    pub dots: DotSegments,
}

impl Segments {
    /// All are kept: of keys that were admitted before.
    pub const ANY: Self = Self { empty: EmptySegments::Kept, dots: DotSegments::Kept };
}

impl From<EmptySegments> for Segments {
    fn from(empty: EmptySegments) -> Self {
        Self { empty, dots: DotSegments::Refused }
    }
}

/// A bucket's name: 3 to 255 bytes of ASCII letters, digits, `.`, `-` and `_`, beginning with a
/// letter or digit, without `..`. This allows more than AWS's present rules, for old buckets and
/// for other stores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Checks a decoded name. 400 `InvalidBucketName` when it is invalid.
    pub fn parse(name: &str) -> Result<Self, S3Error> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let sound = (BUCKET_BYTES_MIN..=BUCKET_BYTES_MAX).contains(&name.len())
            && name.bytes().all(letter)
            && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && !name.contains("..");
        if sound {
            Ok(Self(name.into()))
        } else {
            Err(S3Error::new(Code::InvalidBucketName).with("BucketName", name))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An object's key, decoded: 1 to [`KEY_BYTES_MAX`] bytes of UTF-8 without NUL, and without
/// segments that the store may take for others ([`Segments`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// Checks a decoded key. 400 `KeyTooLongError`, or `InvalidArgument` with the reason.
    pub fn parse(key: &str, segments: impl Into<Segments>) -> Result<Self, S3Error> {
        let segments = segments.into();
        if key.len() > KEY_BYTES_MAX {
            return Err(too_long(key.len()));
        }
        let fault = if key.is_empty() {
            "The object key must not be empty"
        } else if key.contains('\0') {
            "The object key must not contain a NUL character"
        } else if segments.dots == DotSegments::Refused && has_dot_segment(key) {
            "The object key must not contain a segment '.' or '..', which some stores resolve \
             (backend.dot_segments)"
        } else if segments.empty == EmptySegments::Refused && has_empty_segment(key) {
            "The object key must not begin with '/' or contain '//': this store would take it for \
             another key (backend.empty_segments)"
        } else {
            return Ok(Self(key.into()));
        };
        Err(S3Error::invalid_argument(fault, "key", key))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn too_long(size_bytes: usize) -> S3Error {
    S3Error::new(Code::KeyTooLong)
        .with("Size", size_bytes.to_string())
        .with("MaxSizeAllowed", KEY_BYTES_MAX.to_string())
}

/// The name of one object: leases are held and records are kept for it. Cheap to clone. In the
/// configuration it is a text: `bucket/key`.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName {
    /// The bucket.
    pub bucket: BucketName,
    /// The key in the bucket.
    pub key: ObjectKey,
}

impl ObjectName {
    /// The bucket and the key as texts.
    pub fn as_pair(&self) -> (&str, &str) {
        (self.bucket.as_str(), self.key.as_str())
    }

    /// The path-style path by which the store is asked for this object, however the client spelled
    /// it.
    pub fn path(&self) -> String {
        ["/", self.bucket.as_str(), "/", &encode_path(self.key.as_str())].concat()
    }
}

impl TryFrom<String> for ObjectName {
    type Error = String;

    /// Parses `bucket/key`, where every store understands both names.
    fn try_from(text: String) -> Result<Self, String> {
        let (bucket, key) = text.split_once('/').unwrap_or((&text, ""));
        match (BucketName::parse(bucket), ObjectKey::parse(key, EmptySegments::Refused)) {
            (Ok(bucket), Ok(key)) => Ok(Self { bucket, key }),
            _ => Err(format!(
                "\"{text}\" is not a bucket and a key such as \"tables/.ifmatch-register\""
            )),
        }
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `bucket/key`: unique for each object, since a bucket's name contains no `/`.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

/// Whether a segment other than the last is empty; a trailing `/` makes the last one empty.
fn has_empty_segment(key: &str) -> bool {
    key.starts_with('/') || key.contains("//")
}

fn has_dot_segment(key: &str) -> bool {
    key.split('/').any(|segment| matches!(segment, "." | ".."))
}

const BUCKET_BYTES_MIN: usize = 3;
/// AWS's limit in us-east-1 before 2018; today's is 63.
const BUCKET_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_are_those_a_store_may_have_and_no_path_tricks() {
        for good in ["abc", "my-bucket.v2", "Old_Bucket", "0ab", "a.b"] {
            assert_eq!(BucketName::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(256);
        for bad in ["", "ab", ".ab", "-ab", "a..b", "..", "a/b", "a b", "a\0b", "a:b", "büc", &long]
        {
            assert_eq!(BucketName::parse(bad).unwrap_err().code(), "InvalidBucketName", "{bad}");
        }
    }

    #[test]
    fn keys_are_refused_where_a_store_could_take_them_for_others() {
        use EmptySegments::{Kept, Refused};
        for (key, kept, refused) in [
            ("a", true, true),
            ("a/", true, true),
            ("a/.b/..c/...", true, true),
            ("a//b", true, false),
            ("/a", true, false),
            ("a//", true, false),
            ("/", true, false),
            ("", false, false),
            (".", false, false),
            ("a/..", false, false),
            ("../a", false, false),
            ("a/./b", false, false),
            ("a\0", false, false),
        ] {
            assert_eq!(ObjectKey::parse(key, Kept).is_ok(), kept, "{key}");
            assert_eq!(ObjectKey::parse(key, Refused).is_ok(), refused, "{key}");
        }
    }

    #[test]
    fn segments_of_dots_are_names_where_the_store_keeps_them_and_refused_by_default() {
        let kept = Segments { dots: DotSegments::Kept, ..Segments::default() };
        for key in [".", "..", "a/..", "../a", "a/./b", "a/.", "./a", "a/../../b", "a/../"] {
            assert_eq!(ObjectKey::parse(key, kept).unwrap().as_str(), key);
            let error = ObjectKey::parse(key, Segments::default()).unwrap_err();
            assert_eq!(error.code(), "InvalidArgument");
            assert!(error.message().contains("backend.dot_segments"), "{error}");
            let name = ObjectName {
                bucket: BucketName::parse("bucket").unwrap(),
                key: ObjectKey::parse(key, kept).unwrap(),
            };
            assert_eq!(name.path(), format!("/bucket/{key}"), "as it is, nothing resolved");
        }
        let none_empty = Segments { empty: EmptySegments::Refused, dots: DotSegments::Kept };
        assert!(ObjectKey::parse("a//..", none_empty).is_err());
    }

    #[test]
    fn a_key_has_at_most_1024_bytes_not_characters() {
        assert!(ObjectKey::parse(&"é".repeat(512), EmptySegments::Kept).is_ok());
        let error = ObjectKey::parse(&"é".repeat(513), EmptySegments::Kept).unwrap_err();
        assert_eq!((error.status().as_u16(), error.code()), (400, "KeyTooLongError"));
        assert_eq!(error.field("Size"), Some("1026"));
        assert_eq!(error.field("MaxSizeAllowed"), Some("1024"));
    }

    #[test]
    fn the_path_to_the_store_is_path_style_and_encoded() {
        let name = ObjectName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse("a b/ü%2F?", EmptySegments::Kept).unwrap(),
        };
        assert_eq!(name.path(), "/bucket/a%20b/%C3%BC%252F%3F");
        assert_eq!(name.to_string(), "bucket/a b/ü%2F?");
    }
}
