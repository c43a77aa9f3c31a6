//! What a write has done to the versions of its key.

use super::super::entry::Description;

/// The id of a version (AWS: ListObjectVersions): opaque, compared for equality only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionId(String);

impl VersionId {
    /// The id of what was written while the bucket kept no versions (AWS: Working with objects in a
    /// versioning-suspended bucket).
    pub const NULL: &str = "null";

    /// The most bytes of an id (AWS: Versioning).
    pub const BYTES_MAX: usize = 1024;

    /// An id; `None` for what is none: nothing, too long, or with white space or control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let is_part = |c: char| !c.is_whitespace() && !c.is_control();
        let is_id = !text.is_empty() && text.len() <= Self::BYTES_MAX && text.chars().all(is_part);
        is_id.then(|| Self(text.to_owned()))
    }

    /// The id `null`.
    pub fn null() -> Self {
        Self(Self::NULL.to_owned())
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.0 == Self::NULL
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a write has done to the versions of its key, by the store's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change {
    /// That is not known.
    #[default]
    Unknown,
    /// The answer named no version: what the write left has the id `null`, and what had it is gone.
    Unnamed,
    /// An object with this id was written.
    Put(VersionId),
    /// A delete marker with this id was set.
    Marker(VersionId),
    /// The version, or the delete marker, with this id was deleted.
    Gone(VersionId),
}

/// What the store's answer says of a write, for listings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// What a listing shows of the object besides its ETag, where that is known.
    pub description: Option<Description>,
    /// What was done to the versions of the key.
    pub change: Change,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_no_white_space_and_a_length() {
        for id in ["null", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo", "é"]
        {
            assert_eq!(VersionId::parse(id).unwrap().as_str(), id);
        }
        assert!(VersionId::parse(&"a".repeat(1024)).is_some());
        for other in ["", "a b", "a\0", "a\n", "\u{a0}", &"a".repeat(1025)] {
            assert_eq!(VersionId::parse(other), None, "{other:?}");
        }
        assert!(VersionId::null().is_null() && !VersionId::parse("nul").unwrap().is_null());
    }
}
