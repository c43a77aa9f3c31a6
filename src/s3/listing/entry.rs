//! The entries of a listing: those of the store, and those that it does not show yet.

use super::request::Position;
use crate::s3::ETag;
use crate::s3::xml::Element;

/// What a listing shows of an object besides its ETag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Its size, bytes.
    pub size_bytes: u64,
    /// When it was written, by the store's clock, in seconds since 1970.
    pub modified_s: u64,
    /// Whether it is known to be of the class `STANDARD`.
    pub is_standard: bool,
}

/// An entry of the store's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key or the common prefix, decoded.
    pub name: String,
    /// Of an object: its ETag. `None` for a common prefix.
    pub etag: Option<ETag>,
    /// The whole entry.
    pub element: Element,
}

/// An entry of the page for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// As the store has it.
    Row(Row),
    /// An object that the store does not show yet.
    Made(Made),
    /// A common prefix.
    Prefix(String),
}

/// An object that the store does not show yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The key.
    pub key: String,
    /// Its ETag.
    pub etag: ETag,
    /// More of it, where that is known.
    pub description: Option<Description>,
    /// What the store shows instead, if anything.
    pub older: Option<Row>,
}

impl Entry {
    /// The key, or the common prefix.
    pub fn name(&self) -> &str {
        match self {
            Self::Row(row) => &row.name,
            Self::Made(made) => &made.key,
            Self::Prefix(prefix) => prefix,
        }
    }

    /// The place behind it.
    pub fn end(&self) -> Position {
        match self {
            Self::Row(row) => row.end(),
            Self::Made(made) => Position::After(made.key.clone()),
            Self::Prefix(prefix) => Position::AfterAll(prefix.clone()),
        }
    }
}

impl Row {
    /// Is this entry one of a page that begins there? A common prefix is, if a key below it is.
    pub fn may_come_after(&self, start: &Position) -> bool {
        let is_inside = self.etag.is_none()
            && matches!(start, Position::After(key) if key.starts_with(&self.name));
        is_inside || start.is_before(&self.name)
    }

    /// The place behind it.
    pub fn end(&self) -> Position {
        match self.etag {
            Some(_) => Position::After(self.name.clone()),
            None => Position::AfterAll(self.name.clone()),
        }
    }
}
