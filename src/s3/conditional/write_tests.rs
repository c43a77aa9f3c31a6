use super::*;
use crate::http1::fields::Fields;
use crate::s3::Query;
use crate::s3::conditional::fixture;

fn parse(operation: Operation, headers: &[(&'static str, &str)]) -> Result<Preconditions, S3Error> {
    fixture::parse(Dialect::Aws, operation, headers)
}

fn etag(value: &str) -> Preconditions {
    Preconditions::if_match(ETag::parse(value.as_bytes()))
}

/// The `<Header>` and `<additionalMessage>` of a 501.
fn refused(found: Result<Preconditions, S3Error>) -> (String, Option<String>) {
    let error = found.unwrap_err();
    assert_eq!((error.status().as_u16(), error.code()), (501, "NotImplemented"));
    let field = |name| error.field(name).map(str::to_owned);
    (field("Header").unwrap(), field("additionalMessage"))
}

#[test]
fn a_put_is_conditional_on_absence_or_on_one_etag() {
    const NONE: Preconditions = Preconditions::NONE;
    const ANY: Preconditions = Preconditions::IF_NONE_MATCH_ANY;
    for (headers, expected) in [
        (&[][..], NONE),
        (&[("if-none-match", "*")], ANY),
        (&[("if-none-match", " * ")], ANY),
        (&[("if-match", "\"abc\"")], etag("abc")),
        (&[("if-match", "abc")], etag("abc")),
        (&[("if-match", "W/\"abc\"")], etag("W/\"abc\"")),
        (&[("if-match", "\"a\", \"b\"")], etag("\"a\", \"b\"")),
        (&[("if-match", "bad-char_/")], etag("bad-char_/")),
        (&[("if-match", "\"\"")], etag("")),
        // an empty value is a missing header
        (&[("if-match", "")], NONE),
        (&[("if-none-match", " ")], NONE),
        (&[("if-match", ""), ("if-none-match", "*")], ANY),
        (&[("if-match", ""), ("if-match", "abc")], etag("abc")),
        // the same said twice is said once
        (&[("if-none-match", "*"), ("if-none-match", "*")], ANY),
        (&[("if-match", "abc"), ("if-match", "abc ")], etag("abc")),
        // what AWS ignores on a put
        (&[("if-unmodified-since", "x"), ("x-amz-if-match-size", "3")], NONE),
    ] {
        for operation in
            [Operation::PutObject, Operation::CopyObject, Operation::CompleteMultipartUpload]
        {
            assert_eq!(parse(operation, headers), Ok(expected.clone()), "{headers:?}");
        }
    }
}

#[test]
fn what_aws_does_not_accept_on_a_put_is_501_with_its_words() {
    for (headers, header, additional) in [
        (&[("if-match", "*")][..], "If-Match", IF_MATCH_VALUE),
        (&[("if-match", "a"), ("if-match", "b")], "If-Match", IF_MATCH_VALUE),
        (&[("if-match", "\"a\""), ("if-match", "a")], "If-Match", IF_MATCH_VALUE),
        (&[("if-none-match", "\"abc\"")], "If-None-Match", IF_NONE_MATCH_VALUE),
        (&[("if-none-match", "*, \"a\"")], "If-None-Match", IF_NONE_MATCH_VALUE),
        (&[("if-none-match", "W/\"a\"")], "If-None-Match", IF_NONE_MATCH_VALUE),
        (&[("if-none-match", "*"), ("if-none-match", "a")], "If-None-Match", IF_NONE_MATCH_VALUE),
        (&[("if-match", "a"), ("if-none-match", "*")], "If-Match,If-None-Match", BOTH),
        (&[("if-match", "*"), ("if-none-match", "a")], "If-Match,If-None-Match", BOTH),
    ] {
        assert_eq!(
            refused(parse(Operation::PutObject, headers)),
            (header.to_owned(), Some(additional.to_owned())),
            "{headers:?}"
        );
    }
}

#[test]
fn a_generation_is_a_condition_of_its_own() {
    let name = "x-ifmatch-if-generation-match";
    let generation = Preconditions::if_generation_match("e.7");
    for operation in
        [Operation::PutObject, Operation::CopyObject, Operation::CompleteMultipartUpload]
    {
        assert_eq!(parse(operation, &[(name, "e.7")]), Ok(generation.clone()));
        assert_eq!(parse(operation, &[(name, "absent")]), Ok(Preconditions::IF_NONE_MATCH_ANY));
    }
    assert_eq!(parse(Operation::DeleteObject, &[(name, "e.7")]), Ok(generation.clone()));
    for (operation, headers, status) in [
        (Operation::PutObject, &[(name, "e.7"), ("if-match", "a")][..], 501),
        (Operation::PutObject, &[(name, "e.7"), ("if-none-match", "*")], 501),
        (Operation::AppendObject, &[(name, "e.7")], 501),
        (Operation::DeleteObjectVersion, &[(name, "e.7")], 501),
        (Operation::DeleteObject, &[(name, "absent")], 400),
        (Operation::PutObject, &[(name, "")], 400),
        (Operation::PutObject, &[(name, "e.7"), (name, "e.8")], 400),
    ] {
        let error = parse(operation, headers).unwrap_err();
        assert_eq!(error.status().as_u16(), status, "{operation:?} {headers:?}");
    }
}

#[test]
fn a_delete_takes_an_etag_or_a_star_and_nothing_else() {
    let delete = |headers| parse(Operation::DeleteObject, headers);
    assert_eq!(delete(&[]), Ok(Preconditions::NONE));
    assert_eq!(delete(&[("if-match", "*")]), Ok(Preconditions::IF_MATCH_ANY));
    assert_eq!(delete(&[("if-match", "\"abc\"")]), Ok(etag("abc")));
    for (headers, header) in [
        (&[("if-none-match", "*")][..], "If-None-Match"),
        (&[("if-none-match", "abc")], "If-None-Match"),
        (&[("if-match", "a"), ("if-none-match", "*")], "If-Match,If-None-Match"),
        (&[("x-amz-if-match-size", "3")], "x-amz-if-match-size"),
        (&[("x-amz-if-match-size", "3"), ("if-match", "a")], "x-amz-if-match-size"),
        (
            &[("x-amz-if-match-size", "3"), ("x-amz-if-match-last-modified-time", "x")],
            "x-amz-if-match-last-modified-time",
        ),
    ] {
        assert_eq!(refused(delete(headers)).0, header, "{headers:?}");
    }
    assert_eq!(refused(delete(&[("x-amz-if-match-size", "3")])).1, None);
}

#[test]
fn a_condition_that_is_not_judged_is_refused_and_never_ignored() {
    for operation in [
        Operation::DeleteObjectVersion,
        Operation::AppendObject,
        Operation::RenameObject,
        Operation::PostObject,
        Operation::DeleteObjects,
    ] {
        assert_eq!(parse(operation, &[]), Ok(Preconditions::NONE));
        assert_eq!(parse(operation, &[("if-match", "")]), Ok(Preconditions::NONE));
        for (name, value, header) in [
            ("if-match", "abc", "If-Match"),
            ("if-match", "*", "If-Match"),
            ("if-none-match", "*", "If-None-Match"),
            ("if-none-match", "abc", "If-None-Match"),
        ] {
            assert_eq!(refused(parse(operation, &[(name, value)])).0, header, "{operation:?}");
        }
    }
}

#[test]
fn a_write_with_an_unknown_parameter_keeps_its_condition() {
    let parse = |method, query, name: &'static str, value| {
        let headers =
            Fields::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
        let head = RequestHead {
            method: &method,
            path: "/bucket/key",
            query: &Query::parse(query),
            headers: &headers,
        };
        Preconditions::of_write(head, Operation::UnknownWrite, Dialect::Aws)
            .map_err(|error| error.status().as_u16())
    };
    let none_match = "if-none-match";
    assert_eq!(
        parse(Method::PUT, "foo=bar", none_match, "*"),
        Ok(Preconditions::IF_NONE_MATCH_ANY)
    );
    assert_eq!(parse(Method::PUT, "foo", "if-match", "\"e\""), Ok(etag("\"e\"")));
    assert_eq!(parse(Method::DELETE, "foo", "if-match", "*"), Ok(Preconditions::IF_MATCH_ANY));
    for (method, query, name, value) in [
        (Method::PUT, "foo", "if-match", "*"),
        (Method::DELETE, "foo", none_match, "*"),
        // A condition on one version is not judged, and the effect of such a POST is unknown.
        (Method::DELETE, "foo&version%49d=1", "if-match", "\"e\""),
        (Method::PUT, "foo&versionId=1", "if-match", "\"e\""),
        (Method::POST, "foo", none_match, "*"),
        (Method::PATCH, "foo", "if-match", "\"e\""),
    ] {
        assert_eq!(parse(method.clone(), query, name, value), Err(501), "{method} {query}");
    }
}

#[test]
fn conditions_of_reads_and_on_a_copys_source_are_left_to_the_store() {
    for operation in [Operation::GetObject, Operation::HeadObject, Operation::UploadPartCopy] {
        let both = [("if-match", "a"), ("if-none-match", "\"b\"")];
        assert_eq!(parse(operation, &both), Ok(Preconditions::NONE));
    }
    let source = [("x-amz-copy-source-if-match", "a")];
    assert_eq!(parse(Operation::CopyObject, &source), Ok(Preconditions::NONE));
}

#[test]
fn an_entry_of_a_batch_delete_matches_like_a_delete() {
    let entry = |etag| {
        let elements = EntryElements { etag: Some(etag), ..EntryElements::default() };
        Preconditions::of_entry(elements, false, Dialect::Aws).unwrap()
    };
    assert_eq!(entry(" "), Preconditions::NONE);
    assert_eq!(entry("*"), Preconditions::IF_MATCH_ANY);
    assert_eq!(entry("\"abc\""), etag("abc"));
    // White space to Unicode but not to XML or HTTP: an ETag that no object has, not no condition.
    for odd in ["\u{a0}", "\u{2003}", "\u{b}", "\u{a0}*"] {
        assert_eq!(entry(odd), etag(odd), "{odd:?}");
    }
}
