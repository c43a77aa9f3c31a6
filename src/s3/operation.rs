//! The operations of S3 and what each does to objects.

use super::subresource::{Subresource, Understood};

/// An S3 operation in AWS's names (AWS: Actions). Those on buckets and the service are named only
/// where this proxy treats them in a way of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // AWS's names; the others are described
pub enum Operation {
    // the service
    ListBuckets,
    // buckets
    ListObjects,
    ListObjectsV2,
    ListObjectVersions,
    ListMultipartUploads,
    CreateBucket,
    DeleteBucket,
    HeadBucket,
    GetBucketLocation,
    CreateSession,
    DeleteObjects,
    PostObject,
    /// Any other reading of a bucket or the service.
    BucketRead,
    /// A change of a bucket's configuration that stays without effect on what its objects hold, and
    /// on who may change them.
    BucketWrite,
    /// A change of the bucket's configuration of this name, by which the store itself may later
    /// write or delete objects, or lets others do so around the proxies (see
    /// [`super::configuration`]).
    ConfigureBucket(&'static str),
    /// A change of a bucket or the service that is not understood. It may change objects without
    /// naming them, so it is refused (see [`super::inadmissible()`]).
    UnknownBucketWrite,
    // objects, reading
    GetObject,
    HeadObject,
    GetObjectAcl,
    GetObjectAnnotation,
    GetObjectAttributes,
    GetObjectLegalHold,
    GetObjectRetention,
    GetObjectTagging,
    GetObjectTorrent,
    ListParts,
    SelectObjectContent,
    /// `OPTIONS`, on whatever target: a browser asks what it may do.
    Preflight,
    // multipart uploads, which change nothing before they are completed
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    AbortMultipartUpload,
    // objects, changing something beside the content, at a store that knows the subresource
    PutObjectAcl,
    PutObjectAnnotation,
    DeleteObjectAnnotation,
    PutObjectLegalHold,
    PutObjectRetention,
    PutObjectTagging,
    DeleteObjectTagging,
    RestoreObject,
    // objects, changing the content
    PutObject,
    CopyObject,
    CompleteMultipartUpload,
    DeleteObject,
    /// DeleteObject with a `versionId`; it may bring an earlier version back.
    DeleteObjectVersion,
    // objects, treated as writes of unknown effect
    /// PutObject with `x-amz-write-offset-bytes`, or another store's `?append`.
    AppendObject,
    RenameObject,
    UpdateObjectEncryption,
    /// A mutating request on an object that is not understood.
    UnknownWrite,
}

/// What an operation does to the objects of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something, but no object's content: streams past the gate.
    Streams,
    /// Changes the content of the key that the request names.
    WritesKey(WriteClass),
    /// Changes the content of keys that only the body names.
    WritesKeysInBody,
    /// May change the content of the key that the request names, in a way not understood: passes the
    /// gate, and leaves the record unknown.
    UnknownWrite(WriteClass),
}

/// How long a write may go on in the store after its last byte was read; says which settle time
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteClass {
    /// Done soon after the last byte.
    Plain,
    /// May work for minutes: complete and copy.
    Long,
}

