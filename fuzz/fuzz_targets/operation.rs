//! What a request is, under which condition, and what it copies: the same for every spelling of
//! its query, and what is not understood is never taken for a question.
#![no_main]

use http::Method;
use ifmatch::s3::encoding::decode_query;
use ifmatch::s3::{
    Preconditions, CopySource, Dialect, Effect, Naming, Operation, Query, Segments, Subresource, Target,
    Understood, body_refusal, classify, inadmissible,
};
use ifmatch_fuzz::{Request, escaped};
use libfuzzer_sys::fuzz_target;

fn respelled(query: &str) -> String {
    let spell = |part: &str| decode_query(part).map_or_else(|| part.to_owned(), |text| escaped(&text));
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", spell(name), spell(value)),
        None => spell(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fuzz_target!(|input: &[u8]| {
    let Some(mut request) = Request::read(input) else { return };
    let Ok(target) = Target::parse(request.head(), &Naming::default()) else { return };
    let operation = classify(request.head(), &target);
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method);
    let reads = reads && operation != Operation::UnknownBucketWrite;
    assert_eq!(operation.effect() == Effect::Read, reads, "{operation:?}");
    let refused = inadmissible(request.head(), operation);
    for error in refused.iter().chain(&body_refusal(request.head(), operation, true)) {
        assert!([400, 405, 501].contains(&error.status().as_u16()));
    }
    let all = Understood::from_iter(Subresource::ALL);
    assert!(operation.subresource().is_none() || operation.effect_at(all) != operation.effect());
    for dialect in [Dialect::Aws, Dialect::Rfc] {
        if let Err(error) = Preconditions::of_write(request.head(), operation, dialect) {
            assert!((400..600).contains(&error.status().as_u16()));
        }
    }
    if let Ok(Some(source)) = CopySource::from_head(request.head(), Segments::default()) {
        let value = source.header_value().expect("what was decoded can be written");
        request.headers.insert("x-amz-copy-source", value);
        let again = CopySource::from_head(request.head(), Segments::default());
        assert_eq!(again, Ok(Some(source)));
    }
    if !reads && refused.is_none() {
        request.query = Query::parse(&respelled(request.query.as_sent()));
        assert_eq!(classify(request.head(), &target), operation, "{}", request.query);
        assert_eq!(inadmissible(request.head(), operation), None, "{}", request.query);
    }
});
