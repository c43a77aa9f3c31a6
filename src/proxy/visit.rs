//! A visit: one request and its answer, a thin wrapper of Pingora's session. A handler reads the
//! body here and does not write; proxy/mod.rs writes its response, with the methods below.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora::ErrorType;
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;
use pingora::proxy::Session;
use tokio::time::{Instant, timeout};

use super::context::{Context, HOST, HOST_ID, LogLine, REQUEST_ID};
use super::forward::Forward;
use super::wire::{Broken, Wire};
use crate::backend::Answer;
use crate::backend::headers::OBJECT_WRITE_ID;
use crate::s3::{Code, S3Error};
use crate::shares::Share;
use crate::sigv4::BodyError;
use crate::tls::Shown;

/// How much of a refused body is read and dropped, and for how long; for a longer body the
/// connection is closed. The sender may be unknown, and must not hold a connection in this way for
/// hours.
const READ_OUT_BYTES_MAX: usize = 64 << 20;
const READ_OUT_PATIENCE: Duration = Duration::from_mins(1);

/// A request and its answer.
pub(super) struct Visit<'s> {
    session: &'s mut Session,
    context: &'s mut Context,
}

/// A request's head as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentHead<'a> {
    pub(super) method: &'a Method,
    /// Path and query, which may not be valid text.
    pub(super) target: &'a [u8],
    pub(super) headers: &'a HeaderMap,
    pub(super) version: Version,
    /// The certificate that the client has shown on its connection.
    pub(super) shown: Option<&'a Shown>,
}

impl<'s> Visit<'s> {
    pub(super) const fn new(session: &'s mut Session, context: &'s mut Context) -> Self {
        Self { session, context }
    }

    /// The head.
    pub(super) fn head(&self) -> SentHead<'_> {
        head_of(self.session)
    }

    /// The head and the context, at once.
    pub(super) fn parts(&mut self) -> (SentHead<'_>, &mut Context) {
        (head_of(self.session), self.context)
    }

    /// Whether the client has connected by TLS.
    pub(super) fn is_by_tls(&self) -> bool {
        self.session.digest().is_some_and(|digest| digest.ssl_digest.is_some())
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

fn head_of(session: &Session) -> SentHead<'_> {
    let head = session.req_header();
    SentHead {
        method: &head.method,
        target: head.raw_path(),
        headers: &head.headers,
        version: head.version,
        shown: shown_on(session),
    }
}

