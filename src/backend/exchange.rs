//! One exchange over one connection: the request is sent whole, the answer read whole.

use std::io;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora::protocols::Stream;

use super::conversation::{Conversation, Sent};
use super::headers::from_store;
use super::{Answer, KeepAlive};
use crate::body::Body;
use crate::http1::body::Framed;
use crate::http1::request::Request;
use crate::patience::turn_to_others_after;
use crate::s3::documents::is_prologue;

/// The longest answer to a write, in bytes: it is read whole.
const ANSWER_BYTES_MAX: usize = 4 << 20;

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
    mut conversation: Conversation,
    head: Request,
    body: &Body,
    keep_alive: Option<&KeepAlive>,
) -> Result<Received, Broken> {
    match exchange(&mut conversation, &head, body, keep_alive).await {
        Ok((answer, persists)) => {
            Ok(Received { answer, reusable: conversation.reusable(persists) })
        }
        Err(why) => Err(Broken { why, silent: conversation.is_silent() }),
    }
}

/// Sends a request and reads its answer; whether the store lets the connection be used again.
async fn exchange(
    conversation: &mut Conversation,
    head: &Request,
    body: &Body,
    keep_alive: Option<&KeepAlive>,
) -> Result<(Answer, bool), String> {
    send(conversation, head, body).await?;
    conversation.read_head().await?;
    let head = conversation.take_head()?;
    let (status, headers) = (head.status, from_store(head.headers));
    let keep_alive = keep_alive.filter(|_| status == StatusCode::OK);
    let heard = |body: &[u8]| {
        if let Some(keep_alive) = keep_alive
            && is_prologue(body)
        {
            keep_alive.working(&headers);
        }
    };
    let body = read_body(conversation, heard).await?;
    Ok((Answer { status, headers, body }, head.persists))
}

/// Sends the request; not to its end where the store has answered, or stopped reading, before.
async fn send(conversation: &mut Conversation, head: &Request, body: &Body) -> Result<(), String> {
    let mut wire = head.to_bytes();
    let mut reader = body.reader();
    let spool = |e: io::Error| format!("reading the spool: {e}");
    let mut piece = reader.next().await.map_err(spool)?;
    loop {
        // Each system call costs as much as all of the proxy's rules together, so the head and the
        // first piece are sent in one call.
        let content = piece.as_deref().unwrap_or_default();
        let part = Framed { before: &wire, content, behind: b"" };
        if conversation.send_or_hear(part).await? == Sent::Answered {
            return Ok(());
        }
        wire.clear();
        turn_to_others_after(piece.as_ref().map_or(0, Bytes::len)).await;
        if piece.is_none() {
            break;
        }
        piece = reader.next().await.map_err(spool)?;
        if piece.is_none() {
            break;
        }
        if has_answered(conversation).await? {
            return Ok(());
        }
    }
    conversation.sent_whole = true;
    Ok(())
}

/// Has the head of an early answer arrived? Does not wait; an incomplete head stays.
async fn has_answered(conversation: &mut Conversation) -> Result<bool, String> {
    tokio::select! {
        biased;
        read = conversation.await_head() => read.map(|()| true),
        () = std::future::ready(()) => Ok(false),
    }
}

/// After each piece, `heard` gets everything that has arrived so far.
async fn read_body(
    conversation: &mut Conversation,
    heard: impl Fn(&[u8]),
) -> Result<Bytes, String> {
    let Some(first) = conversation.next().await? else { return Ok(Bytes::new()) };
    heard(&first);
    let Some(second) = conversation.next().await? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if whole.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        whole.extend_from_slice(&piece);
        heard(&whole);
        next = conversation.next().await?;
    }
    Ok(whole.freeze())
}
