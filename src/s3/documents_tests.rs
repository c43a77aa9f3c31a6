use super::*;
use crate::s3::{BucketName, EmptySegments, ObjectKey};

fn etag(text: &str) -> ETag {
    ETag::parse(text.as_bytes())
}

#[test]
fn a_200_is_believed_only_when_its_whole_body_says_so() {
    let result = |etag| SuccessBody::Result { etag };
    let error = |code: &str| {
        SuccessBody::Error(StoreError { code: code.to_owned(), message: "No.".to_owned() })
    };
    for (body, expected) in [
        (
            "<CompleteMultipartUploadResult xmlns=\"x\"><Key>k</Key><ETag>&quot;abc-2&quot;</ETag>\
             </CompleteMultipartUploadResult>",
            result(Some(etag("abc-2"))),
        ),
        (
            "   \n \r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CopyObjectResult><ETag>\"a\"\
             </ETag></CopyObjectResult>\n",
            result(Some(etag("a"))),
        ),
        ("<CopyObjectResult><ETag> </ETag></CopyObjectResult>", result(None)),
        ("<CopyObjectResult/>", result(None)),
        (
            "  <?xml version=\"1.0\"?>\n<Error><Code>PreconditionFailed</Code>\
             <Message>No.</Message></Error>",
            error("PreconditionFailed"),
        ),
        ("<Error><Message>No.</Message></Error>", error("")),
        ("", SuccessBody::Unreadable),
        ("      ", SuccessBody::Unreadable),
        ("<CopyObjectResult><ETag>\"a\"</ETag>", SuccessBody::Unreadable),
        ("<Other/>", SuccessBody::Unreadable),
        ("{}", SuccessBody::Unreadable),
        ("<!DOCTYPE x><CopyObjectResult/>", SuccessBody::Unreadable),
    ] {
        assert_eq!(outcome_of_success_body(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn a_stores_error_gives_code_and_message() {
    let body =
        b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>a &amp; b</Message></Error>";
    let expected = StoreError { code: "NoSuchKey".to_owned(), message: "a & b".to_owned() };
    assert_eq!(parse_store_error(body), Some(expected));
    assert_eq!(parse_store_error(b"<html/>"), None);
    assert_eq!(parse_store_error(b""), None);
}

#[test]
fn what_may_come_before_a_document_is_known_and_can_be_taken_off() {
    for prologue in
        ["", " ", "\r\n  ", "<?x", " <?xml vers", "<?xml version=\"1.0\"?>", "\n<?xml?> \n"]
    {
        assert!(is_prologue(prologue.as_bytes()), "{prologue:?}");
        let whole = format!("{prologue}<Error/>");
        let is_whole = !prologue.contains("<?") || prologue.contains("?>");
        if is_whole {
            assert!(!is_prologue(whole.as_bytes()), "{whole:?}");
            assert_eq!(without_prologue(whole.as_bytes()), b"<Error/>", "{whole:?}");
        }
    }
    for other in ["<", "<E", "<?xml?><", "x", " <!--"] {
        assert_eq!(is_prologue(other.as_bytes()), other == "<", "{other:?}");
    }
}

#[test]
fn an_answer_without_an_etag_is_given_the_one_that_was_looked_up() {
    let name = ObjectName {
        bucket: BucketName::parse("bucket").unwrap(),
        key: ObjectKey::parse("a&b", EmptySegments::Kept).unwrap(),
    };
    for bare in [complete_result("http://h/bucket/a", &name, None), copy_result(None)] {
        assert_eq!(outcome_of_success_body(&bare), SuccessBody::Result { etag: None });
        let whole = with_etag(&bare, &etag("e-2")).unwrap();
        assert_eq!(
            outcome_of_success_body(&whole),
            SuccessBody::Result { etag: Some(etag("e-2")) }
        );
        let key = |body| xml::parse(body).unwrap().child_text("Key").map(str::to_owned);
        assert_eq!(key(&whole), key(&bare));
    }
    assert_eq!(with_etag(b"<Error><Code>X</Code></Error>", &etag("e")), None);
    assert_eq!(with_etag(b"<CopyObjectResult>", &etag("e")), None);
}

#[test]
fn a_stores_error_is_completed_and_one_that_lacks_nothing_is_left_alone() {
    let completed = |body: &str| completed_error(body.as_bytes(), "R1", "H1");
    let text = |body: &str| String::from_utf8(completed(body).unwrap()).unwrap();
    let bare = text("<Error><Key>a&lt;b</Key><Code>NoSuchKey</Code><Message/></Error>");
    assert!(
        bare.ends_with(
            "\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>\
             <Key>a&lt;b</Key><RequestId>R1</RequestId><HostId>H1</HostId></Error>"
        ),
        "{bare}"
    );
    let own = "<Error><Code>Odd</Code><Message>Own words</Message><HostId>h</HostId></Error>";
    assert!(text(own).contains("<Message>Own words</Message><RequestId>R1</RequestId><HostId>h<"));
    assert!(text("<Error><Code>Odd</Code></Error>").contains("<Message>Odd</Message>"));
    let whole = text(own);
    assert_eq!(completed(&whole), None);
    assert_eq!(completed("<ListBucketResult/>"), None);
    assert_eq!(completed("<html>"), None);
}

#[test]
fn an_etag_that_a_store_leaves_bare_is_quoted() {
    let result = |root: &str, etag: &str| format!("<{root}><ETag>{etag}</ETag></{root}>");
    for root in ["CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult"] {
        let quoted = with_quoted_etag(result(root, " abc-2\n").as_bytes()).unwrap();
        let quoted = String::from_utf8(quoted).unwrap();
        assert!(quoted.contains("<ETag>&quot;abc-2&quot;</ETag>"), "{quoted}");
        for left in ["&quot;abc-2&quot;", "\"abc-2\"", "W/&quot;a&quot;", "", " "] {
            assert_eq!(with_quoted_etag(result(root, left).as_bytes()), None, "{left}");
        }
    }
    for other in [&result("ListPartsResult", "a"), "<CopyObjectResult/>", "<Error/>", ""] {
        assert_eq!(with_quoted_etag(other.as_bytes()), None, "{other}");
    }
}
