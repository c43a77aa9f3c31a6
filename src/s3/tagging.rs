//! Tags, in a document and in a header (AWS: PutObjectTagging, PostObject).

use std::collections::HashSet;

use super::code::Code;
use super::encoding::{decode_query, encode_query};
use super::error::S3Error;
use super::xml::{self, Element};

/// The kind of thing that is tagged, which limits the number of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// An object: at most 10.
    Object,
    /// A bucket: at most 50.
    Bucket,
}

/// A tag's key and its value.
type Tag = (String, String);

/// The value of `x-amz-tagging` for a `<Tagging>` document: `key=value&key=value`. 400
/// `MalformedXML` for another document, and AWS's errors for invalid tags.
pub fn tagging_header(document: &str) -> Result<String, S3Error> {
    let root = xml::parse_request(document.as_bytes()).ok_or_else(S3Error::malformed_xml)?;
    let tags = tags_of(&root)?;
    check(&tags, Tagged::Object)?;
    let pairs = tags.iter().map(|(k, v)| format!("{}={}", encode_query(k), encode_query(v)));
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

/// Checks the value of `x-amz-tagging` (AWS: PutObject).
pub(super) fn check_header(value: &str) -> Result<(), S3Error> {
    check(&of_header(value)?, Tagged::Object)
}

/// The tags in a value of `x-amz-tagging`, which is written like a query. 400 `InvalidArgument` when
/// it is not, or names a tag twice.
pub fn of_header(value: &str) -> Result<Vec<Tag>, S3Error> {
    let invalid = || S3Error::invalid_argument(HEADER, "x-amz-tagging", value);
    let pairs = value.split('&').filter(|pair| !pair.is_empty());
    let tags: Vec<Tag> = pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode_query(key)?, decode_query(value)?))
        })
        .collect::<Option<_>>()
        .ok_or_else(invalid)?;
    if named_twice(&tags).is_some() { Err(invalid()) } else { Ok(tags) }
}

/// The tags of a `<Tagging>` document. 400 `MalformedXML` when it is none.
pub(super) fn tags_of(root: &Element) -> Result<Vec<Tag>, S3Error> {
    read(root).ok_or_else(S3Error::malformed_xml)
}

fn read(root: &Element) -> Option<Vec<Tag>> {
    let [set] = root.children.as_slice() else { return None };
    if root.name != "Tagging" || set.name != "TagSet" || !set.is_only_elements() {
        return None;
    }
    set.children.iter().map(tag).collect()
}

fn tag(element: &Element) -> Option<Tag> {
    if element.name != "Tag" || element.children.len() != 2 {
        return None;
    }
    let text = |name| element.child_text(name).map(str::to_owned);
    Some((text("Key")?, text("Value")?))
}

/// Refuses tags that no store takes. Other signs than AWS's are left to the store, and so are AWS's own
/// tags of a bucket, which are sent back when others are set.
pub(super) fn check(tags: &[Tag], tagged: Tagged) -> Result<(), S3Error> {
    let has_system_tags = tagged == Tagged::Bucket;
    check_by(tags, tagged, has_system_tags, |character| !character.is_control())
}

/// Holds tags to all of AWS's restrictions (AWS: Categorizing your objects using tags), where no tag is
/// AWS's own.
pub fn check_as_aws(tags: &[Tag], tagged: Tagged) -> Result<(), S3Error> {
    // Letters, numbers and spaces of any script, and some signs.
    check_by(tags, tagged, false, |character| {
        let is_space = character.is_whitespace() && !character.is_control();
        character.is_alphanumeric() || is_space || "+-=._:/@".contains(character)
    })
}

fn check_by(
    tags: &[Tag],
    tagged: Tagged,
    has_system_tags: bool,
    is_allowed: fn(char) -> bool,
) -> Result<(), S3Error> {
    let (most, too_many) = match tagged {
        Tagged::Object => (10, "Object tags cannot be greater than 10"),
        Tagged::Bucket => (50, "Bucket tag count cannot be greater than 50"),
    };
    if tags.len() > most {
        return Err(S3Error::new(Code::BadRequest).because(too_many));
    }
    for (key, value) in tags {
        if !has_system_tags && key.starts_with("aws:") {
            return Err(
                invalid_tag("System tags cannot be added/updated by requester").with("TagKey", key)
            );
        }
        if !(1..=KEY_CHARS_MAX).contains(&key.chars().count()) || !key.chars().all(is_allowed) {
            return Err(invalid_tag("The TagKey you have provided is invalid").with("TagKey", key));
        }
        if value.chars().count() > VALUE_CHARS_MAX || !value.chars().all(is_allowed) {
            let invalid = invalid_tag("The TagValue you have provided is invalid");
            return Err(invalid.with("TagKey", key).with("TagValue", value));
        }
    }
    match named_twice(tags) {
        Some(key) => {
            Err(invalid_tag("Cannot provide multiple Tags with the same key").with("TagKey", key))
        }
        None => Ok(()),
    }
}

