//! Connections to the store: one request over one HTTP/1.1 connection, and its outcome.
//!
//! A connection goes back to the pool only after the whole request was sent and the whole answer
//! read. In all other cases it is closed.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use pingora::OrErr;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::TcpKeepalive;
use pingora::protocols::http::v1::client::{HttpSession, http_req_header_to_wire};
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::headers::from_store;
use super::store_tls::{NO_CA_FILE, StoreTls};
use super::wire::StoreWire;
use super::{Answer, Exchange, KeepAlive, Sending};
use crate::body::Body;
use crate::config::{Backend, Endpoint};
use crate::descriptors;
use crate::metrics::Metrics;
use crate::metrics::cells::Held;
use crate::metrics::labels::{Connecting, StoreRequestClass};
use crate::s3::documents::is_prologue;
use crate::tls::{CertificateInfo, FileFault};

/// The longest answer to a write, in bytes: it is read whole.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Head and body up to this size are sent by one system call.
const AT_ONCE_BYTES_MAX: u64 = 64 << 10;

/// After the store stopped reading: how long to wait for its early answer.
const EARLY_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// An answer up to this size is short: it is read whole where its content matters, or to keep its
/// connection.
const SHORT_BYTES_MAX: usize = 64 << 10;

/// How long to drain an unneeded answer, so that its connection can be used again.
const UNWANTED_WAIT: Duration = Duration::from_secs(1);

/// How long a pooled connection may be idle.
const IDLE: Duration = Duration::from_mins(1);

/// The head of a request as it is sent.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The head, signed.
    pub head: RequestHeader,
    /// The name for TLS (SNI), where it is not the endpoint's own.
    pub server_name: Option<String>,
}

/// The connections to the store.
pub struct Connections {
    endpoint: Endpoint,
    connector: TransportConnector,
    present: RwLock<Present>,
    timeouts: Timeouts,
    metrics: Arc<Metrics>,
}

/// What new connections are made with.
struct Present {
    address: SocketAddr,
    tls: Option<StoreTls>,
    /// Made of the two.
    peer: Arc<HttpPeer>,
}

#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Duration,
    read: Duration,
    /// How long sent bytes may stay unacknowledged before the connection is closed.
    unacknowledged: Duration,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({})", self.endpoint)
    }
}

impl Connections {
    /// Resolves the store's name; the address is looked up again after a connection to it failed.
    /// `settle` is how long a plain write may land after its last byte: no byte may travel longer.
    pub async fn new(
        backend: &Backend,
        settle: Duration,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let mut options = ConnectorOptions::new(backend.connections);
        options.ca_file = Some(NO_CA_FILE.to_owned());
        let tls = backend.url.https.then(|| StoreTls::open(backend.tls())).transpose();
        let tls = tls.map_err(|fault| io::Error::other(format!("backend.{fault}")))?;
        let timeouts = Timeouts {
            connect: backend.connect_timeout,
            read: backend.read_timeout,
            // For the kernel, 0 means its own default, which is a quarter of an hour.
            unacknowledged: backend.read_timeout.min(settle.max(Duration::from_secs(1))),
        };
        let address = resolve(&backend.url).await?;
        let peer = Arc::new(peer(&backend.url, address, tls.as_ref(), timeouts));
        Ok(Self {
            endpoint: backend.url.clone(),
            connector: TransportConnector::new(Some(options)),
            present: RwLock::new(Present { address, tls, peer }),
            timeouts,
            metrics,
        })
    }

