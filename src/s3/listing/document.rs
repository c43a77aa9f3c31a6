//! What the documents of all listings have in common.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::s3::encoding::decode_query;
use crate::s3::well_formed::is_char;
use crate::s3::xml::Element;

/// The element of a common prefix.
pub(super) const PREFIX: &str = "CommonPrefixes";

/// The text of the element with this name, if there is any.
pub(super) fn text_of<'e>(children: &'e [Element], name: &str) -> Option<&'e str> {
    let child = children.iter().find(|child| child.name == name);
    child.map(|child| child.text.trim_ascii()).filter(|text| !text.is_empty())
}

/// Whether names are percent-encoded (`encoding-type=url`).
pub(super) fn is_encoded(children: &[Element]) -> bool {
    text_of(children, "EncodingType") == Some("url")
}

/// Whether the page says that there is more; `None` where that cannot be read.
pub(super) fn is_truncated(children: &[Element]) -> Option<bool> {
    match text_of(children, "IsTruncated") {
        Some("true") => Some(true),
        Some("false") | None => Some(false),
        Some(_) => None,
    }
}

/// A name in a page; `None` where it has characters that XML does not have, and is not encoded.
pub(super) fn decoded(name: &str, is_encoded: bool) -> Option<String> {
    if is_encoded { decode_query(name) } else { name.chars().all(is_char).then(|| name.to_owned()) }
}

/// A common prefix, encoded if the page is.
pub(super) fn common_prefix(name: String) -> Element {
    Element { children: vec![Element::of_text("Prefix", name)], ..Element::of_text(PREFIX, "") }
}

/// A moment as listings spell it (AWS: ListObjectsV2, LastModified).
pub(super) fn iso_8601(unix_s: u64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(i64::try_from(unix_s).ok()?).ok()?;
    let text = moment.format(&Rfc3339).ok()?;
    Some(text.replace('Z', ".000Z"))
}
