//! A client's connection as Pingora reads it: only to the end of the request under way.
//!
//! The head of the request determines that end. Bytes behind it wait for their turn, so that
//! several requests may come in one segment. A chunked body is checked against its grammar before
//! it is decoded, and a body that arrives too slowly is given up.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::tls_stream::TlsStream;
use crate::around::around_a_stream;
use crate::http1::Framing;
use crate::http1::chunks::{BadChunks, Chunks};
use crate::http1::pace::{LeastRate, Pace, TooSlow};
use crate::tls::Shown;

/// The size of the pieces in which bytes between two requests are read.
const PIECE_BYTES: usize = 4096;

/// After the answer to a request that was not read to its end, the connection is read for a while
/// longer: closing it at once would reset the connection and destroy the answer on its way (RFC
/// 9112 §9.6, F18).
const LINGER: Duration = Duration::from_secs(10);
const LINGER_IDLE: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 << 20;

/// How many connections are read in this way at the same time. More than that is no accident.
const LINGERING_MAX: usize = 1024;

static LINGERING: Semaphore = Semaphore::const_new(LINGERING_MAX);

/// One connection.
pub(super) struct Wire {
    /// Always set; only `drop` takes it out.
    stream: Option<Stream>,
    /// Bytes that belong to no request that has begun.
    ahead: BytesMut,
    rest: Rest,
    pace: Option<Pace>,
    /// Since when the reader waits for bytes of a body that do not arrive.
    waits_since: Option<Instant>,
    /// Whether the client has closed its side, or has disconnected.
    ended: bool,
    /// The connection is counted for as long as it is open.
    place: Option<TaskTrackerToken>,
}

/// The rest of the request under way.
enum Rest {
    Nothing,
    Length(u64),
    Chunked(Chunks),
    /// Its end is not known: its head or its body was malformed.
    Unknown(Broken),
}

/// Why a body cannot be read on. Pingora keeps it as the cause of its own error.
#[derive(Debug, Clone, Copy, thiserror::Error)]
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
}

impl Broken {
    /// Finds it again in an error of a body's reader.
    pub(super) fn of(error: &pingora::Error) -> Option<Self> {
        let cause = error.root_cause().downcast_ref::<io::Error>()?;
        cause.get_ref()?.downcast_ref().copied()
    }
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        Self::new(io::ErrorKind::InvalidData, broken)
    }
}

impl Wire {
    pub(super) fn new(stream: Stream, place: TaskTrackerToken) -> Self {
        Self {
            stream: Some(stream),
            ahead: BytesMut::new(),
            rest: Rest::Nothing,
            pace: None,
            waits_since: None,
            ended: false,
            place: Some(place),
        }
    }

    /// The certificate that the client has shown, where it has connected by TLS.
    pub(super) fn shown(&self) -> Option<&Shown> {
        let stream = self.stream.as_deref()?.as_any();
        stream.downcast_ref::<TlsStream>()?.shown()
    }

    /// The bytes that belong to no request yet.
    pub(super) fn ahead(&mut self) -> &mut BytesMut {
        &mut self.ahead
    }

    /// Waits for more bytes of the next request; `false` when no more will come.
    pub(super) async fn more(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        self.ahead.reserve(1);
        let mut piece = (&mut self.ahead).limit(PIECE_BYTES);
        let came = stream.read_buf(&mut piece).await;
        self.ended = !matches!(came, Ok(bytes) if bytes > 0);
        !self.ended
    }

    /// Begins a request whose head was taken from the bytes read ahead. Its body must not arrive
    /// more slowly than `least`.
    pub(super) fn begin(&mut self, framing: Framing, least: LeastRate) {
        self.rest = match framing {
            Framing::Nothing | Framing::Length(0) => Rest::Nothing,
            Framing::Length(bytes) => Rest::Length(bytes),
            Framing::Chunked => Rest::Chunked(Chunks::default()),
        };
        self.pace = Some(Pace::new(least));
        self.waits_since = None;
    }

    /// No request could be read, so its end is not known.
    pub(super) fn give_up(&mut self) {
        self.rest = Rest::Unknown(Broken::Head);
    }

    /// How many of these bytes belong to the request under way.
    fn follow(&mut self, came: &[u8]) -> Result<usize, Broken> {
        let waited = self.waits_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        let (belongs, done) = match &mut self.rest {
            Rest::Nothing => return Ok(0),
            Rest::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(came.len());
                *left -= here as u64;
                (here, *left == 0)
            }
            Rest::Chunked(chunks) => (chunks.follow(came)?, chunks.is_done()),
            Rest::Unknown(broken) => return Err(*broken),
        };
        if done {
            self.rest = Rest::Nothing;
        } else if let Some(pace) = &mut self.pace {
            pace.came(belongs, waited)?;
        }
        Ok(belongs)
    }

    /// The same; after a fault nothing more can be read.
    fn followed(&mut self, came: &[u8]) -> io::Result<usize> {
        self.follow(came).map_err(|broken| {
            self.rest = Rest::Unknown(broken);
            broken.into()
        })
    }

    fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref()
    }

    fn stream_mut(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// After the end of a request, its reader asks whether the client is still connected. Bytes of
    /// the next request do not answer that: they wait.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut space = [0; 512];
        let mut piece = ReadBuf::new(&mut space);
        ready!(Pin::new(self.stream_mut()?).poll_read(cx, &mut piece))?;
        if piece.filled().is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        self.ahead.extend_from_slice(piece.filled());
        Poll::Pending
    }

    /// Reads the body under way.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let mut ahead = mem::take(&mut self.ahead);
            let belongs = self.followed(&ahead[..ahead.len().min(buf.remaining())]);
            if let Ok(belongs) = belongs {
                buf.put_slice(&ahead[..belongs]);
                ahead.advance(belongs);
            }
            self.ahead = ahead;
            return Poll::Ready(belongs.map(drop));
        }
        let before = buf.filled().len();
        match Pin::new(self.stream_mut()?).poll_read(cx, buf) {
            Poll::Pending => {
                self.waits_since.get_or_insert_with(Instant::now);
                return Poll::Pending;
            }
            Poll::Ready(read) => {
                self.ended = read.is_err() || buf.filled().len() == before;
                read?;
            }
        }
        let belongs = match self.followed(&buf.filled()[before..]) {
            Ok(belongs) => belongs,
            Err(error) => {
                buf.set_filled(before);
                return Poll::Ready(Err(error));
            }
        };
        self.ahead.extend_from_slice(&buf.filled()[before + belongs..]);
        buf.set_filled(before + belongs);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.rest {
            Rest::Nothing => self.poll_end(cx),
            Rest::Unknown(broken) => Poll::Ready(Err(broken.into())),
            Rest::Length(_) | Rest::Chunked(_) => self.poll_body(cx, buf),
        }
    }
}

around_a_stream!(Wire);

impl Drop for Wire {
    /// A connection whose client still sends is closed in two steps.
    fn drop(&mut self) {
        let unread = !matches!(self.rest, Rest::Nothing) || !self.ahead.is_empty();
        if self.ended || !unread {
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
    let mut forgotten = BytesMut::with_capacity(PIECE_BYTES);
    while bytes < LINGER_BYTES_MAX {
        forgotten.clear();
        let until = end.min(Instant::now() + LINGER_IDLE);
        match timeout_at(until, stream.read_buf(&mut forgotten)).await {
            Ok(Ok(more)) if more > 0 => bytes += more,
            Ok(_) | Err(_) => return,
        }
    }
}
