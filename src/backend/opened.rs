//! Reads, whose answers may be long: the head of the answer is read, and the body as it comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use pingora::connectors::TransportConnector;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::time::{Instant, timeout};

use super::Answer;
use super::connection::{Composed, Connections, IDLE, NoConnection};
use super::exchange::read_head;
use super::headers::from_store;
use super::wire::StoreWire;
use crate::metrics::cells::Held;
use crate::metrics::labels::StoreRequestClass;

/// An answer up to this size is short: it is read whole where its content matters, or to keep its
/// connection.
const SHORT_BYTES_MAX: usize = 64 << 10;

/// How long to drain an unneeded answer, so that its connection can be used again.
const UNWANTED_WAIT: Duration = Duration::from_secs(1);

/// Why there is no answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unopened {
    /// It was not sent.
    NotSent(NoConnection),
    /// It was sent, and no answer came.
    Lost(String),
}

impl Unopened {
    /// The sentence.
    pub fn why(self) -> String {
        match self {
            Self::NotSent(NoConnection { why, .. }) | Self::Lost(why) => why,
        }
    }
}

/// An answer to a read, before its body is read.
#[derive(Debug)]
pub struct Opened {
    /// Status.
    pub status: StatusCode,
    /// Headers, without those of the connection.
    pub headers: HeaderMap,
    session: Http,
    peer: Arc<HttpPeer>,
    pool: Pool,
    _in_use: Held,
    /// Counts among what is under way at its node.
    _at_node: Option<Held>,
}

/// Where its connection goes back to. It has no `Debug` either.
struct Pool(Arc<TransportConnector>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransportConnector")
    }
}

/// Pingora's session, which has no `Debug`.
struct Http(HttpSession);

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpSession")
    }
}

impl Opened {
    /// The same answer, counted among what is under way at its node.
    pub(super) fn at_node(self, under_way: Held) -> Self {
        Self { _at_node: Some(under_way), ..self }
    }

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
    ///
    /// # Errors
    /// No answer, and whether it was sent.
    pub async fn open(&self, composed: Composed) -> Result<Opened, Unopened> {
        match self.open_on(composed.clone(), false).await {
            Err((_, true)) => {
                self.metrics.backend_resends.count();
                self.open_on(composed, true).await.map_err(|(why, _)| why)
            }
            settled => settled.map_err(|(why, _)| why),
        }
    }

    /// The same on a fresh connection, and only once.
    ///
    /// # Errors
    /// As above.
    pub async fn open_once(&self, composed: Composed) -> Result<Opened, Unopened> {
        self.open_on(composed, true).await.map_err(|(why, _)| why)
    }

    /// Fails with `true` where a pooled connection gave no answer at all.
    async fn open_on(
        &self,
        Composed { head, server_name }: Composed,
        fresh: bool,
    ) -> Result<Opened, (Unopened, bool)> {
        let (began, in_use) = (Instant::now(), self.metrics.backend_in_use.hold());
        let not_sent = |none| (Unopened::NotSent(none), false);
        let peer = self.peer(server_name.as_deref()).map_err(not_sent)?;
        let (stream, reused) = self.connect(&peer, fresh).await.map_err(not_sent)?;
        let stream = StoreWire::around(stream, head.method == Method::HEAD);
        let mut session = HttpSession::new_with_options(stream, &*peer);
        let asked = async {
            session.write_request_header(Box::new(head)).await.map_err(|e| e.to_string())?;
            read_head(&mut session).await
        };
        let asked = asked.await;
        self.metrics.backend_request.observe(StoreRequestClass::Read, began.elapsed());
        if let Err(why) = asked {
            return Err((Unopened::Lost(why), reused && session.resp_header().is_none()));
        }
        let (status, headers) = match session.resp_header() {
            Some(head) => (head.status, from_store(&head.headers)),
            None => return Err((Unopened::Lost("the answer has no head".to_owned()), false)),
        };
        let (session, pool) = (Http(session), Pool(Arc::clone(&self.pool)));
        Ok(Opened { status, headers, session, peer, pool, _in_use: in_use, _at_node: None })
    }
}

impl Opened {
    /// Reads a short answer to its end.
    ///
    /// # Errors
    /// It breaks off; a sentence.
    pub async fn collect(mut self) -> Result<Answer, String> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next().await? {
            body.extend_from_slice(&piece);
        }
        let (status, headers) = (self.status, std::mem::take(&mut self.headers));
        self.finish().await;
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// Drops an answer whose body is not needed. A short body is read to its end, so that the
    /// connection can be used again; for a long one the connection is closed.
    pub async fn dismiss(mut self) {
        if let Ok(true) = timeout(UNWANTED_WAIT, self.ends_soon()).await {
            self.finish().await;
        }
    }

    /// Puts the connection of an answer that was read to its end back into the pool.
    pub async fn finish(self) {
        let mut session = self.session.0;
        session.respect_keepalive();
        if let Some(stream) = session.reuse().await.and_then(StoreWire::taken_off) {
            self.pool.0.release_stream(stream, self.peer.reuse_hash(), Some(IDLE));
        }
    }
}
