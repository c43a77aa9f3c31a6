//! What admission yields: for each kind of request a type with all that its handler needs, so that no
//! handler has to ask for a name or a signature again.

use http::header::HeaderName;
use http::{HeaderMap, Method};

use super::origin::Origin;
use crate::s3::{
    BucketName, Content, CopySource, ObjectName, Operation, Preconditions, Query, RequestHead,
    Target,
};
use crate::sigv4::BodyPromise;

/// A request whose sender may do what it asks, or is for the store to judge.
#[derive(Debug)]
pub(super) enum Admitted {
    /// A browser asks what a page may do.
    Preflight(Preflight),
    /// A read of an object, whose conditions are judged here.
    ObjectRead(ObjectRead),
    /// Any other question.
    Read(Passed),
    /// A request that changes no object's content and is streamed on.
    Stream(Passed),
    /// The same, but its body is taken whole first.
    Buffered(Passed),
    /// The beginning of an upload.
    UploadStart(UploadStart),
    /// A part of an upload that is copied from an object.
    PartCopy(PartCopy),
    /// A write of the key that the request names.
    Write(KeyWrite),
    /// Deletes of the keys that the body names.
    Batch(Batch),
    /// The same, to be sent on as it came.
    BatchVerbatim(Batch),
    /// A browser's upload.
    Form(Form),
    /// The same, to be sent on as it came.
    FormVerbatim(Request, BucketName),
}

/// What all but preflights and forms have in common.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// As they are meant: with those that a presigned query carries for them.
    pub(super) headers: HeaderMap,
    /// What is left of the query without those, and without the signature.
    pub(super) query: Query,
    /// What the body is to the operation.
    pub(super) content: Content,
    pub(super) origin: Origin,
    pub(super) promise: BodyPromise,
    /// Whether the client waits for 100 before it sends the body.
    pub(super) expects_continue: bool,
}

/// A browser's question.
#[derive(Debug)]
pub(super) struct Preflight {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
}

/// A read of an object.
#[derive(Debug)]
pub(super) struct ObjectRead {
    pub(super) request: Request,
    pub(super) name: ObjectName,
    /// Whether a rule takes the key out of the gate's care.
    pub(super) unguarded: bool,
}

/// A request that passes no gate.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) request: Request,
    pub(super) target: Target,
}

/// The beginning of an upload of a guarded key.
#[derive(Debug)]
pub(super) struct UploadStart {
    pub(super) request: Request,
    pub(super) name: ObjectName,
}

/// A part that is copied.
#[derive(Debug)]
pub(super) struct PartCopy {
    pub(super) request: Request,
    pub(super) name: ObjectName,
    pub(super) source: Option<CopySource>,
    /// Whether a rule takes the key out of the gate's care.
    pub(super) unguarded: bool,
}

/// A write of one key.
#[derive(Debug)]
pub(super) struct KeyWrite {
    pub(super) request: Request,
    pub(super) name: ObjectName,
    pub(super) preconditions: Preconditions,
    /// Whether a rule takes the key out of the gate's care.
    pub(super) unguarded: bool,
    /// What a copy reads from; `None` also where the store is to judge the sender.
    pub(super) source: Option<CopySource>,
    pub(super) retry: Retry,
}

/// Deletes of several keys.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) request: Request,
    pub(super) bucket: BucketName,
    pub(super) retry: Retry,
}

/// A browser's form, which names its key and its sender inside.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) bucket: BucketName,
    pub(super) headers: HeaderMap,
    pub(super) expects_continue: bool,
}

/// Which attempt of which call this is, as AWS's SDKs say it.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    /// `amz-sdk-invocation-id`: the same for all attempts of one call.
    pub(super) invocation: Option<String>,
    /// From `amz-sdk-request: attempt=2; max=3`; 1 where nothing is said.
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
