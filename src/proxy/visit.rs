//! A visit: one request and its answer, on a client's connection. A handler reads the body here and
//! does not write; proxy/serve.rs writes its response, with the methods below.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::protocols::http::date::get_cached_date;
use tokio::time::{Instant, timeout};

use super::context::{Context, HOST, HOST_ID, LogLine, REQUEST_ID};
use super::wire::{Broken, Wire};
use crate::backend::Answer;
use crate::backend::headers::OBJECT_WRITE_ID;
use crate::http1::answer_head::{CONTINUE, write_chunk_size, write_head};
use crate::http1::body::{Framed, LAST_CHUNK};
use crate::http1::fields::Fields;
use crate::http1::{Framing, has_no_content, persists};
use crate::s3::wire::ReceivedHead;
use crate::s3::{Code, S3Error};
use crate::shares::Share;
use crate::sigv4::BodyError;
use crate::tls::Shown;

/// How much of a refused body is read and dropped, and for how long; for a longer body the
/// connection is closed. The sender may be unknown, and must not hold a connection in this way for
/// hours.
const READ_OUT_BYTES_MAX: u64 = 64 << 20;
const READ_OUT_PATIENCE: Duration = Duration::from_mins(1);

/// A request and its answer.
pub(super) struct Visit<'s> {
    wire: &'s mut Wire,
    head: &'s ReceivedHead,
    context: &'s mut Context,
    /// Whether another request may follow on the connection.
    persists: bool,
    /// Whether `100 Continue` was sent.
    continued: bool,
    answered: Answered,
}

/// How much of the answer was sent.
#[derive(Debug, Default)]
struct Answered {
    /// The status, once there is an answer.
    status: Option<StatusCode>,
    /// What was composed and not sent yet: a head waits for the first piece of its body.
    pending: Vec<u8>,
    /// Whether its head was sent.
    sent: bool,
    rest: AnswerRest,
    /// Content that was sent, bytes.
    content_bytes: usize,
}

/// What the answer's head has announced and was not sent yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum AnswerRest {
    #[default]
    Nothing,
    Length(u64),
    Chunked,
    /// The end of the connection ends the body (RFC 9112 §6.3).
    UntilClose,
}

/// Why an answer could not be written to its end.
#[derive(Debug)]
pub(super) enum Cut {
    /// The client has disconnected, or takes nothing.
    Client,
    /// The store has broken off, with this sentence.
    Store(String),
}

impl From<io::Error> for Cut {
    fn from(_: io::Error) -> Self {
        Self::Client
    }
}

/// A request's head as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentHead<'a> {
    pub(super) method: &'a Method,
    /// Path and query, which may not be valid text.
    pub(super) target: &'a [u8],
    pub(super) headers: &'a Fields,
    pub(super) version: Version,
    /// The certificate that the client has shown on its connection.
    pub(super) shown: Option<&'a Shown>,
}

impl<'s> Visit<'s> {
    pub(super) fn new(
        wire: &'s mut Wire,
        head: &'s ReceivedHead,
        context: &'s mut Context,
    ) -> Self {
        let persists = persists(head.version, &head.headers);
        Self { wire, head, context, persists, continued: false, answered: Answered::default() }
    }

    /// The head.
    pub(super) fn head(&self) -> SentHead<'_> {
        sent(self.head, self.wire)
    }

    /// The head and the context, at once.
    pub(super) fn parts(&mut self) -> (SentHead<'_>, &mut Context) {
        (sent(self.head, self.wire), self.context)
    }

    /// Whether the client has connected by TLS.
    pub(super) fn is_by_tls(&self) -> bool {
        self.wire.is_by_tls()
    }

    /// The context of the request.
    pub(super) fn context(&self) -> &Context {
        self.context
    }

    /// The request's log line.
    pub(super) fn log(&mut self) -> &mut LogLine {
        &mut self.context.log
    }

    /// When the request arrived.
    pub(super) fn arrived(&self) -> Instant {
        self.context.arrived
    }

    /// Keeps a slot of the writes until the request is over.
    pub(super) fn keep(&mut self, place: Share) {
        self.context.room = Some(place);
    }
}

