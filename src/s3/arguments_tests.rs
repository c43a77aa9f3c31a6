use http::{HeaderValue, Method};

use super::*;
use crate::http1::fields::Fields;
use crate::s3::Query;

fn code(operation: Operation, query: &str, headers: &[(&'static str, &str)]) -> Option<String> {
    let mut map = Fields::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let head = RequestHead {
        method: &Method::PUT,
        path: "/b/k",
        query: &Query::parse(query),
        headers: &map,
    };
    check_arguments(head, operation).err().map(|error| error.code().to_owned())
}

#[test]
fn a_part_s_number_is_1_to_10000() {
    for number in ["0", "10001", "abc", "-1", "+1", "1.0", "%31%30%30%30%31", "99999999999", ""] {
        let query = format!("uploadId=u&partNumber={number}");
        let refused = code(Operation::UploadPart, &query, &[]);
        assert_eq!(refused.as_deref(), Some("InvalidArgument"), "{number}");
    }
    for number in ["1", "10000", "%31"] {
        let query = format!("uploadId=u&p%61rtNumber={number}");
        assert_eq!(code(Operation::UploadPart, &query, &[]), None, "{number}");
    }
}

#[test]
fn a_listing_s_numbers_are_numbers() {
    use Operation as Op;
    for (operation, name) in [
        (Op::ListObjects, "max-keys"),
        (Op::ListObjectsV2, "max-keys"),
        (Op::ListObjectVersions, "max-keys"),
        (Op::ListMultipartUploads, "max-uploads"),
        (Op::ListParts, "max-parts"),
        (Op::ListParts, "part-number-marker"),
    ] {
        for value in ["abc", "-1", "1.0", "%2B1", "0x1", "2147483648", "99999999999999999999"] {
            let refused = code(operation, &format!("{name}={value}"), &[]);
            assert_eq!(refused.as_deref(), Some("InvalidArgument"), "{name}={value}");
        }
        for value in ["0", "1", "1000", "2147483647", ""] {
            assert_eq!(code(operation, &format!("{name}={value}"), &[]), None, "{name}={value}");
        }
        let other = code(operation, "encoding-type=gzip", &[]);
        assert_eq!(other.as_deref(), Some("InvalidArgument"));
        assert_eq!(code(operation, "encoding-type=url", &[]), None);
    }
}

#[test]
fn what_is_said_of_an_object_can_be() {
    use Operation as Op;
    let of = |operation, name, value| code(operation, "", &[(name, value)]);
    for (operation, name, good, bad, refused) in [
        (
            Op::PutObject,
            REDIRECT,
            &["/a", "https://a/b"][..],
            &["a", "ftp://a"][..],
            "InvalidRedirectLocation",
        ),
        (
            Op::CompleteMultipartUpload,
            OBJECT_SIZE,
            &["0", "17"],
            &["", "-1", "x", "1.5"],
            "InvalidRequest",
        ),
    ] {
        for value in good {
            assert_eq!(of(operation, name, value), None, "{name}: {value}");
        }
        for value in bad {
            assert_eq!(of(operation, name, value).as_deref(), Some(refused), "{name}: {value}");
        }
    }
    for operation in [Op::GetObject, Op::HeadObject] {
        let both = code(operation, "partNumber=1", &[("range", "bytes=0-1")]);
        assert_eq!(both.as_deref(), Some("InvalidRequest"));
    }
}

#[test]
fn ids_that_no_store_gives_are_not_asked_about() {
    for id in ["a%20b", "%C3%A9", "a%00", "..%2F..%2Fk", "a%5C..", "%0A", &"x".repeat(1025)] {
        let upload = code(Operation::UploadPart, &format!("partNumber=1&uploadId={id}"), &[]);
        assert_eq!(upload.as_deref(), Some("NoSuchUpload"), "{id}");
        let version = code(Operation::DeleteObjectVersion, &format!("versionId={id}"), &[]);
        assert_eq!(version.as_deref(), Some("InvalidArgument"), "{id}");
    }
    let empty = code(Operation::GetObject, "versionId=", &[]);
    assert_eq!(empty.as_deref(), Some("InvalidArgument"));
    for id in ["2~Xy_z.9-A", "a%2Fb%2B%3D", "1697041234.12345", "null", "a..b", "%2A"] {
        let query = format!("partNumber=1&uploadId={id}&versionId={id}");
        assert_eq!(code(Operation::UploadPart, &query, &[]), None, "{id}");
    }
}

#[test]
fn a_copied_part_s_range_has_both_its_ends_in_order() {
    let of = |range| code(Operation::UploadPartCopy, "", &[("x-amz-copy-source-range", range)]);
    for range in ["bytes=0-0", "bytes=5-17", "bytes=0-99999999999"] {
        assert_eq!(of(range), None, "{range}");
    }
    for range in [
        "bytes=0-",
        "bytes=-5",
        "bytes=5-4",
        "0-5",
        "bytes=0-5,7-9",
        "bytes 0-5",
        "Bytes=0-5",
        "bytes=+1-5",
        "bytes=1-0x5",
        "bytes=",
        "",
        "bytes=0-5-",
        "bytes=a-b",
        "bytes=0-99999999999999999999",
    ] {
        assert_eq!(of(range).as_deref(), Some("InvalidArgument"), "{range}");
    }
}

#[test]
fn headers_are_refused_where_aws_documents_it_and_only_there() {
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let md5 = BASE64.encode(Md5::digest(BASE64.decode(key).unwrap()));
    let [customer_algorithm, customer_key, customer_md5] = CUSTOMER;
    let large = "v".repeat(2047);
    let fits = "v".repeat(2044);
    for (headers, expected) in [
        (&[("x-amz-metadata-directive", "MERGE")][..], "InvalidArgument"),
        (&[("x-amz-tagging-directive", "")], "InvalidArgument"),
        (&[("x-amz-storage-class", "COLD STORAGE")], "InvalidStorageClass"),
        (&[(ACL, "public read")], "InvalidArgument"),
        (&[(ACL, "everybody")], "InvalidArgument"),
        (&[("x-amz-grant-read", "everybody")], "InvalidArgument"),
        (&[("x-amz-grant-read", "id=a, who=b")], "InvalidArgument"),
        (&[("x-amz-grant-full-control", "id=\"\"")], "InvalidArgument"),
        (&[(ACL, "private"), ("x-amz-grant-read", "id=a")], "InvalidRequest"),
        (&[("x-amz-meta-a", &large), ("x-amz-meta-b", "")], "MetadataTooLarge"),
        (&[(SSE, "AES128")], "InvalidArgument"),
        (&[(SSE, "AES256"), (SSE_KMS_KEY, "k")], "InvalidArgument"),
        (&[(SSE_KMS_KEY, "k")], "InvalidArgument"),
        (&[(SSE, "AES256"), (customer_algorithm, "AES256")], "InvalidArgument"),
        (&[(customer_key, key), (customer_md5, &md5)], "InvalidArgument"),
        (&[(customer_algorithm, "AES256"), (customer_md5, &md5)], "InvalidArgument"),
        (&[(customer_algorithm, "AES256"), (customer_key, key)], "InvalidArgument"),
        (
            &[(customer_algorithm, "DES"), (customer_key, key), (customer_md5, &md5)],
            "InvalidEncryptionAlgorithmError",
        ),
        (
            &[(customer_algorithm, "AES256"), (customer_key, "AAAA"), (customer_md5, &md5)],
            "InvalidArgument",
        ),
        (
            &[(customer_algorithm, "AES256"), (customer_key, key), (customer_md5, "AAAA")],
            "InvalidArgument",
        ),
        (&[(LOCK_MODE, "GOVERNANCE")], "InvalidArgument"),
        (&[(LOCK_UNTIL, "2030-01-01T00:00:00Z")], "InvalidArgument"),
        (&[(LOCK_MODE, "x"), (LOCK_UNTIL, "2030-01-01T00:00:00Z")], "InvalidArgument"),
        (&[(LOCK_MODE, "GOVERNANCE"), (LOCK_UNTIL, "soon")], "InvalidArgument"),
        (&[(LOCK_HOLD, "on")], "InvalidArgument"),
        (&[("x-amz-tagging", "a=1&a=2")], "InvalidArgument"),
    ] {
        let refused = code(Operation::CopyObject, "", headers);
        assert_eq!(refused.as_deref(), Some(expected), "{headers:?}");
        let of_copies = headers[0].0.ends_with("-directive");
        let refused = code(Operation::PutObject, "", headers);
        assert_eq!(refused.as_deref(), Some(expected).filter(|_| !of_copies), "{headers:?}");
        assert_eq!(code(Operation::GetObject, "", headers), None, "{headers:?}");
    }
    for headers in [
        &[("x-amz-metadata-directive", "REPLACE"), ("x-amz-tagging-directive", "copy")][..],
        &[("x-amz-storage-class", "my-Class_2"), (ACL, "project-private")],
        &[("x-amz-meta-a", &fits), ("x-amz-meta-b", "xx"), ("content-type", &large)],
        &[(SSE, "aws:kms"), (SSE_KMS_KEY, "k")],
        &[(SSE, "aws:kms:dsse"), (SSE_KMS_KEY, "k")],
        &[(customer_algorithm, "AES256"), (customer_key, key), (customer_md5, &md5)],
        &[(LOCK_MODE, "COMPLIANCE"), (LOCK_UNTIL, "2030-01-01T00:00:00.000Z"), (LOCK_HOLD, "OFF")],
        &[("x-amz-tagging", "a=1&b=2")],
    ] {
        assert_eq!(code(Operation::PutObject, "", headers), None, "{headers:?}");
    }
}
