//! The young keys: what was written less than the store's lag ago, for listings. Each write of a key
//! that landed, or may have, leaves an entry; the newest one of a key counts. An entry is over when the
//! store shows what it says.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use super::record::Slot;
use super::types::{Generation, Millis, State, in_millis};
use crate::s3::listing::{Change, Position, Written};
use crate::s3::{BucketName, ObjectName};

/// How many keys are noted of one stretch of time, which is as long as the lag. Where there are more, the
/// register only remembers that there were.
pub const YOUNG_MAX: usize = 256 * 1024;

/// A range of a bucket's keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyRange<'a> {
    /// The bucket.
    pub bucket: &'a BucketName,
    /// Only keys that begin with this.
    pub prefix: &'a str,
    /// Only keys after this.
    pub position: &'a Position,
    /// How many keys are wanted, about.
    pub limit: usize,
}

/// A write of a young key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YoungWrite {
    /// When it had landed, or could land no more.
    pub landed_at: Millis,
    /// What it left.
    pub state: State,
    /// What the store's answer said of it.
    pub written: Written,
}

/// What was written lately at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YoungKey {
    /// The last write.
    pub last: YoungWrite,
    /// Those before it, the newest first, as far as they count: where one of them is about a version.
    pub older: Vec<YoungWrite>,
    /// Whether there were more of those than are remembered.
    pub is_cut: bool,
}

/// The young keys of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct YoungKeys {
    /// What was written, by key.
    pub keys: BTreeMap<String, YoungKey>,
    /// Behind this key there may be more of them.
    pub horizon: Option<String>,
    /// Whether some were left out for lack of room.
    pub incomplete: bool,
    /// For how long the register does not know what was written before its epoch began.
    pub quarantine: Duration,
}

impl YoungKeys {
    /// Adds what one part of the register knows of the range, in the order of the keys.
    pub fn add(
        &mut self,
        found: impl IntoIterator<Item = (String, YoungKey)>,
        limit: usize,
        (lag, now): (Duration, Millis),
    ) {
        let (mut last, mut count) = (None, 0);
        for (key, young) in found {
            (last, count) = (Some(key.clone()), count + 1);
            let Some(young) = young.at(lag, now) else { continue };
            let known = self.keys.entry(key).or_insert_with(|| young.clone());
            if known.last.landed_at <= young.last.landed_at {
                *known = young;
            }
        }
        if count >= limit {
            let nearest = self.horizon.take().into_iter().chain(last).min();
            self.horizon = nearest;
        }
    }

    /// Leaves out what is behind the horizon.
    #[must_use]
    pub fn within_horizon(mut self) -> Self {
        if let Some(horizon) = &self.horizon {
            self.keys.retain(|key, _| key <= horizon);
        }
        self
    }
}

/// What changes of a slot when a landing is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Option<Millis>, Option<Generation>);

impl Mark {
    fn of(slot: &Slot) -> Self {
        Self(slot.record.landed_at, slot.record.generation.clone())
    }

    /// A slot's; `None` where the store does not lag.
    pub fn where_it_lags(slot: &Slot, lag: Duration) -> Option<Self> {
        (!lag.is_zero()).then(|| Self::of(slot))
    }
}

/// The young keys of a register in this process, in two stretches of time as long as the lag.
#[derive(Debug, Default)]
pub struct YoungIndex {
    stretch: u64,
    present: BTreeMap<String, YoungKey>,
    past: BTreeMap<String, YoungKey>,
    /// Until when an entry that was left out would count.
    left_out_until: Option<Millis>,
}

impl YoungIndex {
    /// Notes what a write has left, or may have left, at a key.
    fn note(&mut self, name: &ObjectName, write: YoungWrite, lag: Duration, now: Millis) {
        if lag.is_zero() {
            return;
        }
        self.turn(lag, now);
        let full = self.present.len() >= YOUNG_MAX;
        match self.present.entry(name.to_string()) {
            Entry::Occupied(mut known) => {
                let young = YoungKey::after(Some(known.get()), write, lag, now);
                *known.get_mut() = young;
            }
            Entry::Vacant(free) if !full => {
                let before = self.past.get(free.key());
                free.insert(YoungKey::after(before, write, lag, now));
            }
            Entry::Vacant(_) => self.left_out_until = Some(now + lag * 2),
        }
    }

