//! What a read of a key, or a listing, may show at a store that lags (docs/protocol.md#reads).

use super::Gate;
use crate::register::{KeyRange, Observation, State, YoungKey, YoungKeys, YoungWrite};
use crate::s3::listing::versions::{Event, Lately, VersionsOverlay};
use crate::s3::listing::{Change, Fresh, Overlay, Position, VersionId, Written};
use crate::s3::{Current, ETag, ObjectName};

/// What a read of a key may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// What the store shows: nothing that was acknowledged is younger than the store lags. This, where the
    /// register knows it; anything else may be what a write has left since.
    Settled(Option<Current>),
    /// What the store shows, and a write is under way or in doubt: this was acknowledged last, and is not
    /// young. Anything else is what that write has left, of which nobody was told yet.
    Unsettled {
        /// What was acknowledged last.
        before: Current,
        /// Whether the write is under way.
        under_way: bool,
    },
    /// What the store shows, which may be old: the register does not know what was written.
    Unknown,
    /// This, or the store shows something older.
    This(Current),
}

/// What a read of a key may show, and under which id the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// What a read may show.
    pub expected: Expected,
    /// The id of the version, or of the delete marker, that is expected; `None` where the register does not
    /// know it. While a write is under way or in doubt it is that of the version before it.
    pub version: Option<VersionId>,
}

impl Sight {
    fn of(observed: &Observation, young: Option<YoungKey>) -> Self {
        let expected = Expected::of(observed);
        let last = young.map(|young| young.last);
        let is_this = |state: &State| matches!((&expected, state.known()), (Expected::This(this), Some(known)) if *this == known);
        let last = last.filter(|last| is_this(&last.state));
        let version = last.and_then(|last| match last.written.change {
            // The version null is replaced in its place: its id names no state.
            Change::Put(id) if !id.is_null() => Some(id),
            Change::Marker(id) => Some(id),
            _ => None,
        });
        Self { expected, version }
    }
}

/// What a read of one version may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSight {
    /// What the store shows: nothing was done to the version less than the store's lag ago.
    Anything,
    /// What the store shows, which may be old: the register does not know what was done to the version.
    Unknown,
    /// An object with this ETag, or the store shows something older.
    Object(ETag),
    /// A delete marker, or the store does not know it yet.
    Marker,
    /// Nothing: the version was deleted.
    Gone,
}

impl VersionSight {
    fn of(observed: &Observation, young: Option<YoungKey>, id: &VersionId) -> Self {
        if !observed.quarantine.is_zero() {
            return Self::Unknown;
        }
        // A write that is not settled may be about any version, also one that nobody was told of.
        let otherwise = if observed.before.is_some() { Self::Unknown } else { Self::Anything };
        if observed.before_young_for.is_zero() {
            return otherwise;
        }
        let Some(young) = young else { return Self::Unknown };
        for write in [young.last].into_iter().chain(young.older) {
            match event(write) {
                None => return Self::Unknown,
                Some(Event::Put(put, etag, _)) if put == *id => return Self::Object(etag),
                Some(Event::Marker(marker, _)) if marker == *id => return Self::Marker,
                Some(Event::Gone(gone)) if gone == *id => return Self::Gone,
                Some(_) => {}
            }
        }
        if young.is_cut { Self::Unknown } else { otherwise }
    }
}

impl Expected {
    fn of(observed: &Observation) -> Self {
        if !observed.quarantine.is_zero() {
            return Self::Unknown;
        }
        if observed.young_for.is_zero() {
            let is_at_rest = observed.before.is_none();
            return Self::Settled(observed.state.known().filter(|_| is_at_rest));
        }
        let Some(before) = &observed.before else {
            return observed.state.known().map_or(Self::Unknown, Self::This);
        };
        // Nobody was told of a write that is under way or in doubt, so what was there before is right. If
        // one reader were shown what it has left, the next one might be shown less.
        match before.known() {
            None => Self::Unknown,
            Some(before) if observed.before_young_for.is_zero() => {
                Self::Unsettled { before, under_way: observed.leased }
            }
            Some(before) => Self::This(before),
        }
    }
}

impl Gate {
    /// What a read of this key may show, by what was acknowledged until now.
    pub async fn expected(&self, name: &ObjectName) -> Expected {
        if self.settings.terms.lag.is_zero() {
            return Expected::Settled(None);
        }
        match self.register.observe(name).await {
            Ok(observed) => Expected::of(&observed),
            Err(error) => {
                tracing::debug!(%name, %error, "a read was not compared with the register");
                Expected::Unknown
            }
        }
    }

