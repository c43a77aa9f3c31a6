//! Requests whose body is sent piece by piece, while it comes from a client.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header};
use tokio::time::timeout;

use super::connection::{Composed, Connections};
use super::conversation::Heard;
use super::exchange::EARLY_ANSWER_WAIT;
use super::opened::{Opened, Opening, Unopened};
use crate::http1::answer_head::write_chunk_size;
use crate::metrics::Metrics;
use crate::metrics::cells::Held;
use crate::metrics::labels::StoreRequestClass;

/// A request that was begun: its head was sent.
pub struct Upload {
    opening: Opening,
    framing: Framing,
    metrics: Arc<Metrics>,
    /// Counts among what is under way at its node.
    at_node: Held,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

/// How the body is framed (RFC 9112 §6), as its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none.
    NoBody,
    Length,
    Chunked {
        /// Whether a chunk was sent, whose line end is sent with what follows it.
        begun: bool,
    },
}

impl Framing {
    fn of(head: &HeaderMap) -> Self {
        if head.contains_key(header::TRANSFER_ENCODING) {
            Self::Chunked { begun: false }
        } else if head.contains_key(header::CONTENT_LENGTH) {
            Self::Length
        } else {
            Self::NoBody
        }
    }

    /// What goes before a piece of so many bytes; 0 for the end of the body.
    fn before(&mut self, bytes: usize) -> Result<Vec<u8>, String> {
        let mut before = Vec::new();
        match self {
            Self::NoBody if bytes > 0 => {
                return Err("its head has announced no body".to_owned());
            }
            Self::NoBody | Self::Length => {}
            Self::Chunked { begun } => {
                if *begun {
                    before.extend_from_slice(b"\r\n");
                }
                *begun = true;
                write_chunk_size(&mut before, bytes);
                if bytes == 0 {
                    before.extend_from_slice(b"\r\n");
                }
            }
        }
        Ok(before)
    }
}

/// What the store has said while a body was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Early {
    /// The body may come.
    GoOn,
    /// The head of an answer has arrived, or the connection has failed.
    Answered,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was sent.
    Yes,
    /// The store stopped reading: it has answered.
    Answered,
}

impl Connections {
    /// Sends the head of a request; its body follows. `at_node` counts it at its node.
    ///
    /// # Errors
    /// The head was not sent, or not taken.
    pub async fn begin(&self, composed: Composed, at_node: Held) -> Result<Upload, Unopened> {
        let framing = Framing::of(&composed.head.headers);
        let opening = self.opening(composed).await?;
        Ok(Upload { opening, framing, metrics: Arc::clone(&self.metrics), at_node })
    }
}

impl Upload {
    /// Waits for what the store says before the end of the body. May be dropped while it waits.
    pub async fn early(&mut self) -> Early {
        match self.opening.conversation.heard_next().await {
            Ok(Heard::GoOn) => Early::GoOn,
            // What has failed is told by whatever comes next.
            Ok(Heard::Head) | Err(_) => Early::Answered,
        }
    }

    /// Sends a piece of the body.
    pub async fn send(&mut self, piece: &Bytes) -> Result<Sent, String> {
        if piece.is_empty() {
            return Ok(Sent::Yes);
        }
        let before = self.framing.before(piece.len())?;
        self.send_framed(&before, piece).await
    }

    async fn send_framed(&mut self, before: &[u8], piece: &[u8]) -> Result<Sent, String> {
        let conversation = &mut self.opening.conversation;
        let Err(error) = conversation.send(before, piece).await else { return Ok(Sent::Yes) };
        // The store may have refused the request and closed: its answer, if any, has already
        // arrived.
        match timeout(EARLY_ANSWER_WAIT, conversation.await_head()).await {
            Ok(Ok(())) => Ok(Sent::Answered),
            Ok(Err(_)) | Err(_) => Err(error.to_string()),
        }
    }

    /// Ends the body, and reads the head of the answer.
    pub async fn end(mut self) -> Result<Opened, String> {
        let before = self.framing.before(0)?;
        let sent =
            if before.is_empty() { Sent::Yes } else { self.send_framed(&before, b"").await? };
        self.opening.conversation.sent_whole = sent == Sent::Yes;
        self.answered().await
    }

    /// Reads the head of the answer. Where it came before the end of the body, it cannot be a
    /// success, and the connection is not used again.
    pub async fn answered(mut self) -> Result<Opened, String> {
        let read = self.opening.conversation.read_head().await;
        let took = self.opening.began.elapsed();
        self.metrics.backend_request.observe(StoreRequestClass::Upload, took);
        read?;
        let sent_whole = self.opening.conversation.sent_whole;
        let opened = self.opening.opened()?.at_node(self.at_node);
        if !sent_whole && opened.status.is_success() {
            let status = opened.status;
            return Err(format!("the store answered {status} before it had read the request"));
        }
        Ok(opened)
    }
}
