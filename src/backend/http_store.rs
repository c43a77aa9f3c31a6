//! The store over HTTP: composes, signs and sends requests.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::InvalidUri;
use http::{HeaderMap, Method, StatusCode};
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use tokio::time::Instant;

use super::addressing::{HostAndPath, host_and_path};
use super::connection::{Composed, Connections, Opened};
use super::headers::{OBJECT_WRITE_ID, drop_checksums};
use super::{
    Answer, EMPTY_SHA256, Exchange, HeadError, HeadRequest, Sending, Signing, Store, StoreRequest,
};
use crate::body::Body;
use crate::clock;
use crate::config::{Backend, Checksums};
use crate::metrics::Metrics;
use crate::s3::conditional::last_modified_s;
use crate::s3::documents::parse_store_error;
use crate::s3::encoding::{encode_path, encode_query};
use crate::s3::subresource::Described;
use crate::s3::uploads::{ListedUpload, parse_uploads};
use crate::s3::{Current, ETag, ObjectName, Seen, Validators};
use crate::sigv4::{Credential, Outgoing, SigningKeys, UNSIGNED_PAYLOAD, sign};
use crate::tls::{CertificateInfo, FileFault, Reload};

/// An S3 store at an endpoint, with the proxy's own credential.
#[derive(Debug)]
pub struct HttpStore {
    connections: Arc<Connections>,
    backend: Backend,
    signer: Arc<ArcSwap<Signer>>,
    keys: Arc<SigningKeys>,
}

/// Connections that are open end with the request on them.
impl Reload for HttpStore {
    fn section(&self) -> &'static str {
        "backend"
    }

    fn reload(&self) -> Result<bool, FileFault> {
        self.connections.reload_tls()
    }

    fn certificates(&self) -> Vec<CertificateInfo> {
        self.connections.certificates()
    }
}

/// What requests are signed with.
#[derive(Debug, PartialEq)]
struct Signer {
    credential: Credential,
    region: String,
}

impl Signer {
    fn of(backend: &Backend) -> Self {
        let credential = Credential {
            access_key_id: backend.access_key_id.clone(),
            secret: backend.secret_access_key.clone(),
            session_token: backend.session_token.clone(),
        };
        Self { credential, region: backend.region.clone() }
    }
}