fn named_twice(tags: &[Tag]) -> Option<&str> {
    let mut seen = HashSet::new();
    tags.iter().map(|(key, _)| key.as_str()).find(|key| !seen.insert(*key))
}

fn invalid_tag(message: &'static str) -> S3Error {
    S3Error::new(Code::InvalidTag).because(message)
}

const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;
const HEADER: &str = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
                      parameters without tag name duplicates.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_a_header_and_other_documents_are_refused() {
        let header = |set: &str| tagging_header(&format!("<Tagging>{set}</Tagging>"));
        let two = "<TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag>\
                   <Tag><Value>\u{fc}</Value><Key>c</Key></Tag></TagSet>";
        assert_eq!(header(two).unwrap(), "a%20b=1%262&c=%C3%BC");
        assert_eq!(header("<TagSet/>").unwrap(), "");
        for wrong in [
            "",
            "<TagSet/><TagSet/>",
            "<Tags/>",
            "<TagSet><Tag><Key>a</Key></Tag></TagSet>",
            "<TagSet><Tag><Key>a</Key><Value/><Value/></Tag></TagSet>",
            "<TagSet><Key>a</Key></TagSet>",
        ] {
            assert_eq!(header(wrong).unwrap_err().code(), "MalformedXML", "{wrong}");
        }
        assert_eq!(tagging_header("a=1").unwrap_err().code(), "MalformedXML");
    }

    fn code(result: Result<(), S3Error>) -> Option<String> {
        result.err().map(|error| error.code().to_owned())
    }

    #[test]
    fn tags_are_held_to_aws_s_restrictions() {
        let tags = |n: usize| (0..n).map(|i| (i.to_string(), String::new())).collect::<Vec<_>>();
        let one = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        let long = "\u{fc}".repeat(257);
        for (tags, tagged, expected) in [
            (tags(10), Tagged::Object, None),
            (tags(11), Tagged::Object, Some("BadRequest")),
            (tags(50), Tagged::Bucket, None),
            (tags(51), Tagged::Bucket, Some("BadRequest")),
            (one(&long[..256], &long[..512]), Tagged::Object, None),
            (one(&long[..258], ""), Tagged::Object, Some("InvalidTag")),
            (one("a\u{0}", ""), Tagged::Object, Some("InvalidTag")),
            (one("a", "\n"), Tagged::Bucket, Some("InvalidTag")),
            (one("aws:a", ""), Tagged::Object, Some("InvalidTag")),
            (one("aws:a", ""), Tagged::Bucket, None),
            (one("", ""), Tagged::Object, Some("InvalidTag")),
            (one("a", &long), Tagged::Object, Some("InvalidTag")),
            ([one("a", "1"), one("a", "2")].concat(), Tagged::Bucket, Some("InvalidTag")),
        ] {
            assert_eq!(code(check(&tags, tagged)).as_deref(), expected, "{tags:.100?}");
        }
    }

    #[test]
    fn aws_allows_fewer_signs_and_no_tag_of_its_own() {
        let allowed = |key: &str, value: &str, tagged| {
            let tags = [(key.to_owned(), value.to_owned())];
            (check(&tags, tagged).is_ok(), check_as_aws(&tags, tagged).is_ok())
        };
        assert_eq!(allowed("\u{e4}1\u{2003}", "+ -=._:/@", Tagged::Object), (true, true));
        assert_eq!(allowed("a!", "", Tagged::Object), (true, false));
        assert_eq!(allowed("a", "<", Tagged::Bucket), (true, false));
        assert_eq!(allowed("aws:a", "", Tagged::Bucket), (true, false));
        assert_eq!(allowed("a", "\u{7f}", Tagged::Object), (false, false));
    }

    #[test]
    fn a_header_of_tags_is_a_query_without_duplicates() {
        for (value, expected) in [
            ("", None),
            ("a=b&c=d%20e&f", None),
            ("a=1&a=2", Some("InvalidArgument")),
            ("a+b=1&a%20b=2", Some("InvalidArgument")),
            ("a=%zz", Some("InvalidArgument")),
            ("%ff=a", Some("InvalidArgument")),
            ("=a", Some("InvalidTag")),
            ("a&b&c&d&e&f&g&h&i&j&k", Some("BadRequest")),
        ] {
            assert_eq!(code(check_header(value)).as_deref(), expected, "{value}");
        }
    }
}
