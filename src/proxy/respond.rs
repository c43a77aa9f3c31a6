//! Answers to the client that this proxy writes itself.

use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::{HeaderMap, Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;
use pingora::proxy::Session;
use tokio::time::{Instant, timeout_at};

use super::context::Context;
use crate::backend::Answer;
use crate::gate::Reply;
use crate::register::State;
use crate::s3::{ETag, Operation, S3Error};

pub(super) const REQUEST_ID: &str = "x-amz-request-id";
const HOST_ID: &str = "x-amz-id-2";

/// Who answers, where AWS names a host.
const HOST: &str = "ifmatch";

/// A client that is refused while it still sends is listened to for a while: closing at once would
/// reset the connection and destroy the answer on its way (protocol, 5.18).
const LINGER: Duration = Duration::from_secs(10);
const LINGER_IDLE: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 << 20;

/// Answers an error. `current` is the object's ETag, where a HEAD has just said it: it saves a
/// compare-and-swap loop its next read.
pub(super) async fn error(
    session: &mut Session,
    context: &mut Context,
    error: &S3Error,
    current: Option<&ETag>,
) -> pingora::Result<()> {
    error.code().clone_into(&mut context.log.code);
    let resource = session.req_header().uri.path().to_owned();
    let document = error.to_xml(Some(&resource), &context.request_id, HOST);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
    if let Some(etag) = current.and_then(ETag::header_value) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(seconds) = error.retry_after_s() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    write(session, context, error.status(), headers, document.into()).await
}

/// Answers what the gate said.
pub(super) async fn reply(
    session: &mut Session,
    context: &mut Context,
    operation: Operation,
    reply: Reply,
) -> pingora::Result<()> {
    match reply {
        Reply::Store(Answer { status, headers, body }) => {
            if !status.is_success() {
                let error = crate::s3::documents::parse_store_error(&body);
                context.log.code = error.map(|error| error.code).unwrap_or_default();
            }
            write(session, context, status, headers, body).await
        }
        Reply::Error(refused, current) => error(session, context, &refused, current.as_ref()).await,
        Reply::Replayed(state, _) => {
            let mut headers = HeaderMap::new();
            headers.insert("x-ifmatch-replayed", header::HeaderValue::from_static("true"));
            if let State::Present(etag) = &state
                && let Some(etag) = etag.header_value()
            {
                headers.insert(header::ETAG, etag);
            }
            let status = match operation {
                Operation::DeleteObject => StatusCode::NO_CONTENT,
                _ => StatusCode::OK,
            };
            write(session, context, status, headers, Bytes::new()).await
        }
    }
}

/// Writes a whole answer and leaves the connection in order.
pub(super) async fn write(
    session: &mut Session,
    context: &Context,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
) -> pingora::Result<()> {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    (parts.status, parts.headers) = (status, headers);
    let mut response = Box::new(ResponseHeader::from(parts));
    if !response.headers.contains_key(REQUEST_ID) {
        response.insert_header(REQUEST_ID, context.request_id.as_str())?;
        response.insert_header(HOST_ID, HOST)?;
    }
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
    let unread = !session.is_body_done();
    if unread {
        session.set_keepalive(None);
    }
    let no_body = bare || is_head || body.is_empty();
    session.write_response_header(response, no_body).await?;
    if !no_body {
        session.write_response_body(Some(body), true).await?;
    }
    if unread {
        linger(session).await;
    }
    Ok(())
}

/// Reads and forgets what the client still sends.
async fn linger(session: &mut Session) {
    if session.as_downstream_mut().finish_body().await.is_err() {
        return;
    }
    let end = Instant::now() + LINGER;
    let mut bytes = 0;
    while bytes < LINGER_BYTES_MAX {
        let until = end.min(Instant::now() + LINGER_IDLE);
        match timeout_at(until, session.read_request_body()).await {
            Ok(Ok(Some(more))) => bytes += more.len(),
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        }
    }
}