    /// The same, with the version that is expected.
    pub async fn sight(&self, name: &ObjectName) -> Sight {
        let nothing_known = |expected| Sight { expected, version: None };
        if self.settings.terms.lag.is_zero() {
            return nothing_known(Expected::Settled(None));
        }
        match self.register.observe_writes(name).await {
            Ok((observed, young)) => Sight::of(&observed, young),
            Err(error) => {
                tracing::debug!(%name, %error, "a read was not compared with the register");
                nothing_known(Expected::Unknown)
            }
        }
    }

    /// What a read of this version of the key may show, by what was acknowledged until now.
    pub async fn sight_of_version(&self, name: &ObjectName, id: &VersionId) -> VersionSight {
        if self.settings.terms.lag.is_zero() {
            return VersionSight::Anything;
        }
        match self.register.observe_writes(name).await {
            Ok((observed, young)) => VersionSight::of(&observed, young, id),
            Err(error) => {
                tracing::debug!(%name, %error, "a read was not compared with the register");
                VersionSight::Unknown
            }
        }
    }

    /// Whether a write of this key is under way or in doubt.
    pub async fn is_unsettled(&self, name: &ObjectName) -> bool {
        self.register.observe(name).await.is_ok_and(|observed| observed.before.is_some())
    }

    /// What a listing of this range has to show, by what was acknowledged until now; `None` where the
    /// register does not know all of it.
    pub async fn overlay(&self, range: &KeyRange<'_>) -> Option<Overlay> {
        if self.settings.terms.lag.is_zero() {
            return Some(Overlay::default());
        }
        let YoungKeys { keys, horizon, .. } = self.young_keys(range).await?;
        let keys = keys.into_iter().map(|(key, young)| (key, fresh(young)));
        Some(Overlay { keys: keys.collect(), horizon })
    }

    /// What a listing of versions has to show behind the range's position, and of this key before it,
    /// by what was acknowledged until now; `None` where the register does not know all of it.
    pub async fn versions_overlay(
        &self,
        range: &KeyRange<'_>,
        key: Option<&str>,
    ) -> Option<VersionsOverlay> {
        if self.settings.terms.lag.is_zero() {
            return Some(VersionsOverlay::default());
        }
        let mut young = self.young_keys(range).await?;
        if let Some(prefix) = key {
            // Of the keys with this prefix it is the first.
            let of_key = KeyRange { prefix, position: &Position::First, limit: 1, ..*range };
            let mut of_key = self.young_keys(&of_key).await?;
            young.keys.extend(of_key.keys.remove_entry(prefix));
        }
        let keys = young.keys.into_iter().map(|(key, young)| (key, lately(young)));
        Some(VersionsOverlay { keys: keys.collect(), horizon: young.horizon })
    }

    /// The young keys of a range; `None` where not all of them are known.
    async fn young_keys(&self, range: &KeyRange<'_>) -> Option<YoungKeys> {
        match self.register.young_keys(range).await {
            Ok(young) => (!young.incomplete && young.quarantine.is_zero()).then_some(young),
            Err(error) => {
                let bucket = range.bucket;
                tracing::debug!(%bucket, %error, "a listing was not compared with the register");
                None
            }
        }
    }
}

fn fresh(young: YoungKey) -> Fresh {
    match young.last.state {
        State::Absent => Fresh::Nothing,
        State::Present(etag) => Fresh::Object(etag, young.last.written.description),
        State::Unknown => Fresh::Unknown,
    }
}

/// What was done to the versions of a key.
fn lately(young: YoungKey) -> Lately {
    if young.is_cut {
        return Lately::Unknown;
    }
    let writes = [young.last].into_iter().chain(young.older);
    writes.map(event).collect::<Option<_>>().map_or(Lately::Unknown, Lately::Events)
}