    /// The store's address as last resolved, with this name for TLS if one is given.
    pub fn peer(&self, server_name: Option<&str>) -> Arc<HttpPeer> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let peer = Arc::clone(&present.peer);
        drop(present);
        match server_name.filter(|_| self.endpoint.https) {
            Some(name) => Arc::new(HttpPeer { sni: name.to_owned(), ..HttpPeer::clone(&peer) }),
            None => peer,
        }
    }

    /// Looks the store's address up again.
    pub async fn resolve_again(&self) {
        if let Ok(address) = resolve(&self.endpoint).await {
            self.change(|present| present.address = address);
        }
    }

    /// Reads the files for TLS again. New connections use what has changed; those that are open
    /// end with the exchange on them. Whether anything has changed.
    ///
    /// # Errors
    /// The first file that cannot be used; then nothing changes.
    pub fn reload_tls(&self) -> Result<bool, FileFault> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let read = present.tls.as_ref().map(StoreTls::reread).transpose()?.flatten();
        drop(present);
        let changed = read.is_some();
        if changed {
            self.change(|present| present.tls = read);
        }
        Ok(changed)
    }

    /// The certificate that is shown to the store, if there is one.
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        present.tls.as_ref().and_then(StoreTls::shown).into_iter().collect()
    }

    fn change(&self, change: impl FnOnce(&mut Present)) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut present);
        let Present { address, tls, .. } = &*present;
        present.peer = Arc::new(peer(&self.endpoint, *address, tls.as_ref(), self.timeouts));
    }

    /// A connection, and whether it was used before. After a failed connection the address is
    /// looked up again for the next time.
    async fn connect(&self, peer: &HttpPeer, fresh: bool) -> Result<(Stream, bool), String> {
        let connected = if fresh {
            self.connector.new_stream(peer).await.map(|stream| (stream, false))
        } else {
            self.connector.get_stream(peer).await
        };
        self.metrics.backend_connecting.count(match &connected {
            Ok((_, true)) => Connecting::Reused,
            Ok((_, false)) => Connecting::Opened,
            Err(_) => Connecting::Failed,
        });
        self.metrics.backend_up.set(i64::from(connected.is_ok()));
        if let Err(error) = &connected {
            note_descriptors(error);
            self.resolve_again().await;
        }
        connected.map_err(|error| error.to_string())
    }

    /// Sends a request with its body and reads the answer, until the deadline at the latest.
    /// `composed` is the request, signed.
    pub async fn exchange(&self, composed: Composed, sending: Sending<'_>) -> Exchange {
        let (began, _in_use) = (Instant::now(), self.metrics.backend_in_use.hold());
        let class = match composed.head.method {
            Method::HEAD | Method::GET => StoreRequestClass::Question,
            _ => StoreRequestClass::Write,
        };
        let exchange = self.exchange_once(composed, sending).await;
        self.metrics.backend_request.observe(class, began.elapsed());
        exchange
    }

    async fn exchange_once(&self, composed: Composed, sending: Sending<'_>) -> Exchange {
        let Sending { body, deadline, fresh, keep_alive } = sending;
        let Composed { head, server_name } = composed;
        let peer = self.peer(server_name.as_deref());
        let (stream, reused) = match timeout_at(deadline, self.connect(&peer, fresh)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(why)) => return Exchange::NotSent(why),
            Err(_) => return Exchange::NotSent("no connection in time".to_owned()),
        };
        let stream = StoreWire::around(stream, head.method == Method::HEAD);
        match timeout_at(deadline, converse(stream, head, body, keep_alive)).await {
            Ok(Ok(told)) => {
                if let Some(stream) = told.reusable.and_then(StoreWire::taken_off) {
                    self.connector.release_stream(stream, peer.reuse_hash(), Some(IDLE));
                }
                Exchange::Answered(told.answer)
            }
            Ok(Err(broken)) if reused && broken.silent => {
                Exchange::DeadPooled(Instant::now(), broken.why)
            }
            Ok(Err(broken)) => Exchange::Lost(broken.why),
            Err(_) => Exchange::Lost("no whole answer in time".to_owned()),
        }
    }
}

// === reads, whose answers may be long ===

/// An answer to a read, before its body is read.
#[derive(Debug)]
pub struct Opened {
    /// Status.
    pub status: StatusCode,
    /// Headers, without those of the connection.
    pub headers: HeaderMap,
    session: Http,
    peer: Arc<HttpPeer>,
    _in_use: Held,
}

/// Pingora's session, which has no `Debug`.
struct Http(HttpSession);

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpSession")
    }
}

impl Opened {
    /// The next piece of the body; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        self.session.0.read_body_bytes().await.map_err(|e| e.to_string())
    }

    /// The length of the body by its head, in bytes.
    fn announced(&self) -> Option<usize> {
        self.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Is the body, by its declared length, short enough to be read whole?
    pub fn is_short(&self) -> bool {
        self.announced().is_some_and(|bytes| bytes <= SHORT_BYTES_MAX)
    }

    /// Is the body, by its declared length, longer than that?
    pub fn is_long(&self) -> bool {
        self.announced().is_some_and(|bytes| bytes > SHORT_BYTES_MAX)
    }

    /// Reads a short body to its end; `false` for a long body, and for one that breaks off.
    async fn ends_soon(&mut self) -> bool {
        // The answer to a HEAD, and a 304, have a Content-Length but no body.
        if self.session.0.is_body_done() {
            return true;
        }
        let mut left = SHORT_BYTES_MAX;
        if self.announced().is_some_and(|bytes| bytes > left) {
            return false;
        }
        while let Ok(piece) = self.next().await {
            let Some(piece) = piece else { return true };
            let Some(rest) = left.checked_sub(piece.len()) else { return false };
            left = rest;
        }
        false
    }
}