/// A request that cannot be composed: an error of the proxy, or a header that no store would
/// accept.
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
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            connections: Arc::new(Connections::new(backend, settle, metrics).await?),
            signer: Arc::new(ArcSwap::from_pointee(Signer::of(backend))),
            keys,
            backend: backend.clone(),
        })
    }

    /// The same store under a new configuration. Its address, its connections and the credential
    /// stay; [`Self::sign_with`] changes the credential.
    #[must_use]
    pub fn with_settings(&self, backend: &Backend) -> Self {
        let (checksums, write_ids) = (backend.checksums, backend.write_ids);
        Self {
            connections: Arc::clone(&self.connections),
            backend: Backend { checksums, write_ids, ..self.backend.clone() },
            signer: Arc::clone(&self.signer),
            keys: Arc::clone(&self.keys),
        }
    }

    /// Tries another credential with a request of its own, over a connection of its own; nothing is
    /// asked where it is the one in use. The error is a sentence.
    pub async fn try_credential(&self, backend: &Backend) -> Result<(), String> {
        let signer = Signer::of(backend);
        if signer == **self.signer.load() {
            return Ok(());
        }
        let settings = Backend {
            access_key_id: signer.credential.access_key_id,
            secret_access_key: signer.credential.secret,
            session_token: signer.credential.session_token,
            region: signer.region,
            ..self.backend.clone()
        };
        // It sends no write, so how long one may take to land does not matter.
        let settle = settings.read_timeout;
        let store = Self::new(&settings, settle, Arc::clone(&self.keys), Arc::default()).await;
        store.map_err(|error| error.to_string())?.probe().await
    }

    /// From now on every request is signed with this credential, for this region: also the later
    /// requests of a write that began before. The store may refuse the earlier credential soon.
    pub fn sign_with(&self, backend: &Backend) {
        self.signer.store(Arc::new(Signer::of(backend)));
    }

    /// Whether objects carry the id of the write that left them.
    pub fn writes_ids(&self) -> bool {
        self.backend.write_ids
    }

    /// Whether clients' checksums are not sent to the store.
    pub fn drops_checksums(&self) -> bool {
        self.backend.checksums == Checksums::Drop
    }

    /// Sends a read whose answer is passed on as it comes.
    pub async fn open(&self, request: &StoreRequest) -> Result<Opened, String> {
        let head = self.compose(request, None).map_err(|error| error.to_string())?;
        self.connections.open(head).await
    }

    /// Sends a request without a body that changes something, but no object's content: once, since
    /// only a read may be sent twice.
    pub async fn open_once(&self, request: &StoreRequest) -> Result<Opened, String> {
        let head = self.compose(request, Some(0)).map_err(|error| error.to_string())?;
        self.connections.open_once(head).await
    }

    /// The validators of an object, or of one version of it; `None` when it does not exist.
    /// `headers` are those that a HEAD of it needs.
    pub async fn look(
        &self,
        name: &ObjectName,
        version_id: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Option<Validators>, HeadError> {
        let version = version_id.map(|id| ("versionId".to_owned(), encode_query(id)));
        let query = version.into_iter().collect();
        let answer = answered(self.ask(Method::HEAD, name.path(), query, headers).await)?;
        match answer.status {
            StatusCode::OK => Ok(Some(Validators::of(&answer.headers))),
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_server_error() => {
                Err(HeadError::Unavailable(format!("it answered a HEAD with {status}")))
            }
            status => Err(HeadError::Refused(status)),
        }
    }

    /// Sends a browser's preflight, unsigned: the sender is not authenticated.
    pub async fn preflight(&self, path: &str, headers: HeaderMap) -> Result<Opened, String> {
        let addressed = host_and_path(self.backend.addressing, path);
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = Method::OPTIONS;
        head.uri = addressed.path.parse().map_err(|e: InvalidUri| e.to_string())?;
        head.headers = headers;
        head.headers.insert(header::HOST, self.host(&addressed).map_err(|e| e.to_string())?);
        let server_name = addressed.server_name(&self.backend.url);
        self.connections.open(Composed { head: head.into(), server_name }).await
    }

    /// Reads a short answer to its end. Fails where it breaks off, with a sentence.
    pub async fn collect(&self, opened: Opened) -> Result<Answer, String> {
        self.connections.collect(opened).await
    }

    /// Drops an answer whose body is not needed.
    pub async fn dismiss(&self, opened: Opened) {
        self.connections.dismiss(opened).await;
    }

    /// Puts the connection of an answer that was read to its end back into the pool.
    pub async fn finished(&self, opened: Opened) {
        self.connections.finished(opened).await;
    }

    /// The address of a request's store, for Pingora's streaming path.
    pub fn peer(&self, request: &StoreRequest) -> Arc<HttpPeer> {
        let server_name = match request.signing {
            Signing::Anew => {
                host_and_path(self.backend.addressing, &request.path).server_name(&self.backend.url)
            }
            Signing::AsSent => None,
        };
        self.connections.peer(server_name.as_deref())
    }

    /// The store's own name or address.
    pub fn host_name(&self) -> &str {
        &self.backend.url.host
    }

    fn host(&self, addressed: &HostAndPath<'_>) -> Result<HeaderValue, Composing> {
        let authority = addressed.authority(&self.backend.url);
        HeaderValue::try_from(authority).map_err(|error| Composing(error.to_string()))
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
    ) -> Result<Composed, Composing> {
        if request.signing == Signing::AsSent {
            return compose_as_sent(request, length);
        }
        let addressed = host_and_path(self.backend.addressing, &request.path);
        let mut headers = request.headers.clone();
        if self.drops_checksums() {
            drop_checksums(&mut headers);
        }
        headers.insert(header::HOST, self.host(&addressed)?);
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let payload = request.sha256.map_or_else(|| UNSIGNED_PAYLOAD.to_owned(), hex::encode);
        let query: Vec<(&str, &str)> =
            request.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let outgoing = Outgoing {
            method: &request.method,
            path: addressed.path,
            query: &query,
            payload: &payload,
        };
        let now = clock::unix_seconds();
        let signer = self.signer.load();
        sign(&outgoing, &mut headers, &signer.credential, &signer.region, &self.keys, now)
            .map_err(|error| Composing(error.to_string()))?;
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = request.method.clone();
        let target = request_target(addressed.path, &request.query);
        head.uri = target.parse().map_err(|e: InvalidUri| Composing(e.to_string()))?;
        head.headers = headers;
        Ok(Composed { head: head.into(), server_name: addressed.server_name(&self.backend.url) })
    }

    /// Reads a document of the store, up to a few MiB. The error is a sentence that says why the
    /// store gave no answer; a refusal is an answer.
    pub async fn read(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, String> {
        let opened = self.open_document(path, query).await?;
        self.collect(opened).await
    }

    /// The same, but without a long body: that may be an object's content.
    pub async fn read_short(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, String> {
        let opened = self.open_document(path, query).await?;
        if opened.is_long() {
            let (status, headers) = (opened.status, opened.headers.clone());
            self.dismiss(opened).await;
            return Ok(Answer { status, headers, body: Bytes::new() });
        }
        self.collect(opened).await
    }

    async fn open_document(&self, path: &str, query: &[(&str, &str)]) -> Result<Opened, String> {
        let query = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (signing, sha256) = (Signing::Anew, Some(EMPTY_SHA256));
        let (method, path, headers) = (Method::GET, path.to_owned(), HeaderMap::new());
        let request = StoreRequest { signing, method, path, query, headers, sha256 };
        self.open(&request).await
    }

    /// The ETag and the length of an object by a HEAD; `None` when there is no such object.
    pub async fn described(&self, name: &ObjectName) -> Result<Option<Described>, String> {
        let asked = self.ask(Method::HEAD, name.path(), Vec::new(), HeaderMap::new()).await;
        let answer = answered(asked).map_err(|error| error.to_string())?;
        let etag = answer.headers.get(header::ETAG).map(|etag| ETag::parse(etag.as_bytes()));
        let described = Described { etag, size_bytes: size_bytes(&answer.headers) };
        Ok((answer.status == StatusCode::OK).then_some(described))
    }

    /// Sends a request to the store before the first client comes, to find out whether the store
    /// can be reached and accepts the proxy's credential. The error is a sentence.
    pub async fn probe(&self) -> Result<(), String> {
        let answer = match self.ask(Method::GET, "/".to_owned(), Vec::new(), HeaderMap::new()).await
        {
            Exchange::Answered(answer) => answer,
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                return Err(why);
            }
        };
        if answer.status.is_redirection() {
            let to = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
            let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
            return Err(format!("it redirects{to}: name the store that answers itself"));
        }
        // A store may refuse to list its buckets (AccessDenied) and still accept the credential.
        let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
        match code.as_str() {
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "AuthorizationHeaderMalformed"
            | "InvalidToken"
            | "ExpiredToken" => Err(format!(
                "it refuses our credential with {code} (backend.access_key_id, its secret, its \
                 session token, backend.region)"
            )),
            _ => Ok(()),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: String,
        query: Vec<(String, String)>,
        headers: HeaderMap,
    ) -> Exchange {
        let sha256 = Some(EMPTY_SHA256);
        let signing = Signing::Anew;
        let request = StoreRequest { signing, method, path, query, headers, sha256 };
        let deadline = Instant::now() + self.backend.read_timeout;
        let body = Body::empty();
        let sending = Sending::new(&body, deadline);
        // A read changes nothing: it may be sent again on a fresh connection.
        match self.exchange(&request, sending).await {
            Exchange::DeadPooled(..) => {
                self.exchange(&request, Sending { fresh: true, ..sending }).await
            }
            answered => answered,
        }
    }
}

/// Whether a request with this method and no content has no Content-Length; all others have one,
/// even 0 (RFC 9110 §8.6). A DELETE has one too: where the delete brings an older version back,
/// Swift waits a minute for a body unless the length says that there is none.
fn says_no_length(method: &Method, body: &Body) -> bool {
    body.length_bytes() == 0 && matches!(*method, Method::GET | Method::HEAD)
}

/// The request as its sender signed it. TLS is between the proxy and the store, so it uses the
/// endpoint's own name.
fn compose_as_sent(request: &StoreRequest, length: Option<u64>) -> Result<Composed, Composing> {
    let target = request.path.as_bytes();
    let mut head = RequestHeader::build(request.method.clone(), target, None)
        .map_err(|error| Composing(error.to_string()))?;
    let length = length.map(|length| (header::CONTENT_LENGTH, HeaderValue::from(length)));
    let length = length.filter(|(name, _)| !request.headers.contains_key(name));
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in headers.chain(length) {
        head.append_header(name, value).map_err(|error| Composing(error.to_string()))?;
    }
    Ok(Composed { head, server_name: None })
}

fn request_target(path: &str, query: &[(String, String)]) -> String {
    let mut target = path.to_owned();
    for (i, (name, value)) in query.iter().enumerate() {
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
    async fn exchange(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange {
        let length =
            (!says_no_length(&request.method, sending.body)).then(|| sending.body.length_bytes());
        match self.compose(request, length) {
            Ok(head) => self.connections.exchange(head, sending).await,
            Err(error) => Exchange::NotSent(error.to_string()),
        }
    }

    async fn head(&self, request: HeadRequest<'_>) -> Result<Seen, HeadError> {
        let HeadRequest { name, version_id, headers } = request;
        let version = version_id.map(|id| ("versionId".to_owned(), encode_query(id)));
        let query = version.into_iter().collect();
        let asked = self.ask(Method::HEAD, name.path(), query, headers.clone()).await;
        let answer = answered(asked)?;
        match answer.status {
            StatusCode::OK => {
                let etag = answer.headers.get(header::ETAG).ok_or_else(|| {
                    HeadError::Unavailable("its answer to a HEAD has no ETag".to_owned())
                })?;
                Ok(Seen {
                    current: Current::Present(ETag::parse(etag.as_bytes())),
                    last_modified_s: last_modified_s(&answer.headers),
                    size_bytes: size_bytes(&answer.headers),
                    generation: None,
                    id_field: id_field(&answer.headers),
                })
            }
            // Also a delete marker (AWS: HeadObject).
            StatusCode::NOT_FOUND => Ok(Seen::ABSENT),
            status if status.is_server_error() => {
                Err(HeadError::Unavailable(format!("it answered a HEAD with {status}")))
            }
            status => Err(HeadError::Refused(status)),
        }
    }

    async fn has_bucket(&self, bucket: &str) -> Result<bool, HeadError> {
        let path = format!("/{}", encode_path(bucket));
        let asked = self.ask(Method::HEAD, path, Vec::new(), HeaderMap::new()).await;
        match answered(asked)?.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_server_error() => Err(HeadError::Unavailable(status.to_string())),
            _ => Ok(true),
        }
    }

    async fn has_upload(&self, name: &ObjectName, upload_id: &str) -> Result<bool, HeadError> {
        let query = vec![
            ("max-parts".to_owned(), "1".to_owned()),
            ("uploadId".to_owned(), encode_query(upload_id)),
        ];
        let asked = self.ask(Method::GET, name.path(), query, HeaderMap::new()).await;
        let answer = answered(asked)?;
        let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
        // The second code is Ceph's.
        Ok(answer.status != StatusCode::NOT_FOUND
            || !matches!(code.as_str(), "NoSuchUpload" | "NoSuchKey"))
    }

    async fn initiated_s(
        &self,
        name: &ObjectName,
        upload_id: &str,
    ) -> Result<Option<i64>, HeadError> {
        let path = format!("/{}", encode_path(name.bucket.as_str()));
        let mut after: Option<(String, String)> = None;
        for _ in 0..UPLOAD_PAGES_MAX {
            let mut query = vec![
                ("uploads".to_owned(), String::new()),
                ("prefix".to_owned(), encode_query(name.key.as_str())),
            ];
            if let Some((key, upload_id)) = &after {
                query.push(("key-marker".to_owned(), encode_query(key)));
                query.push(("upload-id-marker".to_owned(), encode_query(upload_id)));
            }
            let asked = self.ask(Method::GET, path.clone(), query, HeaderMap::new()).await;
            let answer = answered(asked)?;
            match answer.status {
                StatusCode::OK => {}
                status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                    return Err(HeadError::Unavailable(format!("it answered a listing {status}")));
                }
                _ => return Ok(None),
            }
            let Some(page) = parse_uploads(&answer.body) else { return Ok(None) };
            let same = |upload: &&ListedUpload| {
                upload.upload_id == upload_id && upload.key == name.key.as_str()
            };
            if let Some(upload) = page.uploads.iter().find(same) {
                return Ok(upload.initiated_s);
            }
            if page.next.is_none() || page.next == after {
                return Ok(None);
            }
            after = page.next;
        }
        Ok(None)
    }
}

/// How many pages of a listing of uploads are read at most: each has 1,000 uploads of one key.
const UPLOAD_PAGES_MAX: usize = 10;

fn answered(exchange: Exchange) -> Result<Answer, HeadError> {
    match exchange {
        Exchange::Answered(answer) => Ok(answer),
        Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
            Err(HeadError::Unavailable(why))
        }
    }
}

fn id_field(headers: &HeaderMap) -> Option<Box<str>> {
    headers.get(OBJECT_WRITE_ID).and_then(|value| value.to_str().ok()).map(Into::into)
}

fn size_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
