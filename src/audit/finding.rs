//! What the register's record of a key and the store's view of it say together. Pure.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::register::{Observation, State, Terms, Writers};
use crate::s3::Current;

/// What the store shows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// By a HEAD.
    pub current: Current,
    /// Whether a listing has it; `None` where none was asked for.
    pub listed: Option<bool>,
}

/// What the register believes, beside what a HEAD shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Belief {
    /// Both say the same.
    Agrees,
    /// The register believes in an object, and the store shows none.
    Missing,
    /// The register believes that there is none, and the store shows one.
    Undeleted,
    /// They show objects with different ETags.
    OtherEtag,
    /// The register does not know the state.
    Unknown,
    /// A write may have landed or not.
    InDoubt,
    /// There is a lease: a write is under way, or may still land.
    UnderWay,
}

/// How a listing contradicts a HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListingFault {
    /// A HEAD shows an object, and no listing has it.
    NotListed,
    /// A listing has an object, and a HEAD shows none.
    OnlyListed,
}

/// What both say of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// By the record and a HEAD.
    pub belief: Belief,
    /// By a HEAD and a listing.
    pub listing: Option<ListingFault>,
    /// Whether the store may still show an older state than the key's.
    pub is_young: bool,
}

impl Belief {
    fn of(observed: &Observation, current: &Current) -> Self {
        if observed.leased {
            return Self::UnderWay;
        }
        if observed.pending.is_some() {
            return Self::InDoubt;
        }
        match (&observed.state, current) {
            (State::Unknown, _) => Self::Unknown,
            (State::Absent, Current::Absent) => Self::Agrees,
            (State::Absent, Current::Present(_)) => Self::Undeleted,
            (State::Present(_), Current::Absent) => Self::Missing,
            (State::Present(believed), Current::Present(shown)) if believed == shown => {
                Self::Agrees
            }
            (State::Present(_), Current::Present(_)) => Self::OtherEtag,
        }
    }

    /// Does the store contradict the record?
    pub fn is_contradicted(self) -> bool {
        matches!(self, Self::Missing | Self::Undeleted | Self::OtherEtag)
    }

    /// May the state change at any moment?
    fn is_unsettled(self) -> bool {
        matches!(self, Self::UnderWay | Self::InDoubt)
    }
}

impl Finding {
    /// What both say.
    pub fn of(observed: &Observation, shown: &Shown) -> Self {
        let belief = Belief::of(observed, &shown.current);
        let listing = match (&shown.current, shown.listed) {
            // A HEAD and a listing are two questions: a write may have landed between them.
            _ if belief.is_unsettled() => None,
            (Current::Present(_), Some(false)) => Some(ListingFault::NotListed),
            (Current::Absent, Some(true)) => Some(ListingFault::OnlyListed),
            (_, Some(_) | None) => None,
        };
        Self { belief, listing, is_young: !observed.young_for.is_zero() }
    }

    /// Is something else shown than was written, by a HEAD or by a listing?
    pub fn is_difference(self) -> bool {
        self.belief.is_contradicted() || self.listing.is_some()
    }

    /// Is it one that is not explained by the store's lag?
    pub fn is_failure(self) -> bool {
        self.is_difference() && !self.is_young
    }

    /// What it means, in a sentence.
    pub fn sentence(self, writers: Writers) -> &'static str {
        match self.belief {
            Belief::UnderWay => {
                "A lease is held: a write is under way or may still land, and the store may show what \
                 stood there before it or what it leaves."
            }
            Belief::InDoubt => {
                "A write may have landed or not: the next writer of the key finds out by a HEAD."
            }
            Belief::Unknown => {
                "The register does not know what stands there: the next condition is judged by a HEAD."
            }
            Belief::Missing | Belief::Undeleted | Belief::OtherEtag => {
                self.of_contradiction(writers)
            }
            Belief::Agrees => self.of_listing(),
        }
    }

    fn of_contradiction(self, writers: Writers) -> &'static str {
        match (self.is_young, writers) {
            (true, _) => {
                "The store shows something older while the key is young: that is what its lag looks \
                 like, and the record decides."
            }
            (false, Writers::Shared) => {
                "Somebody wrote around the proxies, or a rule of the store did. writers = \"shared\" \
                 allows it: conditions are judged by a HEAD."
            }
            (false, Writers::Exclusive) => {
                "Somebody wrote around the proxies, or a rule of the store did, although writers = \
                 \"exclusive\" says that there is nobody; or the store lags by more than register.lag."
            }
        }
    }

    fn of_listing(self) -> &'static str {
        match (self.listing, self.is_young) {
            (None, _) => "The store shows what the register believes.",
            (Some(_), true) => "The store's listing is behind while the key is young.",
            (Some(ListingFault::NotListed), false) => {
                "The object is there, and the store's listing does not have it."
            }
            (Some(ListingFault::OnlyListed), false) => {
                "The object is gone, and the store's listing still has it."
            }
        }
    }

    /// In a few words, for a line of a list.
    pub fn words(self) -> &'static str {
        match (self.belief, self.listing) {
            (Belief::Missing, _) => "missing in the store",
            (Belief::Undeleted, _) => "deleted, but still shown",
            (Belief::OtherEtag, _) => "other ETag in the store",
            (Belief::UnderWay, _) => "write under way",
            (Belief::InDoubt, _) => "write in doubt",
            (_, Some(ListingFault::NotListed)) => "there, but not listed",
            (_, Some(ListingFault::OnlyListed)) => "gone, but still listed",
            (Belief::Unknown, None) => "not known",
            (Belief::Agrees, None) => "agrees",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let young = if self.is_young && self.is_difference() { " (young)" } else { "" };
        write!(f, "{}{young}", self.words())
    }
}

