//! Bodies that keep their head's promises, and bodies that do not.

use super::*;
use crate::sigv4::AwsError;
use crate::sigv4::fixture::{framed, seed};

const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const CONTENT: &[u8] = b"123456789";
const CRC32: [u8; 4] = [0xcb, 0xf4, 0x39, 0x26];

fn digest(algorithm: Algorithm) -> Vec<u8> {
    let mut checksum = Checksum::new(algorithm);
    checksum.update(CONTENT);
    checksum.finish()
}

fn sha256() -> [u8; 32] {
    digest(Algorithm::Sha256).try_into().expect("32 bytes")
}

fn md5() -> [u8; 16] {
    digest(Algorithm::Md5).try_into().expect("16 bytes")
}

fn promise(payload: PayloadKind) -> BodyPromise {
    let length = Some(CONTENT.len() as u64);
    BodyPromise { payload, length, content_md5: None, checksum: None, seed: Some(seed(SEED)) }
}

fn check(promise: BodyPromise, also: Wanted, body: &[u8]) -> Result<CheckedBody, BodyError> {
    let mut check = BodyCheck::new(promise, also);
    let mut content = Vec::new();
    for piece in body.chunks(4) {
        let piece = Bytes::copy_from_slice(piece);
        check.feed(piece, &mut |part| content.extend_from_slice(&part))?;
    }
    let checked = check.finish()?;
    assert_eq!(content, CONTENT);
    Ok(checked)
}

#[test]
fn where_nothing_was_promised_nothing_is_hashed() {
    let checked = check(promise(PayloadKind::Unsigned), Wanted::default(), CONTENT);
    let expected =
        CheckedBody { length: 9, sha256: None, md5: None, trailing_checksums: Vec::new() };
    assert_eq!(checked, Ok(expected));
    assert!(BodyCheck::new(promise(PayloadKind::Unsigned), Wanted::default()).hashes.is_empty());
}

#[test]
fn digests_are_computed_when_wanted_or_promised() {
    let wanted = Wanted { sha256: true, md5: true };
    let checked = check(promise(PayloadKind::Unsigned), wanted, CONTENT).expect("no fault");
    assert_eq!((checked.sha256, checked.md5), (Some(sha256()), Some(md5())));
    let mut both = promise(PayloadKind::Digest(sha256()));
    both.content_md5 = Some(md5());
    let checked = check(both, Wanted::default(), CONTENT).expect("no fault");
    assert_eq!((checked.sha256, checked.md5), (Some(sha256()), Some(md5())));
    // Wanted is the digest of the content, not of the framing around it.
    let kind = PayloadKind::SignedChunks { trailer: false };
    let body = framed(kind, seed(SEED), &[b"12345", b"6789"], &[]);
    let checked = check(promise(kind), wanted, &body).expect("no fault");
    assert_eq!((checked.length, checked.sha256), (9, Some(sha256())));
}

#[test]
fn more_or_less_than_promised_is_an_incomplete_body() {
    for body in [&CONTENT[..8], b"", b"123456789a"] {
        let result = check(promise(PayloadKind::Unsigned), Wanted::default(), body);
        assert_eq!(result, Err(BodyError::IncompleteBody));
    }
    let unknown = BodyPromise { length: None, ..promise(PayloadKind::Unsigned) };
    assert_eq!(check(unknown, Wanted::default(), CONTENT).expect("no fault").length, 9);
}

#[test]
fn another_sha256_is_told_both_digests() {
    let result = check(promise(PayloadKind::Digest([0; 32])), Wanted::default(), CONTENT);
    let error = result.expect_err("another digest");
    assert_eq!((error.status().as_u16(), error.code()), (400, "XAmzContentSHA256Mismatch"));
    let computed = hex::encode(sha256());
    assert_eq!(
        error.fields(),
        [("ClientComputedContentSHA256", "0".repeat(64)), ("S3ComputedContentSHA256", computed)]
    );
}

#[test]
fn another_md5_is_a_bad_digest() {
    let mut promise = promise(PayloadKind::Unsigned);
    promise.content_md5 = Some([0; 16]);
    let error = check(promise, Wanted::default(), CONTENT).expect_err("another digest");
    assert_eq!((error.status().as_u16(), error.code()), (400, "BadDigest"));
    assert_eq!(error.message(), "The Content-MD5 you specified did not match what we received.");
    assert_eq!(error.fields()[1], ("CalculatedDigest", to_base64(&md5())));
}

#[test]
fn every_checksum_is_checked() {
    for algorithm in Algorithm::ALL {
        let right = digest(algorithm);
        let mut wrong = right.clone();
        wrong[0] ^= 1;
        let with = |value| {
            let mut promise = promise(PayloadKind::Unsigned);
            promise.checksum = Some(PromisedChecksum::Header { algorithm, value });
            check(promise, Wanted::default(), CONTENT)
        };
        assert!(with(right).is_ok(), "{algorithm}");
        let error = with(wrong).expect_err("another checksum");
        assert_eq!(error.code(), "BadDigest");
        let message =
            format!("The {algorithm} you specified did not match the calculated checksum.");
        assert_eq!(error.message(), message);
    }
}

#[test]
fn a_trailing_checksum_is_checked_and_sent_on() {
    for kind in [PayloadKind::UnsignedChunksTrailer, PayloadKind::SignedChunks { trailer: true }] {
        let with = |trailers: &[(&str, &str)]| {
            let mut promise = promise(kind);
            promise.checksum = Some(PromisedChecksum::Trailer(Algorithm::Crc32));
            let body = framed(kind, seed(SEED), &[CONTENT], trailers);
            check(promise, Wanted::default(), &body)
        };
        let value = to_base64(&CRC32);
        let checked = with(&[("x-amz-checksum-crc32", &value)]).expect("right");
        let sent_on = (Algorithm::Crc32.header(), HeaderValue::from_static("y/Q5Jg=="));
        assert_eq!(checked.trailing_checksums, [sent_on]);
        for (trailers, expected) in [
            (&[("x-amz-checksum-crc32", "AAAAAA==")][..], "BadDigest"),
            (&[("x-amz-checksum-crc32", "AAAA")], "InvalidRequest"),
            (&[], "MalformedTrailerError"),
            (&[("x-amz-checksum-crc32c", "AAAAAA==")], "MalformedTrailerError"),
            (&[("x-amz-checksum-crc32", &value), ("a", "b")], "MalformedTrailerError"),
        ] {
            let error = with(trailers).expect_err("not as announced");
            assert_eq!(error.code(), expected, "{trailers:?}");
        }
    }
}

#[test]
fn a_trailer_that_was_not_announced_is_refused() {
    let kind = PayloadKind::UnsignedChunksTrailer;
    let body = framed(kind, seed(SEED), &[CONTENT], &[("x-amz-checksum-crc32", "y/Q5Jg==")]);
    let result = check(promise(kind), Wanted::default(), &body);
    assert_eq!(result, Err(BodyError::MalformedTrailer));
}
