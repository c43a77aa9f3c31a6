//! A request that is streamed to the store: its body is unframed and checked while it passes, in
//! constant memory.

use bytes::{Bytes, BytesMut};

use crate::backend::StoreRequest;
use crate::s3::S3Error;
use crate::sigv4::{BodyCheck, BodyPromise, Wanted};

/// A request being forwarded.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) request: StoreRequest,
    /// The length of the body that the store gets; `None` for a request without a body.
    pub(super) length_bytes: Option<u64>,
    check: BodyCheck,
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
            length_bytes: promise.length.filter(|_| framing == Framing::Undone),
            // Not every store verifies the promised digests, least of all those in a presigned
            // query.
            check: BodyCheck::new(promise, Wanted::default()),
            framing,
            held: Bytes::new(),
        }
    }

    /// Whether the store gets no body, where the client has one or not: then the head alone is the
    /// whole request.
    pub(super) fn is_bare(&self, has_body: bool) -> bool {
        match self.framing {
            Framing::Undone => self.length_bytes.unwrap_or_default() == 0,
            Framing::Kept => !has_body,
        }
    }

    /// A bare request, once the client's body has ended and kept its promise; with the length that
    /// the store is told.
    pub(super) fn bare(self) -> Result<(StoreRequest, Option<u64>), S3Error> {
        self.check.finish()?;
        Ok((self.request, self.length_bytes))
    }

    /// The bytes that may go to the store after this piece of the client's body; they may be none.
    pub(super) fn pass_on(&mut self, piece: Bytes) -> Result<Bytes, S3Error> {
        let mut ready = Vec::new();
        let held = &mut self.held;
        let mut go_on = |piece: Bytes| {
            if !piece.is_empty() {
                ready.push(std::mem::replace(held, piece));
            }
        };
        if self.framing == Framing::Kept {
            self.check.feed(piece.clone(), &mut |_| {})?;
            go_on(piece);
        } else {
            self.check.feed(piece, &mut go_on)?;
        }
        Ok(joined(ready))
    }

    /// The last bytes for the store, once the client's body has ended and kept its promise.
    pub(super) fn ended(self) -> Result<Bytes, S3Error> {
        self.check.finish()?;
        Ok(self.held)
    }
}

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    pieces.retain(|piece| !piece.is_empty());
    match pieces.len() {
        0 | 1 => pieces.pop().unwrap_or_default(),
        _ => {
            let mut whole = BytesMut::new();
            for piece in &pieces {
                whole.extend_from_slice(piece);
            }
            whole.freeze()
        }
    }
}
