//! The little XML that S3 needs: small documents read whole into a tree, and text written safely.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// How every document begins.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// The namespace of S3's documents.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The largest document that is read, in bytes: room for a DeleteObjects of 1000 keys of 1024
/// bytes each, all of them written as character references.
pub const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An element of a document: its name without prefix, its text, its children. Attributes and
/// namespaces are not kept, since S3's documents say nothing by them that is needed here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The local name.
    pub name: String,
    /// All text directly inside, unescaped and untrimmed; line ends are `\n`.
    pub text: String,
    /// The elements directly inside, in order.
    pub children: Vec<Self>,
}

impl Element {
    /// One that holds nothing but text.
    pub fn of_text(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), text: text.into(), children: Vec::new() }
    }

    /// The text of the first child of this name.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.as_str())
    }

    /// The whole document again, in S3's namespace. White space between elements is not kept.
    pub fn to_document(&self) -> Vec<u8> {
        let mut out = format!("{DECLARATION}\n<{} xmlns=\"{NAMESPACE}\">", self.name);
        self.push_content(&mut out);
        for piece in ["</", &self.name, ">"] {
            out.push_str(piece);
        }
        out.into_bytes()
    }

    /// The whole document again, in no namespace, as errors are.
    pub fn to_plain_document(&self) -> Vec<u8> {
        let mut out = format!("{DECLARATION}\n");
        push_tree(&mut out, self);
        out.into_bytes()
    }

    fn push_content(&self, out: &mut String) {
        if self.children.is_empty() {
            push_text(out, &self.text);
        }
        for child in &self.children {
            for piece in ["<", &child.name, ">"] {
                out.push_str(piece);
            }
            child.push_content(out);
            for piece in ["</", &child.name, ">"] {
                out.push_str(piece);
            }
        }
    }
}

/// Writes an element and all in it. What [`parse`] has not kept, attributes and namespaces, is gone.
pub fn push_tree(out: &mut String, element: &Element) {
    if element.children.is_empty() {
        return push_element(out, &element.name, &element.text);
    }
    push_tag(out, "<", &element.name);
    for child in &element.children {
        push_tree(out, child);
    }
    push_tag(out, "</", &element.name);
}

/// Reads a whole document. White space before the declaration is passed over, as a store may send
/// it to keep the connection alive (AWS: CompleteMultipartUpload).
///
/// `None` when it is not well-formed UTF-8 XML with exactly one root, when it has a DTD, a
/// processing instruction or an entity that is not predefined or numeric, or when it is too large,
/// too deep, or of too many elements.
pub fn parse(document: &[u8]) -> Option<Element> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(document).ok()?;
    let text = text.trim_start_matches('\u{feff}').trim_ascii_start();
    let mut reader = Reader::from_str(text);
    let mut tree = Tree::default();
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
            Event::Decl(_) | Event::Comment(_) => {}
            Event::PI(_) | Event::DocType(_) => return None,
            Event::Eof => return tree.finish(),
        }
    }
}

/// A document under construction: the elements still open, and the root once it is closed.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
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
        self.open.push(Element { name: name.to_owned(), ..Element::default() });
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let element = self.open.pop()?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Some(())
    }

    fn push_text(&mut self, text: &str) -> Option<()> {
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

/// Whether this is a name as S3's documents have them: in ASCII, where XML 1.0 §2.3 allows more.
fn is_name(name: &str) -> bool {
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
            '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'.. => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

const ELEMENTS_MAX: usize = 20_000;
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

    fn holds(c: char) -> bool {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
    }

    proptest! {
        #[test]
        fn text_written_is_text_read(text in any::<String>()) {
            let mut out = String::new();
            push_element(&mut out, "K", &text);
            let expected: String =
                text.chars().map(|c| if holds(c) { c } else { '\u{fffd}' }).collect();
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
