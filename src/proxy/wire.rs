//! A client's connection: the bytes that have arrived and are not used yet, the rest of the body
//! under way, and what is written.
//!
//! The head of the request determines where its body ends. Bytes behind it wait for their turn, so
//! that several requests may come in one segment. A chunked body is held to its grammar while it is
//! decoded, and a body that arrives too slowly is given up.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::tls_stream::TlsStream;
use crate::at_once::write_at_once;
use crate::http1::Framing;
use crate::http1::body::{BodyRest, Framed};
use crate::http1::chunks::BadChunks;
use crate::http1::pace::{LeastRate, Pace, TooSlow};
use crate::patience::{LONG_PIECE_BYTES, within};
use crate::tls::Shown;

/// The most bytes that are read at once between two requests: a head and a small body.
const FIRST_BYTES: usize = 16 * 1024;

/// The most bytes of a body that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A buffer with less room than this is not read into any more.
const LEAST_ROOM_BYTES: usize = 8 * 1024;

/// After the answer to a request that was not read to its end, the connection is read for a while
/// longer: closing it at once would reset the connection and destroy the answer on its way (RFC
/// 9112 §9.6, F18).
const LINGER: Duration = Duration::from_secs(10);
const LINGER_IDLE: Duration = Duration::from_secs(2);
const LINGER_PIECE_BYTES: usize = 4096;
const LINGER_BYTES_MAX: usize = 64 << 20;

/// How many connections are read in this way at the same time. More than that is no accident.
const LINGERING_MAX: usize = 1024;

static LINGERING: Semaphore = Semaphore::const_new(LINGERING_MAX);

/// One connection.
pub(super) struct Wire {
    /// Always set; only `drop` takes it out.
    stream: Option<Stream>,
    /// Bytes that have arrived and belong to no part of a request that was read.
    ahead: BytesMut,
    /// The rest of the body under way. Its end is not known where the head or the body was malformed,
    /// or did not come.
    rest: Result<BodyRest, Broken>,
    pace: Pace,
    /// How long a read or write may wait.
    patience: Duration,
    /// Content of the body under way that has arrived, bytes.
    content_bytes: usize,
    /// Whether others have to have their turn before the next piece is read.
    yields: bool,
    /// Whether the client has closed its side, or has disconnected.
    ended: bool,
    address: Option<IpAddr>,
    /// The connection is counted for as long as it is open.
    place: Option<TaskTrackerToken>,
}

/// Why a request cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// No request could be read.
    #[error("no request was understood")]
    Head,
    /// The framing is malformed.
    #[error("the body is not chunked: {0}")]
    Chunks(#[from] BadChunks),
    /// The body came too slowly.
    #[error(transparent)]
    Slow(#[from] TooSlow),
    /// The body stopped coming.
    #[error("no more of the body came")]
    Silent,
    /// The client has closed its side before the end.
    #[error("the body is cut short")]
    CutShort,
    /// The connection has failed.
    #[error("the client has disconnected")]
    Gone,
}

impl Wire {
    pub(super) fn new(stream: Stream, place: TaskTrackerToken, patience: Duration) -> Self {
        let address = client_address(&stream);
        Self {
            stream: Some(stream),
            ahead: BytesMut::new(),
            rest: Ok(BodyRest::Nothing),
            pace: Pace::new(LeastRate { bytes_per_s: 0, grace: patience }),
            patience,
            content_bytes: 0,
            yields: false,
            ended: false,
            address,
            place: Some(place),
        }
    }

    /// Where the connection comes from.
    pub(super) const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether the client has connected by TLS.
    pub(super) fn is_by_tls(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.get_ssl_digest().is_some())
    }

    /// The certificate that the client has shown, where it has connected by TLS.
    pub(super) fn shown(&self) -> Option<&Shown> {
        let stream = self.stream.as_deref()?.as_any();
        stream.downcast_ref::<TlsStream>()?.shown()
    }
}

/// Where a connection comes from; that may be a load balancer.
pub(super) fn client_address(stream: &Stream) -> Option<IpAddr> {
    Some(stream.get_socket_digest()?.peer_addr()?.as_inet()?.ip().to_canonical())
}

// === reading ===

impl Wire {
    /// The bytes that belong to no request yet.
    pub(super) fn ahead(&mut self) -> &mut BytesMut {
        &mut self.ahead
    }

