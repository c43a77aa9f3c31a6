use proptest::prelude::*;

use super::*;

#[test]
fn a_document_is_read_into_names_and_texts() {
    let root = parse(
        b" \r\n<?xml version='1.0'?><!-- c --><a:R xmlns:a='x'>\
          <K>a&lt;&#x41;&#66;<![CDATA[<&]]>\r\nb</K><E/>t</a:R>\n",
    )
    .unwrap();
    assert_eq!((root.name.as_str(), root.text.as_str()), ("R", "t"));
    assert_eq!(root.child_text("K"), Some("a<AB<&\nb"));
    assert_eq!(root.child_text("E"), Some(""));
    assert_eq!(root.child_text("X"), None);
}

#[test]
fn what_is_not_one_plain_document_is_refused() {
    let deep = "<a>".repeat(17) + &"</a>".repeat(17);
    let wide = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX));
    for document in [
        "",
        "  ",
        "text",
        "<a>",
        "<a><b></a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>text",
        "x<a/>",
        "<a>&b;</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>& b</a>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<!DOCTYPE a><a/>",
        "<\"\"/>",
        "<1a/>",
        "<a\u{e9}/>",
        "<?php x?><a/>",
        "<a",
        &deep,
        &wide,
    ] {
        assert_eq!(parse(document.as_bytes()), None, "{document:.60}");
    }
    assert_eq!(parse(b"<a>\xff</a>"), None);
    assert_eq!(parse(&vec![b' '; DOCUMENT_BYTES_MAX + 1]), None);
}

#[test]
fn a_client_s_document_says_nothing_that_another_reader_takes_otherwise() {
    for document in [
        "<a>&#x1;</a>",
        "<a>\u{1}</a>",
        "<a>&#xFFFE;</a>",
        "<a>\u{ffff}</a>",
        "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
        "<?xml version='1.0' encoding='UTF-7'?><a/>",
        "<?xml version='1.0' encoding='UTF-16'?><a/>",
        "<?xml version='1.1'?><a/>",
        "<a>text<b/></a>",
        "<a><b/>text</a>",
        // Not well-formed, though no reader could find something else in it.
        " <?xml version='1.0'?><a/>",
        "\u{feff}\u{feff}<a/>",
        "<?xml version='1.0'?><?xml version='1.0'?><a/>",
        "<a><?xml version='1.0'?></a>",
        "<a/><?xml version='1.0'?>",
        "<?xml version='1.0' standalone='maybe'?><a/>",
        "<?xml version='1.0' standalone='no' encoding='UTF-8'?><a/>",
        "<?xml version='1.0'encoding='UTF-8'?><a/>",
        "<?xml version='1.0' other='x'?><a/>",
        "<a>]]></a>",
        "<a><!-- b -- c --></a>",
        "<!--\u{1}--><a/>",
        "<a b='<'/>",
        "<a b='&c;'/>",
        "<a b='&#1;'/>",
        "<a b='c'd='e'/>",
        "<a 1='b'/>",
        "<b:a/>",
        "<a b:c='d'/>",
        "<a><b:c xmlns:b='x'/><b:c/></a>",
        "<a xmlns:b=''/>",
        "&#32;<a/>",
        "<![CDATA[ ]]><a/>",
        "<a/><![CDATA[]]>",
    ] {
        assert_eq!(parse_request(document.as_bytes()), None, "{document}");
        assert!(parse(document.as_bytes()).is_some(), "{document}");
    }
    for document in [
        "<?xml version='1.0' encoding='utf-8'?><a><b> x </b></a>",
        "\u{feff}<?xml version=\"1.0\" encoding='UTF-8' standalone='yes' ?>\n<!-- --><a\n/>\n<!---->",
        "<b:a xmlns:b='x' b:c='&lt;&#65;' xml:lang=\"d'\" ><b:d/>\n<e>]] &gt;]]&gt;</e></b:a >",
        "<a b='c'>&#9;&#10;&#13;&#xD7FF;&#xFFFD;&#x10000;</a>",
    ] {
        assert!(parse_request(document.as_bytes()).is_some(), "{document}");
    }
}

#[test]
fn the_kind_of_a_grantee_is_kept_and_no_other_attribute() {
    let written = |document: &str| {
        let document = parse_request(document.as_bytes()).unwrap().to_document();
        String::from_utf8(document).unwrap().split_once("01/\">").unwrap().1.to_owned()
    };
    let kept = format!("<G xmlns:xsi=\"{XSI}\" xsi:type=\"Group\"><U>u</U></G></A>");
    for document in [
        format!("<A><G xmlns:xsi='{XSI}' xsi:type='Group' type='x'><U a='b'>u</U></G></A>"),
        format!("<A xmlns:i='{XSI}'><G i:type='Group'><U>u</U></G></A>"),
        format!("<A xmlns:i='x'><G xmlns:i='{XSI}' i:type='Group'><U>u</U></G></A>"),
    ] {
        assert_eq!(written(&document), kept, "{document}");
    }
    for document in [
        "<A xmlns:xsi='other'><G xsi:type='Group'><U>u</U></G></A>".to_owned(),
        format!("<A xmlns:i='{XSI}'><G xmlns:i='x' i:type='Group'><U>u</U></G></A>"),
    ] {
        assert!(!written(&document).contains("Group"), "{document}");
    }
    let unbound = format!("<A><B xmlns:xsi='{XSI}'/><G xsi:type='Group'><U>u</U></G></A>");
    assert_eq!(parse_request(unbound.as_bytes()), None);
    let twice = format!("<A xmlns:i='{XSI}' i:type='a' i:type='b'/>");
    let odd = format!("<A xmlns:i='{XSI}' i:type='a\"b'/>");
    assert_eq!((parse(twice.as_bytes()), parse(odd.as_bytes())), (None, None));
}

proptest! {
    #[test]
    fn text_written_is_text_read(text in any::<String>()) {
        let mut out = String::new();
        push_element(&mut out, "K", &text);
        let expected: String =
            text.chars().map(|c| if is_char(c) { c } else { '\u{fffd}' }).collect();
        prop_assert_eq!(parse(out.as_bytes()).map(|e| e.text), Some(expected));
    }

    #[test]
    fn no_bytes_panic(pieces in prop::collection::vec(
        prop_oneof![
            Just("<"), Just(">"), Just("/"), Just("a"), Just("&"), Just(";"), Just("#"),
            Just("<!["), Just("CDATA["), Just("]]>"), Just("<?"), Just("?>"), Just("<!--"),
            Just("-->"), Just("<!DOCTYPE"), Just("\""), Just("="), Just(" "), Just("é"),
        ], 0..30))
    {
        let _ = parse(pieces.concat().as_bytes());
    }
}
