//! Outgoing requests: a client's request in the form that the store gets.

use http::{HeaderName, HeaderValue, Method, header};

use super::admitted::Request;
use super::forward::{Forward, Framing};
use super::origin::Origin;
use crate::backend::headers::{to_store, to_store_unconditional};
use crate::backend::{EMPTY_SHA256, Signing, StoreRequest};
use crate::http1::fields::Fields;
use crate::s3::encoding::encode_query;
use crate::s3::{Content, Operation, Query};
use crate::sigv4::{Algorithm, CheckedBody, PayloadKind};

/// The request for the store, without its body and with its conditions: the store judges them.
pub(super) fn unjudged(request: &Request, path: String) -> StoreRequest {
    if let Origin::Verbatim(verbatim) = &request.origin {
        return verbatim.request.clone();
    }
    let sha256 = match request.promise.payload {
        PayloadKind::Digest(sha256) => Some(sha256),
        _ => None,
    };
    anew(request, path, to_store(&request.headers), sha256)
}

/// The same, with the verified body.
pub(super) fn buffered(request: &Request, path: String, checked: &CheckedBody) -> StoreRequest {
    let outgoing = unjudged(request, path);
    if request.origin.is_verbatim() { outgoing } else { with_body(outgoing, request, checked) }
}

/// The request of a write that the gate judges: without its conditions, with the verified body.
pub(super) fn judged(request: &Request, path: String, checked: &CheckedBody) -> StoreRequest {
    if let Origin::Verbatim(verbatim) = &request.origin {
        return verbatim.request.clone();
    }
    let headers = to_store_unconditional(&request.headers);
    with_body(anew(request, path, headers, None), request, checked)
}

/// A read, without the body that may have come with it.
pub(super) fn question(request: &Request, path: String, had_body: bool) -> StoreRequest {
    let mut outgoing = streamed(request, path);
    if had_body {
        outgoing.sha256 = Some(EMPTY_SHA256);
        let digests = Algorithm::ALL.iter().map(|algorithm| algorithm.header());
        for name in digests.chain([CONTENT_MD5]) {
            outgoing.headers.remove(name);
        }
    }
    outgoing
}

/// A request whose body is passed on as it comes.
pub(super) fn forward(request: Request, path: String) -> Forward {
    let outgoing = streamed(&request, path);
    let verbatim = request.origin.is_verbatim();
    let framing = if verbatim { Framing::Kept } else { Framing::Undone };
    Forward::new(outgoing, request.promise, framing)
}

fn streamed(request: &Request, path: String) -> StoreRequest {
    let mut outgoing = unjudged(request, path);
    match &request.origin {
        Origin::Verbatim(verbatim) if verbatim.chunked => {
            let chunked = HeaderValue::from_static("chunked");
            outgoing.headers.insert(header::TRANSFER_ENCODING, chunked);
        }
        Origin::Verified(_) if request.promise.payload.has_trailer() => {
            // The trailing checksum is verified here; it cannot be sent ahead of the body it is
            // about.
            outgoing.headers.remove("x-amz-sdk-checksum-algorithm");
        }
        Origin::Verbatim(_) | Origin::Verified(_) => {}
    }
    outgoing
}

fn anew(
    request: &Request,
    path: String,
    mut headers: Fields,
    sha256: Option<[u8; 32]>,
) -> StoreRequest {
    name_document(&mut headers, &request.method, request.operation);
    StoreRequest {
        signing: Signing::Anew,
        method: request.method.clone(),
        path,
        query: spelled(&request.query),
        headers,
        sha256,
    }
}

fn with_body(mut outgoing: StoreRequest, request: &Request, checked: &CheckedBody) -> StoreRequest {
    outgoing.sha256 = checked.sha256;
    describe_anew(&mut outgoing.headers, request.content);
    insert_digests(&mut outgoing.headers, checked);
    outgoing
}

/// The query in AWS's spelling, so that the signed query is the sent one. Admission has removed the
/// parameters of a signature and those that stand for a header.
fn spelled(query: &Query) -> Vec<(String, String)> {
    query.parameters().map(|(name, value)| (encode_query(name), encode_query(value))).collect()
}

/// Removes the headers about the client's body, in whose place another body is sent, and sets the
/// content type of a document. The checksum in a complete is about the object, so it stays.
fn describe_anew(headers: &mut Fields, content: Content) {
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

/// Adds the digests of a body to the headers: its trailing checksum, and its MD5 where that was
/// promised or is needed.
fn insert_digests(headers: &mut Fields, checked: &CheckedBody) {
    for (name, value) in &checked.trailing_checksums {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(md5) = checked.content_md5() {
        headers.insert(CONTENT_MD5, md5);
    }
}

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// Sets the content type of a POST's document, whatever its client has set: some stores read any
/// POST as a form.
pub(super) fn name_document(headers: &mut Fields, method: &Method, operation: Operation) {
    if *method == Method::POST && operation.has_document() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
}
