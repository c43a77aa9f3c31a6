//! Reads: the store's answer is passed on piece by piece, in constant memory. A straight line from
//! one connection to the other costs half of Pingora's own path, which joins two tasks by channels
//! to carry a body both ways.

use bytes::Bytes;
use http::{Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use super::access::Caller;
use super::admission::{Admitted, Signed};
use super::conditional_read;
use super::context::Context;
use super::forward::Forward;
use super::location::{redirected, relocate};
use super::respond;
use super::state::Proxy;
use crate::backend::connection::Opened;
use crate::backend::headers::{INSCRIPTION, for_head, of_preflight};
use crate::clock;
use crate::gate::{X_IFMATCH_GENERATION, X_IFMATCH_WANT};
use crate::s3::{ObjectName, Operation, Preconditions, S3Error, Target};

/// How much of an answer is read ahead to find out its length.
const READ_AHEAD_BYTES_MAX: usize = 4 << 20;

/// Passes on a question, without the body that may have come with it, and its answer. The conditions
/// on an object are judged here as well as by the store, which may get them wrong; but not those that
/// its sender has signed for the store, who may be told nothing here.
pub(super) async fn serve(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    admitted: &Admitted,
    mut forward: Forward,
) -> pingora::Result<()> {
    if let Err(untaken) = forward.leave_body(session).await {
        return untaken.answer(session, context).await;
    }
    let mut request = forward.request;
    let of_object = matches!(admitted.operation, Operation::GetObject | Operation::HeadObject);
    if admitted.is_as_sent() || !of_object {
        let opened = proxy.store.open(&request).await;
        return pass_on(proxy, session, context, opened).await;
    }
    let conditions = Preconditions::of_read(&session.req_header().headers, clock::unix_seconds());
    conditions.replace_in(&mut request.headers);
    let pinned = match wants_generation_of(session, admitted) {
        Some(name) => proxy.gate.pin(name, &for_head(&session.req_header().headers)).await,
        None => None,
    };
    let mut asked = conditional_read::ask(&proxy.store, &request, &conditions).await;
    if let (Some(pinned), Ok((opened, _))) = (pinned, &mut asked)
        && let Some(generation) = pinned.of_answer(opened.status, &opened.headers)
    {
        opened.headers.insert(X_IFMATCH_GENERATION, generation);
    }
    match asked {
        Ok((opened, Some(failing))) => {
            let presigned = admitted.signed.as_ref().is_some_and(|signed| signed.presigned);
            conditional_read::refuse(proxy, session, context, opened, failing, presigned).await
        }
        Ok((opened, None)) => pass_on(proxy, session, context, Ok(opened)).await,
        Err(why) => pass_on(proxy, session, context, Err(why)).await,
    }
}

/// The key whose generation is to be named: the current version of a guarded one, to a caller who is
/// known.
fn wants_generation_of<'a>(session: &Session, admitted: &'a Admitted) -> Option<&'a ObjectName> {
    let request = session.req_header();
    let wanted = request.headers.get(X_IFMATCH_WANT)?.as_bytes() == b"generation";
    let known = matches!(
        &admitted.signed,
        Some(Signed { caller: Caller::Client(_), presigned: false, .. })
    );
    let of_version = admitted.query.has("versionId");
    let named = wanted && known && !of_version && !admitted.treatment.passes;
    admitted.target.object().filter(|_| named)
}

/// Passes on a browser's preflight: unsigned, as it came, and no more of it than it needs.
pub(super) async fn preflight(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    target: &Target,
) -> pingora::Result<()> {
    let headers = of_preflight(&session.req_header().headers);
    // The policy is the bucket's. Of a key nobody is told here whether it is there: to moto, for one,
    // whoever may not read an object may not ask this of it either.
    let bucket = target.bucket().cloned().map_or(Target::Service, Target::Bucket);
    let opened = proxy.store.preflight(&bucket.path(), headers).await;
    pass_on(proxy, session, context, opened).await
}

/// Passes on the store's answer, or says that there is none.
pub(super) async fn pass_on(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    opened: Result<Opened, String>,
) -> pingora::Result<()> {
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(why) => {
            tracing::warn!(why, "the store did not answer");
            let error = S3Error::service_unavailable(1).because("The store cannot be reached.");
            return respond::error(session, context, &error, None).await;
        }
    };
    let operation = context.log.operation;
    if let Some(error) = redirected(operation, opened.status, &opened.headers, &[]) {
        proxy.store.dismiss(opened).await;
        return respond::error(session, context, &error, None).await;
    }
    relocate(context, opened.status, &mut opened.headers);
    let request = session.req_header();
    let failed = opened.status.is_client_error() || opened.status.is_server_error();
    if failed && opened.is_short() && request.method != Method::HEAD {
        return refuse(proxy, session, context, opened).await;
    }
    let bare = request.method == Method::HEAD
        || matches!(opened.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let (mut parts, ()) = http::Response::new(()).into_parts();
    (parts.status, parts.headers) = (opened.status, std::mem::take(&mut opened.headers));
    let mut response = Box::new(ResponseHeader::from(parts));
    response.remove_header(&INSCRIPTION);
    if !response.headers.contains_key(respond::REQUEST_ID) {
        response.insert_header(respond::REQUEST_ID, context.request_id.as_str())?;
    }
    let mut ahead = Vec::new();
    if !bare && !response.headers.contains_key(header::CONTENT_LENGTH) {
        // RFC 9112 §6.1: a body of unknown length is chunked, for those who know what that is. To the
        // others its end would be the connection's, whether it is whole or not: as long as it is
        // short, its length is found out.
        if request.version == Version::HTTP_11 {
            response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        } else if let Some(bytes) = read_ahead(&mut opened, &mut ahead).await? {
            response.insert_header(header::CONTENT_LENGTH, bytes)?;
        }
    }
    session.write_response_header(response, bare).await?;
    if !bare {
        for piece in ahead {
            session.write_response_body(Some(piece), false).await?;
        }
        while let Some(piece) = opened.next().await.map_err(|why| broken_off(&why))? {
            session.write_response_body(Some(piece), false).await?;
        }
        session.write_response_body(None, true).await?;
    }
    proxy.store.finished(opened).await;
    Ok(())
}

/// Reads a short body to its end and tells its length; of a long one, the beginning.
async fn read_ahead(opened: &mut Opened, ahead: &mut Vec<Bytes>) -> pingora::Result<Option<usize>> {
    let mut bytes = 0;
    while bytes <= READ_AHEAD_BYTES_MAX {
        let Some(piece) = opened.next().await.map_err(|why| broken_off(&why))? else {
            return Ok(Some(bytes));
        };
        bytes += piece.len();
        ahead.push(piece);
    }
    Ok(None)
}

/// Passes on the store's error, with the parts of its document that it lacks.
async fn refuse(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    opened: Opened,
) -> pingora::Result<()> {
    let answer = proxy.store.collect(opened).await.map_err(|why| broken_off(&why))?;
    respond::store(session, context, answer).await
}

/// The answer is under way and cannot be taken back: the connection is closed, so that the client
/// sees that it is not whole.
#[allow(clippy::unnecessary_box_returns, reason = "Pingora's own error type")]
fn broken_off(why: &str) -> Box<Error> {
    Error::explain(ErrorType::ReadError, why.to_owned()).into_up()
}
