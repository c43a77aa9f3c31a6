//! What stands at a key, as far as preconditions ask (RFC 9110 §8.8: validators), and where it is
//! learned from.

use http::header::{self, HeaderMap};

use super::fields::last_modified_s;
use crate::s3::etag::ETag;

/// The selected representation (RFC 9110 §3.2): what preconditions are evaluated against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Representation<'a> {
    /// Whether there is an object. A delete marker counts as none.
    pub exists: bool,
    /// Its ETag; `None` where there is nothing, or the store does not say.
    pub etag: Option<&'a ETag>,
    /// When it was written, in seconds since 1970 by the store's clock, where that is known.
    pub last_modified_s: Option<i64>,
    /// How long it is, where that is known.
    pub size_bytes: Option<u64>,
    /// The key's generation, where the register has said it. A key without an object has one too.
    pub generation: Option<&'a str>,
}

/// The current version of a key. A delete marker counts as absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Current {
    /// There is no object.
    Absent,
    /// There is one, and this is its ETag.
    Present(ETag),
}

/// What a HEAD says of a key, and the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The current version.
    pub current: Current,
    /// When it was written, in seconds since 1970, by the store's clock; `None` where there is
    /// nothing, or the store does not say.
    pub last_modified_s: Option<i64>,
    /// How long it is; `None` where there is nothing, or the store does not say.
    pub size_bytes: Option<u64>,
    /// Its generation, where the register has said it.
    pub generation: Option<Box<str>>,
    /// What the write that left it has written on it, where it has.
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
    /// Where nothing more is known of it.
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

/// What an answer says of the object it is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    etag: Option<ETag>,
    last_modified_s: Option<i64>,
}

impl Validators {
    /// The `ETag` and `Last-Modified` of an answer.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: headers.get(header::ETAG).map(|value| ETag::parse(value.as_bytes())),
            last_modified_s: last_modified_s(headers),
        }
    }

    /// The ETag; of a weak one, with its mark.
    pub const fn etag(&self) -> Option<&ETag> {
        self.etag.as_ref()
    }

    /// When the object was written, in seconds since 1970.
    pub const fn last_modified_s(&self) -> Option<i64> {
        self.last_modified_s
    }
}

impl<'a> From<&'a Validators> for Representation<'a> {
    /// There is an object: the answer is about it.
    fn from(validators: &'a Validators) -> Self {
        Self {
            exists: true,
            etag: validators.etag.as_ref(),
            last_modified_s: validators.last_modified_s,
            ..Self::default()
        }
    }
}
