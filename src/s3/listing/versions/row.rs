//! The entries of a listing of versions: those of the store, and those that it does not show yet.

use super::change::VersionId;
use super::request::Place;
use crate::s3::ETag;
use crate::s3::listing::Description;
use crate::s3::xml::Element;

/// What a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An object with this ETag.
    Object(ETag),
    /// A delete marker.
    Marker,
}

/// A version in the store's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The key, decoded.
    pub key: String,
    /// The version.
    pub id: VersionId,
    /// What it is.
    pub kind: Kind,
    /// Whether it is the key's current version.
    pub is_latest: bool,
    /// The whole entry.
    pub element: Element,
}

/// An entry of the store's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A version.
    Version(VersionRow),
    /// A common prefix, decoded.
    Prefix(String),
}

/// A version that the store does not show yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeVersion {
    /// The key.
    pub key: String,
    /// The version.
    pub id: VersionId,
    /// What it is.
    pub made: Made,
    /// Whether it is the key's current version.
    pub is_latest: bool,
}

/// What a version is that the store does not show yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// An object with this ETag, and more of it where that is known.
    Object(ETag, Option<Description>),
    /// A delete marker that was set then, in seconds since 1970, where that is known.
    Marker(Option<u64>),
}

/// An entry of the page for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// As the store has it, but for what is the current version.
    Row(VersionRow),
    /// A version that the store does not show yet.
    Made(MadeVersion),
    /// A common prefix.
    Prefix(String),
}

impl Row {
    /// The key, or the common prefix.
    pub fn name(&self) -> &str {
        match self {
            Self::Version(row) => &row.key,
            Self::Prefix(prefix) => prefix,
        }
    }

    /// The place behind it.
    pub fn end(&self) -> Place {
        match self {
            Self::Version(row) => Place::AfterVersion(row.key.clone(), row.id.clone()),
            Self::Prefix(prefix) => Place::AfterAll(prefix.clone()),
        }
    }

    /// Is this entry one of a page that begins there? A common prefix is, if a key below it is.
    pub fn may_come_after(&self, place: &Place) -> bool {
        let is_inside = matches!(self, Self::Prefix(prefix)
            if matches!(place, Place::After(key) | Place::AfterVersion(key, _) if key.starts_with(prefix)));
        is_inside || place.may_be_before(self.name())
    }
}

impl Entry {
    /// The key, or the common prefix.
    pub fn name(&self) -> &str {
        match self {
            Self::Row(row) => &row.key,
            Self::Made(made) => &made.key,
            Self::Prefix(prefix) => prefix,
        }
    }

    /// The place behind it.
    pub fn end(&self) -> Place {
        match self {
            Self::Row(VersionRow { key, id, .. }) | Self::Made(MadeVersion { key, id, .. }) => {
                Place::AfterVersion(key.clone(), id.clone())
            }
            Self::Prefix(prefix) => Place::AfterAll(prefix.clone()),
        }
    }
}
