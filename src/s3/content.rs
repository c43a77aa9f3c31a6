//! The kinds of request bodies: content of an object, a document that is parsed and rewritten, or
//! no body.

use super::canonical::parse_canonical;
use super::code::Code;
use super::completion::Completion;
use super::error::S3Error;
use super::etag::ETag;
use super::head::RequestHead;
use super::operation::Operation;
use super::schema;
use super::tagging::{self, Tagged};
use super::xml::{self, Element};

/// The meaning of the body for its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Bytes without meaning to the proxy: of an object, of a part, or of a request that is not
    /// understood.
    Opaque,
    /// The operation has no body. A body that is sent all the same is not sent on.
    Nothing,
    /// The parts of an upload.
    Parts,
    /// An XML document with this root.
    Document {
        /// The root element's name.
        root: &'static str,
        /// Whether the body may be missing, as headers can say the same.
        optional: bool,
    },
    /// Tags.
    Tags(Tagged),
    /// A bucket's policy, in JSON.
    Policy,
}

/// The largest configuration document, in bytes. AWS's own limits are lower: a lifecycle has at
/// most 1000 rules.
const CONFIGURATION_BYTES_MAX: usize = 1 << 20;

/// The largest policy of a bucket, in bytes (AWS: PutBucketPolicy).
const POLICY_BYTES_MAX: usize = 20 * 1024;

impl Content {
    /// The kind of this request's body. Other modules read DeleteObjects and forms, which are
    /// [`Content::Opaque`] here.
    pub fn of(head: RequestHead<'_>, operation: Operation) -> Self {
        use Operation as Op;
        match operation {
            Op::CompleteMultipartUpload => Self::Parts,
            Op::CopyObject
            | Op::UploadPartCopy
            | Op::CreateMultipartUpload
            | Op::AbortMultipartUpload
            | Op::DeleteObject
            | Op::DeleteObjectVersion
            | Op::DeleteObjectTagging
            | Op::DeleteObjectAnnotation
            | Op::DeleteBucket => Self::Nothing,
            Op::BucketWrite | Op::ConfigureBucket(_) if head.method == http::Method::DELETE => {
                Self::Nothing
            }
            Op::CreateBucket => {
                Self::Document { root: "CreateBucketConfiguration", optional: true }
            }
            Op::BucketWrite
            | Op::ConfigureBucket(_)
            | Op::PutObjectAcl
            | Op::PutObjectLegalHold
            | Op::PutObjectRetention
            | Op::PutObjectTagging
            | Op::RestoreObject
            | Op::SelectObjectContent
            | Op::UpdateObjectEncryption => Self::of_subresource(head, operation),
            _ => Self::Opaque,
        }
    }

    fn of_subresource(head: RequestHead<'_>, operation: Operation) -> Self {
        let mut names = head.query.parameters().map(|(name, _)| name);
        let found = names.find_map(|name| ROOTS.iter().find(|(known, _)| *known == name));
        match found {
            Some(("policy", _)) => Self::Policy,
            Some(("tagging", _)) if operation == Operation::PutObjectTagging => {
                Self::Tags(Tagged::Object)
            }
            Some(("tagging", _)) => Self::Tags(Tagged::Bucket),
            // For a bucket and for an object it has different documents.
            Some(("encryption", _)) if operation == Operation::UpdateObjectEncryption => {
                Self::Document { root: "ObjectEncryption", optional: false }
            }
            Some(("acl", root)) => Self::Document { root, optional: names_grants(head) },
            Some((_, root)) => Self::Document { root, optional: false },
            None => Self::Opaque,
        }
    }

    /// Whether the store gets another body than the client sent.
    pub const fn is_written_anew(self) -> bool {
        !matches!(self, Self::Opaque)
    }

    /// The media type of a rewritten body; `None` where the header describes the object, or there
    /// is no body.
    pub const fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Opaque | Self::Nothing => None,
            Self::Parts | Self::Document { .. } | Self::Tags(_) => Some("application/xml"),
            Self::Policy => Some("application/json"),
        }
    }

    /// The largest body of this kind, in bytes.
    pub const fn bytes_max(self) -> Option<usize> {
        match self {
            Self::Opaque | Self::Nothing => None,
            Self::Parts => Some(xml::DOCUMENT_BYTES_MAX),
            Self::Document { .. } | Self::Tags(_) => Some(CONFIGURATION_BYTES_MAX),
            Self::Policy => Some(POLICY_BYTES_MAX),
        }
    }

    /// Reads a body that is rewritten for the store. `checksums`: whether the store gets checksums.
    /// Errors: AWS's for a document that the operation does not accept.
    pub fn read(self, body: &[u8], checksums: bool) -> Result<Reading, S3Error> {
        let etag = None;
        let anew = match self {
            Self::Opaque => return Ok(Reading::default()),
            Self::Nothing => Vec::new(),
            Self::Parts => {
                let parts = Completion::parse(body)?;
                return Ok(Reading {
                    anew: Some(parts.to_document(checksums)),
                    etag: parts.etag(),
                });
            }
            Self::Document { optional: true, .. } if body.trim_ascii().is_empty() => Vec::new(),
            Self::Document { root, .. } => {
                let document = document(body, root)?;
                schema::check(&document)?;
                document.to_document()
            }
            Self::Tags(tagged) => {
                let document = document(body, "Tagging")?;
                tagging::check(&tagging::tags_of(&document)?, tagged)?;
                document.to_document()
            }
            Self::Policy => policy(body)?,
        };
        Ok(Reading { anew: Some(anew), etag })
    }
}

