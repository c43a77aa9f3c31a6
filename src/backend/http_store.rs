//! The store over HTTP: requests are composed and signed here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{self, HeaderValue};
use http::uri::InvalidUri;
use http::{HeaderMap, Method, StatusCode};
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use tokio::time::Instant;

use super::connection::{Connections, Opened};
use super::{EMPTY_SHA256, Exchange, HeadError, Store, StoreRequest};
use crate::body::Body;
use crate::clock;
use crate::config::Backend;
use crate::s3::documents::parse_store_error;
use crate::s3::encoding::encode_path;
use crate::s3::{Current, ETag, ObjectName};
use crate::sigv4::{Credential, Outgoing, SigningKeys, UNSIGNED_PAYLOAD, sign};

/// An S3 store at an endpoint, with the proxy's own credential.
#[derive(Debug)]
pub struct HttpStore {
    connections: Connections,
    authority: HeaderValue,
    region: String,
    credential: Credential,
    keys: Arc<SigningKeys>,
    read_timeout: Duration,
}

/// A request could not be composed: the proxy's own fault, or a header no store would take.
#[derive(Debug, thiserror::Error)]
#[error("a request to the store cannot be composed: {0}")]
pub struct Composing(String);

impl HttpStore {
    /// A store as configured. Fails when its name has no address.
    /// `settle`: how long a plain write may land after its last byte.
    pub async fn new(
        backend: &Backend,
        settle: Duration,
        keys: Arc<SigningKeys>,
    ) -> std::io::Result<Self> {
        let authority =
            HeaderValue::from_str(&backend.endpoint.authority()).map_err(std::io::Error::other)?;
        Ok(Self {
            connections: Connections::new(backend, settle).await?,
            authority,
            region: backend.region.clone(),
            credential: Credential {
                access_key_id: backend.access_key_id.clone(),
                secret: backend.secret_access_key.clone(),
                session_token: None,
            },
            keys,
            read_timeout: backend.read_timeout,
        })
    }

    /// Asks a question whose answer is to be passed on as it comes.
    pub async fn open(&self, request: &StoreRequest) -> Result<Opened, String> {
        let head = self.compose(request, None).map_err(|error| error.to_string())?;
        self.connections.open(head).await
    }

    /// Asks a browser's preflight question, unsigned: nobody has proved who asks.
    pub async fn preflight(&self, path: &str, headers: HeaderMap) -> Result<Opened, String> {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = Method::OPTIONS;
        head.uri = path.parse().map_err(|e: InvalidUri| e.to_string())?;
        head.headers = headers;
        head.headers.insert(header::HOST, self.authority.clone());
        self.connections.open(RequestHeader::from(head)).await
    }

    /// Takes back the connection of an answer that was read to its end.
    pub async fn finished(&self, opened: Opened) {
        self.connections.finished(opened).await;
    }

    /// The store's address, for Pingora's streaming path.
    pub fn peer(&self) -> Arc<HttpPeer> {
        self.connections.peer()
    }

    /// Looks the store's address up again, after it could not be connected to.
    pub async fn resolve_again(&self) {
        self.connections.resolve_again().await;
    }

    /// Composes and signs a request; `length` is its body's, where it has one.
    pub fn compose(
        &self,
        request: &StoreRequest,
        length: Option<u64>,
    ) -> Result<RequestHeader, Composing> {
        let mut headers = request.headers.clone();
        headers.insert(header::HOST, self.authority.clone());
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let payload = request.sha256.map_or_else(|| UNSIGNED_PAYLOAD.to_owned(), hex::encode);
        let query: Vec<(&str, &str)> =
            request.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let outgoing = Outgoing {
            method: &request.method,
            path: &request.path,
            query: &query,
            payload: &payload,
        };
        let now = clock::unix_seconds();
        sign(&outgoing, &mut headers, &self.credential, &self.region, &self.keys, now)
            .map_err(|error| Composing(error.to_string()))?;
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = request.method.clone();
        head.uri =
            request_target(request).parse().map_err(|e: InvalidUri| Composing(e.to_string()))?;
        head.headers = headers;
        Ok(RequestHeader::from(head))
    }

