//! What a verb is about: a key, or the keys of a bucket with a prefix.

use super::Failure;
use crate::s3::{BucketName, ObjectKey, ObjectName, Segments};

/// The keys of a bucket that begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) bucket: BucketName,
    /// Empty for all keys.
    pub(super) prefix: String,
}

impl Range {
    /// Reads `BUCKET[/PREFIX]`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let (bucket, prefix) = split(text);
        Ok(Self { bucket: bucket_of(bucket)?, prefix: prefix.to_owned() })
    }
}

/// Reads `BUCKET/KEY`. `segments`: what the store's keys may contain.
pub(super) fn parse_name(text: &str, segments: Segments) -> Result<ObjectName, Failure> {
    let (bucket, key) = split(text);
    let bucket = bucket_of(bucket)?;
    let key = ObjectKey::parse(key, segments)
        .map_err(|error| Failure::Usage(format!("{text:?} names no key: {}", error.message())))?;
    Ok(ObjectName { bucket, key })
}

/// The bucket, and what comes after it. A URL such as `s3://bucket/key` says the same.
fn split(text: &str) -> (&str, &str) {
    let text = text.strip_prefix("s3://").unwrap_or(text);
    text.split_once('/').unwrap_or((text, ""))
}

fn bucket_of(name: &str) -> Result<BucketName, Failure> {
    if name.is_empty() {
        let why = "no bucket is named: write it first, without a slash before it, as BUCKET/KEY";
        return Err(Failure::Usage(why.to_owned()));
    }
    BucketName::parse(name).map_err(|error| {
        Failure::Usage(format!("{name:?} is no bucket's name: {}", error.message()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_bucket_and_what_comes_after_it() {
        for text in ["bucket/a/b", "s3://bucket/a/b"] {
            let range = Range::parse(text).unwrap();
            assert_eq!((range.bucket.as_str(), range.prefix.as_str()), ("bucket", "a/b"));
            let name = parse_name(text, Segments::default()).unwrap();
            assert_eq!(name.to_string(), "bucket/a/b");
        }
        for text in ["bucket", "bucket/", "s3://bucket"] {
            assert_eq!(Range::parse(text).unwrap().prefix, "");
            assert!(matches!(parse_name(text, Segments::default()), Err(Failure::Usage(_))));
        }
        for text in ["", "/key", "a..b/key", "s3:///key"] {
            assert!(matches!(Range::parse(text), Err(Failure::Usage(_))), "{text}");
        }
    }
}
