//! Connections to the store: one request over one HTTP/1.1 connection, and its outcome.
//!
//! A connection goes back to the pool only after the whole request was sent and the whole answer
//! read. In all other cases it is closed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Method;
use pingora::OrErr;
use pingora::protocols::Stream;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::time::{Instant, timeout_at};

use super::choice::address;
use super::conversation::Conversation;
use super::exchange::converse;
use super::pool::Pool;
use super::store_tls::StoreTls;
use super::{Exchange, Sending, no_connection};
use crate::config::{Backend, Endpoint};
use crate::descriptors;
use crate::http1::request::Request;
use crate::metrics::Metrics;
use crate::metrics::labels::{Connecting, StoreRequestClass};
use crate::patience::until;
use crate::tls::{CertificateInfo, FileFault};

/// The head of a request as it is sent.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The head, signed.
    pub head: Request,
    /// The name for TLS (SNI), where it is not the endpoint's own.
    pub server_name: Option<String>,
}

/// The connections to one node of the store.
pub struct Connections {
    endpoint: Endpoint,
    pub(super) pool: Pool,
    present: Arc<RwLock<Present>>,
    timeouts: Timeouts,
    pub(super) metrics: Arc<Metrics>,
}

/// What new connections are made with.
struct Present {
    /// As last resolved; `None` while the name never had one.
    address: Option<SocketAddr>,
    tls: Option<StoreTls>,
    /// Made of the two.
    peer: Option<Arc<HttpPeer>>,
}

/// No connection could be opened, so not one byte was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoConnection {
    /// A sentence.
    pub why: String,
    /// What is at fault.
    pub fault: ConnectFault,
}

/// What is at fault where no connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFault {
    /// The node, or the way to it.
    Node,
    /// The request had less time left than a connection may take.
    Time,
    /// This process: it has no file descriptors left.
    Process,
}

#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Duration,
    read: Duration,
    /// How long sent bytes may stay unacknowledged before the connection is closed.
    unacknowledged: Duration,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections({})", self.endpoint)
    }
}

impl Connections {
    /// To the node at this endpoint, whose name is resolved. Fails where TLS cannot be used, and
    /// where the name has no address unless `may_be_absent`: then it is looked up later.
    /// `settle` is how long a plain write may land after its last byte: no byte may travel longer.
    pub async fn new(
        (endpoint, may_be_absent): (&Endpoint, bool),
        backend: &Backend,
        pool: Pool,
        settle: Duration,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let tls = endpoint.https.then(|| StoreTls::open(backend.tls())).transpose();
        let tls = tls.map_err(|fault| io::Error::other(format!("backend.{fault}")))?;
        let timeouts = Timeouts {
            connect: backend.connect_timeout,
            read: backend.read_timeout,
            // For the kernel, 0 means its own default, which is a quarter of an hour.
            unacknowledged: backend.read_timeout.min(settle.max(Duration::from_secs(1))),
        };
        let address = match resolve(endpoint).await {
            Ok(found) => address::chosen(&found, None, false),
            Err(_) if may_be_absent => None,
            Err(error) => return Err(error),
        };
        let mut present = Present { address, tls, peer: None };
        present.make_peer(endpoint, timeouts);
        let (endpoint, present) = (endpoint.clone(), Arc::new(RwLock::new(present)));
        Ok(Self { endpoint, pool, present, timeouts, metrics })
    }

    /// The same node, over connections of another runtime.
    #[must_use]
    pub fn apart(&self, pool: Pool) -> Self {
        let (endpoint, present) = (self.endpoint.clone(), Arc::clone(&self.present));
        Self { endpoint, pool, present, timeouts: self.timeouts, metrics: Arc::default() }
    }

