//! Well-formedness rules of XML 1.0 that the event reader does not check: a client's document that
//! is not well-formed is refused.

use quick_xml::XmlVersion;
use quick_xml::events::BytesDecl;
use quick_xml::events::attributes::{Attribute, Attributes};
use quick_xml::name::PrefixDeclaration;

/// Whether XML 1.0 can hold the character at all (§2.2).
pub(super) const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Whether this is a name as in S3's documents: in ASCII, where XML 1.0 §2.3 allows more.
pub(super) fn is_name(name: &str) -> bool {
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.as_bytes().first().is_some_and(begins)
        && name.bytes().all(|byte| begins(&byte) || matches!(byte, b'0'..=b'9' | b'.' | b'-'))
}

/// Whether this text may stand between two tags (XML 1.0 §2.4).
pub(super) fn is_text(raw: &[u8]) -> bool {
    !raw.windows(3).any(|bytes| bytes == b"]]>")
}

/// Whether these attributes are well-formed (XML 1.0 §3.1); `raw` is their text.
pub(super) fn are_attributes(raw: &[u8], attributes: &[Attribute<'_>]) -> bool {
    are_apart(raw) && attributes.iter().all(is_attribute)
}

fn is_attribute(attribute: &Attribute<'_>) -> bool {
    let named = std::str::from_utf8(attribute.key.into_inner())
        .is_ok_and(|name| name.split(':').count() <= 2 && name.split(':').all(is_name));
    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
    let sound = value.is_ok_and(|value| value.chars().all(is_char));
    // Namespaces in XML 1.0 §2.2: a prefix cannot be unbound.
    let binds = matches!(attribute.key.as_namespace_binding(), Some(PrefixDeclaration::Named(_)));
    named && sound && !attribute.value.contains(&b'<') && !(binds && attribute.value.is_empty())
}

/// Whether there is white space before each attribute.
fn are_apart(raw: &[u8]) -> bool {
    let mut quote = None;
    let mut closed = false;
    for &byte in raw {
        match quote {
            Some(open) => {
                closed = byte == open;
                if closed {
                    quote = None;
                }
            }
            None if closed && !byte.is_ascii_whitespace() => return false,
            None => {
                closed = false;
                quote = Some(byte).filter(|byte| matches!(byte, b'"' | b'\''));
            }
        }
    }
    quote.is_none()
}

/// Checks for a declaration of XML 1.0 in UTF-8 (§2.8). A reader that follows any other declaration
/// would read the document differently.
pub(super) fn check_declaration(declaration: &BytesDecl<'_>) -> Option<()> {
    let raw = std::str::from_utf8(declaration).ok()?.strip_prefix("xml")?;
    let said: Vec<_> = Attributes::new(raw, 0).collect::<Result<_, _>>().ok()?;
    let mut said = said.iter().map(|each| (each.key.into_inner(), each.value.as_ref())).peekable();
    let mut next = |name: &str| said.next_if(|(known, _)| *known == name.as_bytes());
    let version = next("version").is_some_and(|(_, version)| version == b"1.0");
    let encoding = next("encoding").is_none_or(|(_, name)| name.eq_ignore_ascii_case(b"utf-8"));
    let standalone = next("standalone").is_none_or(|(_, value)| matches!(value, b"yes" | b"no"));
    let sound =
        version && encoding && standalone && said.next().is_none() && are_apart(raw.as_bytes());
    sound.then_some(())
}
