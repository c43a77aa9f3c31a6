//! One request and its answer on a connection to the store (RFC 9112). The connection may carry
//! another request only after the whole request was sent and the whole answer read.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use pingora::protocols::Stream;
use tokio::io::AsyncReadExt;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::at_once::write_at_once;
use crate::http1::answer::{AnswerHead, take_head};
use crate::http1::body::{BodyRest, Framed};

/// How much of an answer is read at once: its head and a small body, and then its body.
const FIRST_BYTES: usize = 8 * 1024;
const PIECE_BYTES: usize = 64 * 1024;

/// How long the head of an answer waits for its content: both leave with one call of the kernel, and
/// where a store breaks off before its content, another one can be asked.
pub(super) const CONTENT_WAIT: Duration = Duration::from_millis(200);

/// How many informational answers may precede an answer (RFC 9110 §15.2).
const INFORMATIONAL_MAX: u32 = 32;

/// After the store stopped reading: how long to wait for its early answer.
const EARLY_ANSWER_WAIT: Duration = Duration::from_secs(1);

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
    at: At,
    /// The first piece of the body, where it was read with the head.
    first: Option<Bytes>,
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

/// What became of a part of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was sent.
    Yes,
    /// The store stopped reading: it has answered.
    Answered,
}

/// How far the answer was read.
enum At {
    /// Before the end of its head.
    Head,
    /// In its body, or at its end.
    Body(BodyRest),
    /// In a body that ends with the connection.
    UntilClose,
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
            at: At::Head,
            first: None,
            sent_whole: false,
        }
    }

    /// Sends a part of the request: its head, or a piece of its body.
    pub(super) async fn send(&mut self, part: Framed<'_>) -> Result<(), String> {
        match within(self.patience, write_at_once(&mut self.stream, part)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("the store takes nothing".to_owned()),
        }
    }

    /// The same. Where the store does not take it, its answer may have arrived already: it has refused
    /// the request and closed.
    pub(super) async fn send_or_hear(&mut self, part: Framed<'_>) -> Result<Sent, String> {
        let Err(why) = self.send(part).await else { return Ok(Sent::Yes) };
        match timeout(EARLY_ANSWER_WAIT, self.await_head()).await {
            Ok(Ok(())) => Ok(Sent::Answered),
            Ok(Err(_)) | Err(_) => Err(why),
        }
    }

    /// Takes the head of the answer, once it was read. Fails, with a sentence, where it says that the
    /// store has done what it was not yet asked.
    pub(super) fn take_head(&mut self) -> Result<AnswerHead, String> {
        let head = self.head.take().ok_or("the answer has no head")?;
        if !self.sent_whole && head.status.is_success() {
            let status = head.status;
            return Err(format!("the store answered {status} before it had read the request"));
        }
        Ok(head)
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
        while let At::Head = self.at {
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
                    self.at = head.framing.map_or(At::UntilClose, |it| At::Body(it.into()));
                    self.head = Some(head);
                }
                None if self.more(FIRST_BYTES).await? == 0 => return Err(CLOSED.to_owned()),
                None => {}
            }
        }
        Ok(Heard::Head)
    }

    /// Waits a short while for the first piece of the body. Fails where it will not come.
    pub(super) async fn await_content_briefly(&mut self) -> Result<(), String> {
        if let Ok(piece) = timeout(CONTENT_WAIT, self.piece()).await {
            self.first = piece?;
        }
        Ok(())
    }

    /// Waits for the first piece of the body. Fails where it will not come.
    pub(super) async fn await_content(&mut self) -> Result<(), String> {
        if !self.has_content() {
            self.first = self.next().await?;
        }
        Ok(())
    }

    /// Whether the first piece of the body was read, or there is none.
    pub(super) fn has_content(&self) -> bool {
        self.first.is_some() || self.is_read()
    }

    /// The next piece of the answer's body; `None` at its end. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
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
                if !matches!(self.at, At::UntilClose) {
                    return Err(CLOSED.to_owned());
                }
                self.at = At::Body(BodyRest::Nothing);
            }
        }
    }

    /// Takes a piece of the body from what has arrived: its content, which may be empty.
    fn take_piece(&mut self) -> Result<Bytes, String> {
        match &mut self.at {
            At::Head => Ok(Bytes::new()),
            At::UntilClose => Ok(self.came.split().freeze()),
            At::Body(rest) => rest.take(&mut self.came).map_err(|bad| format!("the answer: {bad}")),
        }
    }

    /// Waits for more bytes; 0 where the store has closed the connection.
    async fn more(&mut self, bytes_max: usize) -> Result<usize, String> {
        let wanted = match &self.at {
            At::Body(rest) => rest.wanted(bytes_max),
            At::Head | At::UntilClose => bytes_max,
        };
        self.came.reserve(wanted);
        let mut space = (&mut self.came).limit(wanted);
        let bytes = self.stream.read_buf(&mut space).await.map_err(|error| error.to_string())?;
        self.heard |= bytes > 0;
        Ok(bytes)
    }

    /// Whether the whole answer was read.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.at, At::Body(BodyRest::Nothing))
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