    /// The node's address as last resolved, with this name for TLS if one is given.
    ///
    /// # Errors
    /// The name has no address.
    pub fn peer(&self, server_name: Option<&str>) -> Result<Arc<HttpPeer>, NoConnection> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let peer = present.peer.clone();
        drop(present);
        let peer = peer.ok_or_else(|| {
            let why = format!("the name {} has no address", self.endpoint.host);
            NoConnection { why, fault: ConnectFault::Node }
        })?;
        Ok(match server_name.filter(|_| self.endpoint.https) {
            Some(name) => Arc::new(HttpPeer { sni: name.to_owned(), ..HttpPeer::clone(&peer) }),
            None => peer,
        })
    }

    /// Looks the node's address up again. One that works is kept for as long as the name has it;
    /// after a failure the name's next one is used, if it has several.
    pub async fn resolve_again(&self, has_failed: bool) {
        let Ok(found) = resolve(&self.endpoint).await else { return };
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner).address;
        let chosen = address::chosen(&found, present, has_failed);
        if chosen.is_some() && chosen != present {
            tracing::info!(node = %self.endpoint, address = ?chosen, "the store's address has changed");
            self.change(|present| present.address = chosen);
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
        present.make_peer(&self.endpoint, self.timeouts);
    }

    /// How long each read or write of a request without a deadline may wait.
    pub(super) const fn patience(&self) -> Duration {
        self.timeouts.read
    }

    /// A connection, and whether it was used before.
    pub(super) async fn connect(
        &self,
        peer: &HttpPeer,
        fresh: bool,
    ) -> Result<(Stream, bool), NoConnection> {
        let connected = self.pool.connect(peer, fresh).await;
        self.metrics.backend_connecting.count(match &connected {
            Ok((_, true)) => Connecting::Reused,
            Ok((_, false)) => Connecting::Opened,
            Err(_) => Connecting::Failed,
        });
        self.metrics.backend_up.set(i64::from(connected.is_ok()));
        connected.map_err(|error| {
            let is_out = note_descriptors(&error);
            let fault = if is_out { ConnectFault::Process } else { ConnectFault::Node };
            NoConnection { why: no_connection::in_words(&error, peer.address()), fault }
        })
    }

    /// Sends a request with its body and reads the answer, until the deadline at the latest.
    /// `composed` is the request, signed.
    ///
    /// # Errors
    /// It was not sent.
    pub async fn exchange(
        &self,
        composed: Composed,
        sending: Sending<'_>,
    ) -> Result<Exchange, NoConnection> {
        let (began, _in_use) = (Instant::now(), self.metrics.backend_in_use.hold());
        let class = match composed.head.method {
            Method::HEAD | Method::GET => StoreRequestClass::Question,
            _ => StoreRequestClass::Write,
        };
        let exchange = self.exchange_once(composed, sending).await;
        self.metrics.backend_request.observe(class, began.elapsed());
        exchange
    }

    async fn exchange_once(
        &self,
        composed: Composed,
        sending: Sending<'_>,
    ) -> Result<Exchange, NoConnection> {
        let Sending { body, deadline, fresh, keep_alive } = sending;
        let Composed { head, server_name } = composed;
        let peer = self.peer(server_name.as_deref())?;
        let connecting = until(deadline, self.connect(&peer, fresh));
        let (stream, reused) = connecting.await.unwrap_or_else(|_| {
            let why = "no connection in time".to_owned();
            Err(NoConnection { why, fault: ConnectFault::Time })
        })?;
        let is_head = head.method == Method::HEAD;
        // The deadline alone counts: a store may work on a write for minutes.
        let conversation = Conversation::new(stream, is_head, None);
        Ok(match timeout_at(deadline, converse(conversation, head, body, keep_alive)).await {
            Ok(Ok(received)) => {
                if let Some(stream) = received.reusable {
                    self.pool.keep(peer.reuse_hash(), stream);
                }
                Exchange::Answered(received.answer)
            }
            Ok(Err(broken)) if reused && broken.silent => {
                Exchange::DeadPooled(Instant::now(), broken.why)
            }
            Ok(Err(broken)) => Exchange::Lost(broken.why),
            Err(_) => Exchange::Lost("no whole answer in time".to_owned()),
        })
    }
}

impl Present {
    fn make_peer(&mut self, endpoint: &Endpoint, timeouts: Timeouts) {
        let address = self.address;
        self.peer =
            address.map(|address| Arc::new(peer(endpoint, address, self.tls.as_ref(), timeouts)));
    }
}

/// Whether there was no file descriptor for a connection to the store, which is logged.
pub fn note_descriptors(error: &pingora::Error) -> bool {
    let is_out = error.root_cause().downcast_ref().is_some_and(descriptors::is_out);
    if is_out {
        descriptors::ran_out("to connect to the store");
    }
    is_out
}

/// The addresses of the endpoint's name; at least one.
async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(found) }
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
