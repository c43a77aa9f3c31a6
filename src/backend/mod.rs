//! The backend: requests to the store, and their possible outcomes.

pub mod addressing;
mod checks;
pub mod choice;
mod composing;
pub mod connection;
mod conversation;
mod exchange;
pub mod headers;
pub mod http_store;
mod no_connection;
mod nodes;
pub mod opened;
mod pool;
mod probe;
mod questions;
mod spans;
mod store_tls;
pub mod understanding;
pub mod upload;

use std::fmt;
use std::sync::OnceLock;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::body::Body;
use crate::http1::fields::Fields;
use crate::s3::{ObjectName, Seen};
pub use http_store::{AskedFirst, HttpStore};
pub use opened::Opened;
pub(crate) use store_tls::NO_CA_FILE;
pub use understanding::Understanding;

/// SHA-256 of an empty body.
pub const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The store as the gate needs it: whole requests that change a key, and a few reads.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Sends a request with its whole body and reads the whole answer.
    async fn exchange(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange;

    /// The current state of the key, or of the named version.
    async fn head(&self, request: HeadRequest<'_>) -> Result<Seen, HeadError>;

    /// When a multipart upload of the key was created, in seconds since 1970 by the store's clock;
    /// `None` where the store does not know the upload, or does not say it.
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

/// A request to the store, complete except for its signature.
#[derive(Debug, Clone)]
pub struct StoreRequest {
    /// Whether the proxy signs it.
    pub signing: Signing,
    /// The method.
    pub method: Method,
    /// The path, encoded as the store and its signature see it. With [`Signing::AsSent`]: the whole
    /// request target.
    pub path: String,
    /// The query's names and values, encoded.
    pub query: Vec<(String, String)>,
    /// The headers to send; those of the connection and the signature are added later.
    pub headers: Fields,
    /// SHA-256 of the body; `None` sends `UNSIGNED-PAYLOAD`.
    pub sha256: Option<[u8; 32]>,
}

/// The object of a HEAD.
#[derive(Debug, Clone, Copy)]
pub struct HeadRequest<'a> {
    /// The object.
    pub name: &'a ObjectName,
    /// One version of it, decoded; `None` for the current one.
    pub version_id: Option<&'a str>,
    /// Headers that a HEAD of this object needs (SSE-C).
    pub headers: &'a Fields,
}

/// Whether a request is signed by the proxy or was signed by its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// The proxy signs it when it is sent.
    Anew,
    /// The sender has signed it: it is sent on unchanged, with the Host that was signed.
    AsSent {
        /// Whether the signature covers the headers of a trace, so that they stay too.
        signs_trace: bool,
    },
}

/// How a request is sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// Its body.
    pub body: &'a Body,
    /// Until when to wait for the whole answer.
    pub deadline: Instant,
    /// On a connection that has carried no request yet.
    pub fresh: bool,
    /// Is told that the store is still at work.
    pub keep_alive: Option<&'a KeepAlive>,
}

impl<'a> Sending<'a> {
    /// On any connection, without a keep-alive.
    pub fn new(body: &'a Body, deadline: Instant) -> Self {
        Self { body, deadline, fresh: false, keep_alive: None }
    }
}

/// White space that a store sends before its document, to keep the connection alive while it works
/// (AWS: CompleteMultipartUpload, CopyObject).
#[derive(Debug, Default)]
pub struct KeepAlive {
    head: OnceLock<Fields>,
    news: Notify,
}

impl KeepAlive {
    /// The store has sent the head of a 200 and some white space.
    pub fn working(&self, head: &Fields) {
        self.head.get_or_init(|| head.clone());
        self.news.notify_one();
    }

    /// Waits for the next piece of white space; returns the head of the store's answer.
    pub async fn next(&self) -> Fields {
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
    pub headers: Fields,
    /// Body.
    pub body: Bytes,
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Exchange {
    /// The whole request was sent, the whole answer read.
    Answered(Answer),
    /// Not one byte was sent.
    NotSent(String),
    /// A pooled connection was dead before any answer. The store may have read the request, up to
    /// this moment, or not.
    DeadPooled(Instant, String),
    /// Anything else: the request may have been read, and may still be applied.
    Lost(String),
}

/// Why a HEAD gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// No answer, or a 5xx: try again later.
    #[error("the store did not say what stands at the key: {0}")]
    Unavailable(String),
    /// The store refuses the HEAD, with this status.
    #[error("the store refused a HEAD of the key with status {0}")]
    Refused(StatusCode),
}
