//! XML for S3: parses small documents into a tree, and writes escaped text.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{PrefixDeclaration, QName};

use super::well_formed::{self, is_char, is_name};

/// The beginning of every document.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// The namespace of S3's documents.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The largest document accepted, in bytes: enough for a DeleteObjects of 1000 keys of 1024 bytes
/// each, all written as character references.
pub const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An element of a document: its name without prefix, its text, its children. Namespaces are not
/// kept, and of the attributes only the one that S3's documents use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The local name.
    pub name: String,
    /// All text directly inside, unescaped and untrimmed; line ends are `\n`.
    pub text: String,
    /// The elements directly inside, in order.
    pub children: Vec<Self>,
    /// `xsi:type`: the kind of grantee in an ACL (AWS: Grantee).
    pub kind: Option<String>,
}

impl Element {
    /// An element that contains only text.
    pub fn of_text(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), text: text.into(), ..Self::default() }
    }

    /// The text of the first child of this name.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.as_str())
    }

    /// Whether it contains no text outside its child elements.
    pub fn is_only_elements(&self) -> bool {
        self.text.trim_ascii().is_empty()
    }

    /// Writes the whole document, in S3's namespace. White space between elements is not kept.
    pub fn to_document(&self) -> Vec<u8> {
        let mut out = format!("{DECLARATION}\n<{} xmlns=\"{NAMESPACE}\"", self.name);
        self.push_kind(&mut out);
        out.push('>');
        self.push_content(&mut out);
        push_tag(&mut out, "</", &self.name);
        out.into_bytes()
    }

    /// Writes the whole document without a namespace, as errors have none.
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

/// Writes an element with its content: what [`parse`] has kept of it, and nothing else.
fn push_tree(out: &mut String, element: &Element) {
    out.push('<');
    out.push_str(&element.name);
    element.push_kind(out);
    out.push('>');
    element.push_content(out);
    push_tag(out, "</", &element.name);
}

/// Parses a whole document of the store. White space before the declaration is skipped, as a store
/// may send it to keep the connection alive (AWS: CompleteMultipartUpload).
///
/// `None` when it is not well-formed UTF-8 XML with exactly one root, when it has a DTD, a
/// processing instruction, or an entity that is neither predefined nor numeric, or when it is too
/// large, too deep, or has too many elements.
pub fn parse(document: &[u8]) -> Option<Element> {
    let text = text_of(document)?;
    read(text.trim_start_matches('\u{feff}').trim_ascii_start(), Tree::default())
}

/// Parses a whole document of a client: as [`parse`], with stricter rules. `None` also for a
/// declared version other than 1.0 or encoding other than UTF-8, for characters that XML 1.0 does
/// not allow, even as references (§2.2), for anything else that is not well-formed, and for text
/// beside elements; white space there is not kept.
pub fn parse_request(document: &[u8]) -> Option<Element> {
    #[cfg(test)]
    crate::readings::count("document");
    let text = text_of(document)?;
    if !text.chars().all(is_char) {
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.starts_with('\u{feff}') {
        // The event reader would accept a second one.
        return None;
    }
    read(text, Tree { strict: true, ..Tree::default() })
}

fn text_of(document: &[u8]) -> Option<&str> {
    let small = document.len() <= DOCUMENT_BYTES_MAX;
    std::str::from_utf8(document).ok().filter(|_| small)
}

fn read(text: &str, mut tree: Tree) -> Option<Element> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = tree.strict;
    let mut begins = true;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => tree.open(&start)?,
            Event::End(_) => tree.close()?,
            Event::Empty(start) => {
                tree.open(&start)?;
                tree.close()?;
            }
            Event::Text(text) if tree.strict && !well_formed::is_text(&text) => return None,
            Event::Text(text) => tree.push_text(&text.xml10_content().ok()?)?,
            // Both belong inside the root (XML 1.0 §2.8).
            Event::CData(_) | Event::GeneralRef(_) if tree.strict && tree.open.is_empty() => {
                return None;
            }
            Event::CData(text) => tree.push_text(&text.xml10_content().ok()?)?,
            Event::GeneralRef(reference) => {
                tree.push_text(resolve(&reference)?.encode_utf8(&mut [0; 4]))?;
            }
            Event::Decl(declaration) if tree.strict => {
                well_formed::check_declaration(&declaration).filter(|()| begins)?;
            }
            Event::Decl(_) | Event::Comment(_) => {}
            Event::PI(_) | Event::DocType(_) => return None,
            Event::Eof => return tree.finish(),
        }
        begins = false;
    }
}

/// A document under construction: the elements still open, and the root once it is closed.
#[derive(Default)]
struct Tree {
    strict: bool,
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    /// The prefixes in scope, the innermost last: their depth, the prefix, and whether it is bound
    /// to [`XSI`].
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
        if self.strict && !well_formed::are_attributes(start.attributes_raw(), &attributes) {
            return None;
        }
        for attribute in &attributes {
            if let Some(PrefixDeclaration::Named(prefix)) = attribute.key.as_namespace_binding() {
                let to_xsi = attribute.value.as_ref() == XSI.as_bytes();
                self.bound.push((depth, prefix.to_vec(), to_xsi));
            }
        }
        let names = attributes.iter().map(|attribute| attribute.key).chain([start.name()]);
        if self.strict && !names.into_iter().all(|name| self.is_bound(name)) {
            return None;
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

    /// Whether the name has no prefix, or a prefix that is bound here (Namespaces in XML 1.0 §5).
    fn is_bound(&self, name: QName<'_>) -> bool {
        let Some(prefix) = name.prefix() else { return true };
        let prefix = prefix.into_inner();
        matches!(prefix, b"xml" | b"xmlns")
            || self.bound.iter().any(|(_, bound, _)| bound == prefix)
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

/// Appends text so that any reader gets it back, except for characters that XML 1.0 does not allow
/// (most control characters): those become U+FFFD. A carriage return is written as a reference,
/// since readers take an unescaped one for a line feed.
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

/// Enough for the 10,000 parts of a complete, each with a number, an ETag and checksums.
pub(super) const ELEMENTS_MAX: usize = 80_000;
const DEPTH_MAX: usize = 16;

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
