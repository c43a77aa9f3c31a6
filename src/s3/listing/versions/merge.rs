//! A page of versions of a store that lags, corrected by what is known to have been written lately: the
//! versions that were written are there, those that were deleted are not, and the newest of a key is the
//! current one.

use std::collections::{BTreeMap, HashSet};

use super::change::VersionId;
use super::request::{Begin, Place, VersionsRequest};
use super::row::{Entry, Kind, Made, MadeVersion, Row, VersionRow};
use crate::s3::ETag;
use crate::s3::listing::Description;
use crate::s3::listing::merge::Below;

/// What was done to the versions of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An object with this ETag was written, and more of it where that is known.
    Put(VersionId, ETag, Option<Description>),
    /// A delete marker was set, then, in seconds since 1970, by the store's clock, where that is known.
    Marker(VersionId, Option<u64>),
    /// A version or a delete marker was deleted.
    Gone(VersionId),
}

/// What is known of the versions of a key that the store may show as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lately {
    /// All that was done to them, the newest first.
    Events(Vec<Event>),
    /// That is not known.
    Unknown,
}

/// What is known of a range of keys that the store may show as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionsOverlay {
    /// The keys that were written lately, all of them in the range.
    pub keys: BTreeMap<String, Lately>,
    /// Behind this key there may be more of them; `None` where there are not.
    pub horizon: Option<String>,
}

/// A corrected page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedVersions {
    /// The entries, by name, and those of a key the newest first; never more than were asked for.
    pub entries: Vec<Entry>,
    /// The common prefixes among them of which it is not known whether a version below them is left:
    /// versions below them were deleted.
    pub doubtful: Vec<String>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Place>,
    /// Whether it is not known what was done to a key of this page.
    pub has_unknown: bool,
    /// Whether it differs from the store's page, or ends elsewhere.
    pub is_changed: bool,
}

impl Event {
    /// The version.
    pub const fn id(&self) -> &VersionId {
        match self {
            Self::Put(id, ..) | Self::Marker(id, _) | Self::Gone(id) => id,
        }
    }
}

impl Begin {
    /// The beginning of the page that the client asks for.
    pub fn of(place: Place, overlay: Option<&VersionsOverlay>) -> Self {
        let from_first = place.version().is_some_and(|(key, id)| {
            let lately = overlay.and_then(|overlay| overlay.keys.get(key));
            matches!(lately, Some(Lately::Events(events)) if is_decided(events, id))
        });
        Self { place, from_first }
    }

    /// The beginning of the rest of this page, of which nothing is left until there.
    #[must_use]
    pub fn then(&self, place: Place, overlay: Option<&VersionsOverlay>) -> Self {
        let then = Self::of(place, overlay);
        let key = |begin: &Self| begin.place.version().map(|(key, _)| key.to_owned());
        if then.from_first && key(&then) == key(self) {
            // The version where the page of the client begins tells more.
            return Self { place: self.place.clone(), from_first: true };
        }
        then
    }

    /// Leaves what belongs to this page of what the store answered: where it was asked for one key, other
    /// keys have the same prefix.
    fn narrowed(&self, rows: &mut Vec<Row>, end: Option<Place>) -> Option<Place> {
        let Some((key, _)) = self.place.version().filter(|_| self.from_first) else { return end };
        let count = rows.len();
        rows.retain(|row| row.name() == key);
        let is_all = end.is_none() || rows.len() < count;
        if is_all { Some(Place::After(key.to_owned())) } else { end }
    }
}

