//! Answers of `s3s`, where AWS's are others: the characters in XML documents that a reader would
//! change or refuse, the status of a HEAD of a part, elements of error documents, and an ETag without
//! quotes.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Uri};
use s3s::{Body, HttpError, HttpRequest, HttpResponse, S3Error};

use super::store::{BareETag, ERROR_FIELD, Unread};
use crate::random;
use crate::s3::encoding::decode;
use crate::s3::xml::push_element;
use crate::s3::{Code, Query};

/// The headers that name a request (AWS: "Common response headers").
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const HOST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");

/// The answer that says an error.
pub(super) fn refused(error: S3Error) -> Result<HttpResponse, HttpError> {
    error.to_http_response().map_err(|error| HttpError::new(Box::new(error)))
}

/// What a request is about, for the document of an error.
#[derive(Debug)]
pub(super) struct Subject {
    method: Method,
    uri: Uri,
    /// Whether it has a source: what is missing may be that.
    is_copy: bool,
}

impl Subject {
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            is_copy: request.headers().contains_key("x-amz-copy-source"),
        }
    }

    /// Adds to an error what it is about (AWS: "REST error responses").
    pub(super) fn name(&self, answer: &mut HttpResponse) {
        if !answer.status().is_client_error() || self.is_copy {
            return;
        }
        let Some(document) = answer.body().bytes() else { return };
        let Some(code) = between(&document, "<Code>", "</Code>") else { return };
        let path = self.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let version = || {
            let query = Query::parse(self.uri.query().unwrap_or_default());
            query.get("versionId").unwrap_or_default().to_owned()
        };
        let decoded = |text: &str| decode(text).unwrap_or_default();
        let is_marker = answer.headers().contains_key("x-amz-delete-marker");
        let elements: Vec<(&str, String)> = match code {
            "NoSuchBucket"
            | "BucketNotEmpty"
            | "BucketAlreadyOwnedByYou"
            | "NoSuchTagSet"
            | "NoSuchCORSConfiguration" => vec![("BucketName", decoded(bucket))],
            "NoSuchKey" => vec![("Key", decoded(key))],
            "NoSuchVersion" => vec![("Key", decoded(key)), ("VersionId", version())],
            "MethodNotAllowed" if is_marker => vec![
                ("Method", self.method.to_string()),
                ("ResourceType", "DeleteMarker".to_owned()),
            ],
            _ => return,
        };
        for (element, text) in elements {
            // What no header can have is left out of the document too.
            let field = format!("{element}:{text}");
            if let Ok(field) = HeaderValue::from_bytes(field.as_bytes()) {
                answer.headers_mut().append(ERROR_FIELD, field);
            }
        }
    }
}

/// Writes the documents and the status as AWS does, and names the request. An object's bytes are a
/// stream, and stay as they are.
pub(super) fn corrected(mut response: HttpResponse) -> HttpResponse {
    if let Some(Unread(status)) = response.extensions().get().copied() {
        *response.status_mut() = status;
    }
    let id = random::id().to_ascii_uppercase();
    let (request_id, host_id) = id.split_at(16);
    for (name, id) in [(REQUEST_ID, request_id), (HOST_ID, host_id)] {
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert(name, id);
        }
    }
    let is_bare = response.extensions().get::<BareETag>().is_some();
    let fields: Vec<HeaderValue> =
        response.headers().get_all(ERROR_FIELD).iter().cloned().collect();
    response.headers_mut().remove(ERROR_FIELD);
    let Some(sent) = response.body().bytes() else { return response };
    let mut written = sent.clone();
    if response.status().is_client_error() || response.status().is_server_error() {
        let fields = fields.iter().filter_map(|field| std::str::from_utf8(field.as_bytes()).ok());
        let fields: Vec<_> = fields.filter_map(|field| field.split_once(':')).collect();
        written = error_document(&written, &fields, (request_id, host_id));
        // `s3s` drops it where an error has headers of its own.
        let xml = HeaderValue::from_static("application/xml");
        response.headers_mut().entry(CONTENT_TYPE).or_insert(xml);
    }
    if is_bare {
        written = replaced(&replaced(&written, "<ETag>\"", "<ETag>"), "\"</ETag>", "</ETag>");
    }
    let written = escaped(&written).unwrap_or(written);
    if written == sent {
        return response;
    }
    let (mut head, _) = response.into_parts();
    if head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(CONTENT_LENGTH, written.len().into());
    }
    HttpResponse::from_parts(head, Body::from(written))
}

