//! What the index says of buckets, objects, uploads and parts. The values are stored as JSON: a
//! field that is added later has a default, so an older index stays readable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A bucket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Bucket {
    pub(super) created_ms: i64,
    #[serde(default)]
    pub(super) versioning: Versioning,
    /// The location constraint that it was created with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) cors: Vec<CorsRule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Tags,
}

/// AWS: PutBucketVersioning. A bucket that was never versioned is `Off`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Versioning {
    #[default]
    Off,
    Enabled,
    Suspended,
}

/// AWS: CORSRule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct CorsRule {
    pub(super) id: Option<String>,
    pub(super) allowed_headers: Option<Vec<String>>,
    pub(super) allowed_methods: Vec<String>,
    pub(super) allowed_origins: Vec<String>,
    pub(super) expose_headers: Option<Vec<String>>,
    pub(super) max_age_seconds: Option<i32>,
}

/// Names and values, in the order in which they were given.
pub(super) type Tags = Vec<(String, String)>;

/// The id that AWS shows of the version that has none.
pub(super) const NULL: &str = "null";

/// One version of a key: an object, or a delete marker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    /// `None` is the version that AWS calls `null`: it was written while versioning was not
    /// enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) modified_ms: i64,
    /// `None` for a delete marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<Object>,
}

impl Version {
    /// The id as AWS shows it.
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or(NULL)
    }
}

/// An object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) size: u64,
    /// Without its quotes.
    pub(super) etag: String,
    #[serde(default)]
    pub(super) content: Content,
    #[serde(flatten)]
    pub(super) described: Description,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<Checksum>,
}

/// Where an object's bytes are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Content {
    /// There are none.
    #[default]
    Empty,
    /// In one file.
    File(String),
    /// In the parts of an upload, whose rows stay in the index: its id, and how many there are.
    Parts(String, u16),
}

/// What a writer says of an object beside its bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Description {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    /// In seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<i64>,
    /// As it was sent, where it is no date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redirect: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) storage_class: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Tags,
}

impl Description {
    /// AWS: the storage class that answers show; a new name, as their types own it.
    pub(super) fn class(&self) -> String {
        self.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned())
    }
}

/// A checksum of an object or a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    /// In base64, and with `-N` behind it where it is composed of the checksums of N parts.
    pub(super) value: String,
}

impl Checksum {
    /// Whether it is composed of the checksums of parts (AWS: ChecksumType).
    pub(super) fn is_composite(&self) -> bool {
        self.value.contains('-')
    }
}

/// AWS: ChecksumAlgorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// A multipart upload that is neither completed nor aborted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) initiated_ms: i64,
    #[serde(flatten)]
    pub(super) described: Description,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) algorithm: Option<Algorithm>,
    /// Whether the checksum of the object is to be that of the whole object.
    #[serde(default)]
    pub(super) whole_checksum: bool,
    /// Whether its key was deleted since it began.
    #[serde(default)]
    pub(super) key_deleted: bool,
}

/// A part of an upload, or of the object that was made of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) modified_ms: i64,
    pub(super) size: u64,
    /// Its MD5 in hex, without quotes.
    pub(super) etag: String,
    /// `None` where it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<Checksum>,
}
