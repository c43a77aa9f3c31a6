use proptest::prelude::*;

use super::*;
use crate::s3::form::tests::form_of;

/// One second before the expiration that the tests' policies have.
const BEFORE: i64 = 1_767_225_599;

fn policy(conditions: &str) -> Result<PostPolicy, S3Error> {
    let json =
        format!(r#"{{"expiration": "2026-01-01T00:00:00.000Z", "conditions": {conditions}}}"#);
    PostPolicy::parse(&STANDARD.encode(json))
}

fn form(fields: &[(&str, &str)]) -> PostForm {
    form_of(fields, "f", "12345").unwrap().0
}

fn check(conditions: &str, fields: &[(&str, &str)]) -> Result<(), String> {
    let error = match policy(conditions).unwrap().check(&form(fields), "buck", BEFORE) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let expected = if error.code() == "AccessDenied" { 403 } else { 400 };
    assert_eq!(error.status().as_u16(), expected);
    let message = error.message();
    let denial = message.strip_prefix("Invalid according to Policy: ");
    Err(denial.unwrap_or_else(|| error.code()).to_owned())
}

#[test]
fn every_condition_must_hold_and_a_failing_one_is_shown() {
    let exact = r#"[{"bucket": "buck"}, ["eq", "$key", "a/b"], {"ACL": "private"}]"#;
    assert_eq!(check(exact, &[("key", "a/b"), ("acl", "private")]), Ok(()));
    assert_eq!(
        check(exact, &[("key", "a/b"), ("acl", "public-read")]),
        Err(r#"Policy Condition failed: ["eq", "$acl", "private"]"#.to_owned())
    );
    let prefix = r#"[["starts-with", "$Key", "a/"]]"#;
    assert_eq!(check(prefix, &[("key", "a/b")]), Ok(()));
    assert_eq!(
        check(prefix, &[("key", "b/a/")]),
        Err(r#"Policy Condition failed: ["starts-with", "$key", "a/"]"#.to_owned())
    );
    assert!(check(r#"[{"bucket": "other"}, {"key": "a"}]"#, &[("key", "a")]).is_err());
    // a field that says so does not make it the bucket
    let other = [("key", "a"), ("bucket", "other")];
    assert!(check(r#"[{"bucket": "other"}, {"key": "a"}]"#, &other).is_err());
}

#[test]
fn anything_may_start_with_nothing_but_must_be_there() {
    let any = r#"[{"key": "a"}, ["starts-with", "$Content-Type", ""]]"#;
    assert_eq!(check(any, &[("key", "a"), ("Content-Type", "x/y")]), Ok(()));
    assert!(check(any, &[("key", "a")]).is_err());
}

#[test]
fn a_content_type_with_commas_is_a_list() {
    let images = r#"[{"key": "a"}, ["starts-with", "$content-type", "image/"]]"#;
    let of = |types| check(images, &[("key", "a"), ("content-type", types)]);
    assert_eq!(of("image/png, image/gif"), Ok(()));
    assert!(of("image/png,text/html").is_err());
}

#[test]
fn a_field_that_no_condition_covers_is_refused() {
    let key = r#"[{"key": "a"}]"#;
    let free = [("key", "a"), ("policy", "p"), ("x-amz-signature", "s"), ("X-Ignore-me", "i")];
    assert_eq!(check(key, &free), Ok(()));
    assert_eq!(
        check(key, &[("key", "a"), ("acl", "x"), ("X-Amz-Meta-A", "b")]),
        Err("Extra input fields: acl, x-amz-meta-a".to_owned())
    );
    assert_eq!(check("[]", &[("key", "a")]), Err("Extra input fields: key".to_owned()));
}

#[test]
fn the_files_size_must_be_in_range_both_ends_included() {
    let of = |min: &str, max: &str| {
        policy(&format!(r#"[{{"key": "a"}}, ["content-length-range", {min}, {max}]]"#)).unwrap()
    };
    let range = |min, max| of(min, max).check_size(5, 5);
    assert_eq!(range("5", "5"), Ok(()));
    assert_eq!(range("\"0\"", "\"10\""), Ok(()));
    let small = range("6", "10").unwrap_err();
    assert_eq!((small.code(), small.field("ProposedSize")), ("EntityTooSmall", Some("5")));
    assert_eq!(small.field("MinSizeAllowed"), Some("6"));
    let large = range("0", "4").unwrap_err();
    assert_eq!((large.code(), large.field("MaxSizeAllowed")), ("EntityTooLarge", Some("4")));
}

#[test]
fn a_policy_ends_at_its_expiration() {
    let policy = policy(r#"[{"key": "a"}]"#).unwrap();
    let form = form(&[("key", "a")]);
    assert_eq!(policy.check(&form, "buck", BEFORE), Ok(()));
    let error = policy.check(&form, "buck", BEFORE + 1).unwrap_err();
    assert_eq!((error.status().as_u16(), error.code()), (403, "AccessDenied"));
    assert_eq!(error.message(), "Invalid according to Policy: Policy expired.");
}

#[test]
fn what_is_no_policy_is_refused_and_never_read_as_less_strict() {
    for conditions in [
        "{}",
        "3",
        r#"["a"]"#,
        "[{}]",
        r#"[{"a": "b", "c": "d"}]"#,
        r#"[{"a": 1}]"#,
        "[[]]",
        r#"[["eq", "$a"]]"#,
        r#"[["eq", "a", "b"]]"#,
        r#"[["eq", "$", "b"]]"#,
        r#"[["eq", "$a", 1]]"#,
        r#"[["ends-with", "$a", "b"]]"#,
        r#"[["eq", "$a", "b", "c"]]"#,
        r#"[["content-length-range", -1, 2]]"#,
        r#"[["content-length-range", "x", 2]]"#,
    ] {
        let error = policy(conditions).unwrap_err();
        let seen = (error.status().as_u16(), error.code());
        assert_eq!(seen, (400, "InvalidPolicyDocument"), "{conditions}");
    }
    for json in [
        "",
        "[]",
        "{",
        r#"{"conditions": []}"#,
        r#"{"expiration": "2026-01-01T00:00:00Z"}"#,
        r#"{"expiration": "tomorrow", "conditions": []}"#,
        r#"{"expiration": "2026-11-30 17:00:00+00:00", "conditions": []}"#,
        r#"{"expiration": "2026-11-30t17:00:00Z", "conditions": []}"#,
        r#"{"expiration": "2026-11-30T17:00:00", "conditions": []}"#,
        r#"{"expiration": 5, "conditions": []}"#,
    ] {
        assert!(PostPolicy::parse(&STANDARD.encode(json)).is_err(), "{json}");
    }
    assert!(PostPolicy::parse("%%%").is_err());
}

#[test]
fn base64_may_be_broken_into_lines() {
    let encoded = STANDARD.encode(r#"{"expiration": "2026-01-01T00:00:00Z", "conditions": []}"#);
    let broken = format!("{}\r\n{}", &encoded[..20], &encoded[20..]);
    assert_eq!(PostPolicy::parse(&broken), PostPolicy::parse(&encoded));
    assert!(PostPolicy::parse(&encoded).is_ok());
}

proptest! {
    #[test]
    fn no_policy_panics(json in r#"[{}\[\]",:a$0-9 ]{0,40}"#, encoded in "\\PC{0,40}") {
        let _ = policy(&json);
        let _ = PostPolicy::parse(&encoded);
    }
}