    /// Asks the store for anything at all, to find out before the first client comes whether it can
    /// be reached and takes our credential. The error is a sentence.
    pub async fn greet(&self) -> Result<(), String> {
        let answer = match self.ask(Method::GET, "/".to_owned(), HeaderMap::new()).await {
            Exchange::Answered(answer) => answer,
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                return Err(why);
            }
        };
        // A store may keep its buckets to itself (AccessDenied) and still know us.
        let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
        match code.as_str() {
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthorizationHeaderMalformed" => {
                Err(format!(
                    "it refuses our credential with {code} (backend.access_key_id, its secret, \
                     backend.region)"
                ))
            }
            _ => Ok(()),
        }
    }

    async fn ask(&self, method: Method, path: String, headers: HeaderMap) -> Exchange {
        let request =
            StoreRequest { method, path, query: Vec::new(), headers, sha256: Some(EMPTY_SHA256) };
        let deadline = Instant::now() + self.read_timeout;
        // A question changes nothing: it may be asked again on a fresh connection.
        match self.send(&request, None, deadline, false).await {
            Exchange::DeadPooled(..) => self.send(&request, None, deadline, true).await,
            answered => answered,
        }
    }

    async fn send(
        &self,
        request: &StoreRequest,
        body: Option<&Body>,
        deadline: Instant,
        fresh: bool,
    ) -> Exchange {
        let head = match self.compose(request, body.map(Body::length_bytes)) {
            Ok(head) => head,
            Err(error) => return Exchange::NotSent(error.to_string()),
        };
        let empty = Body::empty();
        self.connections.exchange(head, body.unwrap_or(&empty), deadline, fresh).await
    }
}

fn request_target(request: &StoreRequest) -> String {
    let mut target = request.path.clone();
    for (i, (name, value)) in request.query.iter().enumerate() {
        target.push(if i == 0 { '?' } else { '&' });
        target.push_str(name);
        if !value.is_empty() {
            target.push('=');
            target.push_str(value);
        }
    }
    target
}

#[async_trait]
impl Store for HttpStore {
    async fn exchange(
        &self,
        request: &StoreRequest,
        body: &Body,
        deadline: Instant,
        fresh: bool,
    ) -> Exchange {
        // A DELETE without content has no Content-Length; all else says 0 (RFC 9110 §8.6).
        let body = (request.method != Method::DELETE || body.length_bytes() > 0).then_some(body);
        self.send(request, body, deadline, fresh).await
    }

    async fn head(&self, name: &ObjectName, headers: &HeaderMap) -> Result<Current, HeadError> {
        let answer = match self.ask(Method::HEAD, name.path(), headers.clone()).await {
            Exchange::Answered(answer) => answer,
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                return Err(HeadError::Unavailable(why));
            }
        };
        match answer.status {
            StatusCode::OK => {
                let etag = answer.headers.get(header::ETAG).ok_or_else(|| {
                    HeadError::Unavailable("its answer to a HEAD has no ETag".to_owned())
                })?;
                Ok(Current::Present(ETag::parse(etag.as_bytes())))
            }
            // Also a delete marker (AWS: HeadObject).
            StatusCode::NOT_FOUND => Ok(Current::Absent),
            status if status.is_server_error() => {
                Err(HeadError::Unavailable(format!("it answered a HEAD with {status}")))
            }
            status => Err(HeadError::Refused(status)),
        }
    }

    async fn has_bucket(&self, bucket: &str) -> Result<bool, HeadError> {
        let path = format!("/{}", encode_path(bucket));
        match self.ask(Method::HEAD, path, HeaderMap::new()).await {
            Exchange::Answered(answer) => match answer.status {
                StatusCode::NOT_FOUND => Ok(false),
                status if status.is_server_error() => {
                    Err(HeadError::Unavailable(status.to_string()))
                }
                _ => Ok(true),
            },
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                Err(HeadError::Unavailable(why))
            }
        }
    }
}