/// What a record learns of a HEAD under a lease that contradicts it, where the key is neither young nor
/// in doubt. That of a short time ago may be right, and the HEAD old; and where others write around the
/// proxies, what they left is never taken for what a landing left. Then the record says that it does not
/// know, which is always safe: a HEAD decides.
pub fn lesson(terms: &Terms, landed: Option<Duration>, seen: &Current) -> State {
    let is_recent = landed.is_some_and(|age| age < terms.missed_for());
    match terms.writers {
        Writers::Exclusive if !is_recent => State::from(seen.clone()),
        Writers::Exclusive | Writers::Shared => State::Unknown,
    }
}

/// What was found of many keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many were looked at.
    pub keys: u64,
    /// Of how many both say the same.
    pub agree: u64,
    /// How many differ while they are young: that is what a lag looks like.
    pub young_differences: u64,
    /// How many differ, and are not young.
    pub differences: u64,
    /// Of how many the register does not know the state.
    pub unknown: u64,
    /// Of how many a write may have landed or not.
    pub in_doubt: u64,
    /// How many have a lease.
    pub under_way: u64,
    /// Of how many the store did not say what it has.
    pub unanswered: u64,
    /// How many records were mended.
    pub mended: u64,
}

impl Tally {
    /// Adds a key; `None` where the store did not answer.
    pub fn add(&mut self, found: Option<Finding>) {
        self.keys += 1;
        let counter = match found {
            None => &mut self.unanswered,
            Some(found) if found.is_failure() => &mut self.differences,
            Some(found) if found.is_difference() => &mut self.young_differences,
            Some(Finding { belief: Belief::UnderWay, .. }) => &mut self.under_way,
            Some(Finding { belief: Belief::InDoubt, .. }) => &mut self.in_doubt,
            Some(Finding { belief: Belief::Unknown, .. }) => &mut self.unknown,
            Some(_) => &mut self.agree,
        };
        *counter += 1;
    }

    /// How many differences are left.
    pub fn left(&self) -> u64 {
        self.differences.saturating_sub(self.mended)
    }

    /// Is nothing left, and was all of it compared?
    pub fn is_clean(&self) -> bool {
        self.left() == 0 && self.unanswered == 0
    }
}

