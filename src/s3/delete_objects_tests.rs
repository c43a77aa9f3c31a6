use proptest::prelude::*;

use super::*;
use crate::s3::ETag;
use crate::s3::Precondition;

fn etag(text: &str) -> ETag {
    ETag::parse(text.as_bytes())
}

#[test]
fn a_batch_delete_is_read_with_all_it_may_hold() {
    let request = parse_delete_objects(
        b"<?xml version=\"1.0\"?><Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n \
          <Object><Key> a&amp;b </Key></Object>\
          <Object><Key>c</Key><VersionId>v</VersionId><ETag>\"e\"</ETag>\
          <LastModifiedTime>t</LastModifiedTime><Size>3</Size></Object>\
          <Object><ETag/><Key>c</Key><VersionId></VersionId></Object>\
          <Quiet>true</Quiet></Delete>",
    )
    .unwrap();
    assert!(request.quiet);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        request.objects,
        [
            DeleteEntry { key: " a&b ".to_owned(), ..DeleteEntry::default() },
            DeleteEntry {
                key: "c".to_owned(),
                version_id: some("v"),
                etag: some("\"e\""),
                last_modified_time: some("t"),
                size: some("3"),
            },
            DeleteEntry { key: "c".to_owned(), ..DeleteEntry::default() },
        ]
    );
}

#[test]
fn a_batch_delete_that_is_not_understood_whole_is_malformed() {
    let many = |n| format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(n));
    assert_eq!(parse_delete_objects(many(1000).as_bytes()).unwrap().objects.len(), 1000);
    for body in [
        &many(1001) as &str,
        &many(0),
        "",
        "<Delete><Object><Key>k</Key></Object>",
        "<Deletes><Object><Key>k</Key></Object></Deletes>",
        "<Delete><Object></Object></Delete>",
        "<Delete><Object><Key/></Object></Delete>",
        "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        "<Delete><Object><Key>a<b/></Key></Object></Delete>",
        "<Delete><Object><Key>a</Key><IfMatch>e</IfMatch></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object><Force>true</Force></Delete>",
        "<Delete><Object><Key>a</Key></Object><Quiet>maybe</Quiet></Delete>",
        "<Delete><Quiet>true</Quiet><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>",
    ] {
        let error = parse_delete_objects(body.as_bytes()).unwrap_err();
        assert_eq!((error.status().as_u16(), error.code()), (400, "MalformedXML"), "{body:.90}");
    }
}

#[test]
fn an_entrys_condition_is_an_etag_or_a_star_and_never_of_one_version() {
    let entry = |change: fn(&mut DeleteEntry)| {
        let mut entry = DeleteEntry { key: "k".to_owned(), ..DeleteEntry::default() };
        change(&mut entry);
        entry
            .preconditions(Dialect::Aws)
            .map_err(|e| (e.status().as_u16(), e.field("Header").unwrap().to_owned()))
    };
    assert_eq!(entry(|_| {}), Ok(Preconditions::NONE));
    assert_eq!(entry(|e| e.version_id = Some("v".into())), Ok(Preconditions::NONE));
    assert_eq!(entry(|e| e.etag = Some("*".into())), Ok(Preconditions::IF_MATCH_ANY));
    assert_eq!(entry(|e| e.etag = Some("\"a\"".into())), Ok(Preconditions::if_match(etag("a"))));
    let refused = |header: &str| Err((501, header.to_owned()));
    let both = |e: &mut DeleteEntry| (e.etag, e.version_id) = (Some("a".into()), Some("v".into()));
    assert_eq!(entry(both), refused(Precondition::IfMatch.as_str()));
    assert_eq!(entry(|e| e.size = Some("3".into())), refused("x-amz-if-match-size"));
    assert_eq!(
        entry(|e| e.last_modified_time = Some("t".into())),
        refused("x-amz-if-match-last-modified-time")
    );
}

