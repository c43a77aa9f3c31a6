//! Bodies in the form that every store understands. Three kinds of request go past the gate and are
//! taken whole for it: documents of configuration, which some stores take with `Content-MD5` only,
//! parts of uploads whose checksum follows them, where no old store reads it, and parts whose length
//! nothing says.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::proxy::Session;

use super::Proxy;
use super::admission::{Admitted, Signed};
use super::context::Context;
use super::forward::request_to_store;
use super::intake::{self, Untaken};
use super::respond;
use crate::body::Body;
use crate::s3::completion::without_checksums;
use crate::s3::xml;
use crate::s3::{Code, Operation, S3Error};
use crate::sigv4::{CheckedBody, PromisedChecksum, Wanted};

/// The largest document taken; a larger one streams as it is. AWS's own limits are far below.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// Whether this request, which changes no key's content, is one of these.
pub(super) fn is_due(proxy: &Proxy, admitted: &Admitted) -> bool {
    // What its sender has signed goes on as it is.
    let Some(signed) = admitted.signed.as_ref().filter(|_| !admitted.is_as_sent()) else {
        return false;
    };
    let Some(length_bytes) = signed.promise.length else { return admitted.unknown_length };
    if configures(admitted.operation) {
        return (1..=DOCUMENT_BYTES_MAX).contains(&length_bytes);
    }
    let trails = matches!(signed.promise.checksum, Some(PromisedChecksum::Trailer(_)));
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
    let (promise, operation) = (signed.promise.clone(), admitted.operation);
    let wanted = Wanted { sha256: true, md5: configures(operation) };
    let taken = intake::take_for(proxy, session, promise, admitted.expects_continue, wanted).await;
    let (body, checked) = match taken {
        Ok(taken) => taken,
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let mut request = request_to_store(session, &admitted);
    request.sha256 = checked.sha256;
    insert_digests(&mut request.headers, &checked);
    let outcome = proxy.gate.pass(operation, &request, &body, None).await;
    respond::reply(session, context, &admitted, outcome.reply).await
}

/// Takes the body of a write, as its store understands it: a store that is told no checksums of the
/// parts is not told them by the document that completes the upload either.
pub(super) async fn take(
    proxy: &Proxy,
    session: &mut Session,
    admitted: &Admitted,
    signed: &Signed,
) -> Result<(Body, CheckedBody), Untaken> {
    let promise = signed.promise.clone();
    let has_body = promise.length.is_some_and(|bytes| bytes > 0);
    let wanted = Wanted { sha256: true, md5: has_body && configures(admitted.operation) };
    let taken = intake::take_for(proxy, session, promise, admitted.expects_continue, wanted).await;
    let (body, checked) = taken?;
    let completes = admitted.operation == Operation::CompleteMultipartUpload;
    if !completes
        || !proxy.store.drops_checksums()
        || body.length_bytes() > xml::DOCUMENT_BYTES_MAX as u64
    {
        return Ok((body, checked));
    }
    let document = body.to_bytes().await.map_err(|error| {
        tracing::error!(%error, "a body cannot be read back");
        S3Error::internal_error()
    })?;
    Ok(match without_checksums(&document) {
        Some(left) => {
            let checked = CheckedBody::of(&left);
            (Body::from(Bytes::from(left)), checked)
        }
        None => (body, checked),
    })
}

/// Says ahead of a body what is known of it: the checksum that followed it, and its MD5 where that was
/// promised or is wanted.
pub(super) fn insert_digests(headers: &mut HeaderMap, checked: &CheckedBody) {
    for (name, value) in &checked.trailing_checksums {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(md5) = checked.content_md5() {
        headers.insert(CONTENT_MD5, md5);
    }
}

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// Whether the body is a document that configures something, which is taken whole.
fn configures(operation: Operation) -> bool {
    use Operation as Op;
    let others = [Op::DeleteObjects, Op::CompleteMultipartUpload, Op::SelectObjectContent];
    operation.has_document() && !others.contains(&operation)
}

/// Says of a POST's document that it is one, whatever its client has said: there are stores that take
/// a form from whatever a POST brings.
pub(super) fn name_document(headers: &mut HeaderMap, method: &Method, operation: Operation) {
    if *method == Method::POST && operation.has_document() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
}
