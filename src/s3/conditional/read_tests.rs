use proptest::prelude::*;

use super::*;
use crate::http1::fields::Fields;
use crate::s3::conditional::Precondition;

/// The object of the tables: `"e"`, last modified at NOON.
const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 11:59:59 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 12:00:01 GMT";
const FUTURE: &str = "Sun, 06 Nov 2044 12:00:00 GMT";

/// Some time between AFTER and FUTURE.
const NOW: i64 = 1_700_000_000;

fn headers(lines: &[(&str, &str)]) -> Fields {
    let mut headers = Fields::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn object() -> Validators {
    Validators::of(&headers(&[("etag", "\"e\""), ("last-modified", NOON)]))
}

/// How a read of the object is answered: the status and the failing header.
fn read(lines: &[(&str, &str)]) -> (u16, Option<&'static str>) {
    match Preconditions::of_read(&headers(lines), NOW).evaluate(&object()) {
        Ok(()) => (200, None),
        Err(failed) if failed.means_not_modified() => (304, Some(failed.as_str())),
        Err(failed) => {
            let answer = failed.failed();
            assert_eq!(answer.field("Condition"), Some(failed.as_str()));
            (answer.status().as_u16(), Some(failed.as_str()))
        }
    }
}

/// How a copy from the object is answered: the status and `<Condition>`.
fn copy(lines: &[(&str, &str)]) -> (u16, Option<String>) {
    let prefixed: Vec<_> =
        lines.iter().map(|(name, value)| (format!("x-amz-copy-source-{name}"), *value)).collect();
    let prefixed: Vec<_> = prefixed.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    match Preconditions::of_copy_source(&headers(&prefixed), NOW).evaluate(&object()) {
        Ok(()) => (200, None),
        Err(failed) => {
            let answer = failed.failed_by_source();
            (answer.status().as_u16(), answer.field("Condition").map(str::to_owned))
        }
    }
}

const IM: &str = "if-match";
const INM: &str = "if-none-match";
const IMS: &str = "if-modified-since";
const IUS: &str = "if-unmodified-since";

#[test]
fn one_condition_of_a_read() {
    for (name, value, status) in [
        (IM, "\"e\"", 200),
        (IM, "e", 200),
        (IM, "*", 200),
        (IM, "\"x\", \"e\"", 200),
        (IM, "x,e", 200),
        (IM, "\"x\"", 412),
        (IM, "\"x\", \"y\"", 412),
        (IM, "W/\"e\"", 412),
        (IM, "\"E\"", 412),
        (IM, "\"x,e\"", 412),
        (IM, "", 200),
        (IM, " , ", 200),
        (INM, "\"e\"", 304),
        (INM, "e", 304),
        (INM, "*", 304),
        (INM, "W/\"e\"", 304),
        (INM, "\"x\" ,, W/\"e\"", 304),
        (INM, "\"x\"", 200),
        (INM, "\"x\", *", 200),
        (INM, "\"e", 200),
        (INM, "", 200),
        (IMS, BEFORE, 200),
        (IMS, NOON, 304),
        (IMS, AFTER, 304),
        (IMS, FUTURE, 200),
        (IMS, "yesterday", 200),
        (IUS, BEFORE, 412),
        (IUS, NOON, 200),
        (IUS, AFTER, 200),
        (IUS, FUTURE, 200),
        (IUS, "yesterday", 200),
    ] {
        assert_eq!(read(&[(name, value)]).0, status, "{name}: {value}");
    }
}

/// AWS: GetObject, HeadObject; RFC 9110 §13.2.2.
#[test]
fn two_conditions_of_a_read() {
    let (right, wrong) = ("\"e\"", "\"x\"");
    for (lines, answer) in [
        ([(IM, right), (IUS, BEFORE)], (200, None)),
        ([(IM, "*"), (IUS, BEFORE)], (200, None)),
        ([(IM, wrong), (IUS, AFTER)], (412, Some("If-Match"))),
        ([(IM, right), (INM, right)], (304, Some("If-None-Match"))),
        ([(IM, wrong), (INM, right)], (412, Some("If-Match"))),
        ([(IM, right), (IMS, NOON)], (304, Some("If-Modified-Since"))),
        ([(IM, wrong), (IMS, NOON)], (412, Some("If-Match"))),
        ([(INM, right), (IMS, BEFORE)], (304, Some("If-None-Match"))),
        ([(INM, wrong), (IMS, NOON)], (200, None)),
        ([(INM, right), (IUS, BEFORE)], (412, Some("If-Unmodified-Since"))),
        ([(INM, right), (IUS, AFTER)], (304, Some("If-None-Match"))),
        ([(IMS, NOON), (IUS, BEFORE)], (412, Some("If-Unmodified-Since"))),
        ([(IMS, NOON), (IUS, NOON)], (304, Some("If-Modified-Since"))),
        ([(IMS, BEFORE), (IUS, NOON)], (200, None)),
        ([(IM, ""), (IUS, BEFORE)], (412, Some("If-Unmodified-Since"))),
        ([(INM, ""), (IMS, NOON)], (304, Some("If-Modified-Since"))),
    ] {
        assert_eq!(read(&lines), answer, "{lines:?}");
    }
}

/// AWS: CopyObject, UploadPartCopy.
#[test]
fn conditions_on_the_source_of_a_copy() {
    let (right, wrong) = ("\"e\"", "\"x\"");
    let failed = |name: &str| (412, Some(format!("x-amz-copy-source-{name}")));
    for (lines, answer) in [
        (&[(IM, right)][..], (200, None)),
        (&[(IM, "e")], (200, None)),
        (&[(IM, wrong)], failed("If-Match")),
        (&[(INM, wrong)], (200, None)),
        (&[(INM, right)], failed("If-None-Match")),
        (&[(INM, "e")], failed("If-None-Match")),
        (&[(IMS, BEFORE)], (200, None)),
        (&[(IMS, NOON)], failed("If-Modified-Since")),
        (&[(IMS, FUTURE)], (200, None)),
        (&[(IUS, BEFORE)], failed("If-Unmodified-Since")),
        (&[(IUS, NOON)], (200, None)),
        (&[(IM, right), (IUS, BEFORE)], (200, None)),
        (&[(IM, wrong), (IUS, BEFORE)], failed("If-Match")),
        (&[(INM, right), (IMS, BEFORE)], failed("If-None-Match")),
        (&[(INM, wrong), (IMS, NOON)], (200, None)),
        (&[(IM, wrong), (INM, right)], failed("If-Match")),
        (&[(IM, right), (INM, right)], failed("If-None-Match")),
        (&[(IUS, BEFORE), (INM, right)], failed("If-Unmodified-Since")),
    ] {
        assert_eq!(copy(lines), answer, "{lines:?}");
    }
}

#[test]
fn the_two_families_do_not_see_each_other() {
    let read = headers(&[(IM, "\"x\""), (IMS, NOON)]);
    let copy = headers(&[("x-amz-copy-source-if-match", "\"x\"")]);
    assert!(Preconditions::of_copy_source(&read, NOW).is_empty());
    assert!(Preconditions::of_read(&copy, NOW).is_empty());
}

#[test]
fn a_header_in_several_fields() {
    assert_eq!(read(&[(IM, "\"x\""), (IM, "\"e\"")]), (200, None));
    assert_eq!(read(&[(INM, "*"), (INM, "*")]).0, 304);
    // A date stands alone, or counts for nothing.
    assert_eq!(read(&[(IUS, BEFORE), (IUS, BEFORE)]), (200, None));
}

#[test]
fn a_date_may_have_any_form_of_http() {
    for same in [NOON, "Sunday, 06-Nov-94 12:00:00 GMT", "Sun Nov  6 12:00:00 1994"] {
        assert_eq!(read(&[(IMS, same)]).0, 304, "{same}");
        assert_eq!(read(&[(IUS, same)]).0, 200, "{same}");
    }
    for before in [BEFORE, "Sunday, 06-Nov-94 11:59:59 GMT", "Sun Nov  6 11:59:59 1994"] {
        assert_eq!(read(&[(IMS, before)]).0, 200, "{before}");
        assert_eq!(read(&[(IUS, before)]).0, 412, "{before}");
    }
    for none in ["784123200", "1994-11-06T11:59:59Z", "Sun, 06 Nov 1994 11:59:59 +0000", "Sun"] {
        assert_eq!(read(&[(IUS, none)]).0, 200, "{none}");
    }
}

#[test]
fn what_the_answer_does_not_say_is_not_compared() {
    let bare = Validators::default();
    let failing = |lines: &[(&str, &str)]| {
        Preconditions::of_read(&headers(lines), NOW).evaluate(&bare).err().map(Precondition::as_str)
    };
    assert_eq!(failing(&[(IM, "\"e\"")]), Some("If-Match"));
    assert_eq!(failing(&[(INM, "\"e\"")]), None);
    assert_eq!(failing(&[(INM, "*")]), Some("If-None-Match"));
    assert_eq!(failing(&[(IMS, NOON), (IUS, BEFORE)]), None);
}

#[test]
fn a_weak_etag_of_the_store_matches_weakly_only() {
    let weak = Validators::of(&headers(&[("etag", "W/\"e\"")]));
    let failing = |name, value| {
        Preconditions::of_read(&headers(&[(name, value)]), NOW).evaluate(&weak).is_err()
    };
    assert!(failing(IM, "W/\"e\"") && failing(IM, "\"e\"") && !failing(IM, "*"));
    assert!(failing(INM, "W/\"e\"") && failing(INM, "\"e\"") && !failing(INM, "\"x\""));
}

#[test]
fn a_refusal_can_be_checked_when_all_it_rests_on_is_there() {
    let etag_only = Validators::of(&headers(&[("etag", "\"e\"")]));
    let date_only = Validators::of(&headers(&[("last-modified", NOON)]));
    for (name, value, by_etag, by_date) in
        [(IM, "\"e\"", true, false), (INM, "*", true, false), (IMS, NOON, false, false)]
    {
        let asked = Preconditions::of_read(&headers(&[(name, value)]), NOW);
        assert_eq!(asked.can_be_checked_by(&etag_only), by_etag, "{name}");
        assert_eq!(asked.can_be_checked_by(&date_only), by_date, "{name}");
        assert!(asked.can_be_checked_by(&object()), "{name}");
    }
}

#[test]
fn the_store_is_asked_in_one_spelling() {
    let respelled = |lines: &[(&str, &str)]| {
        let mut all = headers(lines);
        Preconditions::of_read(&all, NOW).replace_in(&mut all);
        let mut lines: Vec<_> =
            all.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        lines.sort_unstable();
        lines.join("; ")
    };
    for (lines, sent) in [
        (&[(IM, "e")][..], "if-match: \"e\""),
        (&[(IM, "*"), (IUS, BEFORE)], ""),
        (&[(IM, "W/\"e\"")], ""),
        (&[(INM, "W/\"e\", x")], "if-none-match: \"e\", \"x\""),
        (&[(INM, "*"), (IMS, NOON)], "if-none-match: *"),
        (
            &[(IM, "e"), (IMS, NOON)],
            "if-match: \"e\"; if-modified-since: Sun, 06 Nov 1994 12:00:00 GMT",
        ),
        (
            &[(IUS, "Sun Nov  6 12:00:00 1994")],
            "if-unmodified-since: Sun, 06 Nov 1994 12:00:00 GMT",
        ),
        (&[(IMS, FUTURE), (IUS, "no date"), ("range", "bytes=0-1")], "range: bytes=0-1"),
    ] {
        assert_eq!(respelled(lines), sent, "{lines:?}");
    }
}

// === laws ===

/// Values of a header, sensible ones and any bytes that HTTP lets through.
fn value() -> impl Strategy<Value = HeaderValue> {
    let sensible = prop::sample::select(vec![
        "*",
        "\"e\"",
        "e",
        "W/\"e\"",
        "\"x\"",
        "\"x\", \"e\"",
        ",",
        "\"",
        NOON,
        BEFORE,
        AFTER,
        FUTURE,
        "Sunday, 06-Nov-94 12:00:00 GMT",
    ]);
    prop_oneof![
        sensible.prop_map(HeaderValue::from_static),
        prop::collection::vec(any::<u8>(), 0..24)
            .prop_filter_map("no header value", |bytes| HeaderValue::from_bytes(&bytes).ok()),
    ]
}

fn any_headers() -> impl Strategy<Value = Fields> {
    let name = prop::sample::select(vec![IM, INM, IMS, IUS]);
    prop::collection::vec((name, value()), 0..6).prop_map(|lines| {
        let mut headers = Fields::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    })
}

fn etag() -> impl Strategy<Value = String> {
    "[!#-~]{1,8}".prop_filter("a weak mark", |text| !text.starts_with("W/"))
}

proptest! {
    #[test]
    fn respelling_changes_no_judgement(headers in any_headers(), now in any::<i64>()) {
        let asked = Preconditions::of_read(&headers, now);
        let mut respelled = headers.clone();
        asked.replace_in(&mut respelled);
        let again = Preconditions::of_read(&respelled, now);
        for (was, is, header) in [
            (&asked.if_match, &again.if_match, header::IF_MATCH),
            (&asked.if_none_match, &again.if_none_match, header::IF_NONE_MATCH),
        ] {
            let same = match (was, is) {
                (Some(EntityTags::List(was)), Some(EntityTags::List(is))) => {
                    let strong = was.iter().filter(|tag| header != header::IF_MATCH || !tag.weak);
                    strong.map(|tag| &tag.etag).eq(is.iter().map(|tag| &tag.etag))
                }
                _ => was == is,
            };
            let unsent = matches!(was, Some(EntityTags::List(_))) && !respelled.contains_key(header);
            prop_assert!(same || unsent, "{was:?} became {is:?}");
        }
        // A date may only be dropped where it does not count.
        let unsent = asked.if_match.is_some() && again.if_match.is_none();
        prop_assert!(again.if_unmodified_since_s == asked.if_unmodified_since_s || unsent);
        let unsent = asked.if_none_match.is_some() && again.if_none_match.is_none();
        prop_assert!(again.if_modified_since_s == asked.if_modified_since_s || unsent);
    }

    #[test]
    fn a_list_holds_where_one_of_its_members_does(
        list in prop::collection::vec(etag(), 1..5), chosen in any::<prop::sample::Index>()
    ) {
        let own = chosen.get(&list);
        let object = Validators::of(&headers(&[("etag", &format!("\"{own}\""))]));
        let value = list.iter().map(|tag| format!("\"{tag}\"")).collect::<Vec<_>>().join(", ");
        let failing = |name| {
            Preconditions::of_read(&headers(&[(name, value.as_str())]), NOW).evaluate(&object)
        };
        prop_assert_eq!(failing(IM), Ok(()));
        prop_assert_eq!(failing(INM), Err(Precondition::IfNoneMatch));
    }

    /// What is not the same is different, and the other way round.
    #[test]
    fn strong_tags_and_dates_leave_no_gap(tag in etag(), date in 0..NOW) {
        let date = httpdate::fmt_http_date(
            UNIX_EPOCH + Duration::from_secs(date.unsigned_abs()));
        let fails = |name, value: &str| {
            Preconditions::of_read(&headers(&[(name, value)]), NOW).evaluate(&object()).is_err()
        };
        let tag = format!("\"{tag}\"");
        prop_assert_ne!(fails(IM, &tag), fails(INM, &tag));
        prop_assert_ne!(fails(IUS, &date), fails(IMS, &date));
    }
}