/// An error document with what AWS's have and those of `s3s` do not: a message for every code, the
/// elements that the store has given, and the ids of the request (AWS: "REST error responses").
fn error_document(sent: &Bytes, fields: &[(&str, &str)], ids: (&str, &str)) -> Bytes {
    let Some(code) = between(sent, "<Code>", "</Code>") else { return sent.clone() };
    let mut added = String::new();
    if memchr::memmem::find(sent, b"<Message>").is_none() {
        push_element(&mut added, "Message", message_of(code));
    }
    let (request_id, host_id) = ids;
    for (element, text) in fields.iter().chain(&[("RequestId", request_id), ("HostId", host_id)]) {
        push_element(&mut added, element, text);
    }
    added += "</Error>";
    replaced(sent, "</Error>", &added)
}

fn between<'d>(document: &'d [u8], start: &str, end: &str) -> Option<&'d str> {
    let from = memchr::memmem::find(document, start.as_bytes())? + start.len();
    let length = memchr::memmem::find(&document[from..], end.as_bytes())?;
    std::str::from_utf8(&document[from..from + length]).ok()
}

/// AWS's message of a code (AWS: "Error responses").
fn message_of(code: &str) -> &'static str {
    if let Some(known) = Code::spelled(code) {
        return known.message();
    }
    match code {
        "InvalidRange" => "The requested range is not satisfiable",
        "MissingRequestBodyError" => "Request body is empty",
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check \
             your key and signing method."
        }
        "RequestTimeTooSkewed" => {
            "The difference between the request time and the current time is too large."
        }
        "AuthorizationHeaderMalformed" => {
            "The authorization header that you provided is not valid."
        }
        "AuthorizationQueryParametersError" => {
            "The authorization query parameters that you provided are not valid."
        }
        // What else `s3s` refuses has no text of AWS's.
        _ => "The request cannot be served; the code says why.",
    }
}

/// A document with another text in the first place where this one stands.
fn replaced(document: &[u8], text: &str, by: &str) -> Bytes {
    match memchr::memmem::find(document, text.as_bytes()) {
        Some(at) => {
            let (before, behind) = (&document[..at], &document[at + text.len()..]);
            [before, by.as_bytes(), behind].concat().into()
        }
        None => Bytes::copy_from_slice(document),
    }
}

/// `None` where nothing has to be written otherwise. XML 1.0 §2.11: a reader takes a carriage return
/// for a line feed; it knows no other control character but these and the tab.
fn escaped(document: &[u8]) -> Option<Bytes> {
    let must_be = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\n' | b'\t');
    if !document.iter().any(must_be) {
        return None;
    }
    let mut written = Vec::with_capacity(document.len() + 64);
    for byte in document {
        if must_be(byte) {
            written.extend_from_slice(format!("&#{byte};").as_bytes());
        } else {
            written.push(*byte);
        }
    }
    Some(written.into())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn an_error_names_what_was_wrong_and_its_request() {
        let error = |code: &str| format!("<Error><Code>{code}</Code></Error>");
        let mut response = HttpResponse::new(Body::from(error("InvalidRange")));
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        response.headers_mut().insert(ERROR_FIELD, "Condition:If-Match".parse().unwrap());
        let response = corrected(response);
        let id = response.headers()[REQUEST_ID].to_str().unwrap();
        let host_id = response.headers()[HOST_ID].to_str().unwrap();
        let document = response.body().bytes().unwrap();
        assert!(!response.headers().contains_key(ERROR_FIELD));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/xml");
        assert_eq!(
            document,
            format!(
                "<Error><Code>InvalidRange</Code><Message>The requested range is not \
                 satisfiable</Message><Condition>If-Match</Condition><RequestId>{id}</RequestId>\
                 <HostId>{host_id}</HostId></Error>"
            )
        );
        let ids = ("r", "h");
        let own = Bytes::from_static(b"<Error><Code>A</Code><Message>own</Message></Error>");
        let written = error_document(&own, &[], ids);
        assert!(written.starts_with(b"<Error><Code>A</Code><Message>own</Message><RequestId>"));
        assert_eq!(error_document(&Bytes::from_static(b"no document"), &[], ids), "no document");
    }

    #[test]
    fn an_etag_loses_its_quotes_where_aws_has_none() {
        let document = || Body::from("<a><ETag>\"x\"</ETag></a>".to_owned());
        let mut response = HttpResponse::new(document());
        response.extensions_mut().insert(BareETag);
        assert_eq!(corrected(response).body().bytes().unwrap(), "<a><ETag>x</ETag></a>");
        let response = corrected(HttpResponse::new(document()));
        assert_eq!(response.body().bytes(), document().bytes());
    }

    #[test]
    fn control_characters_are_references() {
        let written = escaped(b"<Key>a\r\n\x01</Key>").unwrap();
        assert_eq!(written, "<Key>a&#13;\n&#1;</Key>");
        assert_eq!(escaped("<Key>\tä</Key>\n".as_bytes()), None);
    }
}
