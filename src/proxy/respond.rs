//! Answers to the client that this proxy writes itself.

use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::{HeaderMap, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;
use pingora::proxy::Session;
use tokio::time::timeout;

use super::admission::Admitted;
use super::context::Context;
use super::location::{location, redirected, relocate};
use crate::backend::Answer;
use crate::backend::headers::INSCRIPTION;
use crate::gate::{Reply, X_IFMATCH_GENERATION};
use crate::register::{Generation, State, Told};
use crate::s3::documents::{
    complete_result, completed_error, copy_result, late_refusal, parse_store_error, with_location,
    with_quoted_etag,
};
use crate::s3::{ETag, Operation, S3Error};

pub(super) const REQUEST_ID: &str = "x-amz-request-id";
pub(super) const HOST_ID: &str = "x-amz-id-2";

/// On the answer to a retry whose first attempt had landed.
const REPLAYED: &str = "x-ifmatch-replayed";

/// How much of a refused body is read out, and for how long; of a longer one the connection is closed.
/// Who sends it need not be known: nobody may hold a connection so for hours.
const READ_OUT_BYTES_MAX: usize = 64 << 20;
const READ_OUT_PATIENCE: Duration = Duration::from_mins(1);

/// Who answers, where AWS names a host.
pub(super) const HOST: &str = "ifmatch";

/// Answers an error. `current` is the object's ETag, where a HEAD has just said it: it saves a
/// compare-and-swap loop its next read.
pub(super) async fn error(
    session: &mut Session,
    context: &mut Context,
    error: &S3Error,
    current: Option<&ETag>,
) -> pingora::Result<()> {
    let mut headers = HeaderMap::new();
    if let Some(etag) = current.and_then(ETag::header_value) {
        headers.insert(header::ETAG, etag);
    }
    error_with(session, context, error, headers).await
}

/// Answers an error with these headers beside its own.
pub(super) async fn error_with(
    session: &mut Session,
    context: &mut Context,
    error: &S3Error,
    mut headers: HeaderMap,
) -> pingora::Result<()> {
    let document = document(session, context, error);
    headers.extend(headers_of(error));
    write(session, context, error.status(), headers, document.into()).await
}

/// What an error's answer says beside its document.
fn headers_of(error: &S3Error) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
    if let Some(seconds) = error.retry_after_s() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    headers
}

/// An error's document, noted in the log line.
pub(super) fn document(session: &Session, context: &mut Context, error: &S3Error) -> Vec<u8> {
    error.code().clone_into(&mut context.log.code);
    let resource = session.req_header().uri.path();
    error.to_xml(Some(resource), &context.request_id, HOST)
}

/// Says which request was answered, and by whom, where the store has not.
pub(super) fn insert_ids(response: &mut ResponseHeader, context: &Context) -> pingora::Result<()> {
    if !response.headers.contains_key(REQUEST_ID) {
        response.insert_header(REQUEST_ID, context.request_id.as_str())?;
        response.insert_header(HOST_ID, HOST)?;
    }
    Ok(())
}

/// Answers what the gate said.
pub(super) async fn reply(
    session: &mut Session,
    context: &mut Context,
    admitted: &Admitted,
    reply: Reply,
) -> pingora::Result<()> {
    match reply {
        Reply::Store(mut answer) => {
            locate(session, context, admitted, &mut answer);
            store(session, context, answer).await
        }
        Reply::Error(refused, current) => error(session, context, &refused, current.as_ref()).await,
        Reply::Replayed(state, generation, told) => {
            let answer = replayed(session, context, admitted, &state, generation.as_ref(), &told);
            let Answer { status, headers, body } = answer;
            write(session, context, status, headers, body).await
        }
    }
}

/// Answers what the store did.
pub(super) async fn store(
    session: &mut Session,
    context: &mut Context,
    answer: Answer,
) -> pingora::Result<()> {
    let Answer { status, headers, body } = stored(session, context, answer);
    write(session, context, status, headers, body).await
}

/// Says of an object that was just put together where the client finds it.
pub(super) fn locate(
    session: &Session,
    context: &Context,
    admitted: &Admitted,
    answer: &mut Answer,
) {
    if admitted.operation == Operation::CompleteMultipartUpload
        && let Some(name) = admitted.target.object()
        && let Some(document) = with_location(&answer.body, &location(session, context, name))
    {
        answer.headers.remove(header::CONTENT_LENGTH);
        answer.body = document.into();
    }
}

