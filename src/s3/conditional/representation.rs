//! The object's state, as far as preconditions need it (RFC 9110 §8.8: validators), and the answers
//! that it is read from.

use http::header;

use super::fields::last_modified_s;
use crate::http1::fields::Fields;
use crate::s3::etag::ETag;

/// The selected representation (RFC 9110 §3.2): what preconditions are evaluated against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Representation<'a> {
    /// Whether there is an object. A delete marker counts as none.
    pub exists: bool,
    /// Its ETag; `None` where there is no object, or the store does not say it.
    pub etag: Option<&'a ETag>,
    /// When it was written, in seconds since 1970 by the store's clock, where that is known.
    pub last_modified_s: Option<i64>,
    /// Its length, where that is known.
    pub size_bytes: Option<u64>,
    /// The key's generation, where the register has given it. A key without an object has one too.
    pub generation: Option<&'a str>,
}

/// The current version of a key. A delete marker counts as absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Current {
    /// There is no object.
    Absent,
    /// There is an object with this ETag.
    Present(ETag),
}

/// The state of a key by a HEAD, with its generation by the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The current version.
    pub current: Current,
    /// When it was written, in seconds since 1970, by the store's clock; `None` where there is no
    /// object, or the store does not say it.
    pub last_modified_s: Option<i64>,
    /// Its length; `None` where there is no object, or the store does not say it.
    pub size_bytes: Option<u64>,
    /// Its generation, where the register has given it.
    pub generation: Option<Box<str>>,
    /// The write id that a write left on it, if any.
    pub id_field: Option<Box<str>>,
}

impl Seen {
    /// There is no object.
    pub const ABSENT: Self = Self {
        current: Current::Absent,
        last_modified_s: None,
        size_bytes: None,
        generation: None,
        id_field: None,
    };
}

impl From<Current> for Seen {
    /// With nothing more known.
    fn from(current: Current) -> Self {
        Self { current, ..Self::ABSENT }
    }
}

impl<'a> From<&'a Seen> for Representation<'a> {
    fn from(seen: &'a Seen) -> Self {
        let etag = match &seen.current {
            Current::Absent => None,
            Current::Present(etag) => Some(etag),
        };
        Self {
            exists: etag.is_some(),
            etag,
            last_modified_s: seen.last_modified_s,
            size_bytes: seen.size_bytes,
            generation: seen.generation.as_deref(),
        }
    }
}

/// The validators in an answer about an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    etag: Option<ETag>,
    last_modified_s: Option<i64>,
}

impl Validators {
    /// The `ETag` and `Last-Modified` of an answer.
    pub fn of(headers: &Fields) -> Self {
        Self {
            etag: headers.get(header::ETAG).map(|value| ETag::parse(value.as_bytes())),
            last_modified_s: last_modified_s(headers),
        }
    }

    /// The ETag; a weak one with its `W/`.
    pub const fn etag(&self) -> Option<&ETag> {
        self.etag.as_ref()
    }

    /// When the object was written, in seconds since 1970.
    pub const fn last_modified_s(&self) -> Option<i64> {
        self.last_modified_s
    }
}

impl<'a> From<&'a Validators> for Representation<'a> {
    /// The answer is about an object, so the object exists.
    fn from(validators: &'a Validators) -> Self {
        Self {
            exists: true,
            etag: validators.etag.as_ref(),
            last_modified_s: validators.last_modified_s,
            ..Self::default()
        }
    }
}
