//! The framing's odd corners; the whole is covered by AWS's examples and the properties.

use super::*;
use crate::sigv4::AwsError;
use crate::sigv4::fixture::{framed, seed};

const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const SIGNED: PayloadKind = PayloadKind::SignedChunks { trailer: false };
const SIGNED_TRAILER: PayloadKind = PayloadKind::SignedChunks { trailer: true };

fn decode(
    kind: PayloadKind,
    length: u64,
    body: &[u8],
) -> Result<(Vec<u8>, Vec<String>), BodyError> {
    let mut decoder = Decoder::new(kind, seed(SEED), length);
    let mut content = Vec::new();
    decoder.feed(Bytes::copy_from_slice(body), &mut |part| content.extend_from_slice(&part))?;
    let trailers = decoder.finish()?;
    Ok((content, trailers.iter().map(|(name, value)| format!("{name}={value}")).collect()))
}

fn unsigned(length: u64, body: &str) -> Result<(Vec<u8>, Vec<String>), BodyError> {
    decode(PayloadKind::UnsignedChunksTrailer, length, body.as_bytes())
}

#[test]
fn the_endings_that_clients_send_are_all_understood() {
    let trailer = || vec!["x-amz-checksum-crc32=AAAAAA==".to_owned()];
    for (ending, trailers) in [
        ("0\r\n\r\n", vec![]),
        ("0\r\n", vec![]),
        ("0\r\n\r", vec![]),
        ("0\r\n\r\n\r\n", vec![]),
        ("000;a=b;c\r\n\r\n", vec![]),
        ("0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", trailer()),
        ("0\r\nX-Amz-Checksum-Crc32: AAAAAA== \r\n\r\n", trailer()),
        ("0\r\nx-amz-checksum-crc32:AAAAAA==\r\n", trailer()),
        ("0\r\nx-amz-checksum-crc32:AAAAAA==", trailer()),
        // minio-go
        ("0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\n\r\n", trailer()),
    ] {
        let body = format!("3\r\nabc\r\nA;x\r\n0123456789\r\n{ending}");
        assert_eq!(unsigned(13, &body), Ok((b"abc0123456789".to_vec(), trailers)), "{ending:?}");
    }
}

#[test]
fn an_end_in_the_middle_is_an_incomplete_body() {
    let body = "3\r\nabc\r\n0\r\n";
    for end in 0..body.len() {
        assert_eq!(unsigned(3, &body[..end]), Err(BodyError::IncompleteBody), "{end}");
    }
    assert_eq!(unsigned(4, body), Err(BodyError::IncompleteBody));
}

#[test]
fn what_is_not_the_framing_is_refused() {
    let long = format!("{}\r\n", "0".repeat(LINE_BYTES_MAX));
    for (body, code) in [
        ("\r\n", "InvalidRequest"),
        ("x\r\n", "InvalidRequest"),
        ("+1\r\na\r\n", "InvalidRequest"),
        ("-1\r\n", "InvalidRequest"),
        ("\u{e9}\r\n", "InvalidRequest"),
        ("1\na\n0\n\r\n", "InvalidRequest"),
        ("1\r\nab\r\n", "InvalidRequest"),
        (long.as_str(), "InvalidRequest"),
        ("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "InvalidRequest"),
        ("3\r\nabc\r\n0\r\n\r\nmore", "InvalidRequest"),
        ("4\r\n", "InvalidChunkSizeError"),
        ("2\r\nab\r\n2\r\ncd\r\n", "InvalidChunkSizeError"),
        ("ffffffffffffffff\r\n", "InvalidChunkSizeError"),
        ("10000000000000000\r\n", "InvalidChunkSizeError"),
        ("3\r\nabc\r\n0\r\nno colon\r\n", "MalformedTrailerError"),
        ("3\r\nabc\r\n0\r\na b:c\r\n", "MalformedTrailerError"),
        ("3\r\nabc\r\n0\r\n:c\r\n", "MalformedTrailerError"),
    ] {
        let error = unsigned(3, body).expect_err(body);
        assert_eq!(error.code(), code, "{body:?} {error:?}");
    }
    let many = format!("0\r\n{}", "a:b\r\n".repeat(TRAILERS_MAX + 1));
    assert_eq!(unsigned(0, &many), Err(BodyError::MalformedTrailer));
}

#[test]
fn a_chunk_that_is_too_large_is_shown_to_the_client() {
    let error = unsigned(3, "1\r\na\r\nfF\r\n").expect_err("255 of 2");
    assert_eq!(error.status(), 403);
    assert_eq!(error.fields(), [("Chunk", "2".to_owned()), ("BadChunkSize", "fF".to_owned())]);
}

#[test]
fn content_is_not_copied() {
    let body = Bytes::from_static(b"3\r\nabc\r\n0\r\n");
    let mut decoder = Decoder::new(PayloadKind::UnsignedChunksTrailer, seed(SEED), 3);
    let mut parts = Vec::new();
    decoder.feed(body.clone(), &mut |part| parts.push(part)).expect("well framed");
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].as_ptr(), body[3..].as_ptr());
}