    /// Notes what a step has left at a key, where a landing was recorded: then its time or the key's
    /// generation is another than before. `written`: of what the step says to have landed.
    pub fn note_step(
        &mut self,
        name: &ObjectName,
        before: Option<Mark>,
        slot: &Slot,
        written: Option<&Written>,
        (lag, now): (Duration, Millis),
    ) {
        if before.is_some_and(|before| before != Mark::of(slot))
            && let Some(write) = YoungWrite::of(slot, written.cloned().unwrap_or_default())
        {
            self.note(name, write, lag, now);
        }
    }

    /// What was written lately at this key; `None` where nothing was, and where the entry of its last
    /// landing, which was at this time, was left out for lack of room.
    pub fn of(
        &mut self,
        name: &ObjectName,
        landing: Option<Millis>,
        lag: Duration,
        now: Millis,
    ) -> Option<YoungKey> {
        if lag.is_zero() {
            return None;
        }
        self.turn(lag, now);
        let name = name.to_string();
        let known = self.present.get(&name).or_else(|| self.past.get(&name));
        let known = known.filter(|known| Some(known.last.landed_at) == landing);
        known.cloned().and_then(|known| known.at(lag, now))
    }

    /// The young keys of a range.
    pub fn range(&mut self, range: &KeyRange<'_>, lag: Duration, now: Millis) -> YoungKeys {
        let mut young = YoungKeys {
            incomplete: self.left_out_until.is_some_and(|until| now < until),
            ..YoungKeys::default()
        };
        if lag.is_zero() {
            return young;
        }
        self.turn(lag, now);
        let bucket = format!("{}/", range.bucket);
        let first = [&bucket, range.first_key()].concat();
        for stretch in [&self.past, &self.present] {
            let found = stretch
                .range(first.clone()..)
                .map_while(|(name, young)| Some((name.strip_prefix(&bucket)?, young)))
                .take_while(|(key, _)| key.starts_with(range.prefix))
                .filter(|(key, _)| range.position.is_before(key))
                .take(range.limit)
                .map(|(key, young)| (key.to_owned(), young.clone()));
            young.add(found, range.limit, (lag, now));
        }
        young.within_horizon()
    }

    /// Forgets the stretch whose entries are over.
    fn turn(&mut self, lag: Duration, now: Millis) {
        let stretch = now.0 / in_millis(lag).max(1);
        if stretch == self.stretch {
            return;
        }
        let present = std::mem::take(&mut self.present);
        self.past = if stretch == self.stretch + 1 { present } else { BTreeMap::new() };
        self.stretch = stretch;
    }
}

impl KeyRange<'_> {
    /// No key of the range comes before this text.
    fn first_key(&self) -> &str {
        match self.position {
            Position::First => self.prefix,
            Position::After(name) | Position::AfterAll(name) => self.prefix.max(name),
        }
    }

    /// The range of the entries in Redis, `<bucket>/<key>`, NUL and more, as `ZRANGEBYLEX` takes it.
    pub fn lex_bounds(&self) -> [Vec<u8>; 2] {
        let bucket = self.bucket.as_str().as_bytes();
        let of =
            |open: &[u8], key: &str, end: &[u8]| [open, bucket, b"/", key.as_bytes(), end].concat();
        let first = match self.position {
            Position::After(key) if key.as_str() >= self.prefix => of(b"[", key, b"\x01"),
            Position::AfterAll(prefix)
                if [prefix.as_bytes(), ABOVE].concat().as_slice() > self.prefix.as_bytes() =>
            {
                of(b"(", prefix, ABOVE)
            }
            Position::First | Position::After(_) | Position::AfterAll(_) => {
                of(b"[", self.prefix, b"")
            }
        };
        [first, of(b"(", self.prefix, ABOVE)]
    }
}

impl YoungWrite {
    /// What this slot says of its key; `None` where no landing of this epoch is remembered.
    fn of(slot: &Slot, written: Written) -> Option<Self> {
        let landed_at = slot.record.landed_at?;
        // The first copy of a write that was sent twice may still land.
        let quiet = slot.lease.as_ref().is_some_and(|lease| lease.token.is_none());
        let state = if quiet { State::Unknown } else { slot.record.state.clone() };
        Some(Self::new(landed_at, state, written))
    }

    /// Only an object or a delete marker is described.
    pub fn new(landed_at: Millis, state: State, written: Written) -> Self {
        let Written { description, change } = written;
        let is_described =
            matches!(state, State::Present(_)) || matches!(change, Change::Marker(_));
        let description = description.filter(|_| is_described);
        Self { landed_at, state, written: Written { description, change } }
    }

