//! What streams past the gate: reads, listings, upload parts. The body is unframed and checked on
//! its way, in constant memory.

use bytes::{Bytes, BytesMut};
use pingora::proxy::Session;

use super::admission::Admitted;
use super::outgoing::{CONTENT_MD5, request_to_store, streamed};
use super::read_body::{self, BodyFault};
use crate::backend::{EMPTY_SHA256, StoreRequest};
use crate::s3::S3Error;
use crate::sigv4::{Algorithm, BodyCheck, BodyPromise, Wanted};

/// A request being forwarded.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) request: StoreRequest,
    /// Of the body as the store gets it; `None` for a request without one.
    pub(super) length_bytes: Option<u64>,
    check: Option<BodyCheck>,
    /// Whether the body goes on in the framing it came in, as its sender has signed it.
    as_sent: bool,
    /// The last piece that came: it goes on when the next one comes, or when the whole body has
    /// kept its promise. A body that has not is thus never whole at the store.
    held: Bytes,
}

impl Forward {
    pub(super) fn new(session: &Session, admitted: &Admitted) -> Self {
        let promise = admitted.signed.as_ref().map(|signed| signed.promise.clone());
        if admitted.is_as_sent() {
            // Not every store verifies what it is promised, least of all in a presigned query.
            return Self {
                request: streamed(session),
                length_bytes: None,
                check: promise.map(|promise| BodyCheck::new(promise, Wanted::default())),
                as_sent: true,
                held: Bytes::new(),
            };
        }
        let mut request = request_to_store(session, admitted);
        if promise.as_ref().is_some_and(|promise| promise.payload.has_trailer()) {
            // The trailing checksum is verified here; it cannot go ahead of the body it is about.
            request.headers.remove("x-amz-sdk-checksum-algorithm");
        }
        Self {
            request,
            length_bytes: promise.as_ref().and_then(|promise| promise.length),
            check: promise.map(|promise: BodyPromise| BodyCheck::new(promise, Wanted::default())),
            as_sent: false,
            held: Bytes::new(),
        }
    }

    /// Reads what came with a question to its end, and leaves it here: it has no meaning (RFC 9110
    /// §9.3.1), whatever a store may find in it, and had to keep its promises all the same.
    pub(super) async fn leave_body(&mut self, session: &mut Session) -> Result<(), BodyFault> {
        let Some(mut check) = self.check.take() else { return Ok(()) };
        if session.is_body_empty() {
            return Ok(());
        }
        while let Some(bytes) = read_body::next_bytes(session).await? {
            check.feed(bytes, &mut |_| ())?;
        }
        check.finish()?;
        self.request.sha256 = Some(EMPTY_SHA256);
        let digests = Algorithm::ALL.iter().map(|algorithm| algorithm.header());
        for name in digests.chain([CONTENT_MD5]) {
            self.request.headers.remove(name);
        }
        Ok(())
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
            let fed = if self.as_sent {
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
