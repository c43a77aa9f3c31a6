//! Operations of S3, and the effect of each on objects.

use super::subresource::{Subresource, Understood};

macro_rules! operations {
    ($($(#[$about:meta])* $name:ident $(($part:ty))?,)*) => {
        /// An S3 operation, with AWS's name (AWS: Actions). Operations on buckets and the service have
        /// their own variant only where the proxy treats them in a special way.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // AWS's names; the others are described
        pub enum Operation {
            $($(#[$about])* $name $(($part))?,)*
        }

        /// The operations by number.
        enum Number { $($name,)* }

        impl Operation {
            /// The names of all operations, for logs and metrics.
            pub const NAMES: &[&str] = &[$(stringify!($name),)*];

            /// The place of the operation's name in [`Self::NAMES`].
            pub const fn number(self) -> usize {
                match self { $(Self::$name { .. } => Number::$name as usize,)* }
            }
        }
    };
}

operations! {
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
    /// Any other read of a bucket or the service.
    BucketRead,
    /// A change of a bucket's configuration that affects neither the content of its objects nor the
    /// rights to change them.
    BucketWrite,
    /// A change of the bucket's configuration of this name, by which the store itself may later
    /// write or delete objects, or let others do so around the proxies (see
    /// [`super::configuration`]).
    ConfigureBucket(&'static str),
    /// A change of a bucket or the service that is not understood. It may change objects that it
    /// does not name, so it is refused (see [`super::inadmissible()`]).
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
    /// `OPTIONS` on any target: a browser's preflight.
    Preflight,
    // multipart uploads, which change no object before they are completed
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    AbortMultipartUpload,
    // objects, changes of something other than the content, at a store that knows the subresource
    PutObjectAcl,
    PutObjectAnnotation,
    DeleteObjectAnnotation,
    PutObjectLegalHold,
    PutObjectRetention,
    PutObjectTagging,
    DeleteObjectTagging,
    RestoreObject,
    // objects, changes of the content
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
    /// A request on an object that may change it and is not understood.
    UnknownWrite,
}

/// The effect of an operation on the objects of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// No change.
    Read,
    /// A change, but not of an object's content: the request is streamed without the gate.
    Streams,
    /// A change of the content of the key in the request's path.
    WritesKey(WriteClass),
    /// A change of the content of keys that only the body names.
    WritesKeysInBody,
    /// A possible change of the content of the key in the request's path, in an unknown way. It
    /// goes through the gate, and the record is unknown afterwards.
    UnknownWrite(WriteClass),
}

/// How long a write may work in the store after its last byte was read; decides the settle time.
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
        Self::NAMES[self.number()]
    }

    /// The effect of the operation at a store that may not understand the query's subresource: for
    /// such a store `PUT /b/k?tagging` is a PutObject, and `DELETE /b/k?tagging` deletes the
    /// object. Every S3 store must support multipart uploads.
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
            // Their body is a document, or empty: a store that takes it for an object's content has
            // written it as quickly as any other.
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

    /// The subresource whose support by the store means that the operation does not change the
    /// object's content.
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

    /// The effect of the operation at a store that understands these subresources.
    pub fn effect_at(self, understood: Understood) -> Effect {
        match self.subresource() {
            Some(Subresource::Select) if understood.has(Subresource::Select) => Effect::Read,
            Some(subresource) if understood.has(subresource) => Effect::Streams,
            Some(_) | None => self.effect(),
        }
    }

    /// Whether the body is an XML (or JSON) document with the arguments.
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
