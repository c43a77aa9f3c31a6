//! ETags and their judgement: bytes that are compared, whatever they are.
#![no_main]

use ifmatch::s3::conditional::EntryElements;
use ifmatch::s3::{Current, Dialect, ETag, Shape, Preconditions, Seen};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (wanted, stored) = (ETag::parse(input.0), ETag::parse(input.1));
    assert_eq!(ETag::parse(&wanted.quoted()), wanted, "quotes are no part of it");
    let current = Current::Present(stored.clone());
    let holds = |preconditions: &Preconditions, current: &Current| {
        preconditions.evaluate(&Seen::from(current.clone())).is_ok()
    };
    let if_match = Preconditions::if_match(wanted.clone());
    assert_eq!(holds(&if_match, &current), wanted.as_bytes() == stored.as_bytes());
    assert!(!holds(&if_match, &Current::Absent));
    assert!(!holds(&Preconditions::IF_NONE_MATCH_ANY, &current));
    assert!(holds(&Preconditions::IF_NONE_MATCH_ANY, &Current::Absent));
    if let Ok(text) = std::str::from_utf8(input.0) {
        let elements = EntryElements { etag: Some(text), ..EntryElements::default() };
        let entry = Preconditions::of_entry(elements, false, Dialect::Aws).expect("an ETag or *");
        match entry.shape() {
            Shape::IfMatch(etag) => assert_eq!(*etag, wanted),
            Shape::IfMatchAny => assert_eq!(text.trim_ascii(), "*"),
            Shape::None => assert_eq!(text.trim_ascii(), ""),
            Shape::IfNoneMatchAny | Shape::Compound | Shape::GenerationMatch(_) => {
                panic!("an entry cannot say so")
            }
        }
    }
    if let Some(value) = wanted.header_value() {
        assert_eq!(ETag::parse(value.as_bytes()), wanted);
    }
});