/// What a write has done to the versions of its key; `None` where that is not known.
fn event(write: YoungWrite) -> Option<Event> {
    let YoungWrite { state, written: Written { description, change }, .. } = write;
    match (change, state) {
        (Change::Put(id), State::Present(etag)) => Some(Event::Put(id, etag, description)),
        (Change::Marker(id), State::Absent) => {
            Some(Event::Marker(id, description.map(|it| it.modified_s)))
        }
        // Which version is the current one now is seen by those that are left.
        (Change::Gone(id), _) => Some(Event::Gone(id)),
        (Change::Unnamed, State::Present(etag)) => {
            Some(Event::Put(VersionId::null(), etag, description))
        }
        (Change::Unnamed, State::Absent) => Some(Event::Gone(VersionId::null())),
        (Change::Unnamed, State::Unknown)
        | (Change::Unknown | Change::Put(_) | Change::Marker(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::register::{EpochId, Millis, State};
    use crate::s3::listing::Description;

    const AGES: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];
    const AGES_OF_A_STORE_WITHOUT_LAG: [Duration; 3] = [Duration::ZERO; 3];

    fn present(etag: &str) -> State {
        State::Present(ETag::parse(etag.as_bytes()))
    }

    fn observation(state: State, before: Option<State>, ages: [Duration; 3]) -> Observation {
        let [quarantine, young_for, before_young_for] = ages;
        Observation {
            state,
            generation: None,
            pending: None,
            epoch: EpochId("e".to_owned()),
            quarantine,
            leased: before.is_some(),
            young_for,
            before,
            before_young_for,
            landed: None,
        }
    }

    fn expected(state: State, before: Option<State>, ages: [Duration; 3]) -> Expected {
        Expected::of(&observation(state, before, ages))
    }

    #[test]
    fn what_was_done_to_the_versions_is_known_where_each_write_says_it() {
        let id = || VersionId::parse("v").unwrap();
        let null = VersionId::null;
        let etag = || ETag::parse(b"a");
        let described = Description { size_bytes: 1, modified_s: 7, is_standard: true };
        let write = |change: Change, state: State| {
            let written = Written { description: Some(described), change };
            YoungWrite::new(Millis(1), state, written)
        };
        let known = |change, state| event(write(change, state));
        let put = |id| Some(Event::Put(id, etag(), Some(described)));
        for (change, [there, gone, unknown]) in [
            (Change::Put(id()), [put(id()), None, None]),
            (Change::Marker(id()), [None, Some(Event::Marker(id(), Some(7))), None]),
            (
                Change::Gone(id()),
                [Some(Event::Gone(id())), Some(Event::Gone(id())), Some(Event::Gone(id()))],
            ),
            (Change::Unnamed, [put(null()), Some(Event::Gone(null())), None]),
            (Change::Unknown, [None, None, None]),
        ] {
            assert_eq!(known(change.clone(), present("a")), there, "{change:?}");
            assert_eq!(known(change.clone(), State::Absent), gone, "{change:?}");
            assert_eq!(known(change.clone(), State::Unknown), unknown, "{change:?}");
        }
        let young = |older: Vec<YoungWrite>, is_cut| YoungKey {
            last: write(Change::Gone(id()), State::Unknown),
            older,
            is_cut,
        };
        let older = || write(Change::Put(id()), present("a"));
        let events = Lately::Events(vec![Event::Gone(id()), put(id()).unwrap()]);
        assert_eq!(lately(young(vec![older()], false)), events);
        assert_eq!(lately(young(vec![older()], true)), Lately::Unknown);
        let doubt = write(Change::Unknown, State::Unknown);
        assert_eq!(lately(young(vec![older(), doubt], false)), Lately::Unknown);
    }

    fn observed(state: State, before: Option<State>, young_for: Duration) -> Observation {
        observation(state, before, [Duration::ZERO, young_for, young_for])
    }

    fn id(text: &str) -> VersionId {
        VersionId::parse(text).unwrap()
    }

    fn write(change: Change, state: State) -> YoungWrite {
        YoungWrite::new(Millis(1), state, Written { description: None, change })
    }

    fn young(writes: &[(Change, State)], is_cut: bool) -> YoungKey {
        let mut writes = writes.iter().map(|(change, state)| write(change.clone(), state.clone()));
        YoungKey { last: writes.next().unwrap(), older: writes.collect(), is_cut }
    }

    #[test]
    fn the_version_that_stands_there_is_known_by_the_last_landing_of_its_key() {
        let a = || present("a");
        let version = |observed: &Observation, change: Change, state: State| {
            let seen = Sight::of(observed, Some(young(&[(change, state)], false)));
            seen.version.map(|id| id.as_str().to_owned())
        };
        let at_rest = observed(a(), None, AGES[1]);
        let v = || Some("v".to_owned());
        assert_eq!(version(&at_rest, Change::Put(id("v")), a()), v());
        for change in [Change::Put(VersionId::null()), Change::Unnamed, Change::Unknown] {
            assert_eq!(version(&at_rest, change.clone(), a()), None, "{change:?}");
        }
        assert_eq!(version(&at_rest, Change::Put(id("v")), present("b")), None, "another state");
        let under_way = observed(State::Unknown, Some(a()), AGES[1]);
        assert_eq!(version(&under_way, Change::Put(id("v")), a()), v(), "it was acknowledged last");
        assert_eq!(version(&under_way, Change::Put(id("v")), present("b")), None);
        assert_eq!(version(&observed(a(), None, AGES[0]), Change::Put(id("v")), a()), None);
        let gone = observed(State::Absent, None, AGES[1]);
        assert_eq!(version(&gone, Change::Marker(id("v")), State::Absent), v());
        assert_eq!(version(&gone, Change::Unnamed, State::Absent), None);
        assert_eq!(Sight::of(&at_rest, None).version, None);
    }

    #[test]
    fn a_version_is_what_was_done_to_it_last_as_far_as_that_is_known() {
        let etag = || ETag::parse(b"a");
        let put = |name: &str| (Change::Put(id(name)), present("a"));
        let gone = |name: &str| (Change::Gone(id(name)), State::Unknown);
        let marker = |name: &str| (Change::Marker(id(name)), State::Absent);
        let doubt = || (Change::Unknown, State::Unknown);
        let at_rest = || observed(State::Unknown, None, AGES[1]);
        let seen = |writes: &[_], is_cut| {
            VersionSight::of(&at_rest(), Some(young(writes, is_cut)), &id("v"))
        };
        assert_eq!(seen(&[put("v")], false), VersionSight::Object(etag()));
        assert_eq!(seen(&[put("w"), put("v")], true), VersionSight::Object(etag()));
        assert_eq!(seen(&[gone("v"), put("v")], false), VersionSight::Gone);
        assert_eq!(seen(&[gone("w"), marker("v")], false), VersionSight::Marker);
        assert_eq!(seen(&[put("w")], false), VersionSight::Anything);
        assert_eq!(seen(&[put("w")], true), VersionSight::Unknown, "there were more");
        assert_eq!(seen(&[doubt(), put("v")], false), VersionSight::Unknown, "it may be gone");
        assert_eq!(seen(&[put("v"), doubt()], false), VersionSight::Object(etag()));
        // Of a bucket that never had versions.
        let null = |write: (Change, State)| {
            VersionSight::of(&at_rest(), Some(young(&[write], false)), &VersionId::null())
        };
        assert_eq!(null((Change::Unnamed, present("a"))), VersionSight::Object(etag()));
        assert_eq!(null((Change::Unnamed, State::Absent)), VersionSight::Gone);
    }

    #[test]
    fn nothing_is_said_of_a_version_where_the_register_does_not_know_all() {
        let of = |observed: &Observation, young| VersionSight::of(observed, young, &id("v"));
        let old = observed(present("a"), None, AGES[0]);
        assert_eq!(of(&old, None), VersionSight::Anything);
        let no_room = observed(present("a"), None, AGES[1]);
        assert_eq!(of(&no_room, None), VersionSight::Unknown, "its entry was left out");
        let quarantine = Observation { quarantine: AGES[1], ..old };
        assert_eq!(of(&quarantine, None), VersionSight::Unknown);
        for age in AGES {
            let under_way = observed(State::Unknown, Some(present("a")), age);
            let other = young(&[(Change::Put(id("w")), present("a"))], false);
            assert_eq!(of(&under_way, Some(other)), VersionSight::Unknown, "it may be this one");
        }
    }

    #[test]
    fn a_young_key_shows_what_was_written_last_and_any_other_what_the_store_shows() {
        let states = [present("a"), State::Absent, State::Unknown];
        for [young, old] in [AGES, [AGES[1], AGES[0]]] {
            let is_young = !young.is_zero();
            for state in states.clone() {
                let known = state.known();
                let at_rest = match (is_young, known.clone()) {
                    (true, known) => known.map_or(Expected::Unknown, Expected::This),
                    (false, known) => Expected::Settled(known),
                };
                assert_eq!(expected(state.clone(), None, [AGES[0], young, old]), at_rest);
                // A write under way: how old the state before it is decides.
                let under_way = match known {
                    None => Expected::Unknown,
                    Some(before) if is_young => Expected::This(before),
                    Some(before) => Expected::Unsettled { before, under_way: true },
                };
                let ages = [AGES[0], AGES[1], young];
                assert_eq!(expected(State::Unknown, Some(state.clone()), ages), under_way);
                let no_lag = AGES_OF_A_STORE_WITHOUT_LAG;
                let blind = expected(State::Unknown, Some(state), no_lag);
                assert_eq!(blind, Expected::Settled(None), "it may have landed");
            }
        }
        let doubt = observation(State::Unknown, Some(present("a")), [AGES[0], AGES[1], AGES[0]]);
        let Expected::Unsettled { under_way: false, .. } =
            Expected::of(&Observation { leased: false, ..doubt })
        else {
            panic!("a doubt is no write under way")
        };
        assert_eq!(expected(present("a"), None, [AGES[1], AGES[1], AGES[0]]), Expected::Unknown);
    }
}
