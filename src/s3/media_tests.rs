use super::*;
use crate::http1::fields::Fields;
use crate::s3::Query;

fn as_sent(method: &Method, operation: Operation, said: &[(&'static str, &str)]) -> Option<u16> {
    let mut headers = Fields::new();
    for (name, value) in said {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let head =
        RequestHead { method, path: "/buck/k", query: &Query::parse("restore"), headers: &headers };
    body_refusal_as_sent(head, operation).map(|error| error.status().as_u16())
}

#[test]
fn what_has_no_body_goes_on_without_one() {
    use Operation as Op;
    for (method, operation) in [
        (Method::GET, Op::GetObject),
        (Method::HEAD, Op::HeadBucket),
        (Method::DELETE, Op::DeleteObject),
        (Method::PUT, Op::CopyObject),
        (Method::POST, Op::CreateMultipartUpload),
    ] {
        for said in [("content-length", "9"), ("transfer-encoding", "chunked")] {
            assert_eq!(as_sent(&method, operation, &[said]), Some(400), "{operation:?}");
        }
        assert_eq!(as_sent(&method, operation, &[("content-length", "0")]), None);
        assert_eq!(as_sent(&method, operation, &[]), None);
    }
    assert_eq!(as_sent(&Method::PUT, Op::PutObject, &[("content-length", "9")]), None);
}

#[test]
fn a_document_goes_on_in_no_coding_and_in_utf_8() {
    use Operation as Op;
    for operation in [Op::CompleteMultipartUpload, Op::DeleteObjects, Op::RestoreObject] {
        let of = |name, value| as_sent(&Method::POST, operation, &[(name, value)]);
        for value in ["gzip", "br", "deflate", "identity, gzip", "x"] {
            assert_eq!(of("content-encoding", value), Some(501), "{value}");
        }
        for value in ["identity", "", "aws-chunked"] {
            assert_eq!(of("content-encoding", value), None, "{value}");
        }
        for value in [
            "text/xml; charset=utf-7",
            "text/xml;charset=utf-8;charset=utf-16",
            "text/xml; charset*=utf-8''utf-7",
            "text/xml; charset = utf-8",
            "text/xml; charset=",
        ] {
            assert_eq!(of("content-type", value), Some(400), "{value}");
        }
        for value in ["application/xml", "text/xml; charset=UTF-8", "a/b;charset=\"utf-8\"", ""] {
            assert_eq!(of("content-type", value), None, "{value}");
        }
    }
    let object = [("content-encoding", "gzip"), ("content-type", "text/plain; charset=utf-16")];
    assert_eq!(as_sent(&Method::PUT, Op::PutObject, &object), None);
}

fn headers(content_types: &[&str]) -> Fields {
    let mut headers = Fields::new();
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
        query: &Query::default(),
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
        let head = RequestHead {
            method: &Method::POST,
            path: "/buck",
            query: &Query::default(),
            headers: &headers,
        };
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
        query: &Query::parse("uploads"),
        headers: &headers,
    };
    assert_eq!(body_refusal(head, Operation::CreateMultipartUpload, false), None);
}
