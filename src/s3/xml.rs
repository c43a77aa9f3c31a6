//! The little XML that S3 needs: small documents read whole into a tree, and text written safely.

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::{PrefixDeclaration, QName};

/// How every document begins.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// The namespace of S3's documents.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The largest document that is read, in bytes: room for a DeleteObjects of 1000 keys of 1024
/// bytes each, all of them written as character references.
pub const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An element of a document: its name without prefix, its text, its children. Namespaces are not
/// kept, and of attributes only the one by which S3's documents say anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The local name.
    pub name: String,
    /// All text directly inside, unescaped and untrimmed; line ends are `\n`.
    pub text: String,
    /// The elements directly inside, in order.
    pub children: Vec<Self>,
    /// `xsi:type`: which kind of grantee an ACL names (AWS: Grantee).
    pub kind: Option<String>,
}

impl Element {
    /// One that holds nothing but text.
    pub fn of_text(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), text: text.into(), ..Self::default() }
    }

    /// The text of the first child of this name.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.as_str())
    }

    /// Whether no text stands in it but what its elements hold.
    pub fn is_only_elements(&self) -> bool {
        self.text.trim_ascii().is_empty()
    }

    /// The whole document again, in S3's namespace. White space between elements is not kept.
    pub fn to_document(&self) -> Vec<u8> {
        let mut out = format!("{DECLARATION}\n<{} xmlns=\"{NAMESPACE}\"", self.name);
        self.push_kind(&mut out);
        out.push('>');
        self.push_content(&mut out);
        push_tag(&mut out, "</", &self.name);
        out.into_bytes()
    }

    /// The whole document again, in no namespace, as errors are.
    pub fn to_plain_document(&self) -> Vec<u8> {
        let mut out = format!("{DECLARATION}\n");
        push_tree(&mut out, self);
        out.into_bytes()
    }

    fn push_kind(&self, out: &mut String) {
        if let Some(kind) = &self.kind {
            for piece in [" xmlns:xsi=\"", XSI, "\" xsi:type=\"", kind, "\""] {
                out.push_str(piece);
            }
        }
    }

    fn push_content(&self, out: &mut String) {
        if self.children.is_empty() {
            push_text(out, &self.text);
        }
        for child in &self.children {
            push_tree(out, child);
        }
    }
}

/// Writes an element and all in it: what [`parse`] has kept of it, and nothing else.
pub fn push_tree(out: &mut String, element: &Element) {
    out.push('<');
    out.push_str(&element.name);
    element.push_kind(out);
    out.push('>');
    element.push_content(out);
    push_tag(out, "</", &element.name);
}

/// Reads a whole document of the store. White space before the declaration is passed over, as a
/// store may send it to keep the connection alive (AWS: CompleteMultipartUpload).
///
/// `None` when it is not well-formed UTF-8 XML with exactly one root, when it has a DTD, a
/// processing instruction or an entity that is not predefined or numeric, or when it is too large,
/// too deep, or of too many elements.
pub fn parse(document: &[u8]) -> Option<Element> {
    read(document, Tree::default())
}

/// Reads a whole document of a client: as [`parse`] does, and held to more. `None` also for a
/// declared version other than 1.0 or encoding other than UTF-8, for characters that XML 1.0 cannot
/// hold, written as references or not (§2.2), and for text beside elements; white space there is not
/// kept.
pub fn parse_request(document: &[u8]) -> Option<Element> {
    read(document, Tree { strict: true, ..Tree::default() })
}

fn read(document: &[u8], mut tree: Tree) -> Option<Element> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(document).ok()?;
    let text = text.trim_start_matches('\u{feff}').trim_ascii_start();
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => tree.open(&start)?,
            Event::End(_) => tree.close()?,
            Event::Empty(start) => {
                tree.open(&start)?;
                tree.close()?;
            }
            Event::Text(text) => tree.push_text(&text.xml10_content().ok()?)?,
            Event::CData(text) => tree.push_text(&text.xml10_content().ok()?)?,
            Event::GeneralRef(reference) => {
                tree.push_text(resolve(&reference)?.encode_utf8(&mut [0; 4]))?;
            }
            Event::Decl(declaration) if tree.strict => check_declaration(&declaration)?,
            Event::Decl(_) | Event::Comment(_) => {}
            Event::PI(_) | Event::DocType(_) => return None,
            Event::Eof => return tree.finish(),
        }
    }
}

/// Anything but XML 1.0 in UTF-8 would be read otherwise by whoever follows the declaration.
fn check_declaration(declaration: &BytesDecl<'_>) -> Option<()> {
    let version = declaration.version().ok()?;
    let encoding = declaration.encoding().transpose().ok()?;
    let utf8 = encoding.is_none_or(|name| name.eq_ignore_ascii_case(b"utf-8"));
    (version.as_ref() == b"1.0" && utf8).then_some(())
}

