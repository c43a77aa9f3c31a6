//! One request over one HTTP/1.1 connection to the store, and what came of it.
//!
//! A connection goes back to the pool only after the request was sent whole and the answer read
//! whole; everything else closes it.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::TcpKeepalive;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use tokio::time::{Instant, timeout, timeout_at};

use super::headers::from_store;
use super::{Answer, Exchange};
use crate::body::Body;
use crate::config::{Backend, Endpoint};

/// How long an answer to a write may be: it is read whole.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// After the store stopped reading: how long its early answer is waited for.
const EARLY_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// How long a pooled connection may be idle.
const IDLE: Duration = Duration::from_mins(1);

/// The connections to the store.
pub struct Connections {
    endpoint: Endpoint,
    connector: Connector,
    peer: RwLock<Arc<HttpPeer>>,
    timeouts: Timeouts,
}

#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Duration,
    read: Duration,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({})", self.endpoint)
    }
}

impl Connections {
    /// Resolves the store's name; the address is looked up again when it cannot be connected to.
    pub async fn new(backend: &Backend) -> std::io::Result<Self> {
        let mut options = ConnectorOptions::new(backend.connections);
        options.ca_file = backend.ca_file.as_ref().map(|path| path.to_string_lossy().into_owned());
        let timeouts = Timeouts { connect: backend.connect_timeout, read: backend.read_timeout };
        let address = resolve(&backend.endpoint).await?;
        let peer = Arc::new(peer(&backend.endpoint, address, timeouts));
        Ok(Self {
            endpoint: backend.endpoint.clone(),
            connector: Connector::new(Some(options)),
            peer: RwLock::new(peer),
            timeouts,
        })
    }

    /// The store as it was last resolved.
    pub fn peer(&self) -> Arc<HttpPeer> {
        Arc::clone(&self.peer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks the store's address up again.
    pub async fn resolve_again(&self) {
        if let Ok(address) = resolve(&self.endpoint).await {
            let peer = Arc::new(peer(&self.endpoint, address, self.timeouts));
            *self.peer.write().unwrap_or_else(PoisonError::into_inner) = peer;
        }
    }

    /// Sends a request with its body and reads the answer, until the deadline at the latest.
    pub async fn exchange(
        &self,
        head: RequestHeader,
        body: &Body,
        deadline: Instant,
        fresh: bool,
    ) -> Exchange {
        let peer = self.peer();
        let connected = if fresh {
            // A group of its own keeps it apart from all pooled connections.
            let mut alone = HttpPeer::clone(&peer);
            alone.group_key = u64::MAX;
            timeout_at(deadline, self.connector.get_http_session(&alone)).await
        } else {
            timeout_at(deadline, self.connector.get_http_session(&*peer)).await
        };
        let (mut session, reused) = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => {
                self.resolve_again().await;
                return Exchange::NotSent(error.to_string());
            }
            Err(_) => return Exchange::NotSent("no connection in time".to_owned()),
        };
        // The deadline alone limits the exchange: a store may work on a copy for minutes.
        (session.read_timeout, session.write_timeout) = (None, None);
        match timeout_at(deadline, converse(&mut session, head, body)).await {
            Ok(Ok(told)) => {
                if told.sent_whole && !fresh {
                    self.connector.release_http_session(session, &*peer, Some(IDLE)).await;
                }
                Exchange::Answered(told.answer)
            }
            Ok(Err(why)) => {
                let silent = session.resp_header().is_none();
                drop(session);
                if reused && silent {
                    Exchange::DeadPooled(Instant::now(), why)
                } else {
                    Exchange::Lost(why)
                }
            }
            Err(_) => Exchange::Lost("no whole answer in time".to_owned()),
        }
    }
}

/// An answer, and whether the request before it was sent whole.
struct Told {
    answer: Answer,
    sent_whole: bool,
}

async fn converse(
    session: &mut HttpSession,
    head: RequestHeader,
    body: &Body,
) -> Result<Told, String> {
    let sent_whole = send(session, head, body).await?;
    if !sent_whole || session.resp_header().is_none_or(|head| head.status.is_informational()) {
        read_head(session).await?;
    }
    let head = session.resp_header().ok_or("the answer has no head")?;
    let (status, headers) = (head.status, from_store(&head.headers));
    if !sent_whole && status.is_success() {
        return Err(format!("the store answered {status} before it had read the request"));
    }
    let body = read_body(session).await?;
    session.respect_keepalive();
    Ok(Told { answer: Answer { status, headers, body }, sent_whole })
}

/// Sends the request. `false`: the store answered, or stopped reading, before the end.
async fn send(session: &mut HttpSession, head: RequestHeader, body: &Body) -> Result<bool, String> {
    session.write_request_header(Box::new(head)).await.map_err(|e| e.to_string())?;
    let mut reader = body.reader();
    let mut first = true;
    while let Some(piece) = reader.next().await.map_err(|e| format!("reading the spool: {e}"))? {
        // The head has just gone out: too early for an answer.
        if !std::mem::take(&mut first) && has_answered(session).await? {
            return Ok(false);
        }
        if let Err(error) = session.write_body(&piece).await {
            // The store may have refused and closed: its answer, if any, is already here.
            return match timeout(EARLY_ANSWER_WAIT, read_head(session)).await {
                Ok(Ok(())) => Ok(false),
                _ => Err(error.to_string()),
            };
        }
    }
    session.finish_body().await.map_err(|e| e.to_string())?;
    Ok(true)
}

/// Is the head of an early answer here already? Waits for nothing; what was read of a head that is
/// not whole yet stays in the session.
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

/// Reads the answer's head, passing over informational ones.
async fn read_head(session: &mut HttpSession) -> Result<(), String> {
    loop {
        if session.resp_header().is_some_and(|head| !head.status.is_informational()) {
            return Ok(());
        }
        session.read_response().await.map_err(|e| e.to_string())?;
    }
}

async fn read_body(session: &mut HttpSession) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(piece) = session.read_body_bytes().await.map_err(|e| e.to_string())? {
        if whole.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

async fn resolve(endpoint: &Endpoint) -> std::io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    found.next().ok_or_else(|| std::io::Error::other("the name has no address"))
}

fn peer(endpoint: &Endpoint, address: SocketAddr, timeouts: Timeouts) -> HttpPeer {
    let mut peer = HttpPeer::new(address, endpoint.https, endpoint.host.clone());
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
        // Bytes that the store has not acknowledged for so long are given up, so that a write
        // cannot be delivered long after its lease (protocol, 5.4).
        #[cfg(target_os = "linux")]
        user_timeout: timeouts.read,
    });
    peer
}
