//! The store behind: one request to it, and what can come of that.

mod addressing;
pub mod connection;
pub mod headers;
pub mod http_store;
pub mod understanding;
mod wire;

use std::fmt;
use std::sync::OnceLock;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::body::Body;
use crate::s3::{ObjectName, Seen};
pub use http_store::HttpStore;
pub use understanding::Understanding;

/// SHA-256 of nothing.
pub const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The store as the gate needs it: whole requests that change a key, and one question.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Sends a request with its whole body and reads the whole answer.
    async fn exchange(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange;

    /// What stands at the key now, or what this version of it is.
    async fn head(&self, question: Question<'_>) -> Result<Seen, HeadError>;

    /// When a multipart upload of the key was created, in seconds since 1970 by the store's clock;
    /// `None` where the store does not know it, or does not say.
    async fn initiated_s(
        &self,
        name: &ObjectName,
        upload_id: &str,
    ) -> Result<Option<i64>, HeadError>;

    /// Does the store know this upload of the key? Asked only before a complete is refused.
    async fn has_upload(&self, name: &ObjectName, upload_id: &str) -> Result<bool, HeadError>;

    /// Does the bucket exist? Asked only to choose between NoSuchKey and NoSuchBucket.
    async fn has_bucket(&self, bucket: &str) -> Result<bool, HeadError>;
}

/// A request to the store, complete but for its signature.
#[derive(Debug, Clone)]
pub struct StoreRequest {
    /// Who signs it.
    pub signing: Signing,
    /// The method.
    pub method: Method,
    /// The path, encoded as the store and its signature see it. As sent: the whole request target.
    pub path: String,
    /// The query's names and values, encoded.
    pub query: Vec<(String, String)>,
    /// Headers to send along; those of the connection and the signature are added on the way.
    pub headers: HeaderMap,
    /// SHA-256 of the body; `None` sends `UNSIGNED-PAYLOAD`.
    pub sha256: Option<[u8; 32]>,
}

/// What a HEAD asks for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The object.
    pub name: &'a ObjectName,
    /// One version of it, decoded; `None` for the current one.
    pub version_id: Option<&'a str>,
    /// Headers that a HEAD of this object needs (SSE-C).
    pub headers: &'a HeaderMap,
}

/// Who signs a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// This proxy, for the store, when it is sent.
    Anew,
    /// Its sender has: it goes on as it came, with the Host that it was signed for.
    AsSent,
}

/// How a request is sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// Its body.
    pub body: &'a Body,
    /// Until when the whole answer is waited for.
    pub deadline: Instant,
    /// On a connection that has carried nothing yet.
    pub fresh: bool,
    /// Hears that the store is still at work.
    pub keep_alive: Option<&'a KeepAlive>,
}

impl<'a> Sending<'a> {
    /// On whatever connection there is, with nobody to hear that the store is at work.
    pub fn new(body: &'a Body, deadline: Instant) -> Self {
        Self { body, deadline, fresh: false, keep_alive: None }
    }
}

/// White space that a store sends ahead of its document, to keep the connection alive while it
/// works (AWS: CompleteMultipartUpload, CopyObject).
#[derive(Debug, Default)]
pub struct KeepAlive {
    head: OnceLock<HeaderMap>,
    news: Notify,
}

impl KeepAlive {
    /// The store has sent the head of a 200 and some white space.
    pub fn working(&self, head: &HeaderMap) {
        self.head.get_or_init(|| head.clone());
        self.news.notify_one();
    }

    /// Waits for the next piece of white space; the head of the store's answer.
    pub async fn next(&self) -> HeaderMap {
        self.news.notified().await;
        self.head.get().cloned().unwrap_or_default()
    }
}

/// The store's whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers, without those of the connection.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// What came of a request.
#[derive(Debug)]
pub enum Exchange {
    /// Sent whole, answer read whole.
    Answered(Answer),
    /// Not one byte was sent.
    NotSent(String),
    /// A pooled connection turned out dead before it gave any answer. The store may have read the
    /// request, up to this moment, or not.
    DeadPooled(Instant, String),
    /// Anything else: the request may have been read, and may yet be applied.
    Lost(String),
}

/// Why a HEAD gave no fact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// No answer, or a 5xx: try again later.
    #[error("the store did not say what stands at the key: {0}")]
    Unavailable(String),
    /// The store refuses to say (its answer's status).
    #[error("the store refused a HEAD of the key with status {0}")]
    Refused(StatusCode),
}