#[test]
fn a_key_that_xml_cannot_hold_is_no_key_of_a_batch() {
    for key in ["&#x1;", "&#0;", "&#xFFFE;", "\u{1}", "a\u{b}b", "&#xD800;"] {
        let body = format!("<Delete><Object><Key>{key}</Key></Object></Delete>");
        let error = parse_delete_objects(body.as_bytes()).unwrap_err();
        assert_eq!((error.status().as_u16(), error.code()), (400, "MalformedXML"), "{key:?}");
    }
}

#[test]
fn as_sent_a_batch_has_one_spelling_and_no_value_that_some_read_otherwise() {
    let read = |inside: &str| {
        let body = format!("<Delete>{inside}</Delete>");
        parse_delete_objects_as_sent(body.as_bytes()).map_err(|error| error.message().to_owned())
    };
    let key = |key: &str| read(&format!("<Object><Key>{key}</Key></Object>"));
    for plain in
        ["a", "a&amp;b", "7", "123456789012345", "0", "1.2.3", "5e", "0a", "-", "nan", "inf"]
    {
        assert!(key(plain).is_ok(), "{plain}");
    }
    for number in
        ["007", "1e3", "0x1F", "1.0", "-5", "+5", ".5", "5.", "1234567890123456", "00", "e5"]
    {
        assert!(key(number).unwrap_err().contains("number"), "{number}");
    }
    for (inside, why) in [
        ("<Object><Key>a</Key><VersionId/></Object>", "empty"),
        ("<Object><Key>a</Key></Object><Quiet>TRUE</Quiet>", "Quiet is"),
        ("<Object><Key>a</Key><Key>b</Key></Object>", "one Key"),
        ("<Object><Key>a</Key><Other>b</Other></Object>", "one Key"),
        ("<Object><VersionId>a</VersionId></Object>", "one Key"),
        ("<Object><key>a</key></Object>", "one Key"),
        ("", "one Key"),
        ("<Object><Key>a<!-- --></Key></Object>", "comments"),
        ("<Object><Key> a</Key></Object>", "white space"),
    ] {
        let refused = read(inside).unwrap_err();
        assert!(refused.contains(why), "{inside}: {refused}");
    }
    let whole = read(
        "\n<Object>\n<VersionId>v</VersionId><ETag>&quot;e&quot;</ETag><Key>a b</Key></Object>\
         <Quiet>false</Quiet>",
    );
    assert_eq!(whole.unwrap().objects[0].key, "a b");
}

fn outcomes() -> Vec<DeleteOutcome> {
    let entry = DeleteEntry {
        key: "b&".to_owned(),
        version_id: Some("v".to_owned()),
        ..DeleteEntry::default()
    };
    vec![
        DeleteOutcome::Deleted(Deleted {
            key: "a".to_owned(),
            version_id: None,
            delete_marker: true,
            delete_marker_version_id: Some("m".to_owned()),
        }),
        DeleteOutcome::failed(&entry, &Precondition::IfMatch.failed().because("No.")),
    ]
}

#[test]
fn the_result_lists_every_outcome_and_quiet_only_errors() {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    let deleted = "<Deleted><Key>a</Key><DeleteMarker>true</DeleteMarker>\
         <DeleteMarkerVersionId>m</DeleteMarkerVersionId></Deleted>";
    let error = "<Error><Key>b&amp;</Key><VersionId>v</VersionId><Code>PreconditionFailed</Code>\
         <Message>No.</Message></Error>";
    let text = |quiet| String::from_utf8(delete_result(quiet, &outcomes())).unwrap();
    assert_eq!(text(false), format!("{head}{deleted}{error}</DeleteResult>"));
    assert_eq!(text(true), format!("{head}{error}</DeleteResult>"));
}

proptest! {
    #[test]
    fn any_key_xml_can_hold_comes_through_a_batch_delete(
        key in "[\\t\\r\\n -\u{d7ff}]{1,40}",
    ) {
        let mut body = "<Delete><Object>".to_owned();
        push_element(&mut body, "Key", &key);
        body.push_str("</Object></Delete>");
        let request = parse_delete_objects(body.as_bytes()).unwrap();
        prop_assert_eq!(&request.objects[0].key, &key);
    }
}
