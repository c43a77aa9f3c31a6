//! Reads, whose answers may be long: the head of the answer is read, and the body as it comes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, header};
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::time::{Instant, timeout};

use super::Answer;
use super::connection::{Composed, Connections, NoConnection};
use super::conversation::Conversation;
use super::headers::from_store;
use super::pool::Pool;
use crate::http1::body::Framed;
use crate::http1::fields::Fields;
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

/// An answer, before its body is read.
pub struct Opened {
    /// Status.
    pub status: StatusCode,
    /// Headers, without those of the connection.
    pub headers: Fields,
    conversation: Conversation,
    /// Whether the store lets the connection be used again.
    persists: bool,
    peer: Arc<HttpPeer>,
    pool: Pool,
    _in_use: Held,
    /// Counts among what is under way at its node.
    _at_node: Option<Held>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A request whose head was sent.
pub(super) struct Opening {
    pub(super) conversation: Conversation,
    peer: Arc<HttpPeer>,
    pool: Pool,
    /// Whether its connection was used before.
    reused: bool,
    pub(super) began: Instant,
    in_use: Held,
}

impl Opening {
    /// The answer whose head has been read, and its content unless that is late. Fails where the
    /// content will not come.
    pub(super) async fn opened(self) -> Result<Opened, String> {
        let Self { mut conversation, peer, pool, in_use, .. } = self;
        let head = conversation.take_head()?;
        conversation.await_content_briefly().await?;
        let (status, headers, persists) = (head.status, from_store(head.headers), head.persists);
        Ok(Opened {
            status,
            headers,
            conversation,
            persists,
            peer,
            pool,
            _in_use: in_use,
            _at_node: None,
        })
    }
}

impl Opened {
    /// The same answer, counted among what is under way at its node.
    pub(super) fn at_node(self, under_way: Held) -> Self {
        Self { _at_node: Some(under_way), ..self }
    }

    /// The same answer, once its content has begun. Fails where that will not come.
    pub(super) async fn with_content(mut self) -> Result<Self, String> {
        self.conversation.await_content().await?;
        Ok(self)
    }

    /// The next piece of the body; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        self.conversation.next().await
    }

    /// Whether its content has come with the head, or there is none; otherwise it is late.
    pub fn has_content(&self) -> bool {
        self.conversation.has_content()
    }

    /// Whether the body was read to its end.
    pub fn is_read(&self) -> bool {
        self.conversation.is_read()
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
        if self.is_read() {
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
    async fn open_on(&self, composed: Composed, fresh: bool) -> Result<Opened, (Unopened, bool)> {
        let mut opening = self.opening_on(composed, fresh, true).await?;
        let asked = opening.conversation.read_head().await;
        self.metrics.backend_request.observe(StoreRequestClass::Read, opening.began.elapsed());
        if let Err(why) = asked {
            let silent = opening.reused && opening.conversation.is_silent();
            return Err((Unopened::Lost(why), silent));
        }
        opening.opened().await.map_err(|why| (Unopened::Lost(why), false))
    }

    /// Sends the head of a request whose body follows.
    pub(super) async fn opening(&self, composed: Composed) -> Result<Opening, Unopened> {
        self.opening_on(composed, false, false).await.map_err(|(unopened, _)| unopened)
    }

    /// Fails with `true` where a pooled connection took nothing. `whole`: no body follows.
    async fn opening_on(
        &self,
        Composed { head, server_name }: Composed,
        fresh: bool,
        whole: bool,
    ) -> Result<Opening, (Unopened, bool)> {
        let (began, in_use) = (Instant::now(), self.metrics.backend_in_use.hold());
        let not_sent = |none| (Unopened::NotSent(none), false);
        let lost = |why| Unopened::Lost(why);
        let peer = self.peer(server_name.as_deref()).map_err(not_sent)?;
        let (stream, reused) = self.connect(&peer, fresh).await.map_err(not_sent)?;
        let mut conversation =
            Conversation::new(stream, head.method == Method::HEAD, Some(self.patience()));
        let sent = conversation.send(Framed::bare(&head.to_bytes())).await;
        sent.map_err(|why| (lost(why), reused))?;
        conversation.sent_whole = whole;
        Ok(Opening { conversation, peer, pool: self.pool.clone(), reused, began, in_use })
    }
}

impl Opened {
    /// Reads a short answer to its end.
    ///
    /// # Errors
    /// It breaks off; a sentence.
    pub async fn collect(self) -> Result<Answer, String> {
        self.collect_up_to(usize::MAX).await
    }

    /// Reads an answer of so many bytes at most to its end.
    ///
    /// # Errors
    /// It breaks off, or is longer; a sentence.
    pub async fn collect_up_to(mut self, bytes_max: usize) -> Result<Answer, String> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if body.len() + piece.len() > bytes_max {
                return Err(format!("its answer is longer than {bytes_max} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        let (status, headers) = (self.status, std::mem::take(&mut self.headers));
        self.finish();
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// Drops an answer whose body is not needed. A short body is read to its end, so that the
    /// connection can be used again; for a long one the connection is closed.
    pub async fn dismiss(mut self) {
        if let Ok(true) = timeout(UNWANTED_WAIT, self.ends_soon()).await {
            self.finish();
        }
    }

    /// Puts the connection of an answer that was read to its end back into the pool.
    pub fn finish(self) {
        let Self { conversation, persists, peer, pool, .. } = self;
        if let Some(stream) = conversation.reusable(persists) {
            pool.keep(peer.reuse_hash(), stream);
        }
    }
}
