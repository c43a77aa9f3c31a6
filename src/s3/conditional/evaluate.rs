//! The evaluation of preconditions, in the order of RFC 9110 §13.2.2.

use super::fields::{EntityTag, EntityTags};
use super::precondition::Precondition;
use super::preconditions::Preconditions;
use super::representation::Representation;
use crate::s3::etag::ETag;

impl Preconditions {
    /// Evaluates the preconditions for the key's state. The error is the first false precondition,
    /// which each kind of request answers in its own way ([`Precondition`]). A modification time
    /// that is not known is not compared with a date of a read, and does not equal the time of a
    /// delete.
    pub fn evaluate<'a>(&self, of: impl Into<Representation<'a>>) -> Result<(), Precondition> {
        let of = of.into();
        if self.hold_of_nothing && !of.exists {
            return Ok(());
        }
        let at = of.last_modified_s;
        // Strong comparison (RFC 9110 §13.1.1).
        let strongly = |tags| names(tags, of, EntityTag::matches_strongly);
        if self.if_match.as_ref().is_some_and(|tags| !strongly(tags)) {
            return Err(Precondition::IfMatch);
        }
        if self.if_unmodified_since_s.zip(at).is_some_and(|(date, at)| at > date) {
            return Err(Precondition::IfUnmodifiedSince);
        }
        // Weak comparison (RFC 9110 §13.1.2).
        let weakly = |tags| names(tags, of, EntityTag::matches_weakly);
        if self.if_none_match.as_ref().is_some_and(weakly) {
            return Err(Precondition::IfNoneMatch);
        }
        if self.if_modified_since_s.zip(at).is_some_and(|(date, at)| at <= date) {
            return Err(Precondition::IfModifiedSince);
        }
        // Preconditions that RFC 9110 does not define come after those that it orders.
        if self.if_match_size_bytes.is_some() && self.if_match_size_bytes != of.size_bytes {
            return Err(Precondition::IfMatchSize);
        }
        if self.if_match_last_modified_s.is_some() && self.if_match_last_modified_s != at {
            return Err(Precondition::IfMatchLastModifiedTime);
        }
        if self.if_generation_match.is_some()
            && self.if_generation_match.as_deref() != of.generation
        {
            return Err(Precondition::IfGenerationMatch);
        }
        Ok(())
    }
}

/// Whether the tags match the object's ETag, by this comparison.
fn names(
    tags: &EntityTags,
    of: Representation<'_>,
    matches: impl Fn(&EntityTag, &ETag) -> bool,
) -> bool {
    match tags {
        EntityTags::Any => of.exists,
        EntityTags::List(list) => {
            of.etag.is_some_and(|etag| list.iter().any(|tag| matches(tag, etag)))
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