/// The store's answer, its error noted and completed; an error of ours in place of a redirect. An error
/// that it could only put into a 200, since it was at work already when it found out, is answered with
/// its own status where the client has not been told of the 200 yet.
pub(super) fn stored(session: &Session, context: &mut Context, mut answer: Answer) -> Answer {
    let Answer { status, headers, body } = &answer;
    if let Some(error) = redirected(context.log.operation, *status, headers, body) {
        let body = document(session, context, &error).into();
        return Answer { status: error.status(), headers: headers_of(&error), body };
    }
    relocate(context, answer.status, &mut answer.headers);
    if let Some(error) = parse_store_error(&answer.body) {
        if let Some(completed) = completed(context, &answer.headers, &answer.body) {
            answer.body = completed;
        }
        if answer.status.is_success()
            && let Some(status) = late_refusal(&error.code)
        {
            answer.status = status;
        }
        context.log.code = error.code;
    } else if let Some(quoted) = with_quoted_etag(&answer.body) {
        answer.body = quoted.into();
    }
    answer
}

/// The store's error document with the parts that it lacks, as its headers name the request.
pub(super) fn completed(context: &Context, headers: &HeaderMap, body: &[u8]) -> Option<Bytes> {
    let named = |header| headers.get(header).and_then(|value| value.to_str().ok());
    let request_id = named(REQUEST_ID).unwrap_or(&context.request_id);
    let host_id = named(HOST_ID).unwrap_or(HOST);
    completed_error(body, request_id, host_id).map(Bytes::from)
}

/// The success of an earlier attempt, once more.
pub(super) fn replayed(
    session: &Session,
    context: &Context,
    admitted: &Admitted,
    state: &State,
    generation: Option<&Generation>,
    told: &Told,
) -> Answer {
    let etag = etag_left(state);
    let mut headers = replay_headers(generation, told);
    let xml = || header::HeaderValue::from_static("application/xml");
    let (status, body) = match (admitted.operation, admitted.target.object()) {
        (Operation::DeleteObject, _) => (StatusCode::NO_CONTENT, Vec::new()),
        (Operation::CopyObject, _) => {
            headers.insert(header::CONTENT_TYPE, xml());
            (StatusCode::OK, copy_result(etag))
        }
        (Operation::CompleteMultipartUpload, Some(name)) => {
            headers.insert(header::CONTENT_TYPE, xml());
            (StatusCode::OK, complete_result(&location(session, context, name), name, etag))
        }
        _ => {
            if let Some(etag) = etag.and_then(ETag::header_value) {
                headers.insert(header::ETAG, etag);
            }
            (StatusCode::OK, Vec::new())
        }
    };
    Answer { status, headers, body: body.into() }
}

/// What an answer said besides, as headers again.
pub(super) fn headers_told(told: &Told) -> HeaderMap {
    let headers = told.headers();
    headers.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
}

/// What every replayed success says.
pub(super) fn replay_headers(generation: Option<&Generation>, told: &Told) -> HeaderMap {
    let mut headers = headers_told(told);
    headers.insert(REPLAYED, header::HeaderValue::from_static("true"));
    if let Some(generation) = generation.and_then(|Generation(name)| name.parse().ok()) {
        headers.insert(X_IFMATCH_GENERATION, generation);
    }
    headers
}

/// The ETag of the object that a write left behind.
pub(super) fn etag_left(state: &State) -> Option<&ETag> {
    match state {
        State::Present(etag) => Some(etag),
        State::Absent | State::Unknown => None,
    }
}

/// Reads a refused body and throws it away, so that the connection may be kept; `false` where it is
/// too long, or does not come to its end. A client that waits to be told sends it only then.
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

/// What the client has been answered, if its answer has begun; a 100 is none.
pub(super) fn answered(session: &Session) -> Option<StatusCode> {
    let written = session.response_written()?.status;
    (!written.is_informational()).then_some(written)
}

/// Tells a client that waits for it to send its body (RFC 9110 §10.1.1).
pub(super) async fn go_on(session: &mut Session) -> pingora::Result<()> {
    // Pingora takes what is sent before the body has come for the answer, and would end the
    // connection with the request.
    session.set_close_on_response_before_downstream_finish(false);
    let sent = session.write_continue_response().await;
    session.set_close_on_response_before_downstream_finish(true);
    sent
}

/// Lets a page of another origin see an answer, where the store would.
pub(super) async fn allow_page(context: &Context, headers: &mut HeaderMap) {
    if let Some(asking) = &context.cors {
        // A future of its own: few requests ask, and all of them would carry its size.
        Box::pin(asking.allow(headers, context.log.access_key_id.is_empty())).await;
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
    allow_page(context, &mut parts.headers).await;
    let mut response = Box::new(ResponseHeader::from(parts));
    insert_ids(&mut response, context)?;
    response.remove_header(&INSCRIPTION);
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
        || context.reads_out && timeout(READ_OUT_PATIENCE, is_read_out(session)).await == Ok(true);
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
