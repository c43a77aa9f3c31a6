//! The source of a copy: `x-amz-copy-source` (AWS: CopyObject, UploadPartCopy).

use http::{HeaderName, HeaderValue};

use super::arguments::{invalid_version, is_id};
use super::encoding::{decode_query, encode_path, encode_query};
use super::error::S3Error;
use super::head::RequestHead;
use super::name::{BucketName, ObjectKey, ObjectName, Segments};

/// The header.
pub const X_AMZ_COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");

/// The source of a copy: an object, or one version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// The object.
    pub name: ObjectName,
    version_id: Option<String>,
}

impl CopySource {
    /// Reads `[/]bucket/key[?versionId=id]`, bucket and key percent-encoded, `+` for a space;
    /// `None` when the request is no copy. The same rules apply as for every other name: a store
    /// that resolves `..` must not be asked for another bucket than the one whose rights were
    /// checked. 400 for an invalid source, including an access point's ARN: no store behind this
    /// proxy has access points.
    pub fn from_head(head: RequestHead<'_>, segments: Segments) -> Result<Option<Self>, S3Error> {
        if !head.headers.contains_key(&X_AMZ_COPY_SOURCE) {
            return Ok(None);
        }
        let value = head.header(&X_AMZ_COPY_SOURCE).unwrap_or_default();
        Self::parse(value, segments).map(Some)
    }

    fn parse(value: &str, segments: Segments) -> Result<Self, S3Error> {
        let invalid = || S3Error::invalid_argument(INVALID, X_AMZ_COPY_SOURCE.as_str(), value);
        let (path, version_id) = match value.split_once("?versionId=") {
            Some((path, id)) => (path, Some(decode_query(id).ok_or_else(invalid)?)),
            None => (value, None),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        // Some clients encode the separator too.
        let path = decode_query(path).ok_or_else(invalid)?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/').ok_or_else(invalid)?;
        let bucket = BucketName::parse(bucket)?;
        let key = ObjectKey::parse(key, segments)?;
        if let Some(id) = version_id.as_deref().filter(|id| !is_id(id)) {
            return Err(invalid_version(id));
        }
        Ok(Self { name: ObjectName { bucket, key }, version_id })
    }

    /// The version to copy; `None` for the current one.
    pub fn version_id(&self) -> Option<&str> {
        self.version_id.as_deref()
    }

    /// The same object, in the version with this id.
    #[must_use]
    pub fn at_version(&self, id: &str) -> Self {
        Self { name: self.name.clone(), version_id: Some(id.to_owned()) }
    }

    /// The header's value, in one spelling.
    pub fn header_value(&self) -> Option<HeaderValue> {
        let path = format!("{}/{}", self.name.bucket, encode_path(self.name.key.as_str()));
        let value = match &self.version_id {
            Some(id) => format!("{path}?versionId={}", encode_query(id)),
            None => path,
        };
        HeaderValue::from_str(&value).ok()
    }
}

const INVALID: &str = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http1::fields::Fields;
    use crate::s3::Query;

    fn read(value: &str) -> Result<Option<String>, String> {
        let mut headers = Fields::new();
        if !value.is_empty() {
            headers.insert(X_AMZ_COPY_SOURCE, HeaderValue::from_str(value).unwrap());
        }
        let head = RequestHead {
            method: &Method::PUT,
            path: "/b/k",
            query: &Query::default(),
            headers: &headers,
        };
        CopySource::from_head(head, Segments::default())
            .map(|source| source.map(|s| s.header_value().unwrap().to_str().unwrap().to_owned()))
            .map_err(|error| error.code().to_owned())
    }

    #[test]
    fn every_spelling_of_a_source_is_sent_on_as_one() {
        for (value, sent) in [
            ("bucket/key", "bucket/key"),
            ("/bucket/key", "bucket/key"),
            ("bucket%2Fa%20b", "bucket/a%20b"),
            ("%2Fbucket/a b", "bucket/a%20b"),
            ("bucket/a+b", "bucket/a%20b"),
            ("bucket/a%2Bb", "bucket/a%2Bb"),
            ("bucket/a?versionId=v1%2B", "bucket/a?versionId=v1%2B"),
            ("bucket/a%3FversionId=x", "bucket/a%3FversionId%3Dx"),
            ("bucket/a?versionId=v%2F1", "bucket/a?versionId=v%2F1"),
        ] {
            assert_eq!(read(value), Ok(Some(sent.to_owned())), "{value}");
        }
        assert_eq!(read(""), Ok(None));
    }

    #[test]
    fn a_source_outside_its_bucket_is_refused() {
        for value in ["bucket/a?versionId=", "bucket/a?versionId=v+1", "bucket/a?versionId=../x"] {
            assert_eq!(read(value), Err("InvalidArgument".to_owned()), "{value}");
        }
        for value in ["mine/../other/secret", "mine/%2e%2e/other", "bucket", "bucket/", "a%zz/b"] {
            assert!(read(value).is_err(), "{value}");
        }
    }
}
