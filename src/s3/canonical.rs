//! The canonical spelling of a document that is sent on as its sender signed it. Every reader,
//! strict or lax, reads the same values from it, so that the key that is guarded is the key that
//! the store changes. docs/documents.md describes the spelling.
//!
//! ```text
//! document    = [ declaration ] space element space
//! declaration = '<?xml version="1.0"' [ ' encoding="UTF-8"' ] '?>'    ; or in single quotes
//! element     = '<' name [ namespace ] '>' ( value / space *( element space ) ) '</' name '>'
//! namespace   = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'    ; of the root; or in ' '
//! value       = *( character / reference )      ; no white space at its ends, no carriage return
//! reference   = '&' ( 'amp' / 'lt' / 'gt' / 'quot' / 'apos' / number of an XML character ) ';'
//! ```

use super::error::S3Error;
use super::well_formed::is_char;
use super::xml::{DOCUMENT_BYTES_MAX, ELEMENTS_MAX, Element, NAMESPACE};

/// Reads a document in the canonical spelling. 400 `MalformedXML` for any other; its message says
/// what has to change.
pub fn parse_canonical(document: &[u8]) -> Result<Element, S3Error> {
    #[cfg(test)]
    crate::readings::count("document");
    read(document).map_err(refused)
}

/// 400 for a document in another spelling, with a sentence that says what to change.
pub(super) fn refused(why: &str) -> S3Error {
    S3Error::malformed_xml().because(format!("{}: {why}", S3Error::malformed_xml().message()))
}

/// Whether a reader that guesses types would take a value for a number with another spelling:
/// `0x10` for 16, `007` for 7, `1e999` for infinity, `e5` for not-a-number, as s3rver's reader
/// does.
pub(super) fn is_like_another_value(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(digits) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        return are_digits(digits, u8::is_ascii_hexdigit);
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.strip_prefix(['-', '+']).unwrap_or(exponent))
        }
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_decimal = |text: &str| text.is_empty() || are_digits(text, u8::is_ascii_digit);
    let is_number = are_decimal(whole)
        && are_decimal(fraction)
        && are_digits(exponent, u8::is_ascii_digit)
        && text.bytes().any(|byte| byte.is_ascii_digit());
    is_number && !is_plain_integer(text)
}

fn are_digits(text: &str, is_digit: fn(&u8) -> bool) -> bool {
    !text.is_empty() && text.as_bytes().iter().all(is_digit)
}

/// An integer that a double can hold, in its only usual spelling.
fn is_plain_integer(text: &str) -> bool {
    let is_short = text == "0" || !text.starts_with('0') && text.len() <= 15;
    is_short && are_digits(text, u8::is_ascii_digit)
}

fn read(document: &[u8]) -> Result<Element, &'static str> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err("it is too large");
    }
    let text = std::str::from_utf8(document).map_err(|_| "it has to be in UTF-8")?;
    if text.starts_with('\u{feff}') {
        return Err("leave the byte order mark out");
    }
    if !text.chars().all(is_char) {
        return Err("XML 1.0 cannot hold one of its characters");
    }
    let mut cursor = Cursor { rest: text, elements: 0 };
    cursor.declaration()?;
    cursor.space();
    let root = cursor.element(0)?;
    cursor.space();
    if cursor.rest.is_empty() { Ok(root) } else { Err("nothing may follow the root element") }
}

