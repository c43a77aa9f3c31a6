//! What heads promise, and which promises are refused.

use super::*;
use crate::sigv4::fixture::{Request, seed};
use crate::sigv4::{AwsError, WhichSecret};

const EMPTY_MD5: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";

fn promise(request: &Request, payload: PayloadKind) -> Result<BodyPromise, BodyError> {
    let seed = seed("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    let authenticated = Authenticated {
        access_key_id: "A".into(),
        payload,
        seed: Some(seed),
        presigned: false,
        secret: WhichSecret::Present,
    };
    BodyPromise::from_head(&request.head(), &authenticated)
}

fn put() -> Request {
    Request::new(&Method::PUT, "/bucket/key")
}

#[test]
fn a_plain_head_promises_its_length_only() {
    let request = put().header("content-length", "5");
    let promise = promise(&request, PayloadKind::Unsigned).expect("no fault");
    assert_eq!(promise.length, Some(5));
    assert_eq!((promise.content_md5, promise.checksum), (None, None));
    let unknown = self::promise(&put(), PayloadKind::Unsigned).expect("no fault");
    assert_eq!(unknown.length, None);
}

#[test]
fn framed_content_has_a_length_of_its_own() {
    let kind = PayloadKind::UnsignedChunksTrailer;
    let request = put().header("content-length", "99");
    let error = promise(&request, kind).expect_err("no length of the content");
    assert_eq!((error.status().as_u16(), error.code()), (411, "MissingContentLength"));
    let framed = request.clone().header("x-amz-decoded-content-length", "5");
    assert_eq!(promise(&framed, kind).expect("no fault").length, Some(5));
    for wrong in ["", "-1", "+1", "1e3", "18446744073709551616"] {
        let request = request.clone().header("x-amz-decoded-content-length", wrong);
        assert_eq!(promise(&request, kind).expect_err(wrong).code(), "InvalidRequest");
    }
}

#[test]
fn digests_and_checksums_are_read() {
    let request = put()
        .header("content-md5", EMPTY_MD5)
        .header("x-amz-checksum-crc32", "AAAAAA==")
        .header("x-amz-sdk-checksum-algorithm", "CRC32")
        .header("x-amz-checksum-type", "FULL_OBJECT");
    let promise = promise(&request, PayloadKind::Unsigned).expect("no fault");
    assert_eq!(promise.content_md5.expect("sent")[..2], [0xd4, 0x1d]);
    let expected = PromisedChecksum::Header { algorithm: Algorithm::Crc32, value: vec![0; 4] };
    assert_eq!(promise.checksum, Some(expected));
}

#[test]
fn a_trailer_is_announced() {
    let kind = PayloadKind::UnsignedChunksTrailer;
    let request = put().header("x-amz-decoded-content-length", "0");
    assert_eq!(promise(&request, kind).expect("no trailer").checksum, None);
    let request = request.header("x-amz-trailer", "X-Amz-Checksum-CRC64NVME");
    let announced = PromisedChecksum::Trailer(Algorithm::Crc64Nvme);
    assert_eq!(promise(&request, kind).expect("no fault").checksum, Some(announced));
}

#[test]
fn the_checksum_of_a_completed_object_is_not_that_of_the_body() {
    let request = Request::new(&Method::POST, "/bucket/key")
        .query("uploadId=1")
        .header("x-amz-checksum-crc32", "AAAAAA==-2");
    assert_eq!(promise(&request, PayloadKind::Unsigned).expect("no fault").checksum, None);
    let part = put().query("uploadId=1&partNumber=1").header("x-amz-checksum-crc32", "AAAAAA==");
    assert!(promise(&part, PayloadKind::Unsigned).expect("no fault").checksum.is_some());
}

