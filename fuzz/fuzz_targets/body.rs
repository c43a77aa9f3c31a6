//! A body held to what its head promised: the same verdict however it is split, and a body that is
//! taken has kept every promise. The input is a request; it is signed here.
#![no_main]

use bytes::Bytes;
use http::HeaderValue;
use ifmatch::s3::Query;
use ifmatch::sigv4::{
    Accepted, BodyCheck, BodyError, BodyPromise, CheckedBody, EffectiveRequest, Outgoing,
    SigningKeys, Wanted, authenticate, sign,
};
use ifmatch_fuzz::{ACCESS_KEY, NOW, Request, clients, cut};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

fn checked(
    promise: &BodyPromise,
    pieces: impl IntoIterator<Item = Bytes>,
) -> Result<(Vec<u8>, CheckedBody), BodyError> {
    let mut check = BodyCheck::new(promise.clone(), Wanted { sha256: true, md5: true });
    let mut content = Vec::new();
    for piece in pieces {
        check.feed(piece, &mut |part| content.extend_from_slice(&part))?;
    }
    Ok((content, check.finish()?))
}

fuzz_target!(|input: &[u8]| {
    let Some(mut request) = Request::read(input) else { return };
    let (clients, keys) = (clients(), SigningKeys::default());
    let payload = request.headers.get("x-amz-content-sha256").cloned();
    let payload =
        payload.as_ref().and_then(|value| value.to_str().ok()).unwrap_or("UNSIGNED-PAYLOAD");
    request.headers.insert("host", HeaderValue::from_static("h"));
    request.path = "/bucket/key".to_owned();
    let pairs: Vec<(&str, &str)> = Vec::new();
    let outgoing =
        Outgoing { method: &request.method, path: &request.path, query: &pairs, payload };
    sign(&outgoing, &mut request.headers, &clients[ACCESS_KEY], "us-east-1", &keys, NOW)
        .expect("what came in a header can be signed");
    request.query = Query::default();
    let meant = EffectiveRequest::of(request.head()).expect("nothing is in the query");
    let Ok(authenticated) = authenticate(&meant, &clients, &keys, &Accepted::default(), NOW) else {
        return; // a payload that is none
    };
    let Ok(promise) = BodyPromise::from_head(&request.head(), &authenticated) else { return };
    let whole = checked(&promise, [request.body.clone()]);
    let bytes = request.body.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
    // Which broken promise is noticed first may depend on how much came at once.
    let verdict = |result: &Result<_, BodyError>| result.clone().ok();
    assert_eq!(verdict(&whole), verdict(&checked(&promise, bytes)));
    assert_eq!(verdict(&whole), verdict(&checked(&promise, cut(request.body.clone(), 7))));
    if let Ok((content, body)) = whole {
        assert_eq!(body.length, content.len() as u64);
        assert!(promise.length.is_none_or(|length| length == body.length));
        assert_eq!(body.sha256, Some(Sha256::digest(&content).into()));
        assert!(promise.content_md5.is_none() || promise.content_md5 == body.md5);
    }
});
