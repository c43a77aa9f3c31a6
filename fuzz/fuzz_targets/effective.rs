//! A request as it is meant: nothing of a signature and nothing that stands for a header is left in
//! its query, what stands for a header is one, and a second reading finds nothing more.
#![no_main]

use ifmatch::s3::Query;
use ifmatch::sigv4::{EffectiveRequest, Mechanism};
use ifmatch_fuzz::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(mut request) = Request::read(input) else { return };
    let Ok(meant) = EffectiveRequest::of(request.head()) else { return };
    for (name, value) in request.query.parameters() {
        let lower = name.to_ascii_lowercase();
        let is_signature =
            lower.starts_with("x-amz-") && matches!(meant.mechanism, Mechanism::Query);
        if !lower.starts_with("x-amz-") || !meant.mechanism.is_presigned() || is_signature {
            continue;
        }
        let given = meant.headers.get(&lower).expect("what stands for a header is one");
        assert_eq!(given.as_bytes().trim_ascii(), value.trim_matches([' ', '\t']).as_bytes());
    }
    for name in request.headers.keys() {
        assert!(meant.headers.contains_key(name), "{name}");
    }
    let (mechanism, left) = (meant.mechanism, meant.query.clone());
    request.query = Query::parse(left.as_sent());
    assert!(
        request
            .query
            .parameters()
            .all(|(name, _)| { !name.to_ascii_lowercase().starts_with("x-amz-") })
    );
    if mechanism.is_presigned() {
        let again = EffectiveRequest::of(request.head()).expect("there is no signature left");
        assert_eq!(again.mechanism, Mechanism::Nobody);
        assert_eq!(again.query.as_sent(), left.as_sent());
    }
});