impl Connections {
    /// Sends a read (no body, no change) and reads the head of the answer. It is sent again on a
    /// fresh connection where a pooled connection was dead.
    pub async fn open(&self, composed: Composed) -> Result<Opened, String> {
        match self.open_on(composed.clone(), false).await {
            Err((_, true)) => {
                self.metrics.backend_resends.count();
                self.open_on(composed, true).await.map_err(|(why, _)| why)
            }
            settled => settled.map_err(|(why, _)| why),
        }
    }

    /// The same on a fresh connection, and only once.
    pub async fn open_once(&self, composed: Composed) -> Result<Opened, String> {
        self.open_on(composed, true).await.map_err(|(why, _)| why)
    }

    /// Fails with `true` where a pooled connection gave no answer at all.
    async fn open_on(
        &self,
        Composed { head, server_name }: Composed,
        fresh: bool,
    ) -> Result<Opened, (String, bool)> {
        let (began, in_use) = (Instant::now(), self.metrics.backend_in_use.hold());
        let peer = self.peer(server_name.as_deref());
        let (stream, reused) = self.connect(&peer, fresh).await.map_err(|why| (why, false))?;
        let stream = StoreWire::around(stream, head.method == Method::HEAD);
        let mut session = HttpSession::new_with_options(stream, &*peer);
        let asked = async {
            session.write_request_header(Box::new(head)).await.map_err(|e| e.to_string())?;
            read_head(&mut session).await
        };
        let asked = asked.await;
        self.metrics.backend_request.observe(StoreRequestClass::Read, began.elapsed());
        if let Err(why) = asked {
            return Err((why, reused && session.resp_header().is_none()));
        }
        let (status, headers) = match session.resp_header() {
            Some(head) => (head.status, from_store(&head.headers)),
            None => return Err(("the answer has no head".to_owned(), false)),
        };
        Ok(Opened { status, headers, session: Http(session), peer, _in_use: in_use })
    }

