use proptest::prelude::*;

use super::*;
use crate::s3::xml::{self, parse_request};

fn accepted(document: &str) -> Result<Element, String> {
    parse_canonical(document.as_bytes()).map_err(|error| {
        assert_eq!((error.status().as_u16(), error.code()), (400, "MalformedXML"));
        error.message().split_once("schema: ").expect("a sentence").1.to_owned()
    })
}

#[test]
fn what_clients_send_is_canonical() {
    let delete = "<Object><Key>a&amp;b &#x41;&#13;&#xA;c</Key></Object><Quiet>true</Quiet>";
    for document in [
        format!("<Delete>{delete}</Delete>"),
        format!("<Delete xmlns=\"{NAMESPACE}\">{delete}</Delete>"),
        format!("<Delete xmlns='{NAMESPACE}'>\n  {delete}\r\n\t</Delete>\n"),
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Delete>{delete}</Delete>"),
        format!("<?xml version='1.0' encoding='utf-8'?>\n<Delete>{delete}</Delete>"),
        format!("<?xml version=\"1.0\"?>\n<Delete>{delete}</Delete>"),
    ] {
        let root = accepted(&document).unwrap();
        assert_eq!(root.children[0].child_text("Key"), Some("a&b A\r\nc"), "{document}");
        assert_eq!(root.child_text("Quiet"), Some("true"));
        assert_eq!(parse_request(document.as_bytes()), Some(root), "{document}");
    }
    assert_eq!(accepted("<TagSet />"), accepted("<TagSet></TagSet>"));
    assert_eq!(accepted("<TagSet/>").unwrap().name, "TagSet");
}

#[test]
fn every_other_spelling_is_refused_with_what_to_change() {
    for (document, why) in [
        ("<K>a<!-- b --></K>", "comments"),
        ("<!-- b --><K>a</K>", "comments"),
        ("<K>a</K><!-- b -->", "nothing may follow"),
        ("<K><![CDATA[a]]></K>", "CDATA"),
        ("<K>a<?b c?></K>", "processing instructions"),
        ("<?b c?><K>a</K>", "processing instructions"),
        ("<!DOCTYPE K><K>a</K>", "document type"),
        ("<?xml version=\"1.0\" encoding=\"UTF-7\"?><K>a</K>", "UTF-8"),
        ("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><K>a</K>", "UTF-8"),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><K>a</K>", "nothing else"),
        ("<?xml version=\"1.0\"encoding=\"UTF-8\"?><K>a</K>", "nothing else"),
        ("<?xml  version=\"1.0\"?><K>a</K>", "version"),
        ("<?xml version=\"1.1\"?><K>a</K>", "version"),
        ("<?xml encoding=\"UTF-8\"?><K>a</K>", "version"),
        (" <?xml version=\"1.0\"?><K>a</K>", "processing instructions"),
        ("\u{feff}<K>a</K>", "byte order mark"),
        ("<K> a</K>", "white space"),
        ("<K>a\n</K>", "white space"),
        ("<K>&#32;a</K>", "white space"),
        ("<K>a&#xA0;</K>", "white space"),
        ("<K>a\u{2003}</K>", "white space"),
        ("<K>a&#xFEFF;</K>", "white space"),
        ("<K>a\u{85}</K>", "white space"),
        ("<K>a\rb</K>", "carriage return"),
        ("<K>a]]>b</K>", "]]&gt;"),
        ("<K>&nbsp;</K>", "ampersand"),
        ("<K>a&b</K>", "ampersand"),
        ("<K>a&</K>", "ampersand"),
        ("<K>&#1;</K>", "ampersand"),
        ("<K>&#xD800;</K>", "ampersand"),
        ("<K>&#x110000;</K>", "ampersand"),
        ("<K>a&#x80;b</K>", "ampersand"),
        ("<K>a&#X41;b</K>", "ampersand"),
        ("<K>a&#+65;b</K>", "ampersand"),
        ("<K>a&#;b</K>", "ampersand"),
        ("<K>a&#x;b</K>", "ampersand"),
        ("<K>a&AMP;b</K>", "ampersand"),
        ("<K>\u{1}</K>", "characters"),
        ("<K>\u{ffff}</K>", "characters"),
    ] {
        let refused = accepted(document).expect_err(document);
        assert!(refused.contains(why), "{document}: {refused}");
    }
}

