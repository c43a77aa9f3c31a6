//! What stands between the check of a signature and the store: each request is read once more here,
//! before `s3s` reads it for the store.
//!
//! `s3s` serves each request twice: first only to check its signature and to undo the framing of its
//! body, then, without the signature, to call the store. Between the two its head can be changed.

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Method, Uri};
use s3s::route::S3Route;
use s3s::service::S3Service;
use s3s::{
    Body, HttpRequest, HttpResponse, S3Request, S3Response, S3Result, StdError, TrailingHeaders,
    s3_error,
};

use super::asked::{SUBRESOURCES, check_elements, names};
use super::head::make_fit;
use super::store::{OWNER, broken_off, check_document, converted, internal};
use crate::s3::{Query, RequestHead};
use crate::sigv4::{EffectiveRequest, Mechanism, expires_seconds};

/// The largest document, in bytes: as large as `s3s` takes it.
const DOCUMENT_BYTES_MAX: usize = 20 << 20;

/// Takes requests whose signature was checked to the store.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) store: S3Service,
}

#[async_trait::async_trait]
impl S3Route for Front {
    fn is_match(&self, _: &Method, _: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        true
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let S3Request { input, method, uri, headers, extensions, trailing_headers, .. } = request;
        let mut checked = HttpRequest::new(input);
        *checked.method_mut() = method;
        *checked.uri_mut() = uri;
        *checked.headers_mut() = headers;
        *checked.extensions_mut() = extensions;
        let answer = self.serve(checked, trailing_headers).await?;
        let (head, body) = answer.into_parts();
        let mut response = S3Response::with_headers(body, head.headers);
        response.status = Some(head.status);
        response.extensions = head.extensions;
        Ok(response)
    }
}

impl Front {
    /// Serves a request whose signature was checked and whose body has no framing. Trailers are
    /// those behind the body, once it was read.
    pub(super) async fn serve(
        &self,
        request: HttpRequest,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<HttpResponse> {
        let request = read_once_more(request, trailers).await?;
        let answer = self.store.call(request).await;
        answer.map_err(|error| internal(StdError::from(error)))
    }
}

async fn read_once_more(
    request: HttpRequest,
    trailers: Option<TrailingHeaders>,
) -> S3Result<HttpRequest> {
    let (mut head, mut body) = request.into_parts();
    head.uri = effective(&head.method, &head.uri, &mut head.headers)?;
    check_owner(&head.headers)?;
    head.extensions.insert(make_fit(&head.method, &mut head.headers));
    if is_document(&head.method, &head.uri) {
        let document = body.store_all_limited(DOCUMENT_BYTES_MAX).await.map_err(broken_off)?;
        check_elements(&document)?;
        // The sums of a complete are those of the object.
        let is_of_upload = names(query_of(&head.uri)).any(|name| name.starts_with("upload"));
        check_document(&head.headers, trailers, &document, !is_of_upload)?;
    } else if let Some(trailers) = trailers {
        head.extensions.insert(trailers);
    }
    head.headers.remove(AUTHORIZATION);
    Ok(HttpRequest::from_parts(head, body))
}

/// AWS: "Verifying bucket ownership with bucket owner condition".
fn check_owner(headers: &HeaderMap) -> S3Result<()> {
    let names = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];
    if names.iter().filter_map(|name| headers.get(*name)).any(|owner| owner != OWNER) {
        return Err(s3_error!(AccessDenied, "Access Denied"));
    }
    Ok(())
}

fn query_of(uri: &Uri) -> &str {
    uri.query().unwrap_or_default()
}

/// Whether the body of a request, if it has one, is a document: not an object or a part.
fn is_document(method: &Method, uri: &Uri) -> bool {
    let has = |wanted: fn(&str) -> bool| names(query_of(uri)).any(|name| wanted(&name));
    let of_bucket = *method == Method::PUT && !uri.path().trim_matches('/').contains('/');
    let is_part = || has(|name| name == "partNumber");
    of_bucket || has(|name| SUBRESOURCES.contains(&name)) && !is_part()
}

/// The same without the parameters of a signature in the query. Those that stand for headers, as signers
/// of presigned URLs write them, become headers.
fn effective(method: &Method, uri: &Uri, headers: &mut HeaderMap) -> S3Result<Uri> {
    let is_of_signature =
        |name: &str| name.to_ascii_lowercase().starts_with("x-amz-") || name == "AWSAccessKeyId";
    if !names(query_of(uri)).any(|name| is_of_signature(&name)) {
        return Ok(uri.clone());
    }
    let (query, fields) = (Query::parse(query_of(uri)), (&*headers).into());
    let sent = RequestHead { method, path: uri.path(), query: &query, headers: &fields };
    let effective = EffectiveRequest::of(sent).map_err(|refused| converted(refused.into()))?;
    if effective.mechanism == Mechanism::Query {
        // `s3s` takes any time.
        let expires = query.get("X-Amz-Expires").unwrap_or_default();
        expires_seconds(expires).map_err(|refused| converted(refused.into()))?;
    }
    for (name, value) in effective.headers.iter() {
        if !headers.contains_key(name) {
            headers.insert(name, value.clone());
        }
    }
    let target = match effective.query.as_sent() {
        "" => uri.path().to_owned(),
        query => format!("{}?{query}", uri.path()),
    };
    target.parse().map_err(|_| s3_error!(InvalidURI))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_loses_its_signature_and_its_headers_and_nothing_else() {
        let v4 = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=1&X-Amz-Expires=60";
        let cases = [
            (format!("prefix=a%26b&{v4}&delete"), "?prefix=a%26b&delete", None),
            (format!("{v4}&X-Amz-Acl=public-read"), "", Some("public-read")),
            (format!("{v4}&x-amz-acl=private&x-id=a"), "?x-id=a", Some("private")),
            ("Expires=1&Signature=x%3D&AWSAccessKeyId=key&tagging".to_owned(), "?tagging", None),
            ("Expires=1".to_owned(), "?Expires=1", None),
            (format!("{v4}&prefix=a?"), "?prefix=a?", None),
            ("x-amz-acl=private".to_owned(), "", None),
        ];
        for (sent, left, acl) in cases {
            let (mut headers, uri) = (HeaderMap::new(), format!("/b/k?{sent}").parse().unwrap());
            let uri = effective(&Method::GET, &uri, &mut headers).unwrap();
            assert_eq!(uri.to_string(), format!("/b/k{left}"));
            assert_eq!(headers.get("x-amz-acl").map(|acl| acl.to_str().unwrap()), acl);
        }
    }

    #[test]
    fn a_part_is_no_document() {
        let is_document = |method, target: &str| is_document(&method, &target.parse().unwrap());
        assert!(is_document(Method::POST, "/b/k?uploadId=x"));
        assert!(is_document(Method::POST, "/b?delete="));
        assert!(is_document(Method::PUT, "/b"));
        assert!(!is_document(Method::PUT, "/b/k?partNumber=1&uploadId=x"));
        assert!(!is_document(Method::PUT, "/b/k"));
        assert!(!is_document(Method::GET, "/b?list-type=2"));
    }
}
