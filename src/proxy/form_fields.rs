//! The fields of a browser's form: the claim about its signature, and the headers of the PutObject
//! that it asks for.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method};

use crate::backend::headers::is_reserved;
use crate::http1::fields::Fields;
use crate::s3::tagging::tagging_header;
use crate::s3::{Operation, PostForm, Query, RequestHead, S3Error, check_arguments};
use crate::sigv4::{Algorithm, BodyPromise, PayloadKind};

/// The access key that the form claims, which is not proved; empty if there is none.
pub(super) fn claimed_access_key_id(form: &PostForm) -> String {
    let of_version_4 =
        form.field("x-amz-credential").and_then(|it| Some(it.split_once('/')?.0.to_owned()));
    let of_version_2 = || form.field("awsaccesskeyid").map(str::to_owned);
    of_version_4.or_else(of_version_2).unwrap_or_default()
}

/// The form's fields as headers of a PutObject (AWS: PostObject, form fields). Only listed fields
/// are allowed. Any other `x-amz-*` field could turn the request into another one than a plain put
/// (a copy, an append), or asks for something that the proxy does not do: it is refused, since
/// ignoring it would break a promise. Fields that are reserved for the proxy are removed, as among
/// headers.
pub(super) fn put_headers(form: &PostForm) -> Result<Fields, S3Error> {
    let mut headers = Fields::new();
    for (field, value) in form.fields() {
        let mut value = Cow::Borrowed(value);
        let name = match field {
            "acl" => "x-amz-acl",
            "tagging" => {
                value = Cow::Owned(tagging_header(&value)?);
                "x-amz-tagging"
            }
            "x-amz-checksum-algorithm" => "x-amz-sdk-checksum-algorithm",
            "cache-control"
            | "content-type"
            | "content-disposition"
            | "content-encoding"
            | "expires"
            | "content-md5"
            | "x-amz-storage-class"
            | "x-amz-website-redirect-location" => field,
            "x-amz-algorithm"
            | "x-amz-credential"
            | "x-amz-date"
            | "x-amz-signature"
            | "x-amz-security-token" => continue,
            "if-match" | "if-none-match" | "if-modified-since" | "if-unmodified-since" => {
                return Err(S3Error::not_implemented(field, Some(UNCONDITIONAL)));
            }
            _ if is_reserved(field) => continue,
            _ if ["x-amz-meta-", "x-amz-server-side-encryption", "x-amz-object-lock-"]
                .iter()
                .any(|prefix| field.starts_with(prefix)) =>
            {
                field
            }
            _ if Algorithm::ALL.iter().any(|algorithm| algorithm.header() == *field) => field,
            _ if field.starts_with("x-amz-") => {
                return Err(S3Error::not_implemented(field, Some(UNKNOWN_FIELD)));
            }
            _ => continue,
        };
        let invalid = || S3Error::invalid_argument("Invalid form field.", field, &*value);
        let name: HeaderName = name.parse().map_err(|_| invalid())?;
        // Not only ASCII: a file name may be in it.
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// What a form promises about its file, once the put that it asks for is judged like every put.
/// Errors: as for [`check_arguments`]; 400 for `aws-chunked`, which no form's file is, and for a
/// checksum algorithm without its checksum.
pub(super) fn promise_of(headers: &Fields) -> Result<BodyPromise, S3Error> {
    let head = RequestHead { method: &Method::PUT, path: "", query: &Query::default(), headers };
    check_arguments(head, Operation::PutObject)?;
    let payload = PayloadKind::Unsigned;
    payload.check_unambiguous(headers)?;
    let promise = BodyPromise::of_unproved(&head, payload)?;
    promise.check_announced(headers)?;
    Ok(promise)
}

/// The effect of an unknown field on the object is unknown, so the field cannot be dropped.
const UNCONDITIONAL: &str = "A form carries no condition, and would overwrite what it was to spare";
const UNKNOWN_FIELD: &str = "No header of PutObject is known that says what this field does";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::form::tests::form_of;

    fn form(fields: &[(&str, &str)]) -> PostForm {
        form_of(&[&[("key", "k")], fields].concat(), "f", "x").unwrap().0
    }

    fn headers(field: &str) -> Result<Fields, S3Error> {
        put_headers(&form(&[(field, "v")]))
    }

    #[test]
    fn a_form_can_ask_for_a_put_and_nothing_else() {
        for field in
            ["x-amz-meta-a", "x-amz-storage-class", "content-type", "x-amz-object-lock-mode"]
        {
            assert_eq!(headers(field).unwrap()[field], "v");
        }
        assert_eq!(headers("acl").unwrap()["x-amz-acl"], "v");
        for field in [
            "x-amz-copy-source",
            "x-amz-write-offset-bytes",
            "x-amz-checksum-crc99",
            "x-amz-checksum-type",
        ] {
            let error = headers(field).unwrap_err();
            assert_eq!((error.status().as_u16(), error.field("Header")), (501, Some(field)));
        }
        for passed_over in ["x-copy-from", "awsaccesskeyid", "signature"] {
            assert!(headers(passed_over).unwrap().is_empty());
        }
        assert_eq!(headers("tagging").unwrap_err().code(), "MalformedXML");
        let said = headers("x-amz-checksum-algorithm").unwrap();
        assert_eq!(said["x-amz-sdk-checksum-algorithm"], "v");
        assert!(headers("x-amz-checksum-xxhash3").is_ok());
        let named = put_headers(&form(&[("x-amz-meta-name", "\u{dc}bung.txt")])).unwrap();
        assert_eq!(named["x-amz-meta-name"].as_bytes(), "\u{dc}bung.txt".as_bytes());
        let line = put_headers(&form(&[("x-amz-meta-name", "a\r\nb: c")])).unwrap_err();
        assert_eq!(line.code(), "InvalidArgument");
    }

    #[test]
    fn the_put_that_a_form_asks_for_is_judged_as_one() {
        let judged = |field: &str, value: &str| {
            let headers = put_headers(&form(&[(field, value)]));
            headers
                .and_then(|headers| promise_of(&headers))
                .map_err(|error| error.code().to_owned())
        };
        for (field, value, code) in [
            ("x-amz-meta-a", &*"v".repeat(2048), "MetadataTooLarge"),
            ("x-amz-object-lock-mode", "GOVERNANCE", "InvalidArgument"),
            ("acl", "a b", "InvalidArgument"),
            ("x-amz-storage-class", "a b", "InvalidStorageClass"),
            ("x-amz-server-side-encryption", "rot13", "InvalidArgument"),
            ("content-encoding", "aws-chunked", "InvalidArgument"),
            ("content-encoding", "gzip, AWS-Chunked", "InvalidArgument"),
            ("x-amz-checksum-algorithm", "CRC32", "InvalidRequest"),
            ("x-amz-checksum-crc32", "garbage", "InvalidRequest"),
            ("content-md5", "garbage", "InvalidDigest"),
            ("if-none-match", "*", "NotImplemented"),
            ("If-Match", "\"e\"", "NotImplemented"),
        ] {
            assert_eq!(judged(field, value).unwrap_err(), code, "{field}: {value}");
        }
        for (field, value) in
            [("x-amz-meta-a", "v"), ("content-encoding", "gzip"), ("acl", "private")]
        {
            assert!(judged(field, value).is_ok(), "{field}");
        }
    }

    #[test]
    fn a_form_cannot_set_what_is_ours() {
        for field in ["x-amz-meta-ifmatch-id", "X-Amz-Meta-Ifmatch-Id", "x-amz-meta-ifmatch_id"] {
            assert!(headers(field).unwrap().is_empty(), "{field}");
        }
    }
}
