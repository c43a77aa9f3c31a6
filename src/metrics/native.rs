//! The buckets of native histograms: eight for each doubling, so that a quantile is known to within 9
//! percent (Prometheus: Native Histograms, schema 3). They are fixed: a histogram has all of them from
//! the start, and an observation only adds one to a cell.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Two to the power of this number of buckets make a doubling.
pub(super) const SCHEMA: i32 = 3;

/// How many buckets make a doubling.
const EACH: i32 = 1 << SCHEMA;

/// The upper bounds of the bucket of zero and of the last one, in seconds, as powers of two: 8 µs and
/// 17 minutes. What is longer counts as that.
const FIRST: i32 = -17;
const LAST: i32 = 10;

/// The index of the bucket of zero. The bucket with index `i` ends at `2^(i/8)` seconds.
const INDEX_OF_ZERO: i32 = FIRST * EACH;

/// How many cells there are: the one of zero, and the others.
const CELLS: usize = (1 + (LAST - FIRST) * EACH) as usize;

/// The end of each bucket but the last, in nanoseconds.
#[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "at most 10^12")]
static ENDS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let indices = INDEX_OF_ZERO..LAST * EACH;
    indices.map(|index| (2_f64.powf(f64::from(index) / f64::from(EACH)) * 1e9) as u64).collect()
});

/// Durations, counted in these buckets.
#[derive(Debug)]
pub(super) struct NativeBuckets(Box<[AtomicU64]>);

/// What was counted, as it is told.
#[derive(Debug, PartialEq)]
pub(super) struct Native {
    /// Up to this number of seconds a duration counts as zero.
    pub(super) zero_threshold_s: f64,
    /// How many of those.
    pub(super) zeros: u64,
    /// The buckets that are not empty: index and count.
    pub(super) buckets: Vec<(i32, u64)>,
}

impl NativeBuckets {
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(CELLS).collect())
    }

    pub(super) fn observe(&self, nanos: u64) {
        let place = ENDS.partition_point(|end| *end < nanos);
        if let Some(cell) = self.0.get(place) {
            cell.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn distribution(&self) -> Distribution {
        Distribution(self.0.iter().map(|cell| cell.load(Relaxed)).collect())
    }

    pub(super) fn read(&self) -> Native {
        let mut each = (INDEX_OF_ZERO..).zip(self.0.iter().map(|cell| cell.load(Relaxed)));
        let zeros = each.next().map_or(0, |(_, count)| count);
        let buckets = each.filter(|(_, count)| *count > 0).collect();
        Native { zero_threshold_s: 2_f64.powi(FIRST), zeros, buckets }
    }
}

/// How often each duration was counted, up to a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution(Vec<u64>);

impl Distribution {
    /// What was counted after this earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.0.iter().chain(std::iter::repeat(&0));
        Self(self.0.iter().zip(before).map(|(now, then)| now.saturating_sub(*then)).collect())
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The duration that this share of all did not exceed, to within 9 percent; `None` where there
    /// are none.
    pub fn quantile(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.count() * percent.min(100)).div_ceil(100).max(1);
        let mut counted = 0;
        let place = self.0.iter().position(|count| {
            counted += count;
            counted >= wanted
        })?;
        ENDS.get(place).or_else(|| ENDS.last()).map(|end| Duration::from_nanos(*end))
    }
}

impl Native {
    /// How many durations were counted.
    pub(super) fn count(&self) -> u64 {
        self.zeros + self.buckets.iter().map(|(_, count)| count).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index of the one bucket that a duration is in; `None` for that of zero.
    fn bucket(nanos: u64) -> Option<i32> {
        let buckets = NativeBuckets::new();
        buckets.observe(nanos);
        let read = buckets.read();
        assert_eq!(read.count(), 1);
        read.buckets.first().map(|(index, _)| *index)
    }

    #[test]
    fn a_quantile_is_known_to_within_nine_percent_and_of_any_span() {
        let buckets = NativeBuckets::new();
        assert_eq!(buckets.distribution().quantile(50), None);
        (1..=1_000).for_each(|ms| buckets.observe(ms * 1_000_000));
        let first = buckets.distribution();
        assert_eq!(first.count(), 1_000);
        for (percent, ms) in [(1, 10), (50, 500), (99, 990), (100, 1_000)] {
            let found = first.quantile(percent).unwrap();
            let ms = Duration::from_millis(ms);
            assert!(ms <= found && found <= ms * 110 / 100, "{percent}: {found:?}");
        }
        buckets.observe(u64::MAX);
        let later = buckets.distribution().since(&first);
        assert_eq!(later.count(), 1);
        assert_eq!(later.quantile(50), Some(Duration::from_nanos(*ENDS.last().unwrap())));
        assert_eq!(later.since(&Distribution::default()), later);
    }

    #[test]
    fn a_bucket_ends_at_its_bound_and_there_are_eight_for_each_doubling() {
        let second = 1_000_000_000;
        assert_eq!((bucket(second), bucket(second + 1)), (Some(0), Some(1)));
        assert_eq!((bucket(2 * second), bucket(second / 2)), (Some(8), Some(-8)));
        assert_eq!((bucket(0), bucket(7_629)), (None, None), "2^-17 s is 7629.39 ns");
        assert_eq!(bucket(7_630), Some(-135));
        assert_eq!((bucket(1_024 * second), bucket(u64::MAX)), (Some(80), Some(80)));
        assert_eq!(ENDS.len() + 1, CELLS);
        assert!(ENDS.is_sorted());
    }
}