/// A document under construction: the elements still open, and the root once it is closed.
#[derive(Default)]
struct Tree {
    strict: bool,
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    /// What prefixes are bound to, the innermost last: how deep, the prefix, whether to [`XSI`].
    bound: Vec<(usize, Vec<u8>, bool)>,
}

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>) -> Option<()> {
        self.elements += 1;
        let within = self.elements <= ELEMENTS_MAX && self.open.len() < DEPTH_MAX;
        if !within || self.root.is_some() {
            return None;
        }
        let name = std::str::from_utf8(start.local_name().into_inner()).ok()?;
        if !is_name(name) {
            return None;
        }
        let mut element = Element { name: name.to_owned(), ..Element::default() };
        self.read_kind(start, &mut element)?;
        self.open.push(element);
        Some(())
    }

    /// Reads the element's `xsi:type`, whatever the prefix.
    fn read_kind(&mut self, start: &BytesStart<'_>, element: &mut Element) -> Option<()> {
        let depth = self.open.len();
        let attributes: Vec<_> = start.attributes().collect::<Result<_, _>>().ok()?;
        for attribute in &attributes {
            if let Some(PrefixDeclaration::Named(prefix)) = attribute.key.as_namespace_binding() {
                let to_xsi = attribute.value.as_ref() == XSI.as_bytes();
                self.bound.push((depth, prefix.to_vec(), to_xsi));
            }
        }
        let is_kind = |name: QName<'_>| {
            let prefix = name.prefix().map(|prefix| prefix.into_inner().to_vec());
            let bound =
                self.bound.iter().rev().find(|(_, bound, _)| prefix.as_ref() == Some(bound));
            name.local_name().as_ref() == b"type" && bound.is_some_and(|(_, _, to_xsi)| *to_xsi)
        };
        if let Some(attribute) = attributes.iter().find(|attribute| is_kind(attribute.key)) {
            let kind = std::str::from_utf8(&attribute.value).ok()?;
            element.kind = Some(kind.to_owned()).filter(|kind| is_name(kind));
            element.kind.as_ref()?;
        }
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let mut element = self.open.pop()?;
        if self.strict && !element.children.is_empty() {
            let between = std::mem::take(&mut element.text);
            if !between.trim_ascii().is_empty() {
                return None;
            }
        }
        let depth = self.open.len();
        self.bound.retain(|(at, ..)| *at < depth);
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Some(())
    }

    fn push_text(&mut self, text: &str) -> Option<()> {
        if self.strict && !text.chars().all(is_char) {
            return None;
        }
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim_ascii().is_empty() => {}
            None => return None,
        }
        Some(())
    }

    fn finish(self) -> Option<Element> {
        if self.open.is_empty() { self.root } else { None }
    }
}

/// Whether XML 1.0 can hold the character at all (§2.2).
pub(super) const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Whether this is a name as S3's documents have them: in ASCII, where XML 1.0 §2.3 allows more.
pub(super) fn is_name(name: &str) -> bool {
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.as_bytes().first().is_some_and(begins)
        && name.bytes().all(|byte| begins(&byte) || matches!(byte, b'0'..=b'9' | b'.' | b'-'))
}

fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    match reference.decode().ok()?.as_ref() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().ok()?,
    }
}

/// Appends `<name>text</name>`. `name` must be an XML name.
pub fn push_element(out: &mut String, name: &str, text: &str) {
    push_tag(out, "<", name);
    push_text(out, text);
    push_tag(out, "</", name);
}

fn push_tag(out: &mut String, open: &str, name: &str) {
    for piece in [open, name, ">"] {
        out.push_str(piece);
    }
}

/// Appends text so that any reader gets it back, but for characters that XML 1.0 cannot hold at
/// all (most control characters): those become U+FFFD. A carriage return is written as a
/// reference, since readers take a bare one for a line feed.
fn push_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\r' => out.push_str("&#13;"),
            _ if is_char(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// The namespace of `xsi:type`.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Room for the 10,000 parts of a complete, each with a number, an ETag and checksums.
pub(super) const ELEMENTS_MAX: usize = 80_000;
const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
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
        ] {
            assert_eq!(parse_request(document.as_bytes()), None, "{document}");
            assert!(parse(document.as_bytes()).is_some(), "{document}");
        }
        for document in [
            "<?xml version='1.0' encoding='utf-8'?><a><b> x </b></a>",
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
            format!("<A><B xmlns:xsi='{XSI}'/><G xsi:type='Group'><U>u</U></G></A>"),
            format!("<A xmlns:i='{XSI}'><G xmlns:i='x' i:type='Group'><U>u</U></G></A>"),
        ] {
            assert!(!written(&document).contains("Group"), "{document}");
        }
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
}
