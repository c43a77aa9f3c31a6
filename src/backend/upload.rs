//! Requests whose body is sent piece by piece, while it comes from a client.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::timeout;

use super::connection::{Composed, Connections};
use super::exchange::EARLY_ANSWER_WAIT;
use super::opened::{Opened, Opening, Unopened};
use crate::metrics::Metrics;
use crate::metrics::cells::Held;
use crate::metrics::labels::StoreRequestClass;

/// A request that was begun: its head was sent.
pub struct Upload {
    opening: Opening,
    metrics: Arc<Metrics>,
    /// Counts among what is under way at its node.
    at_node: Held,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
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
        let opening = self.opening(composed).await?;
        Ok(Upload { opening, metrics: Arc::clone(&self.metrics), at_node })
    }
}

impl Upload {
    /// Returns when the head of an answer has arrived, or the connection has failed. May be dropped
    /// while it waits.
    pub async fn early(&mut self) {
        // What has failed is told by whatever comes next.
        let _ = self.opening.conversation.await_head().await;
    }

    /// Sends a piece of the body.
    pub async fn send(&mut self, piece: &Bytes) -> Result<Sent, String> {
        let conversation = &mut self.opening.conversation;
        let Err(error) = conversation.send(b"", piece).await else { return Ok(Sent::Yes) };
        // The store may have refused the request and closed: its answer, if any, has already
        // arrived.
        match timeout(EARLY_ANSWER_WAIT, conversation.await_head()).await {
            Ok(Ok(())) => Ok(Sent::Answered),
            Ok(Err(_)) | Err(_) => Err(error.to_string()),
        }
    }

    /// Ends the body, and reads the head of the answer.
    pub async fn end(mut self) -> Result<Opened, String> {
        self.opening.conversation.sent_whole = true;
        self.answered().await
    }

    /// Reads the head of the answer. Where it came before the end of the body, the connection is not
    /// used again.
    pub async fn answered(mut self) -> Result<Opened, String> {
        let read = self.opening.conversation.read_head().await;
        let took = self.opening.began.elapsed();
        self.metrics.backend_request.observe(StoreRequestClass::Upload, took);
        read?;
        Ok(self.opening.opened()?.at_node(self.at_node))
    }
}
