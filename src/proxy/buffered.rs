//! Bodies in the form that every store understands. Documents are taken whole, read, judged and
//! written anew, with the `Content-MD5` that some stores ask for; what has no body is sent none. Parts
//! of uploads are taken whole whose checksum follows them, since no old store reads it there, and whose
//! length nothing says.

use bytes::Bytes;
use pingora::proxy::Session;

use super::admission::{Admitted, Signed};
use super::context::Context;
use super::outgoing::{as_sent, content_of, describe_anew, insert_digests, request_to_store};
use super::read_body::{self, BodyFault};
use super::respond;
use super::state::Proxy;
use crate::body::Body;
use crate::s3::{Code, Content, S3Error};
use crate::sigv4::{CheckedBody, PromisedChecksum};

/// Whether this request, which passes no gate, is one of these.
pub(super) fn is_due(proxy: &Proxy, session: &Session, admitted: &Admitted) -> bool {
    let Some(signed) = &admitted.signed else { return false };
    let content = content_of(session, admitted);
    if admitted.is_as_sent() {
        // What its sender has signed goes on as it is, but what else it names is looked for.
        return content.is_read_as_sent();
    }
    if content.is_written_anew() {
        return true;
    }
    let trails = matches!(signed.promise.checksum, Some(PromisedChecksum::Trailer(_)));
    let Some(length_bytes) = signed.promise.length else { return admitted.unknown_length };
    trails && !proxy.store.drops_checksums() && length_bytes <= proxy.body_bytes_max
}

/// Takes the body, verifies it, sends it with its checksum or its MD5 ahead.
pub(super) async fn serve(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    admitted: Admitted,
) -> pingora::Result<()> {
    let Some(signed) = &admitted.signed else {
        let denied = S3Error::new(Code::AccessDenied);
        return respond::error(session, context, &denied, None).await;
    };
    let taken = take(proxy, session, &admitted, signed).await;
    let (body, checked) = match taken {
        Ok(taken) => taken,
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let request = if admitted.is_as_sent() {
        as_sent(session)
    } else {
        let mut request = request_to_store(session, &admitted);
        request.sha256 = checked.sha256;
        describe_anew(&mut request.headers, session, &admitted);
        insert_digests(&mut request.headers, &checked);
        request
    };
    let outcome = proxy.gate.pass(admitted.operation, &request, &body, None).await;
    respond::reply(session, context, &admitted, outcome.reply).await
}

/// Takes the body as its store gets it: a document is read and written anew. Of a request that goes on
/// as it was signed the document has to be in the one spelling that every reader takes alike.
pub(super) async fn take(
    proxy: &Proxy,
    session: &mut Session,
    admitted: &Admitted,
    signed: &Signed,
) -> Result<(Body, CheckedBody), BodyFault> {
    let content = content_of(session, admitted);
    let too_large = |bytes: u64| content.bytes_max().is_some_and(|most| bytes > most as u64);
    if signed.promise.length.is_some_and(too_large) {
        return Err(S3Error::new(Code::MaxMessageLengthExceeded).into());
    }
    let chunked = signed.promise.payload.is_chunked();
    let (body, checked) =
        read_body::take(proxy, session, signed, admitted.expects_continue).await?;
    let is_read = !admitted.is_as_sent() || content.is_read_as_sent();
    if !content.is_written_anew() || !is_read {
        return Ok((body, checked));
    }
    if content == Content::Nothing {
        let unsaid = CheckedBody { md5: None, ..CheckedBody::of(&[]) };
        let empty = body.length_bytes() == 0;
        return Ok(if empty { (body, checked) } else { (Body::empty(), unsaid) });
    }
    let document = body.to_bytes().await.map_err(|error| {
        tracing::error!(%error, "a body cannot be read back");
        S3Error::internal_error()
    })?;
    if admitted.is_as_sent() {
        content.check_as_sent(&document, chunked)?;
        return Ok((body, checked));
    }
    let anew = content.written_anew(&document, !proxy.store.drops_checksums())?;
    let Some(anew) = anew else { return Ok((body, checked)) };
    let mut checked = CheckedBody::of(&anew);
    checked.md5 = checked.md5.filter(|_| !anew.is_empty());
    Ok((Body::from(Bytes::from(anew)), checked))
}
