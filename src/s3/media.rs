//! What a request's `Content-Type` says of its body, as far as a store may choose what it does by
//! it: a form names a key of its own (AWS: PostObject), whatever path and query say.

use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};

use super::answer::S3Error;
use super::code::Code;
use super::head::RequestHead;
use super::operation::Operation;

/// What a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// Nothing is said.
    Unsaid,
    /// `multipart/form-data`: a browser's form.
    Form,
    /// Another `multipart/*`, which some libraries take for a form too.
    Multipart,
    /// `application/x-www-form-urlencoded`, in which some stores look for a form's fields.
    UrlEncoded,
    /// Any other media type: no form to anybody.
    Other,
    /// Several headers, no media type, or one that another reader may find a form in.
    Unclear,
}

impl Media {
    /// Reads it (RFC 9110 §8.3).
    pub fn of(head: RequestHead<'_>) -> Self {
        let mut values = head.headers.get_all(CONTENT_TYPE).iter();
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

/// Why a POST with such a body cannot be let through. A form is PostObject's alone: elsewhere a store
/// that does not know the query, or does not look at it, may store the form's file under a key that
/// nobody was asked about. 501 for a form, 400 where it is not clear what the body is said to be.
///
/// `as_sent`: the store gets the header as it came; else documents go on as `application/xml`.
pub fn body_refusal(head: RequestHead<'_>, operation: Operation, as_sent: bool) -> Option<S3Error> {
    if *head.method != Method::POST || operation == Operation::PostObject {
        return None;
    }
    // What the object will be, not what the body is: an upload is created without a body.
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

fn may_have_body(head: RequestHead<'_>) -> bool {
    let length = head.headers.get(CONTENT_LENGTH);
    let none = length.is_none_or(|value| value.as_bytes() == b"0");
    !none || head.headers.contains_key(TRANSFER_ENCODING)
}

const A_FORM: &str = "A form is understood as a POST on a bucket, without a subresource, of \
                      Content-Type multipart/form-data. A document is application/xml.";
const UNCLEAR: &str = "What the body is, the Content-Type header does not say in one plain way.";

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn headers(content_types: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in content_types {
            headers.append(CONTENT_TYPE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn media(content_types: &[&str]) -> Media {
        let headers = headers(content_types);
        Media::of(RequestHead {
            method: &Method::POST,
            path: "/buck",
            query: "",
            headers: &headers,
        })
    }

    #[test]
    fn a_form_is_known_in_every_spelling_and_nothing_unclear_is_taken_for_plain() {
        for (values, expected) in [
            (&[][..], Media::Unsaid),
            (&[""], Media::Unsaid),
            (&["multipart/form-data; boundary=B"], Media::Form),
            (&["\tMultipart/Form-Data\t;boundary=B "], Media::Form),
            (&["multipart/form-data"], Media::Form),
            (&["multipart/mixed; boundary=B"], Media::Multipart),
            (&["multipart/form-data2"], Media::Multipart),
            (&["application/x-www-form-urlencoded; charset=utf-8"], Media::UrlEncoded),
            (&["application/xml"], Media::Other),
            (&["text/xml; charset=utf-8"], Media::Other),
            (&["application/xml", "multipart/form-data; boundary=B"], Media::Unclear),
            (&["application/xml", "application/xml"], Media::Unclear),
            (&["application/xml, multipart/form-data; boundary=B"], Media::Unclear),
            (&["application/xml; x=multipart/form-data; boundary=B"], Media::Unclear),
            (&["multipart /form-data; boundary=B"], Media::Unclear),
            (&["multipart/ form-data; boundary=B"], Media::Unclear),
            (&["multipart"], Media::Unclear),
            (&["form-data; boundary=B"], Media::Unclear),
            (&["multipart/form\u{2011}data"], Media::Unclear),
        ] {
            assert_eq!(media(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_form_goes_nowhere_but_to_post_object() {
        use Operation as Op;
        let refused = |operation, content_type: &str, as_sent| {
            let mut headers = headers(&[content_type]);
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
            let head =
                RequestHead { method: &Method::POST, path: "/buck", query: "", headers: &headers };
            body_refusal(head, operation, as_sent).map(|error| error.status().as_u16())
        };
        for operation in [
            Op::ConfigureBucket("metadataTable"),
            Op::DeleteObjects,
            Op::CompleteMultipartUpload,
            Op::CreateMultipartUpload,
            Op::RestoreObject,
            Op::SelectObjectContent,
            Op::AppendObject,
            Op::UnknownWrite,
        ] {
            let form = "multipart/form-data; boundary=B";
            let fields = "application/x-www-form-urlencoded";
            for as_sent in [true, false] {
                assert_eq!(refused(operation, form, as_sent), Some(501), "{operation:?}");
                assert_eq!(refused(operation, "multipart/x", as_sent), Some(501), "{operation:?}");
                assert_eq!(refused(operation, "a, b", as_sent), Some(400), "{operation:?}");
                assert_eq!(refused(operation, "application/xml", as_sent), None, "{operation:?}");
            }
            assert_eq!(refused(operation, fields, true), Some(501), "{operation:?}");
            let kept = (!operation.has_document()).then_some(501);
            assert_eq!(refused(operation, fields, false), kept, "{operation:?}");
        }
        assert_eq!(refused(Op::PostObject, "multipart/form-data; boundary=B", true), None);
    }

    #[test]
    fn an_upload_may_be_of_an_object_of_any_kind() {
        let headers = headers(&["multipart/related"]);
        let head = RequestHead {
            method: &Method::POST,
            path: "/b/k",
            query: "uploads",
            headers: &headers,
        };
        assert_eq!(body_refusal(head, Operation::CreateMultipartUpload, false), None);
    }
}