    fn is_young(&self, lag: Duration, now: Millis) -> bool {
        self.landed_at + lag > now
    }
}

impl YoungKey {
    /// The most writes before the last that are remembered.
    pub const OLDER_MAX: usize = 15;

    /// A key of which nothing was known before this write.
    pub const fn new(last: YoungWrite) -> Self {
        Self { last, older: Vec::new(), is_cut: false }
    }

    /// What is known of a key after another write. Where no version has an id, the last write says it
    /// all.
    fn after(before: Option<&Self>, last: YoungWrite, lag: Duration, now: Millis) -> Self {
        let is_named = |write: &YoungWrite| write.written.change != Change::Unnamed;
        let all = |before: &Self| {
            let writes = [&before.last].into_iter().chain(&before.older);
            writes.filter(|write| write.is_young(lag, now)).cloned().collect::<Vec<_>>()
        };
        let before = before
            .filter(|before| is_named(&last) || is_named(&before.last) || !before.older.is_empty());
        let mut older = before.map(all).unwrap_or_default();
        let had_more = before.is_some_and(|before| before.is_cut) && !older.is_empty();
        let is_cut = had_more || older.len() > Self::OLDER_MAX;
        older.truncate(Self::OLDER_MAX);
        Self { last, older, is_cut }
    }

    /// What of it counts now; `None` where the last write is old.
    pub(super) fn at(mut self, lag: Duration, now: Millis) -> Option<Self> {
        let remembered = self.older.len();
        self.older.retain(|write| write.is_young(lag, now));
        self.is_cut &= self.older.len() == remembered;
        self.last.is_young(lag, now).then_some(self)
    }
}