    /// Waits for more bytes of the next request; `false` when no more will come. While it waits, the
    /// connection holds no memory for them.
    pub(super) async fn more(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let ahead = &mut self.ahead;
        if ahead.is_empty() {
            // An empty piece of the last body would keep its whole buffer.
            *ahead = BytesMut::new();
        }
        let came = poll_fn(|cx| {
            let mut space = [const { MaybeUninit::uninit() }; FIRST_BYTES];
            let mut piece = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece))?;
            ahead.extend_from_slice(piece.filled());
            Poll::Ready(io::Result::Ok(piece.filled().len()))
        });
        self.ended = !matches!(came.await, Ok(bytes) if bytes > 0);
        !self.ended
    }

    /// Begins a request whose head was taken from the bytes read ahead. Its body must not arrive
    /// more slowly than `least`.
    pub(super) fn begin(&mut self, framing: Framing, least: LeastRate) {
        self.rest = Ok(framing.into());
        self.pace = Pace::new(least);
        self.patience = least.grace;
        self.content_bytes = 0;
    }

    /// No request could be read, so its end is not known.
    pub(super) fn give_up(&mut self) {
        self.rest = Err(Broken::Head);
    }

    /// Whether the request under way has been read to its end.
    pub(super) fn is_read(&self) -> bool {
        matches!(&self.rest, Ok(rest) if rest.is_done())
    }

    /// How much content of the body under way has arrived, bytes.
    pub(super) fn content_bytes(&self) -> usize {
        self.content_bytes
    }

    /// The next piece of the body's content; `None` at its end. May be dropped while it waits.
    pub(super) async fn next_piece(&mut self) -> Result<Option<Bytes>, Broken> {
        if std::mem::take(&mut self.yields) {
            yield_now().await;
        }
        let piece = self.piece().await;
        match &piece {
            Ok(piece) => {
                let bytes = piece.as_ref().map_or(0, Bytes::len);
                self.content_bytes += bytes;
                self.yields = bytes >= LONG_PIECE_BYTES;
            }
            Err(broken) => self.rest = Err(*broken),
        }
        piece
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if self.is_read() {
                return Ok(None);
            }
            let mut waited = Duration::ZERO;
            if self.ahead.is_empty() {
                let asked = Instant::now();
                self.more_of_body().await?;
                waited = asked.elapsed();
            }
            let before = self.ahead.len();
            let content = self.rest.as_mut().map_err(|broken| *broken)?.take(&mut self.ahead)?;
            if !self.is_read() {
                self.pace.came(before - self.ahead.len(), waited)?;
            }
            if !content.is_empty() {
                return Ok(Some(content));
            }
        }
    }

    /// Waits for more bytes of the body.
    async fn more_of_body(&mut self) -> Result<(), Broken> {
        let wanted = self.rest.as_ref().map_err(|broken| *broken)?.wanted(PIECE_BYTES);
        let Some(stream) = &mut self.stream else { return Err(Broken::Gone) };
        // What is left of a buffer is used first: each piece of it keeps the whole.
        if self.ahead.capacity() < wanted.min(LEAST_ROOM_BYTES) {
            self.ahead.reserve(wanted);
        }
        let room = wanted.min(self.ahead.capacity());
        let mut space = (&mut self.ahead).limit(room);
        let came = within(self.patience, stream.read_buf(&mut space)).await;
        let fault = match came {
            Ok(Ok(bytes)) if bytes > 0 => return Ok(()),
            Ok(Ok(_)) => Broken::CutShort,
            Ok(Err(_)) => Broken::Gone,
            Err(_) => return Err(Broken::Silent),
        };
        self.ended = true;
        Err(fault)
    }
}

// === writing ===

impl Wire {
    /// Writes content with what frames it, before and behind: at once where that works.
    pub(super) async fn write(&mut self, framed: Framed<'_>) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        match within(self.patience, write_at_once(stream, framed)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

// === the end ===

impl Wire {
    /// The connection ends as it is, in the middle of an answer.
    pub(super) fn break_off(&mut self) {
        self.ended = true;
    }

    /// Closes the connection after an answer; by TLS this says that nothing was cut off.
    pub(super) async fn close(mut self) {
        // Otherwise `drop` closes in two steps.
        if !self.ended
            && self.has_nothing_unread()
            && let Some(mut stream) = self.stream.take()
        {
            let closed = timeout(LINGER_IDLE, AsyncWriteExt::shutdown(&mut stream)).await;
            tracing::trace!(?closed, "a connection was closed");
        }
    }

    fn has_nothing_unread(&self) -> bool {
        self.is_read() && self.ahead.is_empty()
    }
}

impl Drop for Wire {
    /// A connection whose client still sends is closed in two steps.
    fn drop(&mut self) {
        if self.ended || self.has_nothing_unread() {
            return;
        }
        if let Ok(turn) = LINGERING.try_acquire()
            && let Ok(runtime) = Handle::try_current()
            && let Some(stream) = self.stream.take()
        {
            let place = self.place.take();
            runtime.spawn(async move {
                linger(stream).await;
                drop((turn, place));
            });
        }
    }
}

/// Closes the sending side, then reads and drops what the client still sends.
async fn linger(mut stream: Stream) {
    let end = Instant::now() + LINGER;
    if !matches!(timeout_at(end, AsyncWriteExt::shutdown(&mut stream)).await, Ok(Ok(()))) {
        return;
    }
    let mut bytes = 0;
    let mut forgotten = BytesMut::with_capacity(LINGER_PIECE_BYTES);
    while bytes < LINGER_BYTES_MAX {
        forgotten.clear();
        let until = end.min(Instant::now() + LINGER_IDLE);
        match timeout_at(until, stream.read_buf(&mut forgotten)).await {
            Ok(Ok(more)) if more > 0 => bytes += more,
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
