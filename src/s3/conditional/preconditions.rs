//! The preconditions of a request, as one value.

use super::fields::{EntityTag, EntityTags};
use super::precondition::Precondition;
use crate::s3::etag::ETag;

/// What must hold for a request to be done. Only what takes effect is kept: a date beside entity
/// tags is not (RFC 9110 §13.2.2), nor is what the request's dialect ignores.
///
/// [`Preconditions::of_read`] and [`Preconditions::of_copy_source`] parse those on what is read,
/// [`Preconditions::of_write`] and [`Preconditions::of_entry`] those on what is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Preconditions {
    pub(super) if_match: Option<EntityTags>,
    /// In seconds since 1970, like the other times.
    pub(super) if_unmodified_since_s: Option<i64>,
    pub(super) if_none_match: Option<EntityTags>,
    pub(super) if_modified_since_s: Option<i64>,
    pub(super) if_match_size_bytes: Option<u64>,
    pub(super) if_match_last_modified_s: Option<i64>,
    pub(super) if_generation_match: Option<Box<str>>,
    /// All hold where there is no object: to delete what is not there is done, whatever it should
    /// have been (Ceph: DeleteObject).
    pub(super) hold_of_nothing: bool,
}

/// The shape of preconditions: the few that AWS accepts of a write and the register can
/// evaluate without a HEAD, and all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'a> {
    /// There are none.
    None,
    /// `If-None-Match: *`: there is no object.
    IfNoneMatchAny,
    /// `If-Match: <etag>`: there is one with this ETag, byte by byte.
    IfMatch(&'a ETag),
    /// `If-Match: *`: there is one. To AWS on deletes only.
    IfMatchAny,
    /// `x-ifmatch-if-generation-match: <generation>`: nothing has been written since the key had
    /// this generation, not even the same again.
    GenerationMatch(&'a str),
    /// Anything else, which only a HEAD can tell.
    Compound,
}

impl Preconditions {
    /// None.
    pub const NONE: Self = Self {
        if_match: None,
        if_unmodified_since_s: None,
        if_none_match: None,
        if_modified_since_s: None,
        if_match_size_bytes: None,
        if_match_last_modified_s: None,
        if_generation_match: None,
        hold_of_nothing: false,
    };

    /// `If-None-Match: *`
    pub const IF_NONE_MATCH_ANY: Self = Self { if_none_match: Some(EntityTags::Any), ..Self::NONE };

    /// `If-Match: *`
    pub const IF_MATCH_ANY: Self = Self { if_match: Some(EntityTags::Any), ..Self::NONE };

    /// `If-Match` with this ETag, compared byte by byte, as AWS does.
    pub fn if_match(etag: ETag) -> Self {
        let only = EntityTag { weak: false, etag };
        Self { if_match: Some(EntityTags::List(vec![only])), ..Self::NONE }
    }

    /// `x-ifmatch-if-generation-match` with this generation.
    pub fn if_generation_match(generation: impl Into<Box<str>>) -> Self {
        Self { if_generation_match: Some(generation.into()), ..Self::NONE }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// The first that is there, in the order in which they are evaluated.
    pub const fn first(&self) -> Option<Precondition> {
        if self.if_match.is_some() {
            Some(Precondition::IfMatch)
        } else if self.if_unmodified_since_s.is_some() {
            Some(Precondition::IfUnmodifiedSince)
        } else if self.if_none_match.is_some() {
            Some(Precondition::IfNoneMatch)
        } else if self.if_modified_since_s.is_some() {
            Some(Precondition::IfModifiedSince)
        } else if self.if_match_size_bytes.is_some() {
            Some(Precondition::IfMatchSize)
        } else if self.if_match_last_modified_s.is_some() {
            Some(Precondition::IfMatchLastModifiedTime)
        } else if self.if_generation_match.is_some() {
            Some(Precondition::IfGenerationMatch)
        } else {
            None
        }
    }

    /// The shape that they have.
    pub fn shape(&self) -> Shape<'_> {
        let Self {
            if_match,
            if_unmodified_since_s: None,
            if_none_match,
            if_modified_since_s: None,
            if_match_size_bytes: None,
            if_match_last_modified_s: None,
            if_generation_match,
            hold_of_nothing: false,
        } = self
        else {
            return Shape::Compound;
        };
        match (if_match, if_none_match, if_generation_match.as_deref()) {
            (None, None, None) => Shape::None,
            (None, Some(EntityTags::Any), None) => Shape::IfNoneMatchAny,
            (Some(EntityTags::Any), None, None) => Shape::IfMatchAny,
            (Some(EntityTags::List(list)), None, None) => match list.as_slice() {
                [one] if !one.weak => Shape::IfMatch(&one.etag),
                _ => Shape::Compound,
            },
            (None, None, Some(generation)) => Shape::GenerationMatch(generation),
            _ => Shape::Compound,
        }
    }
}