fn sent<'a>(head: &'a ReceivedHead, wire: &'a Wire) -> SentHead<'a> {
    SentHead {
        method: &head.method,
        target: &head.target,
        headers: &head.headers,
        version: head.version,
        shown: wire.shown(),
    }
}

// === the body ===

/// Why a body cannot be read.
#[derive(Debug)]
pub(super) enum BodyFault {
    /// It is not what was promised, or there is no room for it: the client gets this error.
    Refused(S3Error),
    /// The client has closed its side before the end. It may still read.
    CutShort,
    /// The client has disconnected.
    ClientGone,
}

impl From<S3Error> for BodyFault {
    fn from(error: S3Error) -> Self {
        Self::Refused(error)
    }
}

impl From<BodyError> for BodyFault {
    fn from(error: BodyError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Broken> for BodyFault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Slow(_) => {
                let because = "The request body came more slowly than body.least_rate allows.";
                S3Error::new(Code::RequestTimeout).because(because).into()
            }
            Broken::Silent => S3Error::new(Code::RequestTimeout).into(),
            Broken::Head | Broken::Chunks(_) => {
                S3Error::incomplete_body().because(format!("{}.", capital(&broken))).into()
            }
            Broken::CutShort => Self::CutShort,
            Broken::Gone => Self::ClientGone,
        }
    }
}

fn capital(text: &impl ToString) -> String {
    let text = text.to_string();
    let (first, rest) = text.split_at(text.len().min(1));
    first.to_uppercase() + rest
}

