//! The values of conditional headers: entity tags and dates, as RFC 9110 defines them.

use http::header::{self, HeaderName};
use httpdate::HttpDate;

use crate::http1::fields::Fields;
use crate::s3::etag::ETag;

/// An entity tag in a precondition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EntityTag {
    /// Whether it is weak, `W/"…"` (RFC 9110 §8.8.3). By strong comparison a weak tag equals none.
    pub(super) weak: bool,
    pub(super) etag: ETag,
}

impl EntityTag {
    /// A tag that is compared byte by byte, as AWS does: a weak tag, `W/"…"`, equals itself.
    pub(super) fn bytewise(value: &[u8]) -> Self {
        Self { weak: false, etag: ETag::parse(value) }
    }

    /// As RFC 9110 defines it. The quotes may be missing, as AWS allows, except in a weak tag.
    pub(super) fn parse(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        match value.strip_prefix(b"W/") {
            Some(quoted) if quoted.starts_with(b"\"") => {
                Self { weak: true, etag: ETag::parse(quoted) }
            }
            _ => {
                let etag = ETag::parse(value);
                // `"W/"e""` is not an entity tag, and must not equal a stored weak tag.
                Self { weak: etag.is_weak(), etag }
            }
        }
    }

    /// Weak comparison (RFC 9110 §8.8.3.2).
    pub(super) fn matches_weakly(&self, stored: &ETag) -> bool {
        self.etag.opaque() == stored.opaque()
    }

    /// Strong comparison (RFC 9110 §8.8.3.2).
    pub(super) fn matches_strongly(&self, stored: &ETag) -> bool {
        !self.weak && self.etag == *stored
    }
}

/// The value of a header with entity tags.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum EntityTags {
    /// `*`
    Any,
    /// One of these.
    List(Vec<EntityTag>),
}

impl EntityTags {
    /// The text of an element: `*`, or an ETag, which `tag` parses; `None` where it is empty.
    pub(super) fn of_element(text: &str, tag: fn(&[u8]) -> EntityTag) -> Option<Self> {
        match text.trim_ascii() {
            "" => None,
            "*" => Some(Self::Any),
            etag => Some(Self::List(vec![tag(etag.as_bytes())])),
        }
    }

    /// Reads `*`, an ETag, or a list of them, in one field or several (RFC 9110 §5.3, §5.6.1);
    /// `None` when the header is missing or empty, as some SDKs send it.
    pub(super) fn of_header(headers: &Fields, name: &HeaderName) -> Option<Self> {
        let mut any = true;
        let mut list = Vec::new();
        for value in headers.get_all(name) {
            let mut quoted = false;
            let at_comma = move |byte: &u8| {
                quoted ^= *byte == b'"';
                *byte == b',' && !quoted
            };
            let elements = value.as_bytes().split(at_comma).map(<[u8]>::trim_ascii);
            for element in elements.filter(|element| !element.is_empty()) {
                any &= element == b"*";
                list.push(EntityTag::parse(element));
            }
        }
        match list.is_empty() {
            true => None,
            false if any => Some(Self::Any),
            false => Some(Self::List(list)),
        }
    }
}

/// Reads a date in any of HTTP's three forms, in seconds since 1970; `None` for anything else, and
/// for several dates (RFC 9110 §5.6.7, §13.1.3, §13.1.4: such a precondition is ignored).
pub(super) fn date_s(headers: &Fields, name: &HeaderName) -> Option<i64> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| read_date_s(value)).flatten()
}

/// The same for a text.
pub(super) fn read_date_s(text: &str) -> Option<i64> {
    let date: HttpDate = text.parse().ok()?;
    let since = std::time::SystemTime::from(date).duration_since(std::time::UNIX_EPOCH);
    Some(since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
}

/// The time of an answer by its `Date`, in seconds since 1970.
pub fn sent_at_s(headers: &Fields) -> Option<i64> {
    date_s(headers, &header::DATE)
}

/// The modification time of an object by an answer's header, in seconds since 1970.
pub fn last_modified_s(headers: &Fields) -> Option<i64> {
    date_s(headers, &header::LAST_MODIFIED)
}
