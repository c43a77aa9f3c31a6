//! The results of admission: a type for each kind of request, with everything that its handler
//! needs. No handler has to ask for a name or a signature again.

use http::Method;
use http::header::HeaderName;

use super::origin::Origin;
use crate::http1::fields::Fields;
use crate::s3::listing::ListRequest;
use crate::s3::listing::versions::VersionsRequest;
use crate::s3::{
    BucketName, Content, CopySource, ObjectName, Operation, Preconditions, Query, RequestHead,
    Target,
};
use crate::sigv4::BodyPromise;

/// A request whose sender may do what it asks for, or whose sender the store judges.
#[derive(Debug)]
pub(super) enum Admitted {
    /// A browser asks what a web page may do.
    Preflight(Preflight),
    /// A read of an object, whose conditions are judged here too.
    ObjectRead(ObjectRead),
    /// A listing of a bucket's keys, some of which may be read consistently.
    Listing(Listing),
    /// Any other read.
    Read(Passed),
    /// A request that changes no object's content and whose body is streamed.
    Stream(Passed),
    /// The same, with a buffered body.
    Buffered(Passed),
    /// A CreateMultipartUpload.
    UploadStart(UploadStart),
    /// An UploadPartCopy.
    PartCopy(PartCopy),
    /// A write of the key in the request's path.
    Write(KeyWrite),
    /// Deletes of the keys in the body.
    Batch(Batch),
    /// The same, sent on as it came.
    BatchVerbatim(Batch),
    /// A browser's form upload.
    Form(Form),
    /// The same, sent on as it came.
    FormVerbatim(Box<Request>, BucketName),
}

/// The parts that all requests but preflights and forms have in common. They are large: each kind of
/// request holds them in a box, so that it can be handed on.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// The effective headers: with those that a presigned query carries.
    pub(super) headers: Fields,
    /// The rest of the query, without those and without the signature.
    pub(super) query: Query,
    /// The meaning of the body for the operation.
    pub(super) content: Content,
    pub(super) origin: Origin,
    pub(super) promise: BodyPromise,
    /// Whether the client waits for 100 before it sends the body.
    pub(super) expects_continue: bool,
}

/// A browser's preflight.
#[derive(Debug)]
pub(super) struct Preflight {
    pub(super) path: String,
    pub(super) headers: Fields,
}

/// A listing of a bucket's keys.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) request: Box<Request>,
    pub(super) bucket: BucketName,
    /// What is listed, where the answer can be corrected.
    pub(super) wanted: Wanted,
}

/// The page that a listing wants.
#[derive(Debug)]
pub(super) enum Wanted {
    /// A page of ListObjects or ListObjectsV2.
    Keys(ListRequest),
    /// A page of ListObjectVersions.
    Versions(VersionsRequest),
    /// One that only the store can answer.
    OfTheStore,
}

/// A read of an object.
#[derive(Debug)]
pub(super) struct ObjectRead {
    pub(super) request: Box<Request>,
    pub(super) name: ObjectName,
    /// Whether the key's rule is `mode = "pass"`.
    pub(super) unguarded: bool,
    /// Whether the answer may be nothing older than what was acknowledged.
    pub(super) consistent: bool,
}

/// A request that is not guarded.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) request: Box<Request>,
    pub(super) target: Target,
}

/// A CreateMultipartUpload for a guarded key.
#[derive(Debug)]
pub(super) struct UploadStart {
    pub(super) request: Box<Request>,
    pub(super) name: ObjectName,
}

/// An UploadPartCopy.
#[derive(Debug)]
pub(super) struct PartCopy {
    pub(super) request: Box<Request>,
    pub(super) name: ObjectName,
    pub(super) source: Option<CopySource>,
    /// Whether the key's rule is `mode = "pass"`.
    pub(super) unguarded: bool,
}

/// A write of one key.
#[derive(Debug)]
pub(super) struct KeyWrite {
    pub(super) request: Box<Request>,
    pub(super) name: ObjectName,
    pub(super) preconditions: Preconditions,
    /// Whether the key's rule is `mode = "pass"`.
    pub(super) unguarded: bool,
    /// The source of a copy; `None` also where the store judges the sender.
    pub(super) source: Option<CopySource>,
    pub(super) retry: Retry,
}

/// Deletes of several keys.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) request: Box<Request>,
    pub(super) bucket: BucketName,
    pub(super) retry: Retry,
}

/// A browser's form, which has its key and its sender in its body.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) bucket: BucketName,
    pub(super) headers: Fields,
    pub(super) expects_continue: bool,
}

/// The call and the number of the attempt, in the headers of AWS's SDKs.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    /// `amz-sdk-invocation-id`: the same for all attempts of one call.
    pub(super) invocation: Option<String>,
    /// From `amz-sdk-request: attempt=2; max=3`; 1 where the header is missing.
    pub(super) attempt: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { invocation: None, attempt: 1 }
    }
}

impl Retry {
    pub(super) fn from_head(head: RequestHead<'_>) -> Self {
        let invocation = head.header(&HeaderName::from_static("amz-sdk-invocation-id"));
        let attempt = head
            .header(&HeaderName::from_static("amz-sdk-request"))
            .into_iter()
            .flat_map(|value| value.split(';'))
            .find_map(|pair| pair.trim().strip_prefix("attempt=")?.parse().ok());
        Self {
            invocation: invocation.filter(|id| !id.is_empty()).map(str::to_owned),
            attempt: attempt.unwrap_or(1),
        }
    }
}