/// Corrects a page of the store that begins there. `end`: where the store's next page begins, if there is
/// one.
pub fn merge(
    request: &VersionsRequest,
    begin: &Begin,
    (mut rows, end): (Vec<Row>, Option<Place>),
    overlay: &VersionsOverlay,
) -> MergedVersions {
    let stores_end = begin.narrowed(&mut rows, end);
    let mut end = stores_end.clone();
    let mut beyond = None;
    if let Some(horizon) = &overlay.horizon
        && end.as_ref().is_none_or(|end| !end.may_be_before(horizon))
    {
        beyond = request.rolled_up(horizon);
        end = Some(match beyond {
            Some(prefix) => Place::AfterAll(prefix.to_owned()),
            None => Place::After(horizon.clone()),
        });
    }
    let is_within = |key: &str| end.as_ref().is_none_or(|end| !end.position().is_before(key));
    let mut page = Entries { is_changed: begin.from_first, ..Entries::default() };
    for row in rows {
        // A store that does not know the place begins elsewhere.
        if !is_within(row.name()) || !row.may_come_after(&begin.place) {
            page.is_changed = true;
            continue;
        }
        match row {
            Row::Version(row) => page.versions.entry(row.key.clone()).or_default().push(row),
            Row::Prefix(prefix) => {
                page.prefixes.insert(prefix, Below::default());
            }
        }
    }
    for (key, lately) in &overlay.keys {
        if is_within(key) && begin.place.may_be_before(key) {
            page.correct(request, begin, key, lately);
        }
    }
    if let Some(prefix) = beyond {
        // Below it there may be more than is known.
        page.below(prefix).has_gone = true;
    }
    // The store need not know its last version any more.
    let is_sure = |(key, id)| !matches!(overlay.keys.get(key), Some(Lately::Events(events)) if is_decided(events, id));
    let is_told = end.as_ref().and_then(Place::version).is_none_or(is_sure);
    page.finish(request, end, stores_end.as_ref(), is_told)
}

fn is_decided(events: &[Event], id: &VersionId) -> bool {
    events.iter().any(|event| event.id() == id)
}

/// The entries of a page while it is made.
#[derive(Debug, Default)]
struct Entries {
    /// The versions of each key as the store shows them.
    versions: BTreeMap<String, Vec<VersionRow>>,
    /// The corrected ones.
    corrected: BTreeMap<String, Vec<Entry>>,
    /// The common prefixes, and what was done below them.
    prefixes: BTreeMap<String, Below>,
    has_unknown: bool,
    is_changed: bool,
}

impl Entries {
    fn below(&mut self, prefix: &str) -> &mut Below {
        if !self.prefixes.contains_key(prefix) {
            self.is_changed = true;
        }
        self.prefixes.entry(prefix.to_owned()).or_default()
    }

    fn correct(&mut self, request: &VersionsRequest, begin: &Begin, key: &str, lately: &Lately) {
        let Lately::Events(events) = lately else {
            self.has_unknown = true;
            return;
        };
        let standing = standing(events);
        if let Some(prefix) = request.rolled_up(key) {
            // What was deleted below it is no reason to list it.
            if standing.is_empty() && !self.prefixes.contains_key(prefix) {
                return;
            }
            let below = self.below(prefix);
            below.is_alive |= !standing.is_empty();
            below.has_gone |= standing.len() < events.len();
            return;
        }
        let rows = self.versions.remove(key).unwrap_or_default();
        let corrected = corrected(begin, key, &rows, events, &standing);
        let is_as_shown =
            |(entry, row): (&Entry, &VersionRow)| matches!(entry, Entry::Row(it) if it == row);
        self.is_changed |=
            corrected.len() != rows.len() || !corrected.iter().zip(&rows).all(is_as_shown);
        self.corrected.insert(key.to_owned(), corrected);
    }

    fn finish(
        self,
        request: &VersionsRequest,
        mut end: Option<Place>,
        stores_end: Option<&Place>,
        is_told: bool,
    ) -> MergedVersions {
        let Self { versions, corrected, prefixes, has_unknown, is_changed } = self;
        let shown = versions.into_iter();
        let shown = shown.map(|(key, rows)| (key, rows.into_iter().map(Entry::Row).collect()));
        let rolled = prefixes.keys().map(|name| (name.clone(), vec![Entry::Prefix(name.clone())]));
        let mut groups: Vec<(String, Vec<Entry>)> = shown.chain(corrected).chain(rolled).collect();
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        let mut entries: Vec<_> = groups.into_iter().flat_map(|(_, entries)| entries).collect();
        if entries.len() > request.max_keys {
            entries.truncate(request.max_keys);
            end = entries.last().map(Entry::end);
        } else if !is_told && !entries.is_empty() {
            end = entries.last().map(Entry::end);
        }
        let is_changed = is_changed || end.as_ref() != stores_end;
        let is_doubtful = |entry: &&Entry| {
            let below = matches!(entry, Entry::Prefix(_)).then(|| prefixes.get(entry.name()));
            below.flatten().is_some_and(Below::is_doubtful)
        };
        let doubtful = entries.iter().filter(is_doubtful);
        let doubtful = doubtful.map(|entry| entry.name().to_owned()).collect();
        MergedVersions { entries, doubtful, next: end, has_unknown, is_changed }
    }
}

