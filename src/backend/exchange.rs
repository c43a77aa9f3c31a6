//! One exchange over one connection: the request is sent whole, the answer read whole.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::{HttpSession, http_req_header_to_wire};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::headers::from_store;
use super::{Answer, KeepAlive};
use crate::body::Body;
use crate::s3::documents::is_prologue;

/// The longest answer to a write, in bytes: it is read whole.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Head and body up to this size are sent by one system call.
const AT_ONCE_BYTES_MAX: u64 = 64 << 10;

/// After the store stopped reading: how long to wait for its early answer.
const EARLY_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// An answer that was received, and the connection if another request may follow.
pub(super) struct Received {
    pub(super) answer: Answer,
    pub(super) reusable: Option<Stream>,
}

/// An exchange without a whole answer.
pub(super) struct Broken {
    pub(super) why: String,
    /// No part of an answer arrived.
    pub(super) silent: bool,
}

pub(super) async fn converse(
    stream: Stream,
    head: RequestHeader,
    body: &Body,
    keep_alive: Option<&KeepAlive>,
) -> Result<Received, Broken> {
    let is_head = head.method == Method::HEAD;
    let (mut session, sent_whole) = match send(stream, head, body).await {
        Ok(sent) => sent,
        Err(why) => return Err(Broken { why, silent: true }),
    };
    let answer = match answer(&mut session, sent_whole, is_head, keep_alive).await {
        Ok(answer) => answer,
        Err(why) => return Err(Broken { why, silent: session.resp_header().is_none() }),
    };
    session.respect_keepalive();
    let reusable = if sent_whole { session.reuse().await } else { None };
    Ok(Received { answer, reusable })
}

async fn answer(
    session: &mut HttpSession,
    sent_whole: bool,
    is_head: bool,
    keep_alive: Option<&KeepAlive>,
) -> Result<Answer, String> {
    read_head(session).await?;
    let head = session.resp_header().ok_or("the answer has no head")?;
    let (status, headers) = (head.status, from_store(&head.headers));
    if !sent_whole && status.is_success() {
        return Err(format!("the store answered {status} before it had read the request"));
    }
    let keep_alive = keep_alive.filter(|_| status == StatusCode::OK);
    let heard = |body: &[u8]| {
        if let Some(keep_alive) = keep_alive
            && is_prologue(body)
        {
            keep_alive.working(&headers);
        }
    };
    let body = if is_head { Bytes::new() } else { read_body(session, heard).await? };
    Ok(Answer { status, headers, body })
}

/// Sends the request. The `bool` is false if the store answered, or stopped reading, before the end
/// of the request.
async fn send(
    mut stream: Stream,
    head: RequestHeader,
    body: &Body,
) -> Result<(HttpSession, bool), String> {
    let mut reader = body.reader();
    let spool = |e: io::Error| format!("reading the spool: {e}");
    if body.length_bytes() <= AT_ONCE_BYTES_MAX && head.method != Method::HEAD {
        // Each system call costs as much as all of the proxy's rules together, so head and body are
        // sent in one call.
        let mut wire = http_req_header_to_wire(&head).ok_or("the request is not well-formed")?;
        while let Some(piece) = reader.next().await.map_err(spool)? {
            wire.extend_from_slice(&piece);
        }
        stream.write_all(&wire).await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        return Ok((HttpSession::new(stream), true));
    }
    let mut session = HttpSession::new(stream);
    session.write_request_header(Box::new(head)).await.map_err(|e| e.to_string())?;
    let mut piece = reader.next().await.map_err(spool)?;
    while let Some(bytes) = piece {
        if let Err(error) = session.write_body(&bytes).await {
            // The store may have refused the request and closed: its answer, if any, has already
            // arrived.
            return match timeout(EARLY_ANSWER_WAIT, read_head(&mut session)).await {
                Ok(Ok(())) => Ok((session, false)),
                _ => Err(error.to_string()),
            };
        }
        if has_answered(&mut session).await? {
            return Ok((session, reader.next().await.map_err(spool)?.is_none()));
        }
        piece = reader.next().await.map_err(spool)?;
    }
    session.finish_body().await.map_err(|e| e.to_string())?;
    Ok((session, true))
}

/// Has the head of an early answer arrived? Does not wait; an incomplete head stays in the session.
async fn has_answered(session: &mut HttpSession) -> Result<bool, String> {
    tokio::select! {
        biased;
        read = session.read_response() => {
            read.map_err(|e| e.to_string())?;
            Ok(session.resp_header().is_some_and(|head| !head.status.is_informational()))
        }
        () = std::future::ready(()) => Ok(false),
    }
}

/// Reads the answer's head and skips informational ones.
pub(super) async fn read_head(session: &mut HttpSession) -> Result<(), String> {
    loop {
        if session.resp_header().is_some_and(|head| !head.status.is_informational()) {
            return Ok(());
        }
        session.read_response().await.map_err(|e| e.to_string())?;
    }
}

/// After each piece, `heard` gets everything that has arrived so far.
async fn read_body(session: &mut HttpSession, heard: impl Fn(&[u8])) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(piece) = session.read_body_bytes().await.map_err(|e| e.to_string())? {
        if whole.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        whole.extend_from_slice(&piece);
        heard(&whole);
    }
    Ok(whole.freeze())
}