/// The door has made the connection.
fn shown_on(session: &Session) -> Option<&Shown> {
    (**session.stream()?).as_any().downcast_ref::<Wire>()?.shown()
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

impl BodyFault {
    /// The fault of a body that could not be read to its end.
    pub(super) fn of(error: &pingora::Error) -> Self {
        match Broken::of(error) {
            Some(Broken::Slow(_)) => {
                let because = "The request body came more slowly than body.least_rate allows.";
                return S3Error::new(Code::RequestTimeout).because(because).into();
            }
            Some(broken) => {
                return S3Error::incomplete_body().because(format!("{}.", capital(&broken))).into();
            }
            None => {}
        }
        match error.etype() {
            ErrorType::ReadTimedout => S3Error::new(Code::RequestTimeout).into(),
            ErrorType::ConnectionClosed => Self::CutShort,
            ErrorType::Custom(INVALID_CHUNK) => S3Error::incomplete_body().into(),
            _ => Self::ClientGone,
        }
    }
}

/// Pingora's error for a chunked body that is malformed.
const INVALID_CHUNK: &str = "InvalidChunk";

fn capital(text: &impl ToString) -> String {
    let text = text.to_string();
    let (first, rest) = text.split_at(text.len().min(1));
    first.to_uppercase() + rest
}

impl Visit<'_> {
    /// Whether the head announces a body.
    pub(super) fn has_body(&mut self) -> bool {
        !self.session.is_body_empty()
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn next_piece(&mut self) -> Result<Option<Bytes>, BodyFault> {
        self.session.read_request_body().await.map_err(|error| BodyFault::of(&error))
    }

    /// Sends `100 Continue` to a client that waits for it (RFC 9110 §10.1.1).
    pub(super) async fn go_on(&mut self) -> Result<(), BodyFault> {
        go_on(self.session).await.map_err(|_| BodyFault::ClientGone)
    }
}

async fn go_on(session: &mut Session) -> pingora::Result<()> {
    // Pingora takes anything that is sent before the end of the body for the answer, and would
    // close the connection after the request.
    session.set_close_on_response_before_downstream_finish(false);
    let sent = session.write_continue_response().await;
    session.set_close_on_response_before_downstream_finish(true);
    sent
}

/// Reads a refused body and drops it, so that the connection may be kept; `false` where it is too
/// long or does not end. A client that waits for `100 Continue` gets it first.
async fn is_read_out(session: &mut Session) -> bool {
    let request = session.req_header();
    let length = request.headers.get(header::CONTENT_LENGTH);
    let length: Option<usize> = length.and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|bytes| bytes > READ_OUT_BYTES_MAX) {
        return false;
    }
    let waits = request.version == Version::HTTP_11
        && request
            .headers
            .get(header::EXPECT)
            .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if waits && session.response_written().is_none() && go_on(session).await.is_err() {
        return false;
    }
    let mut bytes = 0;
    while bytes <= READ_OUT_BYTES_MAX {
        match session.read_request_body().await {
            Ok(Some(more)) => bytes += more.len(),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
    false
}

// === the answer ===

impl Visit<'_> {
    /// Closes the connection after this request.
    pub(super) fn close_after(&mut self) {
        self.session.set_keepalive(None);
    }

    /// An error as a whole answer, with these headers added. Sets the log line's error.
    pub(super) fn error(&mut self, error: &S3Error, mut headers: HeaderMap) -> Answer {
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
        let resource = self.session.req_header().uri.path();
        error.to_xml(Some(resource), &self.context.request_id, HOST)
    }

    /// Answers with an error.
    pub(super) async fn refuse(&mut self, error: &S3Error) -> pingora::Result<()> {
        let answer = self.error(error, HeaderMap::new());
        self.answer(answer).await
    }

    /// Answers with the fault of the body, if the client is still connected.
    pub(super) async fn refuse_body(&mut self, fault: BodyFault) -> pingora::Result<()> {
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
    pub(super) async fn answer(&mut self, answer: Answer) -> pingora::Result<()> {
        let Answer { status, mut headers, body } = answer;
        self.allow_page(&mut headers).await;
        self.insert_ids(&mut headers);
        let mut response = response(status, headers);
        let (session, context) = (&mut *self.session, &*self.context);
        response.remove_header(&OBJECT_WRITE_ID);
        if !response.headers.contains_key(header::DATE) {
            response.insert_header(header::DATE, get_cached_date())?;
        }
        // RFC 9110 §8.6, §15.3.5: 204 and 304 have no content and do not say its length.
        let bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let is_head = session.req_header().method == Method::HEAD;
        if bare {
            response.remove_header(&header::CONTENT_LENGTH);
        } else {
            response.insert_header(header::CONTENT_LENGTH, body.len())?;
        }
        let is_read = session.is_body_done()
            || context.reads_out
                && timeout(READ_OUT_PATIENCE, is_read_out(session)).await == Ok(true);
        if !is_read {
            session.set_keepalive(None);
        }
        let no_body = bare || is_head || body.is_empty();
        session.write_response_header(response, no_body).await?;
        if !no_body {
            session.write_response_body(Some(body), true).await?;
        }
        Ok(())
    }

    /// Begins an answer whose body follows in pieces: chunked where the headers give no length and
    /// the client can read chunks (RFC 9112 §6.1). `bare`: no body follows.
    pub(super) async fn begin(
        &mut self,
        status: StatusCode,
        headers: HeaderMap,
        bare: bool,
    ) -> pingora::Result<()> {
        let mut response = response(status, headers);
        response.remove_header(&OBJECT_WRITE_ID);
        self.context.answered_by_store(&response.headers);
        if !response.headers.contains_key(REQUEST_ID) {
            response.insert_header(REQUEST_ID, self.context.request_id.as_str())?;
        }
        let chunked = !bare && !response.headers.contains_key(header::CONTENT_LENGTH);
        if chunked && self.session.req_header().version == Version::HTTP_11 {
            response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        self.session.write_response_header(response, bare).await
    }

    /// Writes the next piece of an answer's body.
    pub(super) async fn piece(&mut self, piece: Bytes) -> pingora::Result<()> {
        self.session.write_response_body(Some(piece), false).await
    }

    /// Ends an answer's body, with a last piece if there is one.
    pub(super) async fn end(&mut self, last: Option<Bytes>) -> pingora::Result<()> {
        self.session.write_response_body(last, true).await
    }

    /// Adds the request id and the host id, where the store has not set them.
    pub(super) fn insert_ids(&mut self, headers: &mut HeaderMap) {
        self.context.answered_by_store(headers);
        if headers.contains_key(REQUEST_ID) {
            return;
        }
        // It consists of letters and digits.
        if let Ok(request_id) = HeaderValue::from_str(&self.context.request_id) {
            headers.insert(REQUEST_ID, request_id);
        }
        headers.insert(HOST_ID, HeaderValue::from_static(HOST));
    }

    /// Lets a page of another origin see an answer, if the store would.
    pub(super) async fn allow_page(&self, headers: &mut HeaderMap) {
        if let Some(asking) = &self.context.cors {
            // Boxed: few requests need it, and otherwise every future would have its size.
            Box::pin(asking.allow(headers, self.context.log.access_key_id.is_empty())).await;
        }
    }

    /// Makes Pingora stream the request.
    pub(super) fn forward(&mut self, forward: Forward) {
        if self.head().version == Version::HTTP_10 {
            // RFC 9110 §15.2: the store's informational responses end here; Pingora passes them on
            // to a client that expects them.
            self.session.req_header_mut().remove_header(&header::EXPECT);
            self.session.set_ignore_info_resp(true);
        }
        self.context.forward = Some(forward);
    }
}

fn response(status: StatusCode, headers: HeaderMap) -> Box<ResponseHeader> {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    (parts.status, parts.headers) = (status, headers);
    Box::new(ResponseHeader::from(parts))
}

/// The status of the client's answer, if it has begun; a 100 does not count.
pub(super) fn answered(session: &Session) -> Option<StatusCode> {
    let written = session.response_written()?.status;
    (!written.is_informational()).then_some(written)
}
