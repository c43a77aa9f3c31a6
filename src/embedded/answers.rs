//! Answers of `s3s`, where AWS's are others: the characters in XML documents that a reader would
//! change or refuse, the status of a HEAD of a part, elements of error documents, and an ETag without
//! quotes.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use s3s::{Body, HttpResponse};

use super::store::{BareETag, ERROR_FIELD, OnlyAPart};

/// Writes the documents and the status as AWS does. An object's bytes are a stream, and stay as they
/// are.
pub(super) fn corrected(mut response: HttpResponse) -> HttpResponse {
    if response.extensions().get::<OnlyAPart>().is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let is_bare = response.extensions().get::<BareETag>().is_some();
    let field = response.headers_mut().remove(ERROR_FIELD);
    let Some(sent) = response.body().bytes() else { return response };
    let mut written = sent.clone();
    if let Some((element, text)) =
        field.as_ref().and_then(|field| field.to_str().ok()?.split_once(':'))
    {
        let element = format!("<{element}>{text}</{element}></Error>");
        written = replaced(&written, "</Error>", &element);
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
    use super::*;

    #[test]
    fn an_error_names_what_was_wrong_in_its_document_and_nowhere_else() {
        let mut response =
            HttpResponse::new(Body::from("<Error><Code>x</Code></Error>".to_owned()));
        response.headers_mut().insert(ERROR_FIELD, "Condition:If-Match".parse().unwrap());
        let response = corrected(response);
        assert!(response.headers().is_empty());
        let document = response.body().bytes().unwrap();
        assert_eq!(document, "<Error><Code>x</Code><Condition>If-Match</Condition></Error>");
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
