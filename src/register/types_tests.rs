use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::http1::fields::Fields;
use crate::s3::{Dialect, Operation, Query, RequestHead, Seen};

fn etag() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["\"a\"", "\"b\"", "W/\"a\"", "a"])
}

/// What a write may say, and much that it may not.
fn line() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop_oneof![
        (
            prop::sample::select(vec!["if-match", "if-none-match"]),
            prop_oneof![Just("*"), etag(), Just("\"a\", \"b\""), Just("")],
        ),
        (Just("x-amz-if-match-size"), prop::sample::select(vec!["1", "2"])),
        (Just("x-amz-if-match-last-modified-time"), Just("Thu, 01 Jan 1970 00:00:01 GMT")),
        (Just("x-ifmatch-if-generation-match"), prop::sample::select(vec!["e.1", "e.2"])),
    ]
}

/// The preconditions of a write as they come from its head.
fn preconditions() -> impl Strategy<Value = Preconditions> {
    let lines = prop::collection::vec(line(), 0..3);
    let operation = prop::sample::select(vec![Operation::PutObject, Operation::DeleteObject]);
    let dialect = prop::sample::select(vec![Dialect::Aws, Dialect::Rfc]);
    (lines, operation, dialect).prop_filter_map("refused", |(lines, operation, dialect)| {
        let mut headers = Fields::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let head = RequestHead {
            method: &Method::PUT,
            path: "/bucket/key",
            query: &Query::default(),
            headers: &headers,
        };
        Preconditions::of_write(head, operation, dialect).ok()
    })
}

fn current() -> impl Strategy<Value = Current> {
    prop_oneof![
        Just(Current::Absent),
        etag().prop_map(|etag| Current::Present(ETag::parse(etag.as_bytes()))),
    ]
}

fn generation() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(vec!["e.1", "e.2"]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// L1, L4: the register arms a write without a HEAD only where a HEAD would have let it through.
    #[test]
    fn what_the_register_says_is_what_a_head_would_have_said(
        preconditions in preconditions(),
        current in current(),
        generation in generation(),
        size_bytes in prop::option::of(1..3_u64),
        last_modified_s in prop::option::of(0..3_i64),
    ) {
        let named = generation.map(|name| Generation(name.to_owned()));
        let satisfies = |state: &State| state.satisfies(named.as_ref(), &preconditions);
        let seen = Seen {
            generation: generation.map(Into::into),
            size_bytes,
            last_modified_s,
            ..Seen::from(current.clone())
        };
        let holds = preconditions.evaluate(&seen).is_ok();
        let satisfied = satisfies(&State::from(current));
        prop_assert!(holds || !satisfied, "{preconditions:?} of {seen:?}");
        if preconditions.shape() != Shape::Compound {
            prop_assert_eq!(satisfied, holds, "{:?} of {:?}", &preconditions, &seen);
        }
        prop_assert_eq!(satisfies(&State::Unknown), preconditions.is_empty());
    }
}