struct Cursor<'a> {
    rest: &'a str,
    elements: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, text: &str) -> bool {
        let left = self.rest.strip_prefix(text);
        self.rest = left.unwrap_or(self.rest);
        left.is_some()
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn space(&mut self) {
        self.take_while(is_space);
    }

    /// Text in quotes of either kind.
    fn quoted(&mut self) -> Option<&'a str> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (text, rest) = self.rest[1..].split_once(quote)?;
        self.rest = rest;
        Some(text)
    }

    fn declaration(&mut self) -> Result<(), &'static str> {
        if !self.take("<?xml") {
            return Ok(());
        }
        if !self.take(" version=") || self.quoted() != Some("1.0") {
            return Err("its declaration has to say version=\"1.0\"");
        }
        if self.take(" encoding=") && !self.quoted().is_some_and(is_utf8) {
            return Err("its declaration may name no encoding but UTF-8");
        }
        if self.take("?>") { Ok(()) } else { Err(DECLARATION_MORE) }
    }

    fn element(&mut self, depth: usize) -> Result<Element, &'static str> {
        self.elements += 1;
        if depth >= DEPTH_MAX || self.elements > ELEMENTS_MAX {
            return Err("it has too many elements");
        }
        if !self.take("<") {
            return Err("an element has to begin here, and no text");
        }
        let name = self.take_while(|c| c.is_ascii_alphanumeric());
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.no_element());
        }
        if depth == 0 && self.take(" xmlns=") && self.quoted() != Some(NAMESPACE) {
            return Err("its namespace has to be http://s3.amazonaws.com/doc/2006-03-01/");
        }
        let mut element = Element { name: name.to_owned(), ..Element::default() };
        if self.take("/>") || self.take(" />") {
            return Ok(element);
        }
        if !self.take(">") {
            return Err("an element's name may have no prefix, and no attribute may follow it");
        }
        let mut between = self.take_while(|c| c != '<');
        if self.rest.starts_with("</") {
            element.text = value(between)?;
            between = "";
        }
        // White space between elements has no meaning.
        while !self.rest.starts_with("</") {
            if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
                self.take("<");
                return Err(self.no_element());
            }
            if !between.chars().all(is_space) {
                break;
            }
            element.children.push(self.element(depth + 1)?);
            between = self.take_while(|c| c != '<');
        }
        if !between.chars().all(is_space) {
            return Err("no text may stand beside elements");
        }
        if self.take("</") && self.take(name) && self.take(">") {
            return Ok(element);
        }
        Err("an element ends otherwise than it began")
    }

    /// Why an element cannot begin here.
    fn no_element(&self) -> &'static str {
        match self.rest.as_bytes() {
            [b'!', b'-', ..] => "leave its comments out",
            [b'!', b'[', ..] => "write text without CDATA sections",
            [b'!', ..] => "leave its document type out",
            [b'?', ..] => "leave its processing instructions out",
            _ => "an element's name is missing",
        }
    }
}

/// The value of a text.
fn value(text: &str) -> Result<String, &'static str> {
    if text.contains('\r') {
        return Err("write a carriage return as a reference, &#13;");
    }
    if text.contains("]]>") {
        return Err("write ]]> as ]]&gt;");
    }
    let mut value = String::with_capacity(text.len());
    let mut pieces = text.split('&');
    value.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, rest) = piece.split_once(';').ok_or(ENTITY)?;
        value.push(reference(name).ok_or(ENTITY)?);
        value.push_str(rest);
    }
    let at_ends = [value.chars().next(), value.chars().next_back()];
    if at_ends.into_iter().flatten().any(may_be_trimmed) {
        return Err("a value may neither begin nor end with white space");
    }
    Ok(value)
}

fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    let is_number = (1..=8).contains(&digits.len()) && digits.chars().all(|c| c.is_digit(radix));
    let code = u32::from_str_radix(digits, radix).ok().filter(|_| is_number)?;
    // Readers that treat references as HTML's take 128 to 159 for other characters.
    char::from_u32(code).filter(|c| is_char(*c) && !(0x80..0xa0).contains(&code))
}

/// White space in XML.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// White space for any reader.
fn may_be_trimmed(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{180e}')
}

fn is_utf8(encoding: &str) -> bool {
    encoding.eq_ignore_ascii_case("utf-8")
}

const DECLARATION_MORE: &str = "its declaration may say version and encoding, and nothing else";
const ENTITY: &str = "only amp, lt, gt, quot, apos and the numbers of XML's \
                      characters may follow an ampersand";
const DEPTH_MAX: usize = 16;

#[cfg(test)]
#[path = "canonical_tests.rs"]
mod tests;
