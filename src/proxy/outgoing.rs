//! What goes to the store: a client's request as the store gets it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::proxy::Session;

use super::admission::Admitted;
use crate::backend::headers::{self, to_store, to_store_unconditional};
use crate::backend::{Signing, StoreRequest};
use crate::s3::encoding::encode_query;
use crate::s3::{Content, Operation, Query, RequestHead};
use crate::sigv4::{Algorithm, CheckedBody, PayloadKind};

/// The request as the store gets it, its body aside.
pub(super) fn request_to_store(session: &Session, admitted: &Admitted) -> StoreRequest {
    let request = session.req_header();
    let mut headers = to_store(&request.headers);
    admitted.spell_copy_source(&mut headers);
    name_document(&mut headers, &request.method, admitted.operation);
    StoreRequest {
        signing: Signing::Anew,
        method: request.method.clone(),
        path: admitted.target.path(),
        query: query_to_store(&admitted.query),
        headers,
        sha256: match admitted.signed.as_ref().map(|signed| signed.promise.payload) {
            Some(PayloadKind::Digest(sha256)) => Some(sha256),
            _ => None,
        },
    }
}

/// The request as the store gets it: the key spelled in one way, the body as checked, and no
/// condition unless the key passes.
pub(super) fn to_request(
    session: &Session,
    path: String,
    admitted: &Admitted,
    checked: &CheckedBody,
) -> StoreRequest {
    if admitted.is_as_sent() {
        return as_sent(session);
    }
    let request = session.req_header();
    let mut headers = if admitted.treatment.passes {
        to_store(&request.headers)
    } else {
        to_store_unconditional(&request.headers)
    };
    admitted.spell_copy_source(&mut headers);
    describe_anew(&mut headers, session, admitted);
    insert_digests(&mut headers, checked);
    name_document(&mut headers, &request.method, admitted.operation);
    StoreRequest {
        signing: Signing::Anew,
        method: request.method.clone(),
        path,
        query: query_to_store(&admitted.query),
        headers,
        sha256: checked.sha256,
    }
}

/// The request as it came, its body taken whole.
pub(super) fn as_sent(session: &Session) -> StoreRequest {
    let request = session.req_header();
    StoreRequest {
        signing: Signing::AsSent,
        method: request.method.clone(),
        // Admission has read it as text.
        path: String::from_utf8_lossy(request.raw_path()).into_owned(),
        query: Vec::new(),
        headers: headers::as_sent(&request.headers),
        sha256: None,
    }
}

/// The request as it came, its body yet to come.
pub(super) fn streamed(session: &Session) -> StoreRequest {
    let mut request = as_sent(session);
    let sent = &session.req_header().headers;
    if sent.contains_key(header::TRANSFER_ENCODING) && !sent.contains_key(header::CONTENT_LENGTH) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    request
}

/// The query spelled as AWS does, so that what is signed is what is sent: admission has taken out
/// what belongs to a signature or stands for a header.
fn query_to_store(query: &Query) -> Vec<(String, String)> {
    query.parameters().map(|(name, value)| (encode_query(name), encode_query(value))).collect()
}

/// What the body of this request is.
pub(super) fn content_of(session: &Session, admitted: &Admitted) -> Content {
    let request = session.req_header();
    let (method, headers) = (&request.method, &request.headers);
    let head = RequestHead { method, path: request.uri.path(), query: &admitted.query, headers };
    Content::of(head, admitted.operation)
}

/// Takes out what the client said of a body in whose place another is sent, and says of a document that
/// it is one. A complete's checksum is the object's.
pub(super) fn describe_anew(headers: &mut HeaderMap, session: &Session, admitted: &Admitted) {
    let content = content_of(session, admitted);
    if !content.is_written_anew() {
        return;
    }
    if let Some(media_type) = content.media_type() {
        headers.remove(header::CONTENT_ENCODING);
        if headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
    }
    headers.remove(CONTENT_MD5);
    headers.remove("x-amz-sdk-checksum-algorithm");
    for algorithm in Algorithm::ALL.iter().filter(|_| content != Content::Parts) {
        headers.remove(algorithm.header());
    }
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

pub(super) const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// Says of a POST's document that it is one, whatever its client has said: there are stores that take
/// a form from whatever a POST brings.
pub(super) fn name_document(headers: &mut HeaderMap, method: &Method, operation: Operation) {
    if *method == Method::POST && operation.has_document() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
}
