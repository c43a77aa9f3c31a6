//! What all series of reads together say of a store. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::series::{Read, Series, Write};

/// What was written where, and read where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The number of the node that was written at.
    pub written_at: usize,
    /// The number of the node that was read at.
    pub read_at: usize,
    /// The kind of write.
    pub write: Write,
    /// The kind of read.
    pub read: Read,
}

/// What was seen of one pair, in all rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many writes were looked at.
    pub rounds: u64,
    /// After how many of them something older was shown.
    pub rounds_old: u64,
    /// After how many of them the write was shown, and then something older.
    pub rounds_back: u64,
    /// After how many of them the patience ended before the lag did.
    pub rounds_unfinished: u64,
    /// The longest lag: 0 where nothing older was shown, and else at least a millisecond.
    pub longest: Duration,
    /// How many reads were answered.
    pub reads: u64,
    /// How many were not.
    pub reads_missed: u64,
}

impl Tally {
    fn add(&mut self, series: &Series, patience: Duration) {
        self.rounds += 1;
        self.rounds_old += u64::from(series.lag().is_some());
        self.rounds_back += u64::from(series.goes_back());
        self.rounds_unfinished += u64::from(series.is_unfinished(patience));
        self.longest = self.longest.max(series.lag().map(whole_ms).unwrap_or_default());
        self.reads += series.reads();
        self.reads_missed += series.missed();
    }

    fn join(mut self, other: &Self) -> Self {
        self.rounds += other.rounds;
        self.rounds_old += other.rounds_old;
        self.rounds_back += other.rounds_back;
        self.rounds_unfinished += other.rounds_unfinished;
        self.longest = self.longest.max(other.longest);
        self.reads += other.reads;
        self.reads_missed += other.reads_missed;
        self
    }
}

/// Rounded up to a whole millisecond, and to one at least.
fn whole_ms(age: Duration) -> Duration {
    let ms = age.as_micros().div_ceil(1000).max(1);
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}

/// What was seen of all pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    nodes: Vec<String>,
    patience: Duration,
    tallies: BTreeMap<Pair, Tally>,
}

impl Findings {
    /// Nothing yet, of nodes with these names. `patience`: for how long writes are looked at, at most.
    pub fn new(nodes: Vec<String>, patience: Duration) -> Self {
        Self { nodes, patience, tallies: BTreeMap::new() }
    }

    /// Adds what was seen after one write.
    pub fn add(&mut self, pair: Pair, series: &Series) {
        self.tallies.entry(pair).or_default().add(series, self.patience);
    }

    /// The names of the nodes, by their numbers.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// All pairs, by nodes, writes and reads.
    pub fn pairs(&self) -> impl Iterator<Item = (Pair, &Tally)> {
        self.tallies.iter().map(|(pair, tally)| (*pair, tally))
    }

    /// What was seen of one pair.
    pub fn of(&self, pair: Pair) -> Tally {
        self.tallies.get(&pair).copied().unwrap_or_default()
    }

    /// What was seen in all.
    pub fn total(&self) -> Tally {
        self.tallies.values().fold(Tally::default(), Tally::join)
    }

    /// The `register.lag` that is advised; `None` where the lag was not seen to its end.
    pub fn advised(&self) -> Option<Duration> {
        let total = self.total();
        (total.rounds_unfinished == 0).then(|| advised(total.longest))
    }
}

/// Twice the longest lag, rounded up to a number that people write; 0 where there was none.
fn advised(longest: Duration) -> Duration {
    let wanted = longest * 2;
    let steps = [
        (Duration::from_secs(1), Duration::from_millis(100)),
        (Duration::from_secs(10), Duration::from_secs(1)),
        (Duration::from_mins(1), Duration::from_secs(5)),
    ];
    let step = steps.iter().find(|(up_to, _)| wanted <= *up_to).map(|(_, step)| *step);
    let step = step.unwrap_or(Duration::from_mins(1)).as_millis();
    let rounded = wanted.as_millis().div_ceil(step) * step;
    Duration::from_millis(u64::try_from(rounded).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::show_duration;

    const PAIR: Pair = Pair { written_at: 0, read_at: 0, write: Write::Create, read: Read::Head };

    fn series(reads: &[(u64, bool)]) -> Series {
        let mut series = Series::default();
        for (age_us, is_new) in reads {
            series.see(Duration::from_micros(*age_us), *is_new);
        }
        series
    }

    fn nothing() -> Findings {
        Findings::new(vec!["n".to_owned()], Duration::from_secs(30))
    }

    #[test]
    fn rounds_are_counted_by_what_they_showed() {
        let mut findings = nothing();
        findings.add(PAIR, &series(&[(10, true)]));
        findings.add(PAIR, &series(&[(10, false), (2100, false), (3000, true)]));
        let deleted = Pair { write: Write::Delete, ..PAIR };
        findings.add(deleted, &series(&[(10, true), (1500, false), (2000, true)]));
        let created = findings.of(PAIR);
        assert_eq!((created.rounds, created.rounds_old, created.rounds_back), (2, 1, 0));
        assert_eq!((created.longest, created.reads), (Duration::from_millis(3), 4));
        let total = findings.total();
        assert_eq!((total.rounds, total.rounds_old, total.rounds_back), (3, 2, 1));
        assert_eq!(findings.pairs().count(), 2);
        assert_eq!(findings.of(Pair { read: Read::List, ..PAIR }), Tally::default());
    }

    #[test]
    fn something_old_is_never_no_lag() {
        let mut findings = nothing();
        findings.add(PAIR, &series(&[(0, false), (9, true)]));
        assert_eq!(findings.total().longest, Duration::from_millis(1));
        assert_eq!(findings.advised(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn what_was_not_seen_to_its_end_gives_no_advice() {
        let mut findings = nothing();
        assert_eq!(findings.advised(), Some(Duration::ZERO));
        findings.add(PAIR, &series(&[(0, true), (500, false)]));
        assert_eq!((findings.total().rounds_unfinished, findings.advised()), (1, None));
    }

    #[test]
    fn advice_is_twice_the_longest_lag_as_people_write_it() {
        for (ms, shown) in [
            (0, "0s"),
            (1, "100ms"),
            (50, "100ms"),
            (51, "200ms"),
            (430, "900ms"),
            (480, "1s"),
            (501, "2s"),
            (4_900, "10s"),
            (5_001, "15s"),
            (28_000, "1m"),
            (31_000, "2m"),
        ] {
            assert_eq!(show_duration(advised(Duration::from_millis(ms))), shown, "{ms}");
        }
    }
}
