//! Signatures, of either version: nobody is let in without the secret; what is signed is let in, and no
//! longer once a byte of it has changed.
#![no_main]

use http::HeaderValue;
use ifmatch::s3::Query;
use ifmatch::s3::encoding::{decode, encode_path, encode_query};
use ifmatch::sigv4::{Accepted, EffectiveRequest, Outgoing, SigningKeys, authenticate, sign};
use ifmatch_fuzz::{ACCESS_KEY, NOW, Request, clients, escaped};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(mut request) = Request::read(input) else { return };
    let (clients, keys) = (clients(), SigningKeys::default());
    let accepted = Accepted { version_2: true, ..Accepted::default() };
    let proved = |request: &Request| {
        let meant = EffectiveRequest::of(request.head())?;
        authenticate(&meant, &clients, &keys, &accepted, NOW)
    };
    assert!(proved(&request).is_err(), "a signature was forged");

    // Signed as a client does it: over the plain texts, encoded once.
    let Some(key) = decode(&request.path) else { return };
    let key = key.trim_start_matches('/').to_owned();
    if request.query.check().is_err() {
        return;
    }
    let pairs: Vec<(String, String)> = request
        .query
        .parameters()
        .filter(|(name, _)| *name != "AWSAccessKeyId")
        .map(|(name, value)| (encode_query(name), encode_query(value)))
        .collect();
    if pairs.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("x-amz-")) {
        return;
    }
    request.path = format!("/bucket/{}", encode_path(&key));
    let texts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    request.query = Query::parse(&texts.join("&"));
    request.headers.insert("host", HeaderValue::from_static("h"));
    let borrowed: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let outgoing = Outgoing {
        method: &request.method,
        path: &request.path,
        query: &borrowed,
        payload: "UNSIGNED-PAYLOAD",
    };
    sign(&outgoing, &mut request.headers, &clients[ACCESS_KEY], "eu-west-1", &keys, NOW)
        .expect("a host, and texts that fit a header");
    if let Err(error) = proved(&request) {
        panic!("what was signed is not let in: {error:?}");
    }
    let mut spelled = request.clone();
    spelled.path = format!("/bucket/{}", escaped(&key).replace("%2f", "/"));
    assert!(proved(&spelled).is_ok(), "another spelling of the same key");
    let mut changed = request.clone();
    changed.path.push('x');
    assert!(proved(&changed).is_err(), "another key");
    let mut changed = request.clone();
    changed.query = Query::parse(&format!("{}&acl=", changed.query));
    assert!(proved(&changed).is_err(), "another query");
    let mut changed = request;
    changed.headers.insert("x-amz-acl", HeaderValue::from_static("public-read-write-and-more"));
    assert!(proved(&changed).is_err(), "another header");
});