#[test]
fn elements_are_names_alone_and_hold_text_or_elements() {
    for (document, why) in [
        ("<K xml:space=\"preserve\">a</K>", "attribute"),
        ("<K xmlns:a=\"b\">a</K>", "attribute"),
        ("<a:K xmlns:a=\"b\">a</a:K>", "prefix"),
        ("<K >a</K>", "attribute"),
        ("<K\n>a</K>", "attribute"),
        ("<K>a</K >", "otherwise than it began"),
        ("<K>a</k>", "otherwise than it began"),
        ("<K>a</KK>", "otherwise than it began"),
        ("<K>a", "element"),
        ("<K", "attribute"),
        ("<K xmlns=\"other\">a</K>", "namespace"),
        ("<K xmlns=\"\">a</K>", "namespace"),
        ("<R><K xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">a</K></R>", "attribute"),
        ("<R>t<K>a</K></R>", "text"),
        ("<R><K>a</K>t</R>", "text"),
        ("<R><K>a</K>&#32;</R>", "text"),
        ("<K>a</K>b", "nothing may follow"),
        ("<K>a</K><K>b</K>", "nothing may follow"),
        ("a<K>a</K>", "text"),
        ("<>a</>", "name"),
        ("<1>a</1>", "name"),
        ("<\u{e9}>a</\u{e9}>", "name"),
        ("< K>a</K>", "name"),
        ("", "element"),
    ] {
        let refused = accepted(document).expect_err(document);
        assert!(refused.contains(why), "{document}: {refused}");
    }
}

#[test]
fn bytes_that_are_no_small_document_in_utf_8_are_refused() {
    assert!(parse_canonical(b"<K>\xff</K>").unwrap_err().message().contains("UTF-8"));
    let deep = "<a>".repeat(17) + &"</a>".repeat(17);
    assert!(accepted(&deep).unwrap_err().contains("too many"));
    assert!(parse_canonical(&vec![b' '; DOCUMENT_BYTES_MAX + 1]).is_err());
    let utf16: Vec<u8> = "<K>a</K>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse_canonical(&utf16).is_err());
}

proptest! {
    #[test]
    fn what_is_written_here_is_canonical_or_its_value_cannot_be(text in any::<String>()) {
        let mut out = String::new();
        xml::push_element(&mut out, "K", &text);
        let ends = [text.chars().next(), text.chars().next_back()];
        let trimmed = ends.into_iter().flatten().any(|c| is_char(c) && may_be_trimmed(c));
        match accepted(&out) {
            Ok(read) => prop_assert_eq!(Some(read), xml::parse(out.as_bytes())),
            Err(why) => prop_assert!(trimmed, "{}", why),
        }
    }

    #[test]
    fn what_is_canonical_the_other_reader_reads_alike(pieces in prop::collection::vec(
        prop_oneof![
            Just("<K>"), Just("</K>"), Just("<R>"), Just("</R>"), Just("<E/>"), Just("&amp;"),
            Just("&#65;"), Just("a"), Just(" "), Just("\n"), Just("\r"), Just("é"), Just("]]>"),
            Just("<?xml version=\"1.0\"?>"), Just("<!---->"), Just("<![CDATA[b]]>"), Just("="),
        ], 0..12))
    {
        let document = pieces.concat();
        if let Ok(read) = accepted(&document) {
            let other = parse_request(document.as_bytes()).expect(&document);
            prop_assert_eq!(read, other, "{}", document);
        }
    }
}
