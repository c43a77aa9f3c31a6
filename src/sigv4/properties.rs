//! Laws: what is signed is authentic, what is changed is not; a body's content does not depend on
//! how it was split; no bytes make the decoder panic.

use bytes::Bytes;
use http::{HeaderValue, Method};
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{NOW, Request, credential, framed, seed};
use super::{BodyError, Decoder, Outgoing, PayloadKind, SigningKeys, Trailers, sign};
use crate::s3::Query;
use crate::s3::encoding;
use crate::sigv4::AuthError;

const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

#[derive(Debug, Clone)]
struct Plain {
    method: Method,
    key: String,
    query: Vec<(String, String)>,
    meta: String,
}

prop_compose! {
    fn plain()(
        method in prop::sample::select(vec![Method::GET, Method::PUT, Method::DELETE]),
        key in "[a-zA-Z0-9 +=%é/._~-]{1,20}",
        query in vec(("[a-zA-Z %-]{1,6}", "[a-zA-Z0-9 +/=&é]{0,6}"), 0..4),
        meta in "[!-~]([ -~]{0,10}[!-~])?",
    ) -> Plain {
        Plain { method, key, query, meta }
    }
}

fn signed(plain: &Plain) -> Request {
    let path = format!("/bucket/{}", encoding::encode_path(&plain.key));
    let pairs: Vec<(String, String)> = plain
        .query
        .iter()
        .map(|(name, value)| (encoding::encode_query(name), encoding::encode_query(value)))
        .collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let query: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let mut request = Request::new(&plain.method, &path)
        .query(&query.join("&"))
        .header("x-amz-meta-note", &plain.meta)
        .header("content-type", "text/plain");
    let outgoing =
        Outgoing { method: &plain.method, path: &path, query: &pairs, payload: "UNSIGNED-PAYLOAD" };
    let keys = SigningKeys::default();
    sign(&outgoing, &mut request.headers, &credential(), "eu-west-1", &keys, NOW).expect("a host");
    request
}

/// Another byte in place of the one at `at`, one that may stand in a path or query.
fn flipped(text: &str, at: prop::sample::Index) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len());
    bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
    String::from_utf8(bytes).expect("ASCII before and after")
}

fn is_refused(request: &Request) -> bool {
    // A changed name of a header is missed before the signature is.
    matches!(
        request.authenticate(),
        Err(AuthError::SignatureDoesNotMatch(_) | AuthError::HeadersNotSigned { .. })
    )
}

fn decode(
    kind: PayloadKind,
    length: u64,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, Trailers), BodyError> {
    let mut decoder = Decoder::new(kind, seed(SEED), length);
    let mut content = Vec::new();
    for piece in pieces {
        decoder
            .feed(Bytes::copy_from_slice(piece), &mut |part| content.extend_from_slice(&part))?;
    }
    Ok((content, decoder.finish()?))
}

fn kinds() -> impl Strategy<Value = PayloadKind> {
    prop::sample::select(vec![
        PayloadKind::SignedChunks { trailer: false },
        PayloadKind::SignedChunks { trailer: true },
        PayloadKind::UnsignedChunksTrailer,
    ])
}

proptest! {
    #[test]
    fn what_is_signed_is_authentic(plain in plain()) {
        let request = signed(&plain);
        prop_assert!(request.authenticate().is_ok(), "{:?}", request.authenticate());
    }

    #[test]
    fn another_spelling_of_the_path_and_another_order_of_the_query_are_authentic(
        plain in plain()
    ) {
        let mut request = signed(&plain);
        request.path = request.path.bytes().map(|byte| match byte {
            b'/' => "/".to_owned(),
            b'%' => "%".to_owned(),
            // Hex digits may belong to an escape, which must not be taken apart.
            b'0'..=b'9' | b'A'..=b'F' | b'a'..=b'f' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        }).collect();
        let mut pairs: Vec<&str> = request.query.as_sent().split('&').collect();
        pairs.reverse();
        request.query = Query::parse(&pairs.join("&"));
        prop_assert!(request.authenticate().is_ok(), "{:?}", request.authenticate());
    }

    #[test]
    fn a_changed_method_is_not_authentic(plain in plain()) {
        let mut request = signed(&plain);
        request.method = Method::POST;
        prop_assert!(is_refused(&request));
    }

    #[test]
    fn a_changed_path_is_not_authentic(plain in plain(), at: prop::sample::Index) {
        let mut request = signed(&plain);
        request.path = flipped(&request.path, at);
        prop_assert!(is_refused(&request), "{:?}", request.path);
    }

    #[test]
    fn a_changed_query_is_not_authentic(mut plain in plain(), at: prop::sample::Index) {
        plain.query.push(("versionId".into(), "1".into()));
        let mut request = signed(&plain);
        request.query = Query::parse(&flipped(request.query.as_sent(), at));
        prop_assert!(is_refused(&request), "{:?}", request.query);
    }

    #[test]
    fn a_changed_header_is_not_authentic(
        plain in plain(),
        name in prop::sample::select(vec!["host", "content-type", "x-amz-meta-note"]),
        at: prop::sample::Index,
    ) {
        let mut request = signed(&plain);
        let value = flipped(request.headers[name].to_str().expect("ASCII"), at);
        request.headers.insert(name, HeaderValue::from_str(&value).expect("ASCII"));
        prop_assert!(is_refused(&request), "{name}: {value:?}");
    }

    #[test]
    fn a_body_split_anywhere_decodes_to_the_same(
        kind in kinds(),
        chunks in vec(vec(any::<u8>(), 1..40), 0..4),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let content = chunks.concat();
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let trailers = [("x-amz-checksum-crc32", "AAAAAA==")];
        let trailers = if kind.has_trailer() { &trailers[..] } else { &[] };
        let body = framed(kind, seed(SEED), &chunks, trailers);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
        let (decoded, received) = decode(kind, content.len() as u64, &pieces).expect("well framed");
        prop_assert_eq!(decoded, content);
        prop_assert!(received.iter().map(|(name, value)| (name.as_str(), value)).eq(
            trailers.iter().copied()
        ));
    }

    #[test]
    fn changed_content_or_trailers_of_signed_chunks_are_not_authentic(
        content in vec(any::<u8>(), 1..40),
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let kind = PayloadKind::SignedChunks { trailer: true };
        let trailers = [("x-amz-checksum-crc32", "AAAAAA==")];
        let body = framed(kind, seed(SEED), &[&content], &trailers);
        let mut changed = body.clone();
        changed[at.index(body.len())] ^= 1 << bit;
        // Some changes mean nothing: hex digits and names in the other case, white space.
        if let Ok(read) = decode(kind, content.len() as u64, &[&changed]) {
            prop_assert_eq!(read, decode(kind, content.len() as u64, &[&body]).expect("signed"));
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        kind in kinds(),
        length in prop_oneof![0_u64..64, Just(u64::MAX)],
        pieces in vec(
            prop_oneof![
                vec(any::<u8>(), 0..8),
                "[0-9a-f]{1,17}(;chunk-signature=0)?\r\n".prop_map(String::into_bytes),
                "0\r\n|\r\n|\r|\n|a:b\r\n|x-amz-trailer-signature:0\r\n"
                    .prop_map(String::into_bytes),
            ],
            0..12,
        ),
    ) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        if let Ok((content, _)) = decode(kind, length, &pieces) {
            prop_assert_eq!(content.len() as u64, length);
        }
    }
}