    /// Reads a short answer to its end. Fails where it breaks off, with a sentence.
    pub async fn collect(&self, mut opened: Opened) -> Result<Answer, String> {
        let mut body = BytesMut::new();
        while let Some(piece) = opened.next().await? {
            body.extend_from_slice(&piece);
        }
        let (status, headers) = (opened.status, std::mem::take(&mut opened.headers));
        self.finished(opened).await;
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// Drops an answer whose body is not needed. A short body is read to its end, so that the
    /// connection can be used again; for a long one the connection is closed.
    pub async fn dismiss(&self, mut opened: Opened) {
        if let Ok(true) = timeout(UNWANTED_WAIT, opened.ends_soon()).await {
            self.finished(opened).await;
        }
    }

    /// Puts the connection of an answer that was read to its end back into the pool.
    pub async fn finished(&self, opened: Opened) {
        let mut session = opened.session.0;
        session.respect_keepalive();
        if let Some(stream) = session.reuse().await.and_then(StoreWire::taken_off) {
            self.connector.release_stream(stream, opened.peer.reuse_hash(), Some(IDLE));
        }
    }
}

// === one exchange ===

/// An answer that was received, and the connection if another request may follow.
struct Received {
    answer: Answer,
    reusable: Option<Stream>,
}

/// An exchange without a whole answer.
struct Broken {
    why: String,
    /// No part of an answer arrived.
    silent: bool,
}

async fn converse(
    stream: Stream,
    head: RequestHeader,
    body: &Body,
    keep_alive: Option<&KeepAlive>,
) -> Result<Received, Broken> {
    let is_head = head.method == Method::HEAD;
    let (mut session, sent_whole) = match send(stream, head, body).await {
        Ok(sent) => sent,
        Err(why) => return Err(Broken { why, silent: true }),
    };
    let answer = match answer(&mut session, sent_whole, is_head, keep_alive).await {
        Ok(answer) => answer,
        Err(why) => return Err(Broken { why, silent: session.resp_header().is_none() }),
    };
    session.respect_keepalive();
    let reusable = if sent_whole { session.reuse().await } else { None };
    Ok(Received { answer, reusable })
}

async fn answer(
    session: &mut HttpSession,
    sent_whole: bool,
    is_head: bool,
    keep_alive: Option<&KeepAlive>,
) -> Result<Answer, String> {
    read_head(session).await?;
    let head = session.resp_header().ok_or("the answer has no head")?;
    let (status, headers) = (head.status, from_store(&head.headers));
    if !sent_whole && status.is_success() {
        return Err(format!("the store answered {status} before it had read the request"));
    }
    let keep_alive = keep_alive.filter(|_| status == StatusCode::OK);
    let heard = |body: &[u8]| {
        if let Some(keep_alive) = keep_alive
            && is_prologue(body)
        {
            keep_alive.working(&headers);
        }
    };
    let body = if is_head { Bytes::new() } else { read_body(session, heard).await? };
    Ok(Answer { status, headers, body })
}

/// Sends the request. The `bool` is false if the store answered, or stopped reading, before the end
/// of the request.
async fn send(
    mut stream: Stream,
    head: RequestHeader,
    body: &Body,
) -> Result<(HttpSession, bool), String> {
    let mut reader = body.reader();
    let spool = |e: io::Error| format!("reading the spool: {e}");
    if body.length_bytes() <= AT_ONCE_BYTES_MAX && head.method != Method::HEAD {
        // Each system call costs as much as all of the proxy's rules together, so head and body are
        // sent in one call.
        let mut wire = http_req_header_to_wire(&head).ok_or("the request is not well-formed")?;
        while let Some(piece) = reader.next().await.map_err(spool)? {
            wire.extend_from_slice(&piece);
        }
        stream.write_all(&wire).await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        return Ok((HttpSession::new(stream), true));
    }
    let mut session = HttpSession::new(stream);
    session.write_request_header(Box::new(head)).await.map_err(|e| e.to_string())?;
    let mut piece = reader.next().await.map_err(spool)?;
    while let Some(bytes) = piece {
        if let Err(error) = session.write_body(&bytes).await {
            // The store may have refused the request and closed: its answer, if any, has already
            // arrived.
            return match timeout(EARLY_ANSWER_WAIT, read_head(&mut session)).await {
                Ok(Ok(())) => Ok((session, false)),
                _ => Err(error.to_string()),
            };
        }
        if has_answered(&mut session).await? {
            return Ok((session, reader.next().await.map_err(spool)?.is_none()));
        }
        piece = reader.next().await.map_err(spool)?;
    }
    session.finish_body().await.map_err(|e| e.to_string())?;
    Ok((session, true))
}

/// Has the head of an early answer arrived? Does not wait; an incomplete head stays in the session.
async fn has_answered(session: &mut HttpSession) -> Result<bool, String> {
    tokio::select! {
        biased;
        read = session.read_response() => {
            read.map_err(|e| e.to_string())?;
            Ok(session.resp_header().is_some_and(|head| !head.status.is_informational()))
        }
        () = std::future::ready(()) => Ok(false),
    }
}

/// Reads the answer's head and skips informational ones.
async fn read_head(session: &mut HttpSession) -> Result<(), String> {
    loop {
        if session.resp_header().is_some_and(|head| !head.status.is_informational()) {
            return Ok(());
        }
        session.read_response().await.map_err(|e| e.to_string())?;
    }
}

/// After each piece, `heard` gets everything that has arrived so far.
async fn read_body(session: &mut HttpSession, heard: impl Fn(&[u8])) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(piece) = session.read_body_bytes().await.map_err(|e| e.to_string())? {
        if whole.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        whole.extend_from_slice(&piece);
        heard(&whole);
    }
    Ok(whole.freeze())
}

/// Logs it when there was no file descriptor for a connection to the store.
pub fn note_descriptors(error: &pingora::Error) {
    if error.root_cause().downcast_ref().is_some_and(descriptors::is_out) {
        descriptors::ran_out("to connect to the store");
    }
}

async fn resolve(endpoint: &Endpoint) -> io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    found.next().ok_or_else(|| io::Error::other("the name has no address"))
}

fn peer(
    endpoint: &Endpoint,
    address: SocketAddr,
    tls: Option<&StoreTls>,
    timeouts: Timeouts,
) -> HttpPeer {
    // Pingora verifies no certificate where the name is empty; a host is not.
    let mut peer = HttpPeer::new(address, endpoint.https, endpoint.host.clone());
    if let Some(tls) = tls {
        tls.apply(&mut peer);
    }
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.read);
    options.write_timeout = Some(timeouts.read);
    options.idle_timeout = Some(IDLE);
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(30),
        interval: Duration::from_secs(10),
        count: 3,
        // A connection is closed when the store has not acknowledged bytes for this time, so that a
        // write cannot be delivered long after its lease (F4).
        #[cfg(target_os = "linux")]
        user_timeout: timeouts.unacknowledged,
    });
    // When the connection is dropped, or the process killed, the kernel discards the bytes it has
    // not sent yet: after a normal close it would deliver them after the lease (F4). For bytes that
    // the store has already received, `settle` is the limit.
    options.upstream_tcp_sock_tweak_hook = Some(Arc::new(|socket| {
        socket.set_zero_linger().or_err(pingora::ErrorType::SocketError, "SO_LINGER")
    }));
    peer
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
