//! What the reads of one kind at one node showed after one write. Pure: ages are arguments, counted from
//! the moment at which the write's answer was complete.

use std::time::Duration;

use serde::Serialize;

/// For how long a write is looked at, at least: a store may go back.
const CALM: Duration = Duration::from_secs(1);

/// The shortest and the longest pause between two reads.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The part of its age by which a lag may be missed, as its reads are so far apart.
const STEPS: u32 = 10;

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Write {
    /// A PUT of a key that was just read as absent.
    Create,
    /// A PUT over an object.
    Overwrite,
    /// A DELETE of an object.
    Delete,
}

impl Write {
    /// All, in the order in which they are done to a key.
    pub const ALL: [Self; 3] = [Self::Create, Self::Overwrite, Self::Delete];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
        }
    }
}

/// A kind of read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Read {
    /// A GET of the object.
    Get,
    /// A HEAD of the object.
    Head,
    /// A listing of exactly its key.
    List,
}

impl Read {
    /// All.
    pub const ALL: [Self; 3] = [Self::Get, Self::Head, Self::List];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::List => "LIST",
        }
    }
}

/// For how long a write is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// The longest lag that is known of this store.
    pub longest: Duration,
    /// For how long something old may be shown until it is given up.
    pub patience: Duration,
}

impl Watch {
    /// The age from which on a write needs to be looked at no longer, if it is shown.
    fn enough(self) -> Duration {
        CALM.max(self.longest * 2).min(self.patience)
    }
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    reads: u64,
    missed: u64,
    last_old: Option<Duration>,
    /// Whether the last answer showed the write; `None` before the first.
    shows: Option<bool>,
    goes_back: bool,
}

impl Series {
    /// A read that was sent at this age showed the write, or something older.
    pub fn see(&mut self, age: Duration, is_new: bool) {
        self.reads += 1;
        if !is_new {
            self.last_old = Some(age);
            self.goes_back |= self.shows == Some(true);
        }
        self.shows = Some(is_new);
    }

    /// A read got no answer.
    pub fn miss(&mut self) {
        self.missed += 1;
    }

    /// Whether enough was seen at this age: the write is shown, and was looked at for a while; or the
    /// patience is at its end.
    pub fn is_over(&self, age: Duration, watch: Watch) -> bool {
        age >= watch.patience || self.shows == Some(true) && age >= watch.enough()
    }

    /// The age of the last read that showed something older; `None` where none did.
    pub fn lag(&self) -> Option<Duration> {
        self.last_old
    }

    /// Whether something older was shown after the write.
    pub fn goes_back(&self) -> bool {
        self.goes_back
    }

    /// Whether the patience ended first, and the lag may be longer than what was seen: the last answer
    /// showed something older, or the store goes back and could not be looked at for long enough.
    pub fn is_unfinished(&self, patience: Duration) -> bool {
        let is_cut = self.last_old.is_some_and(|last| last * 2 > patience);
        self.shows == Some(false) || self.goes_back && is_cut
    }

    /// How many reads were answered.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// How many reads were not.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

/// The pause before the next read, at this age: lags are of very different lengths, and each is to be
/// measured about as exactly as the others.
pub fn pause(age: Duration) -> Duration {
    (age / STEPS).clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn seen(reads: &[(u64, bool)]) -> Series {
        let mut series = Series::default();
        for (age, is_new) in reads {
            series.see(ms(*age), *is_new);
        }
        series
    }

    #[test]
    fn the_lag_is_the_age_of_the_last_read_that_showed_something_older() {
        assert_eq!(seen(&[(0, true), (2, true)]).lag(), None);
        assert_eq!(seen(&[(0, false), (40, false), (50, true)]).lag(), Some(ms(40)));
        assert_eq!(seen(&[(0, true), (70, false), (80, true)]).lag(), Some(ms(70)));
        assert_eq!(seen(&[(0, false), (5, true)]).lag(), Some(ms(0)), "old, if only at once");
    }

    #[test]
    fn to_go_back_is_to_show_the_write_and_then_something_older() {
        assert!(!seen(&[(0, false), (5, false), (9, true)]).goes_back());
        assert!(seen(&[(0, true), (5, false)]).goes_back());
        let mut series = seen(&[(0, true)]);
        series.miss();
        assert!(!series.goes_back() && (series.reads(), series.missed()) == (1, 1));
        series.see(ms(9), false);
        series.see(ms(12), true);
        assert!(series.goes_back(), "it did, whatever it shows later");
    }

    #[test]
    fn a_write_that_is_shown_is_looked_at_for_a_while() {
        let watch = |longest| Watch { longest: ms(longest), patience: ms(30_000) };
        let shown = seen(&[(0, true)]);
        assert!(!shown.is_over(ms(999), watch(0)) && shown.is_over(ms(1000), watch(0)));
        assert!(!shown.is_over(ms(3999), watch(2000)) && shown.is_over(ms(4000), watch(2000)));
        assert!(shown.is_over(ms(30_000), watch(20_000)), "not for longer than the patience");
    }

    #[test]
    fn what_is_not_shown_is_given_up_when_the_patience_ends() {
        let watch = Watch { longest: ms(0), patience: ms(500) };
        for series in [Series::default(), seen(&[(0, false)]), seen(&[(0, true), (400, false)])] {
            assert!(!series.is_over(ms(499), watch) && series.is_over(ms(500), watch));
        }
        let is_unfinished = |reads| seen(reads).is_unfinished(watch.patience);
        assert!(is_unfinished(&[(0, true), (400, false)]));
        assert!(is_unfinished(&[(0, true), (300, false), (499, true)]), "it may go back once more");
        assert!(!is_unfinished(&[(0, true), (200, false), (499, true)]));
        assert!(!is_unfinished(&[(0, false), (400, false), (450, true)]));
        assert!(!is_unfinished(&[]), "nothing old was seen, either");
    }

    #[test]
    fn reads_are_as_far_apart_as_a_part_of_their_age() {
        assert_eq!(pause(ms(0)), ms(2));
        assert_eq!(pause(ms(300)), ms(30));
        assert_eq!(pause(ms(60_000)), ms(500));
    }
}