impl fmt::Display for Tally {
    /// One line; of what there is none, only the differences are named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, agree, differences, .. } = self;
        write!(f, "{keys} keys: {agree} agree, {differences} differ")?;
        for (count, words) in [
            (self.young_differences, "differ while they are young"),
            (self.unknown, "not known to the register"),
            (self.in_doubt, "in doubt"),
            (self.under_way, "under way"),
            (self.unanswered, "without an answer of the store"),
            (self.mended, "mended"),
        ] {
            if count > 0 {
                write!(f, ", {count} {words}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{EpochId, Generation};
    use crate::s3::ETag;

    const YOUNG: Duration = Duration::from_secs(1);
    const OLD: Duration = Duration::ZERO;

    fn observed(state: State, young_for: Duration) -> Observation {
        Observation {
            state,
            generation: None,
            pending: None,
            epoch: EpochId("e".to_owned()),
            quarantine: Duration::ZERO,
            leased: false,
            young_for,
            before: None,
            before_young_for: Duration::ZERO,
            landed: None,
        }
    }

    fn present(etag: &str) -> Current {
        Current::Present(ETag::parse(etag.as_bytes()))
    }

    fn finding(observed: &Observation, current: Current, listed: Option<bool>) -> Finding {
        Finding::of(observed, &Shown { current, listed })
    }

    #[test]
    fn what_two_views_of_a_key_mean() {
        let a = || State::from(present("a"));
        for (state, current, belief) in [
            (a(), present("a"), Belief::Agrees),
            (State::Absent, Current::Absent, Belief::Agrees),
            (a(), present("b"), Belief::OtherEtag),
            (a(), Current::Absent, Belief::Missing),
            (State::Absent, present("a"), Belief::Undeleted),
            (State::Unknown, present("a"), Belief::Unknown),
            (State::Unknown, Current::Absent, Belief::Unknown),
        ] {
            for young in [YOUNG, OLD] {
                let found = finding(&observed(state.clone(), young), current.clone(), None);
                assert_eq!(found.belief, belief);
                assert_eq!(found.is_difference(), belief.is_contradicted());
                assert_eq!(found.is_failure(), belief.is_contradicted() && young == OLD);
            }
        }
    }

    #[test]
    fn a_listing_is_compared_with_a_head() {
        let at_rest = observed(State::Absent, OLD);
        for (current, listed, fault) in [
            (present("a"), Some(true), None),
            (present("a"), Some(false), Some(ListingFault::NotListed)),
            (Current::Absent, Some(true), Some(ListingFault::OnlyListed)),
            (Current::Absent, Some(false), None),
            (present("a"), None, None),
        ] {
            assert_eq!(finding(&at_rest, current, listed).listing, fault);
        }
        let unknown = finding(&observed(State::Unknown, OLD), present("a"), Some(false));
        assert!(unknown.is_failure(), "two views of the store differ, whatever was written");
        assert_eq!(unknown.words(), "there, but not listed");
        let young = finding(&observed(State::Absent, YOUNG), Current::Absent, Some(true));
        assert!(young.is_difference() && !young.is_failure());
        assert_eq!(young.to_string(), "gone, but still listed (young)");
    }

    #[test]
    fn what_is_not_settled_is_no_difference() {
        let generation = || Some(Generation("e.1".to_owned()));
        let leased = Observation { leased: true, ..observed(State::Absent, OLD) };
        let armed = Observation { pending: generation(), ..leased.clone() };
        let doubted = Observation { pending: generation(), ..observed(State::Unknown, OLD) };
        for (observed, belief) in
            [(leased, Belief::UnderWay), (armed, Belief::UnderWay), (doubted, Belief::InDoubt)]
        {
            for listed in [Some(false), Some(true)] {
                let found = finding(&observed, present("a"), listed);
                assert_eq!((found.belief, found.is_difference()), (belief, false));
            }
        }
    }

    #[test]
    fn the_sentence_names_who_may_have_done_it() {
        let of = |young, writers| {
            let found = finding(&observed(State::Absent, young), present("a"), None);
            found.sentence(writers)
        };
        assert!(of(OLD, Writers::Shared).contains("allows it"));
        assert!(of(OLD, Writers::Exclusive).contains("register.lag"));
        assert!(of(YOUNG, Writers::Exclusive).contains("while the key is young"));
        let agrees = finding(&observed(State::Absent, OLD), Current::Absent, Some(false));
        assert_eq!(agrees.sentence(Writers::Shared), "The store shows what the register believes.");
    }

    #[test]
    fn a_record_learns_what_cannot_be_old_and_is_all_that_was_written() {
        let lag = Duration::from_secs(10);
        let terms = |writers| Terms { lag, writers, ..Terms::default() };
        let seen = present("b");
        let learned = |writers, landed_s: Option<u64>| {
            lesson(&terms(writers), landed_s.map(Duration::from_secs), &seen)
        };
        for landed in [None, Some(80), Some(3600)] {
            assert_eq!(learned(Writers::Exclusive, landed), State::from(seen.clone()));
            assert_eq!(learned(Writers::Shared, landed), State::Unknown);
        }
        assert_eq!(learned(Writers::Exclusive, Some(79)), State::Unknown);
    }

    #[test]
    fn each_key_counts_once() {
        let mut tally = Tally::default();
        let differs = |young| finding(&observed(State::Absent, young), present("a"), None);
        let agrees = finding(&observed(State::Absent, OLD), Current::Absent, None);
        let unknown = finding(&observed(State::Unknown, OLD), Current::Absent, None);
        for found in [agrees, unknown, differs(YOUNG)] {
            tally.add(Some(found));
        }
        assert!(tally.is_clean());
        tally.add(Some(differs(OLD)));
        assert!(!tally.is_clean() && tally.left() == 1);
        assert_eq!(
            tally.to_string(),
            "4 keys: 1 agree, 1 differ, 1 differ while they are young, 1 not known to the register"
        );
        tally.mended += 1;
        assert!(tally.is_clean());
        tally.add(None);
        assert!(!tally.is_clean() && tally.keys == 5);
    }
}