#[test]
fn contradictions_and_nonsense_are_refused_with_the_answer_of_aws() {
    const SEVERAL: &str = "Expecting a single x-amz-checksum- header. \
                           Multiple checksum Types are not allowed.";
    const TRAILER: &str = "The value specified in the x-amz-trailer header is not supported";
    let crc = || put().header("x-amz-checksum-crc32", "AAAAAA==");
    let framed = || put().header("x-amz-decoded-content-length", "0");
    let (plain, chunks) = (PayloadKind::Unsigned, PayloadKind::UnsignedChunksTrailer);
    for (request, kind, code, message) in [
        (put().header("content-md5", "AAAA"), plain, "InvalidDigest", "Content-MD5 you specified"),
        (put().header("content-md5", "?"), plain, "InvalidDigest", "is not valid."),
        (
            put().header("x-amz-checksum-crc32", "AAAA"),
            plain,
            "InvalidRequest",
            "Value for x-amz-checksum-crc32 header is invalid.",
        ),
        (
            crc().header("x-amz-checksum-crc32", "AAAAAA=="),
            plain,
            "InvalidRequest",
            "Value for x-amz-checksum-crc32 header is invalid.",
        ),
        (
            crc().header("x-amz-sdk-checksum-algorithm", "SHA1"),
            plain,
            "InvalidRequest",
            "Value for x-amz-sdk-checksum-algorithm header is invalid.",
        ),
        (crc().header("x-amz-checksum-sha1", "x"), plain, "InvalidRequest", "sha1 header"),
        (crc().header("x-amz-checksum-sha512", "x"), plain, "InvalidRequest", "sha512 header"),
        (crc().header("x-amz-checksum-crc32c", "AAAAAA=="), plain, "InvalidRequest", SEVERAL),
        (
            framed()
                .header("x-amz-checksum-crc32", "AAAAAA==")
                .header("x-amz-trailer", "x-amz-checksum-crc32"),
            chunks,
            "InvalidRequest",
            SEVERAL,
        ),
        (
            framed().header("x-amz-trailer", "x-amz-checksum-crc32, x-amz-checksum-sha1"),
            chunks,
            "InvalidRequest",
            SEVERAL,
        ),
        (framed().header("x-amz-trailer", "x-amz-meta-a"), chunks, "InvalidRequest", TRAILER),
        (framed().header("x-amz-trailer", "a b"), chunks, "InvalidRequest", TRAILER),
        (put().header("x-amz-trailer", "x-amz-checksum-crc32"), plain, "InvalidRequest", TRAILER),
        (put().header("content-length", "+5"), plain, "InvalidRequest", "content-length"),
    ] {
        let error = promise(&request, kind).expect_err(message);
        assert_eq!((error.status().as_u16(), error.code()), (400, code), "{error:?}");
        assert!(error.message().contains(message), "{}", error.message());
    }
}

#[test]
fn a_store_is_asked_for_checksums_that_there_are() {
    let completes = || Request::new(&Method::POST, "/bucket/key").query("uploadId=u");
    let creates = || Request::new(&Method::POST, "/bucket/key").query("uploads");
    for request in [
        creates().header("x-amz-checksum-algorithm", "CRC99"),
        creates().header("x-amz-checksum-algorithm", ""),
        creates().header("x-amz-checksum-type", "full"),
        put().header("x-amz-checksum-crc99", "AAAAAA=="),
        put().header("x-amz-checksum-", "AAAAAA=="),
        completes().header("x-amz-checksum-crc32", "garbage"),
        completes().header("x-amz-checksum-crc32", "AAAAAA==-x"),
    ] {
        let error = promise(&request, PayloadKind::Unsigned).expect_err("a fault");
        assert_eq!((error.status().as_u16(), error.code()), (400, "InvalidRequest"), "{error}");
    }
    for request in [
        creates().header("x-amz-checksum-algorithm", "sha256"),
        creates().header("x-amz-checksum-type", "COMPOSITE"),
        put().header("x-amz-checksum-mode", "ENABLED"),
        completes().header("x-amz-checksum-crc32", "AAAAAA=="),
        completes().header("x-amz-checksum-crc32", "AAAAAA==-12"),
    ] {
        promise(&request, PayloadKind::Unsigned).expect("no fault");
    }
}
