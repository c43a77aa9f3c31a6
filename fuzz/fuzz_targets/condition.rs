//! ETags and their judgement: bytes that are compared, whatever they are.
#![no_main]

use ifmatch::s3::{Condition, Current, ETag, Verdict, judge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (wanted, stored) = (ETag::parse(input.0), ETag::parse(input.1));
    assert_eq!(ETag::parse(&wanted.quoted()), wanted, "quotes are no part of it");
    let current = Current::Present(stored.clone());
    let passes = |condition: &Condition, current: &Current| {
        judge(condition, &current.clone().into()) == Verdict::Pass
    };
    let if_match = Condition::IfMatch(wanted.clone());
    assert_eq!(passes(&if_match, &current), wanted.as_bytes() == stored.as_bytes());
    assert!(!passes(&if_match, &Current::Absent));
    assert!(!passes(&Condition::IfNoneMatchAny, &current));
    assert!(passes(&Condition::IfNoneMatchAny, &Current::Absent));
    if let Ok(text) = std::str::from_utf8(input.0) {
        match Condition::if_match_of_entry(text) {
            Condition::IfMatch(etag) => assert_eq!(etag, wanted),
            Condition::IfMatchAny => assert_eq!(text.trim_ascii(), "*"),
            Condition::None => assert_eq!(text.trim_ascii(), ""),
            Condition::IfNoneMatchAny | Condition::Rfc(_) | Condition::GenerationMatch(_) => {
                panic!("an entry cannot say so")
            }
        }
    }
    if let Some(value) = wanted.header_value() {
        assert_eq!(ETag::parse(value.as_bytes()), wanted);
    }
});
