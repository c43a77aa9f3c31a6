//! Requests whose body is sent piece by piece, while it comes from a client.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header;

use super::connection::{Composed, Connections};
use super::conversation::Heard;
pub use super::conversation::Sent;
use super::opened::{Opened, Opening, Unopened};
use super::spans;
use crate::http1::answer_head::write_chunk_size;
use crate::http1::body::{Framed, LAST_CHUNK};
use crate::http1::fields::Fields;
use crate::metrics::Metrics;
use crate::metrics::cells::Held;
use crate::metrics::labels::StoreRequestClass;
use crate::traces::Span;

/// A request that was begun: its head was sent.
pub struct Upload {
    opening: Opening,
    framing: Framing,
    metrics: Arc<Metrics>,
    /// Counts among what is under way at its node.
    at_node: Held,
    /// Ends with the head of the answer.
    span: Span,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

/// How the body is framed (RFC 9112 §6), as its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// So many bytes are still to be sent; none where there is no body. With the last of them the
    /// request is whole, and the store may answer at once.
    Length(u64),
    Chunked,
}

impl Framing {
    fn of(head: &Fields) -> Self {
        if head.contains_key(header::TRANSFER_ENCODING) {
            return Self::Chunked;
        }
        let length = head.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Self::Length(length.and_then(|length| length.parse().ok()).unwrap_or_default())
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

impl Connections {
    /// Sends the head of a request; its body follows. `at_node` counts it at its node.
    ///
    /// # Errors
    /// The head was not sent, or not taken.
    pub async fn begin(&self, composed: Composed, at_node: Held) -> Result<Upload, Unopened> {
        let framing = Framing::of(&composed.head.headers);
        let mut opening = self.opening(composed).await?;
        opening.conversation.sent_whole = framing == Framing::Length(0);
        let (metrics, span) = (Arc::clone(&self.metrics), Span::none());
        Ok(Upload { opening, framing, metrics, at_node, span })
    }
}

impl Upload {
    /// The same request, in this span.
    pub(super) fn under(self, span: Span) -> Self {
        Self { span, ..self }
    }

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
        let conversation = &mut self.opening.conversation;
        match &mut self.framing {
            Framing::Length(left) => {
                let rest = left.checked_sub(piece.len() as u64);
                *left = rest.ok_or("the body is longer than its head has announced")?;
                let sent = conversation.send_or_hear(Framed::bare(piece)).await?;
                conversation.sent_whole = sent == Sent::Yes && *left == 0;
                Ok(sent)
            }
            Framing::Chunked => {
                let mut size = Vec::new();
                write_chunk_size(&mut size, piece.len());
                conversation.send_or_hear(Framed::chunk(&size, piece)).await
            }
        }
    }

    /// Ends the body, and reads the head of the answer.
    pub async fn end(mut self) -> Result<Opened, String> {
        let conversation = &mut self.opening.conversation;
        if self.framing == Framing::Chunked {
            let sent = conversation.send_or_hear(Framed::bare(LAST_CHUNK)).await?;
            conversation.sent_whole = sent == Sent::Yes;
        }
        self.answered().await
    }

    /// Reads the head of the answer. Where it came before the end of the body, it cannot be a
    /// success, and the connection is not used again.
    pub async fn answered(mut self) -> Result<Opened, String> {
        let read = self.opening.conversation.read_head().await;
        let took = self.opening.began.elapsed();
        self.metrics.backend_request.observe(StoreRequestClass::Upload, took);
        let opened = match read {
            Ok(()) => self.opening.opened().await,
            Err(why) => Err(why),
        };
        match &opened {
            Ok(opened) => spans::answered(&mut self.span, opened.status),
            Err(why) => self.span.fail(why),
        }
        Ok(opened?.at_node(self.at_node))
    }
}
