//! The preconditions of one request, as a value.

use super::fields::{EntityTag, EntityTags};
use super::precondition::Precondition;
use crate::s3::etag::ETag;

/// The preconditions of a request. Only those that take effect are kept: a date beside entity tags
/// is dropped (RFC 9110 §13.2.2), and so is what the request's dialect ignores.
///
/// [`Preconditions::of_read`] and [`Preconditions::of_copy_source`] parse those of reads and copy
/// sources, [`Preconditions::of_write`] and [`Preconditions::of_entry`] those of writes.
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
    /// All of them hold where there is no object: a delete of an absent object succeeds under any
    /// condition (Ceph: DeleteObject).
    pub(super) hold_of_nothing: bool,
}

/// The shape of preconditions: the few that AWS accepts on a write and that the register can
/// evaluate without a HEAD, and all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'a> {
    /// There are none.
    None,
    /// `If-None-Match: *`: no object exists.
    IfNoneMatchAny,
    /// `If-Match: <etag>`: an object with exactly this ETag exists.
    IfMatch(&'a ETag),
    /// `If-Match: *`: an object exists. AWS accepts it on deletes only.
    IfMatchAny,
    /// `x-ifmatch-if-generation-match: <generation>`: no write came since the key had this
    /// generation, not even one of equal bytes.
    GenerationMatch(&'a str),
    /// Anything else, which only a HEAD can evaluate.
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

    /// Whether there are no preconditions.
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// The first one, in the order of their evaluation.
    pub fn first(&self) -> Option<Precondition> {
        // All fields by name: a new one that is forgotten here would make its writes unconditional.
        let Self {
            if_match,
            if_unmodified_since_s,
            if_none_match,
            if_modified_since_s,
            if_match_size_bytes,
            if_match_last_modified_s,
            if_generation_match,
            hold_of_nothing: _,
        } = self;
        let present = [
            (Precondition::IfMatch, if_match.is_some()),
            (Precondition::IfUnmodifiedSince, if_unmodified_since_s.is_some()),
            (Precondition::IfNoneMatch, if_none_match.is_some()),
            (Precondition::IfModifiedSince, if_modified_since_s.is_some()),
            (Precondition::IfMatchSize, if_match_size_bytes.is_some()),
            (Precondition::IfMatchLastModifiedTime, if_match_last_modified_s.is_some()),
            (Precondition::IfGenerationMatch, if_generation_match.is_some()),
        ];
        present.into_iter().find(|(_, is_present)| *is_present).map(|(first, _)| first)
    }

    /// Are they about the object's ETag, its generation and its existence alone, and not about its
    /// date or size?
    pub fn are_about_the_etag(&self) -> bool {
        !self.are_about_the_date() && self.if_match_size_bytes.is_none()
    }

    /// Are they about the object's date, among other things?
    pub fn are_about_the_date(&self) -> bool {
        self.if_unmodified_since_s.is_some()
            || self.if_modified_since_s.is_some()
            || self.if_match_last_modified_s.is_some()
    }

    /// Are they about the key's generation, among other things?
    pub fn are_about_the_generation(&self) -> bool {
        self.if_generation_match.is_some()
    }

    /// Their shape.
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
