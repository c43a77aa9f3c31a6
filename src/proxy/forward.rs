//! A request that Pingora streams to the store: its body is unframed and checked on its way, in
//! constant memory.

use bytes::{Bytes, BytesMut};

use crate::backend::StoreRequest;
use crate::s3::S3Error;
use crate::sigv4::{BodyCheck, BodyPromise, Wanted};

/// A request being forwarded.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) request: StoreRequest,
    /// Of the body as the store gets it; `None` for a request without one.
    pub(super) length_bytes: Option<u64>,
    check: Option<BodyCheck>,
    framing: Framing,
    /// The last piece that came: it goes on when the next one comes, or when the whole body has
    /// kept its promise. A body that has not is thus never whole at the store.
    held: Bytes,
}

/// In which framing a body goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// In none of its own.
    Undone,
    /// In the one that it came in, as its sender has signed it.
    Kept,
}

impl Forward {
    /// A request whose body has to keep this promise.
    pub(super) fn new(request: StoreRequest, promise: BodyPromise, framing: Framing) -> Self {
        Self {
            request,
            length_bytes: promise.length.filter(|_| framing == Framing::Undone),
            // Not every store verifies what it is promised, least of all in a presigned query.
            check: Some(BodyCheck::new(promise, Wanted::default())),
            framing,
            held: Bytes::new(),
        }
    }

    /// Whether the client's body has come to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.check.is_none()
    }

    /// Replaces a piece of the client's body by what may go to the store now.
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
        // To Pingora no piece is the end of the body; an empty one is none yet.
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
