//! What stands between the check of a signature and the store: each request is read once more here,
//! before `s3s` reads it for the store.
//!
//! `s3s` serves each request twice: first only to check its signature and to undo the framing of its
//! body, then, without the signature, to call the store. Between the two its head can be changed.

use std::collections::HashSet;

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Method, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::route::S3Route;
use s3s::service::S3Service;
use s3s::{Body, HttpRequest, S3Request, S3Response, S3Result, StdError, s3_error};

use super::head::{Document, make_fit};
use super::store::{OWNER, broken_off, internal};

/// The largest document, in bytes: as large as `s3s` takes it.
const DOCUMENT_BYTES_MAX: usize = 20 << 20;

/// Takes requests whose signature was checked to the store.
pub(super) struct Front {
    pub(super) store: S3Service,
}

#[async_trait::async_trait]
impl S3Route for Front {
    fn is_match(&self, _: &Method, _: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        true
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let request = read_once_more(request).await?;
        let answer = self.store.call(request).await;
        let answer = answer.map_err(|error| internal(StdError::from(error)))?;
        let (head, body) = answer.into_parts();
        let mut response = S3Response::with_headers(body, head.headers);
        response.status = Some(head.status);
        response.extensions = head.extensions;
        Ok(response)
    }
}

async fn read_once_more(request: S3Request<Body>) -> S3Result<HttpRequest> {
    let S3Request { input: mut body, method, uri, mut headers, mut extensions, .. } = request;
    check_owner(&headers)?;
    extensions.insert(make_fit(&method, &mut headers));
    if let Some(trailers) = request.trailing_headers {
        extensions.insert(trailers);
    }
    if is_document(uri.query().unwrap_or_default()) {
        let document = body.store_all_limited(DOCUMENT_BYTES_MAX).await.map_err(broken_off)?;
        extensions.insert(Document(document));
    }
    headers.remove(AUTHORIZATION);
    let mut read = HttpRequest::new(body);
    *read.uri_mut() = unsigned(&uri)?;
    *read.method_mut() = method;
    *read.headers_mut() = headers;
    *read.extensions_mut() = extensions;
    Ok(read)
}

/// AWS: "Verifying bucket ownership with bucket owner condition".
fn check_owner(headers: &HeaderMap) -> S3Result<()> {
    let names = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];
    if names.iter().filter_map(|name| headers.get(*name)).any(|owner| owner != OWNER) {
        return Err(s3_error!(AccessDenied, "Access Denied"));
    }
    Ok(())
}

fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').map(|pair| pair.split('=').next().unwrap_or(pair))
}

/// Whether the body of a request, if it has one, is a document: not an object or a part.
fn is_document(query: &str) -> bool {
    let names: HashSet<&str> = names(query).collect();
    !names.contains("partNumber") && names.iter().any(|name| SUBRESOURCES.contains(name))
}

/// The same without the parameters of a signature in the query, of either version.
fn unsigned(uri: &Uri) -> S3Result<Uri> {
    let query = uri.query().unwrap_or_default();
    let version_2 = names(query).any(|name| name == "Signature");
    let of_version_2 = ["Signature", "AWSAccessKeyId", "Expires"];
    let is_signature =
        |name: &str| name.starts_with("X-Amz-") || version_2 && of_version_2.contains(&name);
    if !names(query).any(is_signature) {
        return Ok(uri.clone());
    }
    let kept = query.split('&').filter(|pair| !names(pair).any(is_signature));
    let kept: Vec<&str> = kept.collect();
    let target = format!("{}?{}", uri.path(), kept.join("&"));
    target.parse().map_err(|_| s3_error!(InvalidURI))
}

/// Refuses a subresource that `s3s` does not know: it takes a request for the operation without one,
/// `PUT /bucket/key?renameObject` for a PutObject. Other parameters mean nothing, as at AWS.
#[derive(Debug)]
pub(super) struct Understood;

#[async_trait::async_trait]
impl S3Access for Understood {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if !TAKE_ALL.contains(&request.s3_op().name()) {
            return Ok(());
        }
        let unknown = |name: &&str| SUBRESOURCES.contains(name);
        match names(request.uri().query().unwrap_or_default()).find(unknown) {
            Some(name) => Err(s3_error!(
                NotImplemented,
                "A parameter you provided implies functionality that is not implemented: {name}"
            )),
            None => Ok(()),
        }
    }
}

/// The operations for which `s3s` takes a request with an unknown subresource.
const TAKE_ALL: [&str; 10] = [
    "PutObject",
    "CopyObject",
    "GetObject",
    "HeadObject",
    "DeleteObject",
    "CreateBucket",
    "DeleteBucket",
    "HeadBucket",
    "ListObjects",
    "ListBuckets",
];

/// The subresources of AWS that choose an operation; `append`, which is Ceph's; and `bucket-region`,
/// a filter of ListBuckets that is not applied.
const SUBRESOURCES: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "append",
    "attributes",
    "bucket-region",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_loses_its_signature_and_nothing_else() {
        let cases = [
            ("/b/k?prefix=a%26b&X-Amz-Date=1&delete", "/b/k?prefix=a%26b&delete"),
            ("/b/k?Expires=1&Signature=x%3D&AWSAccessKeyId=key&tagging", "/b/k?tagging"),
            ("/b/k?Expires=1", "/b/k?Expires=1"),
            ("/b/k", "/b/k"),
        ];
        for (signed, plain) in cases {
            assert_eq!(unsigned(&signed.parse().unwrap()).unwrap(), plain);
        }
    }

    #[test]
    fn a_part_is_no_document() {
        assert!(is_document("uploadId=x"));
        assert!(is_document("delete="));
        assert!(!is_document("partNumber=1&uploadId=x"));
        assert!(!is_document("list-type=2"));
    }
}
