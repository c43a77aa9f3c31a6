//! The evaluation of preconditions of writes. Those of reads are in `read_tests.rs`.

use super::*;
use crate::s3::conditional::{EntryElements, fixture};
use crate::s3::{Current, Dialect, ETag, Operation, S3Error, Seen, Shape};

fn parse(operation: Operation, headers: &[(&'static str, &str)]) -> Result<Preconditions, S3Error> {
    fixture::parse(Dialect::Rfc, operation, headers)
}

fn object() -> Seen {
    Seen {
        current: Current::Present(ETag::parse(b"e")),
        size_bytes: Some(3),
        last_modified_s: Some(1_577_836_800),
        generation: None,
        id_field: None,
    }
}

const DATE: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const LATER: &str = "Wed, 01 Jan 2020 00:00:01 GMT";

/// `pass`, `404`, or the header that a 412 names.
fn told(preconditions: &Preconditions, seen: &Seen) -> &'static str {
    let exists = seen.current != Current::Absent;
    match preconditions.evaluate(seen) {
        Ok(()) => "pass",
        Err(failed) if failed.has_nothing_to_match(exists) => "404",
        Err(failed) => failed.as_str(),
    }
}

#[test]
fn an_object_with_a_weak_etag_matches_weakly_only() {
    let seen = Seen::from(Current::Present(ETag::parse(b"W/\"e\"")));
    for (header, value, verdict) in [
        ("if-match", "W/\"e\"", "If-Match"),
        ("if-match", "\"e\"", "If-Match"),
        ("if-match", "\"W/\"e\"\"", "If-Match"),
        ("if-match", "*", "pass"),
        ("if-none-match", "W/\"e\"", "If-None-Match"),
        ("if-none-match", "\"e\"", "If-None-Match"),
        ("if-none-match", "\"a\", W/\"e\"", "If-None-Match"),
        ("if-none-match", "W/\"a\"", "pass"),
    ] {
        assert_eq!(
            told(&parse(Operation::PutObject, &[(header, value)]).unwrap(), &seen),
            verdict,
            "{header}: {value}"
        );
    }
}

#[test]
fn awss_preconditions_have_awss_outcome_in_every_case() {
    let etag = |value: &str| Preconditions::if_match(ETag::parse(value.as_bytes()));
    let seen = Seen::from(Current::Present(ETag::parse(b"\"abc\"")));
    for (preconditions, absent, there) in [
        (Preconditions::NONE, "pass", "pass"),
        (Preconditions::IF_NONE_MATCH_ANY, "pass", "If-None-Match"),
        (Preconditions::IF_MATCH_ANY, "404", "pass"),
        (etag("\"abc\""), "404", "pass"),
        (etag("abc"), "404", "pass"),
        (etag("\"other\""), "404", "If-Match"),
        (etag("ABC"), "404", "If-Match"),
        (etag("W/\"abc\""), "404", "If-Match"),
        (etag("\"abc\", \"def\""), "404", "If-Match"),
        (etag("bad-char_/"), "404", "If-Match"),
        (etag("\"\""), "404", "If-Match"),
    ] {
        assert_eq!(told(&preconditions, &Seen::ABSENT), absent, "{preconditions:?}");
        assert_eq!(told(&preconditions, &seen), there, "{preconditions:?}");
    }
    // To AWS a weak ETag is bytes like any other.
    let weak = Seen::from(Current::Present(ETag::parse(b"W/\"abc\"")));
    assert_eq!(told(&etag("W/\"abc\""), &weak), "pass");
}

#[test]
fn a_generation_equals_only_itself() {
    let wanted = Preconditions::if_generation_match("e.7");
    let seen = |generation: Option<&str>| Seen {
        generation: generation.map(Into::into),
        ..Seen::from(Current::Present(ETag::parse(b"e")))
    };
    assert_eq!(told(&wanted, &seen(Some("e.7"))), "pass");
    assert_eq!(told(&wanted, &seen(Some("e.8"))), "x-ifmatch-if-generation-match");
    assert_eq!(told(&wanted, &seen(None)), "x-ifmatch-if-generation-match");
    let deleted = Seen { generation: Some("e.7".into()), ..Seen::ABSENT };
    assert_eq!(told(&wanted, &deleted), "pass", "a deleted key has a generation too");
}

#[test]
fn a_put_is_judged_as_the_rfc_has_it() {
    for (headers, there, absent) in [
        (&[][..], "pass", "pass"),
        (&[("if-none-match", "*")], "If-None-Match", "pass"),
        (&[("if-none-match", "\"e\"")], "If-None-Match", "pass"),
        (&[("if-none-match", "e")], "If-None-Match", "pass"),
        (&[("if-none-match", "W/\"e\"")], "If-None-Match", "pass"),
        (&[("if-none-match", "\"a\", \"e\"")], "If-None-Match", "pass"),
        (&[("if-none-match", "\"a\""), ("if-none-match", "\"e\"")], "If-None-Match", "pass"),
        (&[("if-none-match", "badetag")], "pass", "pass"),
        (&[("if-match", "*")], "pass", "404"),
        (&[("if-match", "\"e\"")], "pass", "404"),
        (&[("if-match", "\"a\", \"e\"")], "pass", "404"),
        (&[("if-match", "W/\"e\"")], "If-Match", "404"),
        (&[("if-match", "\"a\"")], "If-Match", "404"),
        (&[("if-match", "\"e\""), ("if-none-match", "\"a\"")], "pass", "404"),
        (&[("if-match", "\"e\""), ("if-none-match", "\"e\"")], "If-None-Match", "404"),
        (&[("if-match", "\"a\""), ("if-none-match", "*")], "If-Match", "404"),
        (&[("if-match", ""), ("if-none-match", "")], "pass", "pass"),
        (&[("x-amz-if-match-size", "9")], "pass", "pass"),
    ] {
        for operation in
            [Operation::PutObject, Operation::CopyObject, Operation::CompleteMultipartUpload]
        {
            let condition = parse(operation, headers).unwrap();
            assert_eq!(told(&condition, &object()), there, "{headers:?}");
            assert_eq!(told(&condition, &Seen::ABSENT), absent, "{headers:?}");
        }
    }
}

#[test]
fn a_delete_is_judged_by_etag_size_and_time_and_of_nothing_it_is_done() {
    for (headers, there) in [
        (&[][..], "pass"),
        (&[("if-match", "*")], "pass"),
        (&[("if-match", "e")], "pass"),
        (&[("if-match", "badetag")], "If-Match"),
        (&[("if-none-match", "e")], "If-None-Match"),
        (&[("x-amz-if-match-size", "3")], "pass"),
        (&[("x-amz-if-match-size", "9")], "x-amz-if-match-size"),
        (&[("x-amz-if-match-last-modified-time", DATE)], "pass"),
        (&[("x-amz-if-match-last-modified-time", LATER)], "x-amz-if-match-last-modified-time"),
        (&[("if-match", "e"), ("x-amz-if-match-size", "9")], "x-amz-if-match-size"),
    ] {
        for operation in [Operation::DeleteObject, Operation::DeleteObjectVersion] {
            let condition = parse(operation, headers).unwrap();
            assert_eq!(told(&condition, &object()), there, "{headers:?}");
            assert_eq!(told(&condition, &Seen::ABSENT), "pass", "{headers:?}");
        }
    }
    for (name, value) in
        [("x-amz-if-match-size", "three"), ("x-amz-if-match-last-modified-time", "today")]
    {
        let error = parse(Operation::DeleteObject, &[(name, value)]).unwrap_err();
        assert_eq!((error.code(), error.field("ArgumentName")), ("InvalidArgument", Some(name)));
    }
}

#[test]
fn what_the_register_can_see_fulfilled_is_told_as_aws_tells_it() {
    let put = |headers| parse(Operation::PutObject, headers).unwrap();
    assert_eq!(put(&[("if-none-match", "*")]), Preconditions::IF_NONE_MATCH_ANY);
    assert_eq!(put(&[("if-match", "*")]), Preconditions::IF_MATCH_ANY);
    assert_eq!(put(&[("if-match", "\"e\"")]), Preconditions::if_match(ETag::parse(b"e")));
    assert_eq!(put(&[("if-match", "W/\"e\"")]).shape(), Shape::Compound);
}

#[test]
fn an_entry_of_a_batch_names_what_a_delete_may() {
    let read = |etag, size, last_modified_time| {
        let elements = EntryElements { etag, size, last_modified_time };
        Preconditions::of_entry(elements, false, Dialect::Rfc)
    };
    let of = |etag, size, time| read(etag, size, time).unwrap();
    assert_eq!(of(None, None, None), Preconditions::NONE);
    assert_eq!(of(Some(" "), None, None), Preconditions::NONE);
    for (etag, size, time, told_there) in [
        (Some("\"e\""), None, None, "pass"),
        (Some("*"), None, None, "pass"),
        (Some("a"), Some("3"), None, "If-Match"),
        (None, Some("4"), None, "x-amz-if-match-size"),
        (None, None, Some(DATE), "pass"),
        (None, None, Some(LATER), "x-amz-if-match-last-modified-time"),
    ] {
        assert_eq!(told(&of(etag, size, time), &object()), told_there);
        assert_eq!(told(&of(etag, size, time), &Seen::ABSENT), "pass");
    }
    assert!(read(None, Some("x"), None).is_err());
}

#[test]
fn operations_that_are_not_judged_are_refused_in_every_dialect() {
    for operation in [Operation::AppendObject, Operation::RenameObject] {
        assert_eq!(parse(operation, &[("if-match", "e")]).unwrap_err().status().as_u16(), 501);
    }
}