/// No byte of UTF-8 is as high as this.
const ABOVE: &[u8] = b"\xff";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::listing::VersionId;
    use crate::s3::{ETag, EmptySegments, ObjectKey};

    const LAG: Duration = Duration::from_millis(100);

    fn bucket() -> BucketName {
        BucketName::parse("bucket").unwrap()
    }

    fn noted(index: &mut YoungIndex, key: &str, etag: &str, at: u64) {
        let key = ObjectKey::parse(key, EmptySegments::Kept).unwrap();
        let state = State::Present(ETag::parse(etag.as_bytes()));
        let write = YoungWrite::new(Millis(at), state, Written::default());
        index.note(&ObjectName { bucket: bucket(), key }, write, LAG, Millis(at));
    }

    fn listed(
        index: &mut YoungIndex,
        prefix: &str,
        position: &Position,
        limit: usize,
        at: u64,
    ) -> (Vec<String>, Option<String>) {
        let bucket = bucket();
        let range = KeyRange { bucket: &bucket, prefix, position, limit };
        let young = index.range(&range, LAG, Millis(at));
        (young.keys.into_keys().collect(), young.horizon)
    }

    fn none() -> Option<String> {
        None
    }

    #[test]
    fn a_key_is_young_for_as_long_as_the_store_lags() {
        let mut index = YoungIndex::default();
        noted(&mut index, "a", "1", 1_050);
        noted(&mut index, "b", "1", 1_099);
        noted(&mut index, "a", "2", 1_101);
        let all = |index: &mut YoungIndex, at| listed(index, "", &Position::First, 9, at).0;
        assert_eq!(all(&mut index, 1_198), ["a", "b"]);
        assert_eq!(all(&mut index, 1_199), ["a"], "the newest entry of a key counts");
        assert_eq!(all(&mut index, 1_201), [""; 0]);
        noted(&mut index, "c", "1", 9_000);
        assert_eq!(all(&mut index, 9_001), ["c"]);
    }

    #[test]
    fn the_writes_before_the_last_are_known_where_one_is_about_a_version() {
        let write = |at: u64, change: &Change| {
            let written = Written { description: None, change: change.clone() };
            YoungWrite::new(Millis(at), State::Absent, written)
        };
        let id = Change::Gone(VersionId::null());
        let after = |before: &[(u64, &Change)], at: u64, change: &Change| {
            let mut young = None;
            for (at, change) in before {
                let last = write(*at, change);
                young = Some(YoungKey::after(young.as_ref(), last, LAG, Millis(*at)));
            }
            YoungKey::after(young.as_ref(), write(at, change), LAG, Millis(at))
        };
        let older = |young: &YoungKey| -> Vec<_> {
            young.older.iter().map(|write| write.landed_at.0).collect()
        };
        let unnamed = &Change::Unnamed;
        assert_eq!(older(&after(&[(1, unnamed), (2, unnamed)], 3, unnamed)), [0; 0]);
        assert_eq!(older(&after(&[(1, unnamed), (2, unnamed)], 3, &id)), [2]);
        for named in [&id, &Change::Unknown] {
            assert_eq!(older(&after(&[(1, named), (2, unnamed)], 3, unnamed)), [2, 1]);
            assert_eq!(older(&after(&[(1, named), (2, unnamed)], 101, unnamed)), [2]);
        }
        let most = YoungKey::OLDER_MAX as u64;
        let many = |last: u64| (1..=last).map(|at| (at, &id)).collect::<Vec<_>>();
        let full = after(&many(most), most + 1, &id);
        assert_eq!((older(&full), full.is_cut), ((1..=most).rev().collect(), false));
        let cut = after(&many(most + 1), most + 2, &id);
        assert_eq!((older(&cut), cut.is_cut), ((2..=most + 1).rev().collect(), true));
        // What was cut off is older than all that is left.
        let at = |at| cut.clone().at(LAG, Millis(at));
        assert!(at(101).unwrap().is_cut && !at(102).unwrap().is_cut);
        assert_eq!(at(100 + most + 2), None);
    }

    #[test]
    fn a_range_begins_behind_its_position_and_ends_with_its_prefix() {
        let mut index = YoungIndex::default();
        for key in ["a", "a/", "a/1", "a/2", "a0", "b"] {
            noted(&mut index, key, "1", 1_000);
        }
        let after = |key: &str| Position::After(key.to_owned());
        let after_all = |prefix: &str| Position::AfterAll(prefix.to_owned());
        for (prefix, position, expected) in [
            ("", Position::First, &["a", "a/", "a/1", "a/2", "a0", "b"][..]),
            ("a/", Position::First, &["a/", "a/1", "a/2"]),
            ("a/", after("a/"), &["a/1", "a/2"]),
            ("a/", after("0"), &["a/", "a/1", "a/2"]),
            ("", after("a/1"), &["a/2", "a0", "b"]),
            ("", after_all("a/"), &["a0", "b"]),
            ("a/", after_all("a/"), &[]),
            ("b", after_all("a/"), &["b"]),
        ] {
            let found = listed(&mut index, prefix, &position, 9, 1_001);
            assert_eq!(found.0, expected, "{prefix} {position:?}");
        }
    }

    #[test]
    fn what_is_behind_the_horizon_is_left_out() {
        let mut index = YoungIndex::default();
        for key in ["a", "c", "e"] {
            noted(&mut index, key, "1", 1_050);
        }
        for key in ["b", "d", "f"] {
            noted(&mut index, key, "1", 1_101);
        }
        let first = Position::First;
        let found = listed(&mut index, "", &first, 2, 1_102);
        assert_eq!(found, (vec!["a".to_owned(), "b".into(), "c".into()], Some("c".to_owned())));
        let (all, horizon) = listed(&mut index, "", &first, 4, 1_102);
        assert_eq!((all.len(), horizon), (6, none()));
    }

    #[test]
    fn the_bounds_in_redis_hold_what_the_range_holds() {
        let keys = ["a", "a\u{1}", "a/", "a/1", "a/1/", "a0", "b", "é"];
        let entries = keys.map(|key| ["bucket/", key, "\0rest"].concat().into_bytes());
        let positions = [Position::First]
            .into_iter()
            .chain(keys.map(|key| Position::After(key.to_owned())))
            .chain(keys.map(|key| Position::AfterAll(key.to_owned())));
        let bucket = bucket();
        for position in positions {
            for prefix in ["", "a", "a/", "b", "é"] {
                let range = KeyRange { bucket: &bucket, prefix, position: &position, limit: 9 };
                let [first, last] = range.lex_bounds();
                let within = |entry: &[u8]| {
                    let above = match first[0] {
                        b'[' => entry >= &first[1..],
                        _ => entry > &first[1..],
                    };
                    above && entry < &last[1..]
                };
                for (key, entry) in keys.iter().zip(&entries) {
                    let expected = key.starts_with(prefix) && position.is_before(key);
                    assert_eq!(within(entry), expected, "{key:?} {prefix} {position:?}");
                }
            }
        }
    }
}