impl Visit<'_> {
    /// Whether the head announces a body.
    pub(super) fn has_body(&self) -> bool {
        self.head.framing != Framing::Nothing
    }

    /// The next piece of the body; `None` at its end. May be dropped while it waits.
    pub(super) async fn next_piece(&mut self) -> Result<Option<Bytes>, BodyFault> {
        Ok(self.wire.next_piece().await?)
    }

    /// Sends `100 Continue` to a client that waits for it (RFC 9110 §10.1.1).
    pub(super) async fn go_on(&mut self) -> Result<(), BodyFault> {
        self.continued = true;
        self.wire.write(Framed::bare(CONTINUE)).await.map_err(|_| BodyFault::ClientGone)
    }

    /// Sends on the store's `100 Continue`, to a client that waits for one.
    pub(super) async fn pass_on_100(&mut self) -> Result<(), BodyFault> {
        if self.waits_for_100() { self.go_on().await } else { Ok(()) }
    }

    /// Whether the client waits for `100 Continue` before it sends its body (RFC 9110 §10.1.1).
    fn waits_for_100(&self) -> bool {
        let expected = self.head.headers.get(header::EXPECT);
        let expects =
            expected.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        expects && self.head.version == Version::HTTP_11 && !self.continued
    }

    /// Reads a refused body and drops it, so that the connection may be kept; `false` where it is
    /// too long or does not end. A client that waits for `100 Continue` gets it first.
    async fn is_read_out(&mut self) -> bool {
        if matches!(self.head.framing, Framing::Length(bytes) if bytes > READ_OUT_BYTES_MAX) {
            return false;
        }
        if self.pass_on_100().await.is_err() {
            return false;
        }
        let mut bytes = 0;
        while bytes <= READ_OUT_BYTES_MAX {
            match self.wire.next_piece().await {
                Ok(Some(more)) => bytes += more.len() as u64,
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        false
    }
}

// === the answer ===

impl Visit<'_> {
    /// Closes the connection after this request.
    pub(super) fn close_after(&mut self) {
        self.persists = false;
    }

    /// The status of the answer, if it has begun; a 100 does not count.
    pub(super) fn answered(&self) -> Option<StatusCode> {
        self.answered.status.filter(|_| self.answered.sent)
    }

    /// Content that has arrived and content that was sent, bytes.
    pub(super) fn content_bytes(&self) -> (usize, usize) {
        (self.wire.content_bytes(), self.answered.content_bytes)
    }

    /// Whether another request may follow on the connection: this one was read to its end and has
    /// its whole answer, and both sides want to go on.
    pub(super) fn may_go_on(&self) -> bool {
        let whole = self.answered.sent && self.answered.rest == AnswerRest::Nothing;
        self.persists && whole && self.answered.pending.is_empty() && self.wire.is_read()
    }

    /// An error as a whole answer, with these headers added. Sets the log line's error.
    pub(super) fn error(&mut self, error: &S3Error, mut headers: Fields) -> Answer {
        let body = self.error_document(error).into();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if let Some(seconds) = error.retry_after_s() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        Answer { status: error.status(), headers, body }
    }

    /// The document of an error. Sets the log line's error.
    fn error_document(&mut self, error: &S3Error) -> Vec<u8> {
        error.code().clone_into(&mut self.context.log.code);
        let path = self.head.target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let resource = String::from_utf8_lossy(path);
        error.to_xml(Some(&resource), &self.context.request_id, HOST)
    }

    /// Answers with an error.
    pub(super) async fn refuse(&mut self, error: &S3Error) -> Result<(), Cut> {
        let answer = self.error(error, Fields::new());
        self.answer(answer).await
    }

    /// Answers with the fault of the body, if the client is still connected.
    pub(super) async fn refuse_body(&mut self, fault: BodyFault) -> Result<(), Cut> {
        match fault {
            BodyFault::Refused(error) => {
                // If the connection is to be kept, the rest of the body is read and dropped; a
                // fault is found then.
                if !self.context.reads_out {
                    self.close_after();
                }
                self.refuse(&error).await
            }
            BodyFault::CutShort => {
                self.close_after();
                self.context.log.client_gone();
                self.refuse(&S3Error::incomplete_body()).await
            }
            BodyFault::ClientGone => {
                self.close_after();
                Ok(())
            }
        }
    }

    /// Writes a whole answer and leaves the connection in order.
    pub(super) async fn answer(&mut self, answer: Answer) -> Result<(), Cut> {
        let Answer { status, mut headers, body } = answer;
        self.allow_page(&mut headers).await;
        self.insert_ids(&mut headers);
        let is_read = self.wire.is_read()
            || self.context.reads_out
                && timeout(READ_OUT_PATIENCE, self.is_read_out()).await == Ok(true);
        if !is_read {
            self.close_after();
        }
        if has_no_content(status) {
            headers.remove(header::CONTENT_LENGTH);
        } else {
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        let bare = has_no_content(status) || self.head.method == Method::HEAD;
        let body = if bare { Bytes::new() } else { body };
        self.compose_head(status, headers);
        self.flush(&body).await
    }

    /// Begins an answer whose body follows in pieces: chunked where the headers give no length and
    /// the client can read chunks (RFC 9112 §6.1). `bare`: no body follows. The head is sent with
    /// the first piece.
    pub(super) fn begin(&mut self, status: StatusCode, mut headers: Fields, bare: bool) {
        self.context.answered_by_store(&headers);
        if !headers.contains_key(REQUEST_ID) {
            self.insert_request_id(&mut headers);
        }
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let is_http_1_1 = self.head.version == Version::HTTP_11;
        self.answered.rest = match length {
            _ if bare => AnswerRest::Nothing,
            Some(bytes) => AnswerRest::Length(bytes),
            None if is_http_1_1 => AnswerRest::Chunked,
            None => AnswerRest::UntilClose,
        };
        if self.answered.rest == AnswerRest::Chunked {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if self.answered.rest == AnswerRest::UntilClose || !self.wire.is_read() {
            self.close_after();
        }
        self.compose_head(status, headers);
    }

    /// Sends a head whose content is late.
    pub(super) async fn send_head(&mut self) -> Result<(), Cut> {
        self.flush(b"").await
    }

    /// The rest of the answer will not come: the connection ends without a word that would vouch for
    /// what was sent.
    pub(super) fn break_off(&mut self) {
        self.persists = false;
        self.wire.break_off();
    }

    /// Takes back an answer of which nothing was sent, so that there may be another one. Whether that
    /// is so.
    pub(super) fn take_back(&mut self) -> bool {
        let unsent = !self.answered.sent;
        if unsent {
            self.answered = Answered::default();
        }
        unsent
    }

    /// Writes the next piece of an answer's body.
    pub(super) async fn piece(&mut self, piece: Bytes) -> Result<(), Cut> {
        if piece.is_empty() {
            return Ok(());
        }
        match &mut self.answered.rest {
            AnswerRest::Length(left) => match left.checked_sub(piece.len() as u64) {
                Some(rest) => *left = rest,
                None => return Err(Cut::Store("the answer is longer than it says".to_owned())),
            },
            AnswerRest::Chunked => write_chunk_size(&mut self.answered.pending, piece.len()),
            AnswerRest::UntilClose | AnswerRest::Nothing => {}
        }
        self.flush(&piece).await
    }

    /// Ends an answer's body.
    pub(super) async fn end(&mut self) -> Result<(), Cut> {
        match self.answered.rest {
            AnswerRest::Length(left) if left > 0 => {
                return Err(Cut::Store("the answer is shorter than it says".to_owned()));
            }
            AnswerRest::Chunked => self.answered.pending.extend_from_slice(LAST_CHUNK),
            AnswerRest::Length(_) | AnswerRest::UntilClose | AnswerRest::Nothing => {}
        }
        self.flush(b"").await?;
        self.answered.rest = AnswerRest::Nothing;
        Ok(())
    }

    /// Composes the head of the answer, which then has begun.
    fn compose_head(&mut self, status: StatusCode, mut headers: Fields) {
        headers.remove(&OBJECT_WRITE_ID);
        headers.insert(header::DATE, get_cached_date());
        let connection = if self.persists { "keep-alive" } else { "close" };
        headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
        write_head(&mut self.answered.pending, status, &headers);
        self.answered.status = Some(status);
    }

    /// Sends what is composed, and this content after it.
    async fn flush(&mut self, content: &[u8]) -> Result<(), Cut> {
        if self.answered.pending.is_empty() && content.is_empty() {
            return Ok(());
        }
        let before = &self.answered.pending;
        let framed = match self.answered.rest {
            AnswerRest::Chunked => Framed::chunk(before, content),
            _ => Framed { before, content, behind: b"" },
        };
        self.wire.write(framed).await?;
        self.answered.sent = true;
        self.answered.pending.clear();
        self.answered.content_bytes += content.len();
        Ok(())
    }

    /// Adds the request id and the host id, where the store has not set them.
    pub(super) fn insert_ids(&mut self, headers: &mut Fields) {
        self.context.answered_by_store(headers);
        if headers.contains_key(REQUEST_ID) {
            return;
        }
        self.insert_request_id(headers);
        headers.insert(HOST_ID, HeaderValue::from_static(HOST));
    }

    fn insert_request_id(&self, headers: &mut Fields) {
        // It consists of letters and digits.
        if let Ok(request_id) = HeaderValue::from_str(&self.context.request_id) {
            headers.insert(REQUEST_ID, request_id);
        }
    }

    /// Lets a page of another origin see an answer, if the store would.
    pub(super) async fn allow_page(&self, headers: &mut Fields) {
        if let Some(asking) = &self.context.cors {
            // Boxed: few requests need it, and otherwise every future would have its size.
            Box::pin(asking.allow(headers, self.context.log.access_key_id.is_empty())).await;
        }
    }
}