/// The result of reading a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The body that the store gets in place of the one that was read; `None` where it gets that
    /// one.
    pub anew: Option<Vec<u8>>,
    /// For the parts of an upload: the ETag that AWS gives the completed object.
    pub etag: Option<ETag>,
}

impl Content {
    /// Whether a body of this kind is read even where it is sent on as its sender signed it:
    /// because it names keys or parts. The store alone reads other documents then.
    pub fn is_read_as_sent(self) -> bool {
        matches!(self, Self::Parts | Self::Document { root: RESTORE, .. })
    }

    /// Judges a body that is sent on as its sender signed it: the store reads it itself. Errors: as
    /// for [`Content::read`]; 400 for another spelling than the one in docs/documents.md; 501 for a
    /// chunked body, which stores decode in their own ways.
    pub fn read_as_sent(self, body: &[u8], chunked: bool) -> Result<Reading, S3Error> {
        if !self.is_read_as_sent() {
            return Ok(Reading::default());
        }
        if chunked {
            return Err(S3Error::not_implemented("Content-Encoding", Some(IN_CHUNKS)));
        }
        match self {
            Self::Document { root, .. } => {
                let document = parse_canonical(body)?;
                let named = Some(&document).filter(|document| document.name == root);
                schema::check(named.ok_or_else(S3Error::malformed_xml)?)?;
                Ok(Reading::default())
            }
            _ => Ok(Reading { anew: None, etag: Completion::parse_as_sent(body)?.etag() }),
        }
    }
}

/// The root of RestoreObject's document. It can name another bucket to write to.
const RESTORE: &str = "RestoreRequest";

/// Why a document that the store reads itself may not be chunked.
pub const IN_CHUNKS: &str =
    "A document that the client has signed for the store goes on as it came; send it in one piece";

fn document(body: &[u8], root: &str) -> Result<Element, S3Error> {
    let document = xml::parse_request(body).filter(|document| document.name == root);
    document.ok_or_else(S3Error::malformed_xml)
}

/// The policy as it was read: of a name that occurs twice, the last value counts, for the proxy and
/// so for the store.
fn policy(body: &[u8]) -> Result<Vec<u8>, S3Error> {
    let malformed = |_| S3Error::new(Code::MalformedPolicy);
    let policy: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(malformed)?;
    serde_json::to_vec(&policy).map_err(malformed)
}

/// Whether headers grant the rights, so that no document is needed.
fn names_grants(head: RequestHead<'_>) -> bool {
    head.headers
        .keys()
        .any(|name| name.as_str() == "x-amz-acl" || name.as_str().starts_with("x-amz-grant-"))
}

/// The root of each subresource's document (AWS: the operations' request syntax).
const ROOTS: &[(&str, &str)] = &[
    ("abac", "AbacStatus"),
    ("accelerate", "AccelerateConfiguration"),
    ("acl", "AccessControlPolicy"),
    ("analytics", "AnalyticsConfiguration"),
    ("cors", "CORSConfiguration"),
    ("encryption", "ServerSideEncryptionConfiguration"),
    ("intelligent-tiering", "IntelligentTieringConfiguration"),
    ("inventory", "InventoryConfiguration"),
    ("legal-hold", "LegalHold"),
    ("lifecycle", "LifecycleConfiguration"),
    ("logging", "BucketLoggingStatus"),
    ("metadataAnnotationTable", "AnnotationTableConfiguration"),
    ("metadataConfiguration", "MetadataConfiguration"),
    ("metadataInventoryTable", "InventoryTableConfiguration"),
    ("metadataJournalTable", "JournalTableConfiguration"),
    ("metadataTable", "MetadataTableConfiguration"),
    ("metrics", "MetricsConfiguration"),
    ("notification", "NotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("ownershipControls", "OwnershipControls"),
    ("policy", ""),
    ("publicAccessBlock", "PublicAccessBlockConfiguration"),
    ("replication", "ReplicationConfiguration"),
    ("requestPayment", "RequestPaymentConfiguration"),
    ("restore", RESTORE),
    ("retention", "Retention"),
    ("select", "SelectObjectContentRequest"),
    ("tagging", "Tagging"),
    ("versioning", "VersioningConfiguration"),
    ("website", "WebsiteConfiguration"),
];

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
