//! Answers of `s3s`, where AWS's are others: the characters in XML documents that a reader would
//! change or refuse, and the status of a HEAD of a part.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use s3s::{Body, HttpResponse};

use super::store::OnlyAPart;

/// Writes control characters in a document as references, and sets the status of a part. An object's
/// bytes are a stream, and stay as they are.
pub(super) fn corrected(mut response: HttpResponse) -> HttpResponse {
    if response.extensions().get::<OnlyAPart>().is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let Some(written) = response.body().bytes().as_deref().and_then(escaped) else {
        return response;
    };
    let (mut head, _) = response.into_parts();
    if head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(CONTENT_LENGTH, written.len().into());
    }
    HttpResponse::from_parts(head, Body::from(written))
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
    fn control_characters_are_references() {
        let written = escaped(b"<Key>a\r\n\x01</Key>").unwrap();
        assert_eq!(written, "<Key>a&#13;\n&#1;</Key>");
        assert_eq!(escaped("<Key>\tä</Key>\n".as_bytes()), None);
    }
}