/// A version that was written lately.
#[derive(Debug)]
struct Standing<'e> {
    id: &'e VersionId,
    made: Made,
    /// Its place among the events.
    place: usize,
}

/// The versions that these events have left, the newest first: what was done last to each of them counts.
fn standing(events: &[Event]) -> Vec<Standing<'_>> {
    let mut decided = HashSet::new();
    let last = events.iter().enumerate().filter(|(_, event)| decided.insert(event.id()));
    let standing = last.filter_map(|(place, event)| match event {
        Event::Put(id, etag, described) => {
            Some(Standing { id, made: Made::Object(etag.clone(), *described), place })
        }
        Event::Marker(id, at_s) => Some(Standing { id, made: Made::Marker(*at_s), place }),
        Event::Gone(_) => None,
    });
    standing.collect()
}

/// The versions of a key that come after the beginning of the page. `rows`: those that the store shows, from
/// where it was asked.
fn corrected(
    begin: &Begin,
    key: &str,
    rows: &[VersionRow],
    events: &[Event],
    standing: &[Standing<'_>],
) -> Vec<Entry> {
    // What was not touched lately is older than what was.
    let old = rows.iter().filter(|row| !is_decided(events, &row.id));
    let after = begin.place.version().filter(|(of, _)| *of == key).map(|(_, id)| id);
    let is_inside = after.is_some() && !begin.from_first;
    if is_inside {
        // What was written lately comes before the version where the page begins.
        let mut rest: Vec<_> = old.cloned().map(Entry::Row).collect();
        for entry in &mut rest {
            entry.set_latest(false);
        }
        return rest;
    }
    let new = standing.iter().map(|version| entry(key, version, rows));
    let mut all: Vec<_> = new.chain(old.cloned().map(Entry::Row)).collect();
    for (at, entry) in all.iter_mut().enumerate() {
        entry.set_latest(at == 0);
    }
    if let Some(after) = after {
        all.drain(..listed(after, rows, events, standing));
    }
    all
}

/// How many of a key's versions, those that were written lately before the others, stand before this one and
/// with it.
fn listed(
    after: &VersionId,
    rows: &[VersionRow],
    events: &[Event],
    standing: &[Standing<'_>],
) -> usize {
    let is_it = |event: &Event| event.id() == after && !matches!(event, Event::Gone(_));
    if let Some(place) = events.iter().position(is_it) {
        // It was written lately, and may have been deleted since.
        return standing.iter().filter(|version| version.place <= place).count();
    }
    // It is old. If it was deleted, the store may not show its place any more.
    let shown = rows.iter().position(|row| row.id == *after).map_or(0, |place| place + 1);
    let old = rows[..shown].iter().filter(|row| !is_decided(events, &row.id));
    standing.len() + old.count()
}

/// The entry of a version that was written lately: the store's own, if it shows it.
fn entry(key: &str, version: &Standing<'_>, rows: &[VersionRow]) -> Entry {
    let Standing { id, made, .. } = version;
    let is_it = |row: &&VersionRow| match (&row.kind, made) {
        (Kind::Object(shown), Made::Object(etag, _)) => shown == etag,
        // An earlier delete marker with the id `null` looks the same.
        (Kind::Marker, Made::Marker(at_s)) => !id.is_null() || at_s.is_none(),
        _ => false,
    };
    let shown = rows.iter().find(|row| row.id == **id && is_it(row));
    shown.cloned().map_or_else(
        || {
            let (key, id, made) = (key.to_owned(), (*id).clone(), made.clone());
            Entry::Made(MadeVersion { key, id, made, is_latest: false })
        },
        Entry::Row,
    )
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