#[test]
fn chunks_out_of_order_or_left_out_are_not_authentic() {
    let chunks: [&[u8]; 2] = [b"aa", b"bb"];
    let body = String::from_utf8(framed(SIGNED, seed(SEED), &chunks, &[])).expect("ASCII");
    assert_eq!(decode(SIGNED, 4, body.as_bytes()), Ok((b"aabb".to_vec(), vec![])));
    let (first, rest) = body.split_at(88);
    let (second, last) = rest.split_at(88);
    assert!(first.starts_with("2;") && second.starts_with("2;") && last.starts_with("0;"));
    for (length, body) in [
        (4, [second, first, last].concat()),
        (4, [first, first, last].concat()),
        (2, [first, last].concat()),
        (2, [second, last].concat()),
        (0, last.to_owned()),
    ] {
        let error = decode(SIGNED, length, body.as_bytes()).expect_err("not as signed");
        assert_eq!((error.status().as_u16(), error.code()), (403, "SignatureDoesNotMatch"));
    }
    assert_eq!(decode(SIGNED, 4, first.as_bytes()), Err(BodyError::IncompleteBody));
}

#[test]
fn signed_chunks_need_signatures() {
    for body in ["0\r\n\r\n", "0;chunk-signature\r\n\r\n", "0;signature=00\r\n\r\n"] {
        let error = decode(SIGNED, 0, body.as_bytes()).expect_err(body);
        assert_eq!(error, BodyError::MalformedChunk("a chunk has no signature"));
    }
    let error = decode(SIGNED, 0, b"0;chunk-signature=00\r\n\r\n").expect_err("00");
    assert_eq!(error, BodyError::SignatureDoesNotMatch { provided: "00".into() });
}

#[test]
fn signed_trailers_need_their_signature_at_the_end() {
    let trailers = [("x-amz-checksum-crc32", "AAAAAA==")];
    let body = framed(SIGNED_TRAILER, seed(SEED), &[], &trailers);
    let body = String::from_utf8(body).expect("ASCII");
    assert!(decode(SIGNED_TRAILER, 0, body.as_bytes()).is_ok());
    let (chunk, trailer) = body.split_at(84);
    let (checksum, signature) = trailer.split_at(31);
    assert!(checksum.ends_with("\r\n"), "{checksum}");
    for body in [
        chunk.to_owned(),
        [chunk, checksum].concat(),
        [chunk, signature.trim_end(), "\r\n", checksum].concat(),
        [chunk, checksum, signature.trim_end(), "\r\n", signature].concat(),
    ] {
        let result = decode(SIGNED_TRAILER, 0, body.as_bytes());
        assert_eq!(result, Err(BodyError::MalformedTrailer), "{body}");
    }
    for body in [[chunk, signature].concat(), body.replace("AAAAAA==", "AAAAAQ==")] {
        let error = decode(SIGNED_TRAILER, 0, body.as_bytes()).expect_err("not as signed");
        assert_eq!(error.code(), "SignatureDoesNotMatch", "{body}");
    }
    let unannounced = framed(SIGNED, seed(SEED), &[], &trailers);
    assert_eq!(decode(SIGNED, 0, &unannounced), Err(BodyError::MalformedTrailer));
}
