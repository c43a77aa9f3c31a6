//! The `Content-Type` of a request, as far as a store may choose the operation by it: a form names
//! its own key (AWS: PostObject), whatever the path and the query say.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, Method};

use super::code::Code;
use super::content::Content;
use super::error::S3Error;
use super::head::RequestHead;
use super::operation::Operation;

/// The declared media type of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// No media type is declared.
    Unsaid,
    /// `multipart/form-data`: a browser's form.
    Form,
    /// Another `multipart/*`, which some libraries take for a form too.
    Multipart,
    /// `application/x-www-form-urlencoded`, in which some stores look for a form's fields.
    UrlEncoded,
    /// Another media type: no reader takes it for a form.
    Other,
    /// Several headers, no valid media type, or one that another reader may take for a form.
    Unclear,
}

impl Media {
    /// Reads the header (RFC 9110 §8.3).
    pub fn of(head: RequestHead<'_>) -> Self {
        let mut values = head.headers.get_all(CONTENT_TYPE);
        let value = match (values.next(), values.next()) {
            (None, _) => return Self::Unsaid,
            (Some(value), None) => value.to_str().unwrap_or("\u{fffd}").trim_matches([' ', '\t']),
            (Some(_), Some(_)) => return Self::Unclear,
        };
        if value.is_empty() {
            return Self::Unsaid;
        }
        let value = value.to_ascii_lowercase();
        let (media_type, parameters) = value.split_once(';').unwrap_or((&value, ""));
        let (main, sub) =
            media_type.trim_end_matches([' ', '\t']).split_once('/').unwrap_or_default();
        if !is_token(main) || !is_token(sub) {
            return Self::Unclear;
        }
        match (main, sub) {
            ("multipart", "form-data") => Self::Form,
            ("multipart", _) => Self::Multipart,
            ("application", "x-www-form-urlencoded") => Self::UrlEncoded,
            _ if ["multipart", "form-"].iter().any(|word| parameters.contains(word)) => {
                Self::Unclear
            }
            _ => Self::Other,
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || special.contains(&b))
}

/// Why a POST with such a body cannot be served. Only PostObject takes a form: elsewhere a store
/// that does not know the query, or ignores it, may store the form's file under a key that was
/// never checked. 501 for a form, 400 where the declared type is unclear.
///
/// `as_sent`: the store gets the header unchanged; otherwise documents are sent as
/// `application/xml`.
pub fn body_refusal(head: RequestHead<'_>, operation: Operation, as_sent: bool) -> Option<S3Error> {
    if *head.method != Method::POST || operation == Operation::PostObject {
        return None;
    }
    // The header describes the future object, not the body: an upload is created without a body.
    if operation == Operation::CreateMultipartUpload && !may_have_body(head) {
        return None;
    }
    match Media::of(head) {
        Media::Unsaid | Media::Other => None,
        Media::UrlEncoded if operation.has_document() && !as_sent => None,
        Media::Form | Media::Multipart | Media::UrlEncoded => {
            Some(S3Error::not_implemented(CONTENT_TYPE.as_str(), None).because(A_FORM))
        }
        Media::Unclear => Some(S3Error::new(Code::InvalidRequest).because(UNCLEAR)),
    }
}

/// Why the body of a request cannot be sent on as its sender signed it, judged by the head: stores
/// differ over a body where none is expected, and over the coding and the charset of a document.
/// 400; 501 for a coding.
pub fn body_refusal_as_sent(head: RequestHead<'_>, operation: Operation) -> Option<S3Error> {
    let refused = |why| Some(S3Error::new(Code::InvalidRequest).because(why));
    let content = Content::of(head, operation);
    if may_have_body(head) && (head.method.is_safe() || content == Content::Nothing) {
        return refused(NO_BODY);
    }
    if !content.is_read_as_sent() && operation != Operation::DeleteObjects {
        return None;
    }
    let mut codings = head.headers.get_all(CONTENT_ENCODING);
    // The names of chunked encodings are judged in sigv4/payload.rs.
    let is_plain = |value: &HeaderValue| {
        ["", "identity", "aws-chunked"]
            .iter()
            .any(|plain| value.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
    };
    if !codings.all(is_plain) {
        return Some(S3Error::not_implemented("Content-Encoding", Some(ENCODED)));
    }
    if names_another_charset(head) { refused(CHARSET) } else { None }
}

/// Whether the `Content-Type` has a charset that may be another one than UTF-8.
fn names_another_charset(head: RequestHead<'_>) -> bool {
    let types = head.headers.get_all(CONTENT_TYPE);
    types.map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase()).any(|value| {
        let parameters =
            value.split(';').skip(1).map(|parameter| parameter.trim_matches([' ', '\t']));
        let mut naming = parameters.filter(|parameter| parameter.contains("charset"));
        naming.any(|parameter| !matches!(parameter, "charset=utf-8" | "charset=\"utf-8\""))
    })
}

fn may_have_body(head: RequestHead<'_>) -> bool {
    let length = head.headers.get(CONTENT_LENGTH);
    let none = length.is_none_or(|value| value.as_bytes() == b"0");
    !none || head.headers.contains_key(TRANSFER_ENCODING)
}

const A_FORM: &str = "A form is understood as a POST on a bucket, without a subresource, of \
                      Content-Type multipart/form-data. A document is application/xml.";
const NO_BODY: &str =
    "This operation has no body, and to some store what stands there may say more.";
const ENCODED: &str = "A document that the client has signed for the store is read as it is sent";
const CHARSET: &str = "A document is in UTF-8, and its Content-Type names no other charset.";
const UNCLEAR: &str = "What the body is, the Content-Type header does not say in one plain way.";

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;
