//! The operations of S3 and what each does to objects.

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
    /// Any other change of a bucket's configuration that AWS documents.
    BucketWrite,
    /// A change of a bucket or the service that is not understood. It may change objects without
    /// naming them, so it is refused (see [`super::refusal()`]).
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
    // objects, changing something beside the content
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    AbortMultipartUpload,
    PutObjectAcl,
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
    PutObjectAnnotation,
    DeleteObjectAnnotation,
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
    /// May change the content of the key that the request names, in a way not understood: takes
    /// the lease as a [`WriteClass::Long`] write and leaves the record unknown.
    UnknownWrite,
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

    /// What the operation does to objects.
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
            | Self::SelectObjectContent
            | Self::Preflight => Effect::Read,
            Self::CreateBucket
            | Self::DeleteBucket
            | Self::BucketWrite
            | Self::UnknownBucketWrite
            | Self::CreateMultipartUpload
            | Self::UploadPart
            | Self::UploadPartCopy
            | Self::AbortMultipartUpload
            | Self::PutObjectAcl
            | Self::PutObjectLegalHold
            | Self::PutObjectRetention
            | Self::PutObjectTagging
            | Self::DeleteObjectTagging
            | Self::RestoreObject => Effect::Streams,
            Self::PutObject | Self::DeleteObject | Self::DeleteObjectVersion => {
                Effect::WritesKey(WriteClass::Plain)
            }
            Self::CopyObject | Self::CompleteMultipartUpload => Effect::WritesKey(WriteClass::Long),
            Self::DeleteObjects | Self::PostObject => Effect::WritesKeysInBody,
            // The younger subresources are here because a store that has not heard of them may
            // take `PUT /b/k?annotation` for a plain PutObject.
            Self::AppendObject
            | Self::RenameObject
            | Self::PutObjectAnnotation
            | Self::DeleteObjectAnnotation
            | Self::UpdateObjectEncryption
            | Self::UnknownWrite => Effect::UnknownWrite,
        }
    }
}
