//! One request and its answer on a connection to the store (RFC 9112). The connection may carry
//! another request only after the whole request was sent and the whole answer read.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::StatusCode;
use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::http1::answer::{AnswerFraming, AnswerHead, take_head};
use crate::http1::chunks::Chunks;

/// How much of an answer is read at once: its head and a small body, and then its body.
const FIRST_BYTES: usize = 8 * 1024;
const PIECE_BYTES: usize = 64 * 1024;

/// How many informational answers may precede an answer (RFC 9110 §15.2).
const INFORMATIONAL_MAX: u32 = 32;

/// A head and a piece up to this size are joined, where the connection cannot write both at once.
const JOINED_BYTES_MAX: usize = 64 * 1024;

/// The connection, for one request.
pub(super) struct Conversation {
    stream: Stream,
    /// What has arrived and was not read yet.
    came: BytesMut,
    to_head: bool,
    /// How long a read or a write may wait; `None` where the whole exchange has a deadline.
    patience: Option<Duration>,
    /// Whether anything has arrived.
    heard: bool,
    informational: u32,
    head: Option<AnswerHead>,
    rest: Rest,
    /// Whether the whole request was sent.
    pub(super) sent_whole: bool,
}

/// What the store has said before or instead of the end of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// `100 Continue` (RFC 9110 §15.2.1).
    GoOn,
    /// The head of the answer.
    Head,
}

/// The rest of the answer.
enum Rest {
    /// Its head has not been read.
    Head,
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    Nothing,
}

impl Conversation {
    /// `to_head`: the request is a HEAD, whose answer has no body. `patience` is how long a read or a
    /// write may wait.
    pub(super) fn new(stream: Stream, to_head: bool, patience: Option<Duration>) -> Self {
        Self {
            stream,
            came: BytesMut::new(),
            to_head,
            patience,
            heard: false,
            informational: 0,
            head: None,
            rest: Rest::Head,
            sent_whole: false,
        }
    }

    /// Sends the head of the request, or nothing, and a piece of its body.
    pub(super) async fn send(&mut self, head: &[u8], piece: &[u8]) -> io::Result<()> {
        let stream = &mut self.stream;
        let sent = async {
            if stream.is_write_vectored() {
                let mut both = Buf::chain(head, piece);
                while both.has_remaining() {
                    if stream.write_buf(&mut both).await? == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                }
            } else if !head.is_empty() && piece.len() <= JOINED_BYTES_MAX {
                stream.write_all(&[head, piece].concat()).await?;
            } else {
                stream.write_all(head).await?;
                stream.write_all(piece).await?;
            }
            stream.flush().await
        };
        within(self.patience, sent).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the store takes nothing"))
        })
    }

    /// Takes the head of the answer, once it was read.
    pub(super) fn take_head(&mut self) -> Option<AnswerHead> {
        self.head.take()
    }

    /// Whether not one byte of an answer has arrived.
    pub(super) fn is_silent(&self) -> bool {
        !self.heard
    }

    /// Reads the head of the answer; informational ones are passed over. May be dropped while it
    /// waits.
    pub(super) async fn read_head(&mut self) -> Result<(), String> {
        let read = within(self.patience, self.await_head()).await;
        read.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// The same, as long as it takes.
    pub(super) async fn await_head(&mut self) -> Result<(), String> {
        while self.heard_next().await? == Heard::GoOn {}
        Ok(())
    }

    /// Waits for the head of the answer, or for a 100 before it, as long as it takes. May be dropped
    /// while it waits.
    pub(super) async fn heard_next(&mut self) -> Result<Heard, String> {
        while let Rest::Head = self.rest {
            let taken = if self.came.is_empty() {
                None
            } else {
                take_head(&mut self.came, self.to_head).map_err(|bad| bad.to_string())?
            };
            match taken {
                Some(head) if head.status.as_u16() == 101 => {
                    return Err("the store wants to speak another protocol".to_owned());
                }
                Some(head) if head.status.is_informational() => {
                    self.informational += 1;
                    if self.informational > INFORMATIONAL_MAX {
                        return Err("the store sends informational answers only".to_owned());
                    }
                    if head.status == StatusCode::CONTINUE {
                        return Ok(Heard::GoOn);
                    }
                }
                Some(head) => {
                    self.rest = match head.framing {
                        AnswerFraming::Nothing | AnswerFraming::Length(0) => Rest::Nothing,
                        AnswerFraming::Length(bytes) => Rest::Length(bytes),
                        AnswerFraming::Chunked => Rest::Chunked(Chunks::default()),
                        AnswerFraming::UntilClose => Rest::UntilClose,
                    };
                    self.head = Some(head);
                }
                None if self.more(FIRST_BYTES).await? == 0 => return Err(CLOSED.to_owned()),
                None => {}
            }
        }
        Ok(Heard::Head)
    }

    /// The next piece of the answer's body; `None` at its end. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let piece = within(self.patience, self.piece()).await;
        piece.unwrap_or_else(|_| Err("the answer stopped".to_owned()))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if !self.came.is_empty() {
                let piece = self.take_piece()?;
                if !piece.is_empty() {
                    return Ok(Some(piece));
                }
            }
            if self.is_read() {
                return Ok(None);
            }
            if self.came.is_empty() && self.more(PIECE_BYTES).await? == 0 {
                if !matches!(self.rest, Rest::UntilClose) {
                    return Err(CLOSED.to_owned());
                }
                self.rest = Rest::Nothing;
            }
        }
    }

    /// Takes a piece of the body from what has arrived: its content, which may be empty.
    fn take_piece(&mut self) -> Result<Bytes, String> {
        match &mut self.rest {
            Rest::Head | Rest::Nothing => Ok(Bytes::new()),
            Rest::UntilClose => Ok(self.came.split().freeze()),
            Rest::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.came.len());
                *left -= here as u64;
                if *left == 0 {
                    self.rest = Rest::Nothing;
                }
                Ok(self.came.split_to(here).freeze())
            }
            Rest::Chunked(chunks) => {
                let piece = chunks.next(&self.came).map_err(|bad| format!("the answer: {bad}"))?;
                if chunks.is_done() {
                    self.rest = Rest::Nothing;
                }
                Ok(self.came.split_to(piece.bytes).freeze().slice(piece.content))
            }
        }
    }

    /// Waits for more bytes; 0 where the store has closed the connection.
    async fn more(&mut self, bytes_max: usize) -> Result<usize, String> {
        let wanted = match self.rest {
            Rest::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).min(bytes_max),
            _ => bytes_max,
        };
        self.came.reserve(wanted);
        let mut space = (&mut self.came).limit(wanted);
        let bytes = self.stream.read_buf(&mut space).await.map_err(|error| error.to_string())?;
        self.heard |= bytes > 0;
        Ok(bytes)
    }

    /// Whether the whole answer was read.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// The connection, if another request may follow on it. `persists`: the answer's head allows it.
    pub(super) fn reusable(self, persists: bool) -> Option<Stream> {
        let clean = self.sent_whole && self.is_read() && self.came.is_empty();
        (persists && clean).then_some(self.stream)
    }
}

async fn within<T>(
    patience: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    match patience {
        Some(patience) => timeout(patience, work).await,
        None => Ok(work.await),
    }
}

const CLOSED: &str = "the store closed the connection";
