//! A page of a store that lags, corrected by what is known to have been written lately. Exact page by
//! page: what was written is there, what was deleted is not, nothing is there twice, and a common prefix
//! is there if a key below it is.

use std::collections::BTreeMap;

use super::entry::{Description, Entry, Made, Row};
use super::request::{ListRequest, Position};
use crate::s3::ETag;

/// What stands at a key that was written lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fresh {
    /// Nothing: it was deleted.
    Nothing,
    /// This object, and more of it where that is known.
    Object(ETag, Option<Description>),
    /// That is not known.
    Unknown,
}

/// What is known of a range of keys that the store may show as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// The keys that were written lately, all of them in the range.
    pub keys: BTreeMap<String, Fresh>,
    /// Behind this key there may be more of them; `None` where there are not.
    pub horizon: Option<String>,
}

/// A corrected page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The entries, in the order of their names; never more than were asked for.
    pub entries: Vec<Entry>,
    /// The common prefixes among them of which it is not known whether a key below them is left: keys
    /// below them were deleted.
    pub doubtful: Vec<String>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Next>,
    /// Whether the state of a key of this page is not known.
    pub has_unknown: bool,
    /// Whether it differs from the store's page, or ends elsewhere.
    pub is_changed: bool,
}

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The place.
    pub position: Position,
    /// Whether the store's own page ends there too.
    pub with_the_store: bool,
}

/// Corrects a page of the store that begins at `start`. `more`: the store has more behind it.
pub fn merge(
    request: &ListRequest,
    start: &Position,
    (rows, more): (Vec<Row>, bool),
    overlay: &Overlay,
) -> Merged {
    let stores_end = more.then(|| rows.last().map_or_else(|| start.clone(), Row::end));
    let mut end = stores_end.clone();
    let mut beyond = None;
    if let Some(horizon) = &overlay.horizon
        && end.as_ref().is_none_or(|end| !end.is_before(horizon))
    {
        beyond = request.rolled_up(horizon);
        end = Some(match beyond {
            Some(prefix) => Position::AfterAll(prefix.to_owned()),
            None => Position::After(horizon.clone()),
        });
    }
    let is_within = |key: &str| end.as_ref().is_none_or(|end| !end.is_before(key));
    let mut page = Entries::default();
    for row in rows {
        // A store that does not know the place begins elsewhere.
        if is_within(&row.name) && row.may_come_after(start) {
            page.add_row(row, overlay);
        } else {
            page.is_changed = true;
        }
    }
    for (key, fresh) in overlay.keys.iter().filter(|(key, _)| is_within(key)) {
        page.add_fresh(request, key, fresh);
    }
    if let Some(prefix) = beyond {
        // Below it there may be more than is known.
        page.below.entry(prefix.to_owned()).or_default().has_gone = true;
        page.add_prefix(prefix);
    }
    page.finish(request, end, stores_end.as_ref())
}

/// The entries of a page while it is made.
#[derive(Debug, Default)]
struct Entries {
    by_name: BTreeMap<String, Entry>,
    /// What was written lately below common prefixes.
    below: BTreeMap<String, Below>,
    has_unknown: bool,
    is_changed: bool,
}

/// What was written lately below a common prefix.
#[derive(Debug, Default)]
pub(super) struct Below {
    /// A key, or a version, that is there.
    pub(super) is_alive: bool,
    /// One that was deleted.
    pub(super) has_gone: bool,
}

impl Below {
    /// Whether it is not known that something is left there.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.has_gone && !self.is_alive
    }
}

impl Entries {
    fn add_row(&mut self, row: Row, overlay: &Overlay) {
        let entry = match (&row.etag, overlay.keys.get(&row.name)) {
            (Some(_), Some(Fresh::Nothing)) => {
                self.is_changed = true;
                return;
            }
            (Some(shown), Some(Fresh::Object(etag, description))) if shown != etag => {
                self.is_changed = true;
                let (key, etag, description) = (row.name.clone(), etag.clone(), *description);
                Entry::Made(Made { key, etag, description, older: Some(row) })
            }
            (Some(_), _) => Entry::Row(row),
            (None, _) => Entry::Prefix(row.name),
        };
        self.by_name.insert(entry.name().to_owned(), entry);
    }

    fn add_fresh(&mut self, request: &ListRequest, key: &str, fresh: &Fresh) {
        self.has_unknown |= *fresh == Fresh::Unknown;
        if let Some(prefix) = request.rolled_up(key) {
            let below = self.below.entry(prefix.to_owned()).or_default();
            below.is_alive |= matches!(fresh, Fresh::Object(..));
            below.has_gone |= *fresh == Fresh::Nothing;
            if below.is_alive {
                self.add_prefix(prefix);
            }
            return;
        }
        if let (Fresh::Object(etag, description), None) = (fresh, self.by_name.get(key)) {
            self.is_changed = true;
            let (etag, description, older) = (etag.clone(), *description, None);
            let made = Made { key: key.to_owned(), etag, description, older };
            self.by_name.insert(key.to_owned(), Entry::Made(made));
        }
    }

    fn add_prefix(&mut self, prefix: &str) {
        if !self.by_name.contains_key(prefix) {
            self.is_changed = true;
            self.by_name.insert(prefix.to_owned(), Entry::Prefix(prefix.to_owned()));
        }
    }

    fn finish(
        self,
        request: &ListRequest,
        mut end: Option<Position>,
        stores_end: Option<&Position>,
    ) -> Merged {
        let Self { by_name, below, has_unknown, is_changed } = self;
        let mut entries: Vec<_> = by_name.into_values().collect();
        if entries.len() > request.max_keys {
            entries.truncate(request.max_keys);
            end = entries.last().map(Entry::end);
        }
        let is_changed = is_changed || end.as_ref() != stores_end;
        let is_doubtful = |entry: &&Entry| {
            let below =
                matches!(entry, Entry::Prefix(_)).then(|| below.get(entry.name())).flatten();
            below.is_some_and(Below::is_doubtful)
        };
        let doubtful = entries.iter().filter(is_doubtful);
        let doubtful = doubtful.map(|entry| entry.name().to_owned()).collect();
        let next = end.map(|position| {
            let with_the_store = stores_end == Some(&position);
            Next { position, with_the_store }
        });
        Merged { entries, doubtful, next, has_unknown, is_changed }
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
