//! The examples that AWS publishes in the Amazon S3 API reference, to the last digit.

use bytes::Bytes;
use http::Method;

use super::fixture::{NOW, Request, framed, seed};
use super::{BodyCheck, BodyPromise, Mismatch, PayloadKind, Wanted};
use crate::sigv4::AuthError;

fn assert_signed(request: &Request) {
    let authenticated = request.authenticate().expect("AWS's own signature");
    assert_eq!(authenticated.access_key_id, super::fixture::ACCESS_KEY);
}

#[test]
fn the_example_get_object_is_authentic() {
    let request = Request::new(&Method::GET, "/test.txt").dated().header("range", "bytes=0-9");
    assert_signed(&request.authorization(
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ));
}

#[test]
fn the_example_put_object_is_authentic_however_its_path_is_spelled() {
    for path in ["/test$file.text", "/test%24file.text", "/tes%74%24file.text"] {
        let request = Request::new(&Method::PUT, path)
            .header("date", "Fri, 24 May 2013 00:00:00 GMT")
            .header("x-amz-date", "20130524T000000Z")
            .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
            .header(
                "x-amz-content-sha256",
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            );
        assert_signed(&request.authorization(
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ));
    }
}

#[test]
fn the_examples_with_a_query_are_authentic() {
    for (query, signature) in [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ] {
        let request = Request::new(&Method::GET, "/").query(query).dated();
        assert_signed(&request.authorization("host;x-amz-content-sha256;x-amz-date", signature));
    }
}

#[test]
fn the_example_presigned_url_is_authentic_for_a_day() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524\
                 %2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400\
                 &X-Amz-SignedHeaders=host&X-Amz-Signature=\
                 aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let request = Request::new(&Method::GET, "/test.txt").query(query);
    let authenticated = request.authenticate_at(NOW + 86_400).expect("AWS's own signature");
    assert!(authenticated.presigned);
    assert_eq!(authenticated.payload, PayloadKind::Unsigned);
    let expired = request.authenticate_at(NOW + 86_401).expect_err("a second too late");
    assert!(
        matches!(expired, AuthError::Expired { expires_seconds: Some(86_400), .. }),
        "{expired:?}"
    );
}

#[test]
fn a_mismatch_shows_the_canonical_request_of_the_reference() {
    let request = Request::new(&Method::GET, "/test.txt").dated().header("range", "bytes=0-9");
    let request = request.authorization("host;range;x-amz-content-sha256;x-amz-date", "00");
    let Err(AuthError::SignatureDoesNotMatch(mismatch)) = request.authenticate() else {
        panic!("00 is no signature");
    };
    let expected = Mismatch {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
        string_to_sign: "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n\
                         7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
            .into(),
        signature_provided: "00".into(),
        canonical_request: "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\n\
                            range:bytes=0-9\nx-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb924\
                            27ae41e4649b934ca495991b7852b855\nx-amz-date:20130524T000000Z\n\n\
                            host;range;x-amz-content-sha256;x-amz-date\n\
                            e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            .into(),
    };
    assert_eq!(*mismatch, expected);
}

/// The 65 KiB of `a` that both examples upload, in one chunk of 64 KiB and one of 1 KiB.
static CONTENT: [u8; 66_560] = [b'a'; 66_560];

fn upload(payload: &str) -> Request {
    Request::new(&Method::PUT, "/examplebucket/chunkObject.txt")
        .without("host")
        .header("host", "s3.amazonaws.com")
        .header("x-amz-date", "20130524T000000Z")
        .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
        .header("x-amz-content-sha256", payload)
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", "66560")
}

fn assert_signatures(body: &[u8], signatures: &[&str]) {
    let text = String::from_utf8_lossy(body);
    for signature in signatures {
        assert!(text.contains(signature), "{signature}");
    }
}

fn received(request: &Request, body: Vec<u8>) -> super::CheckedBody {
    let authenticated = request.authenticate().expect("AWS's own signature");
    let promise = BodyPromise::from_head(&request.head(), &authenticated).expect("no fault");
    let mut check = BodyCheck::new(promise, Wanted::default());
    let mut content = Vec::new();
    check.feed(Bytes::from(body), &mut |part| content.extend_from_slice(&part)).expect("signed");
    assert_eq!(content, CONTENT);
    check.finish().expect("complete")
}

#[test]
fn the_example_of_a_chunked_upload_is_authentic_chunk_by_chunk() {
    let seed_signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    let request = upload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        .header("content-length", "66824")
        .authorization(
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
             x-amz-decoded-content-length;x-amz-storage-class",
            seed_signature,
        );
    let kind = PayloadKind::SignedChunks { trailer: false };
    let chunks = [&CONTENT[..65_536], &CONTENT[65_536..]];
    let body = framed(kind, seed(seed_signature), &chunks, &[]);
    assert_signatures(
        &body,
        &[
            "10000;chunk-signature=\
             ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ],
    );
    assert_eq!(body.len(), 66_824);
    assert_eq!(received(&request, body).length, 66_560);
}

#[test]
fn the_example_of_a_trailing_checksum_is_authentic_to_the_trailer() {
    let seed_signature = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
    let request = upload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
        .header("x-amz-trailer", "x-amz-checksum-crc32c")
        .authorization(
            "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
             x-amz-storage-class;x-amz-trailer",
            seed_signature,
        );
    let kind = PayloadKind::SignedChunks { trailer: true };
    let chunks = [&CONTENT[..65_536], &CONTENT[65_536..]];
    let trailers = [("x-amz-checksum-crc32c", "sOO8/Q==")];
    let body = framed(kind, seed(seed_signature), &chunks, &trailers);
    assert_signatures(
        &body,
        &[
            "10000;chunk-signature=\
             b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
            "x-amz-trailer-signature:\
             d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
        ],
    );
    let checked = received(&request, body);
    let sent_on: Vec<_> = checked
        .trailing_checksums
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    assert_eq!(sent_on, [("x-amz-checksum-crc32c", &b"sOO8/Q=="[..])]);
}
