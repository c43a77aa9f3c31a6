//! A request that Pingora streams to the store: its body is unframed and checked while it passes,
//! in constant memory.

use bytes::{Bytes, BytesMut};

use crate::backend::{StoreRequest, Via};
use crate::s3::S3Error;
use crate::sigv4::{BodyCheck, BodyPromise, Wanted};

/// A request being forwarded.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) request: StoreRequest,
    /// The node that it goes to.
    pub(super) via: Option<Via>,
    /// The nodes that could not be connected to.
    pub(super) unreached: Vec<usize>,
    /// The length of the body that the store gets; `None` for a request without a body.
    pub(super) length_bytes: Option<u64>,
    check: Option<BodyCheck>,
    framing: Framing,
    /// The last piece received. It is sent on when the next piece arrives, or when the whole body
    /// has kept its promise. So the store never gets the whole of a body that breaks its promise.
    held: Bytes,
}

/// The framing in which a body is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Unframed.
    Undone,
    /// In the framing that it came in, as its sender signed it.
    Kept,
}

impl Forward {
    /// A request whose body has to keep this promise.
    pub(super) fn new(request: StoreRequest, promise: BodyPromise, framing: Framing) -> Self {
        Self {
            request,
            via: None,
            unreached: Vec::new(),
            length_bytes: promise.length.filter(|_| framing == Framing::Undone),
            // Not every store verifies the promised digests, least of all those in a presigned
            // query.
            check: Some(BodyCheck::new(promise, Wanted::default())),
            framing,
            held: Bytes::new(),
        }
    }

    /// Whether the end of the client's body has arrived.
    pub(super) fn is_whole(&self) -> bool {
        self.check.is_none()
    }

    /// Replaces a piece of the client's body by the bytes that may go to the store now.
    pub(super) fn pass_on(
        &mut self,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
    ) -> Result<(), S3Error> {
        let Some(check) = &mut self.check else { return Ok(()) };
        let mut ready = Vec::new();
        if let Some(bytes) = body.take() {
            let held = &mut self.held;
            let mut go_on = |piece: Bytes| {
                if !piece.is_empty() {
                    ready.push(std::mem::replace(held, piece));
                }
            };
            let fed = if self.framing == Framing::Kept {
                let fed = check.feed(bytes.clone(), &mut |_| {});
                go_on(bytes);
                fed
            } else {
                check.feed(bytes, &mut go_on)
            };
            fed?;
        }
        if end_of_stream && let Some(check) = self.check.take() {
            check.finish()?;
            ready.push(std::mem::take(&mut self.held));
        }
        // For Pingora, no piece means the end of the body; an empty piece means that more follows.
        *body = joined(ready).or_else(|| (!end_of_stream).then(Bytes::new));
        Ok(())
    }
}

fn joined(mut pieces: Vec<Bytes>) -> Option<Bytes> {
    pieces.retain(|piece| !piece.is_empty());
    match pieces.len() {
        0 | 1 => pieces.pop(),
        _ => {
            let mut whole = BytesMut::new();
            for piece in &pieces {
                whole.extend_from_slice(piece);
            }
            Some(whole.freeze())
        }
    }
}
