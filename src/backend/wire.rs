//! A connection to the store as Pingora reads it: the grammar of a chunked body is checked
//! strictly. A lax reader would find its end at another place than a strict one, and a truncated
//! answer would be taken for a whole one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use crate::around::around_a_stream;
use crate::http1::answer::AnswerBody;
use crate::http1::chunks::BadChunks;

/// One connection, for one request.
pub(super) struct StoreWire {
    stream: Stream,
    answer: AnswerBody,
    /// The fault, reported once the bytes before it have been read.
    bad: Option<BadChunks>,
}

impl StoreWire {
    /// `to_head`: the request is a HEAD, whose answer has no body.
    pub(super) fn around(stream: Stream, to_head: bool) -> Stream {
        Box::new(Self { stream, answer: AnswerBody::new(to_head), bad: None })
    }

    /// The connection itself, for another request.
    pub(super) fn taken_off(stream: Stream) -> Option<Stream> {
        Some(stream.into_any().downcast::<Self>().ok()?.stream)
    }

    #[allow(clippy::unnecessary_wraps, reason = "as `around_a_stream` has it")]
    fn stream(&self) -> Option<&Stream> {
        Some(&self.stream)
    }

    #[allow(clippy::unnecessary_wraps, reason = "as `around_a_stream` has it")]
    fn stream_mut(&mut self) -> io::Result<&mut Stream> {
        Ok(&mut self.stream)
    }
}

impl AsyncRead for StoreWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(bad) = self.bad {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, bad)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if let Err((good, bad)) = self.answer.follow(&buf.filled()[before..]) {
            buf.set_filled(before + good);
            self.bad = Some(bad);
            if good == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, bad)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

around_a_stream!(StoreWire);
