//! `aws-chunked`: the same content and the same verdict however the body is split, and what was
//! framed comes back. The first byte chooses the kind and the cuts.
#![no_main]

use bytes::Bytes;
use ifmatch::secret::Secret;
use ifmatch::sigv4::{
    AmzDate, BodyError, ChunkSeed, Decoder, Hex, PayloadKind, Scope, Signature, SigningKey,
    Trailers,
};
use ifmatch_fuzz::{NOW, cut};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

fn seed() -> ChunkSeed {
    let scope = Scope { date: "20130524".into(), region: "us-east-1".into(), service: "s3".into() };
    ChunkSeed {
        signature: Signature::new([7; 32]),
        date: AmzDate::from_unix(NOW),
        key: SigningKey::derive(&Secret::new("secret"), &scope).into(),
    }
}

fn decoded(
    kind: PayloadKind,
    length: u64,
    pieces: impl IntoIterator<Item = Bytes>,
) -> Result<(Vec<u8>, Trailers), BodyError> {
    let mut decoder = Decoder::new(kind, seed(), length);
    let mut content = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut |part| content.extend_from_slice(&part))?;
    }
    Ok((content, decoder.finish()?))
}

/// AWS: Transferring Payload in Multiple Chunks; Including Trailing Headers.
fn framed(kind: PayloadKind, content: &[u8]) -> Vec<u8> {
    let mut chain = seed();
    let signed = matches!(kind, PayloadKind::SignedChunks { .. });
    let mut sign = |algorithm: &str, lines: &[&str]| {
        let previous = chain.signature.to_hex();
        let start = [algorithm, chain.date.as_str(), chain.key.scope_text(), previous.as_str()];
        let text = [&start[..], lines].concat().join("\n");
        chain.signature = chain.key.sign(&[text.as_bytes()]);
        chain.signature.to_hex().as_str().to_owned()
    };
    let digest = |bytes: &[u8]| Hex::of(&Sha256::digest(bytes).into()).as_str().to_owned();
    let mut body = Vec::new();
    for chunk in content.chunks(50).chain([&b""[..]]) {
        body.extend_from_slice(format!("{:X}", chunk.len()).as_bytes());
        if signed {
            let lines = [digest(b""), digest(chunk)];
            let signature = sign("AWS4-HMAC-SHA256-PAYLOAD", &[&lines[0], &lines[1]]);
            body.extend_from_slice(format!(";chunk-signature={signature}").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(chunk);
        body.extend_from_slice(if chunk.is_empty() { b"" } else { b"\r\n" });
    }
    if kind.has_trailer() {
        body.extend_from_slice(b"x-amz-checksum-crc32:AAAAAA==\r\n");
        if signed {
            let lines = digest(b"x-amz-checksum-crc32:AAAAAA==\n");
            let signature = sign("AWS4-HMAC-SHA256-TRAILER", &[&lines]);
            body.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
    }
    body.extend_from_slice(b"\r\n");
    body
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let kind = match first % 3 {
        0 => PayloadKind::UnsignedChunksTrailer,
        1 => PayloadKind::SignedChunks { trailer: false },
        _ => PayloadKind::SignedChunks { trailer: true },
    };
    let body = Bytes::copy_from_slice(rest);
    for length in [u64::from(*first), 5] {
        let whole = decoded(kind, length, [body.clone()]);
        let bytes = body.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
        assert_eq!(whole, decoded(kind, length, bytes));
        assert_eq!(whole, decoded(kind, length, cut(body.clone(), u64::from(*first))));
        if let Ok((content, _)) = whole {
            assert_eq!(content.len() as u64, length);
        }
    }
    let framed = Bytes::from(framed(kind, rest));
    let pieces = cut(framed, u64::from(*first));
    let (content, trailers) = decoded(kind, rest.len() as u64, pieces).expect("well framed");
    assert!(content == rest);
    assert_eq!(trailers.iter().count(), usize::from(kind.has_trailer()));
});