impl Operation {
    /// The operation's name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ListBuckets => "ListBuckets",
            Self::ListObjects => "ListObjects",
            Self::ListObjectsV2 => "ListObjectsV2",
            Self::ListObjectVersions => "ListObjectVersions",
            Self::ListMultipartUploads => "ListMultipartUploads",
            Self::CreateBucket => "CreateBucket",
            Self::DeleteBucket => "DeleteBucket",
            Self::HeadBucket => "HeadBucket",
            Self::GetBucketLocation => "GetBucketLocation",
            Self::CreateSession => "CreateSession",
            Self::DeleteObjects => "DeleteObjects",
            Self::PostObject => "PostObject",
            Self::BucketRead => "BucketRead",
            Self::BucketWrite => "BucketWrite",
            Self::ConfigureBucket(_) => "ConfigureBucket",
            Self::UnknownBucketWrite => "UnknownBucketWrite",
            Self::GetObject => "GetObject",
            Self::HeadObject => "HeadObject",
            Self::GetObjectAcl => "GetObjectAcl",
            Self::GetObjectAnnotation => "GetObjectAnnotation",
            Self::GetObjectAttributes => "GetObjectAttributes",
            Self::GetObjectLegalHold => "GetObjectLegalHold",
            Self::GetObjectRetention => "GetObjectRetention",
            Self::GetObjectTagging => "GetObjectTagging",
            Self::GetObjectTorrent => "GetObjectTorrent",
            Self::ListParts => "ListParts",
            Self::SelectObjectContent => "SelectObjectContent",
            Self::Preflight => "Preflight",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::UploadPart => "UploadPart",
            Self::UploadPartCopy => "UploadPartCopy",
            Self::AbortMultipartUpload => "AbortMultipartUpload",
            Self::PutObjectAcl => "PutObjectAcl",
            Self::PutObjectLegalHold => "PutObjectLegalHold",
            Self::PutObjectRetention => "PutObjectRetention",
            Self::PutObjectTagging => "PutObjectTagging",
            Self::DeleteObjectTagging => "DeleteObjectTagging",
            Self::RestoreObject => "RestoreObject",
            Self::PutObject => "PutObject",
            Self::CopyObject => "CopyObject",
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::DeleteObject => "DeleteObject",
            Self::DeleteObjectVersion => "DeleteObjectVersion",
            Self::AppendObject => "AppendObject",
            Self::RenameObject => "RenameObject",
            Self::PutObjectAnnotation => "PutObjectAnnotation",
            Self::DeleteObjectAnnotation => "DeleteObjectAnnotation",
            Self::UpdateObjectEncryption => "UpdateObjectEncryption",
            Self::UnknownWrite => "UnknownWrite",
        }
    }

    /// What the operation may do to objects, at a store that is not known to understand the query's
    /// subresource: to such a store `PUT /b/k?tagging` is a PutObject, and `DELETE /b/k?tagging`
    /// deletes the object. Multipart uploads are part of every S3 store, and of what is asked of one.
    pub const fn effect(self) -> Effect {
        match self {
            Self::ListBuckets
            | Self::ListObjects
            | Self::ListObjectsV2
            | Self::ListObjectVersions
            | Self::ListMultipartUploads
            | Self::HeadBucket
            | Self::GetBucketLocation
            | Self::CreateSession
            | Self::BucketRead
            | Self::GetObject
            | Self::HeadObject
            | Self::GetObjectAcl
            | Self::GetObjectAnnotation
            | Self::GetObjectAttributes
            | Self::GetObjectLegalHold
            | Self::GetObjectRetention
            | Self::GetObjectTagging
            | Self::GetObjectTorrent
            | Self::ListParts
            | Self::Preflight => Effect::Read,
            Self::CreateBucket
            | Self::DeleteBucket
            | Self::BucketWrite
            | Self::ConfigureBucket(_)
            | Self::UnknownBucketWrite
            | Self::CreateMultipartUpload
            | Self::UploadPart
            | Self::UploadPartCopy
            | Self::AbortMultipartUpload => Effect::Streams,
            Self::PutObject | Self::DeleteObject | Self::DeleteObjectVersion => {
                Effect::WritesKey(WriteClass::Plain)
            }
            Self::CopyObject | Self::CompleteMultipartUpload => Effect::WritesKey(WriteClass::Long),
            Self::DeleteObjects | Self::PostObject => Effect::WritesKeysInBody,
            // What they carry is a document, or nothing: a store that takes it for an object has
            // written it as soon as any other.
            Self::PutObjectAcl
            | Self::PutObjectAnnotation
            | Self::DeleteObjectAnnotation
            | Self::PutObjectLegalHold
            | Self::PutObjectRetention
            | Self::PutObjectTagging
            | Self::DeleteObjectTagging
            | Self::RestoreObject
            | Self::SelectObjectContent => Effect::UnknownWrite(WriteClass::Plain),
            Self::AppendObject
            | Self::RenameObject
            | Self::UpdateObjectEncryption
            | Self::UnknownWrite => Effect::UnknownWrite(WriteClass::Long),
        }
    }

    /// The subresource that makes the operation leave the object's content alone, where the store
    /// understands it.
    pub const fn subresource(self) -> Option<Subresource> {
        Some(match self {
            Self::PutObjectAcl => Subresource::Acl,
            Self::PutObjectAnnotation | Self::DeleteObjectAnnotation => Subresource::Annotation,
            Self::PutObjectLegalHold => Subresource::LegalHold,
            Self::PutObjectRetention => Subresource::Retention,
            Self::PutObjectTagging | Self::DeleteObjectTagging => Subresource::Tagging,
            Self::RestoreObject => Subresource::Restore,
            Self::SelectObjectContent => Subresource::Select,
            _ => return None,
        })
    }

    /// What the operation does to objects, at a store that understands these subresources.
    pub fn effect_at(self, understood: Understood) -> Effect {
        match self.subresource() {
            Some(Subresource::Select) if understood.has(Subresource::Select) => Effect::Read,
            Some(subresource) if understood.has(subresource) => Effect::Streams,
            Some(_) | None => self.effect(),
        }
    }

    /// Whether the body is an XML (or JSON) document that says what is asked.
    pub const fn has_document(self) -> bool {
        matches!(
            self,
            Self::BucketWrite
                | Self::ConfigureBucket(_)
                | Self::CreateBucket
                | Self::DeleteObjects
                | Self::CompleteMultipartUpload
                | Self::PutObjectAcl
                | Self::PutObjectLegalHold
                | Self::PutObjectRetention
                | Self::PutObjectTagging
                | Self::RestoreObject
                | Self::SelectObjectContent
        )
    }
}
