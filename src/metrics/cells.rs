//! The cells that count: atomic numbers, one for each value of a label. Writing to one takes no
//! lock. (`prometheus-client` has cells of its own, but its histograms and its families lock.)

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::label::Label;
use super::native::{Distribution, Native, NativeBuckets};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A counter for each value of a label.
pub struct Counters<L> {
    cells: Box<[Counter]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Counters<L> {
    /// Counts one more with this value.
    pub fn count(&self, value: L) {
        self.add(value, 1);
    }

    /// Counts so many more with this value.
    pub fn add(&self, value: L, more: u64) {
        // Every number of a value is one of a place: `label!` and the tests of `labels` see to it.
        if let Some(cell) = self.cells.get(value.number()) {
            cell.add(more);
        }
    }

    /// The values with their numbers.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        L::values().into_iter().zip(self.cells.iter().map(Counter::get))
    }

    /// The same, with the label's name.
    pub(super) fn each(&self) -> impl Iterator<Item = ([(&'static str, &'static str); 1], u64)> {
        self.counts().map(|(value, count)| ([(L::NAME, value)], count))
    }
}

impl<L: Label> Default for Counters<L> {
    fn default() -> Self {
        Self { cells: cells(L::values().len()), label: PhantomData }
    }
}

/// A counter for each pair of values of two labels.
pub struct CounterTable<A, B> {
    cells: Box<[Counter]>,
    width: usize,
    labels: PhantomData<fn(A, B)>,
}

impl<A: Label, B: Label> CounterTable<A, B> {
    /// Counts one more with these values.
    pub fn count(&self, row: A, column: B) {
        if let Some(cell) = self.cells.get(row.number() * self.width + column.number()) {
            cell.count();
        }
    }

    /// The numbers of this value of the second label, by the value of the first.
    pub fn of(&self, column: B) -> impl Iterator<Item = (&'static str, u64)> {
        let cells = self.cells.iter().skip(column.number()).step_by(self.width);
        A::values().into_iter().zip(cells.map(Counter::get))
    }

    /// The same, whichever value the first has.
    pub fn total(&self, column: B) -> u64 {
        self.of(column).map(|(_, count)| count).sum()
    }

    /// The pairs that were counted, with their numbers.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let all = self.each().map(|([(_, row), (_, column)], count)| (row, column, count));
        all.filter(|(.., count)| *count > 0)
    }

    /// The pairs with their numbers, of those rows in which anything was counted.
    pub(super) fn each(&self) -> impl Iterator<Item = ([(&'static str, &'static str); 2], u64)> {
        let rows = A::values().into_iter().zip(self.cells.chunks(self.width));
        let counted = rows.filter(|(_, row)| row.iter().any(|cell| cell.get() > 0));
        counted.flat_map(|(a, row)| {
            let columns = B::values().into_iter().map(move |b| [(A::NAME, a), (B::NAME, b)]);
            columns.zip(row.iter().map(Counter::get))
        })
    }
}

impl<A: Label, B: Label> Default for CounterTable<A, B> {
    fn default() -> Self {
        let (rows, width) = (A::values().len(), B::values().len());
        Self { cells: cells(rows * width), width, labels: PhantomData }
    }
}

fn cells<T: Default>(count: usize) -> Box<[T]> {
    std::iter::repeat_with(T::default).take(count).collect()
}

/// A number of things that exist at present.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Counts one thing, until the guard is dropped.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.0.fetch_add(1, Relaxed);
        Held(self.clone())
    }

    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Raises it to this value, unless it is greater already.
    pub fn raise(&self, value: i64) {
        self.0.fetch_max(value, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A thing that a gauge counts, until it is dropped.
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The upper bounds of a histogram's buckets: the first, and by which factor each is greater than
/// the one before it.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    first: Duration,
    factor: u32,
    count: usize,
}

impl Bounds {
    /// 0.5 ms to 65.5 s by factors of 2: leases, quarantines and time limits are within.
    pub const FINE: Self = Self { first: Duration::from_micros(500), factor: 2, count: 18 };

    /// 0.25 ms to 16.4 s by factors of 4, for durations that are told apart by many labels.
    pub const COARSE: Self = Self { first: Duration::from_micros(250), factor: 4, count: 9 };

    fn nanos(self) -> Vec<u64> {
        let first = nanos(self.first);
        let bounds = std::iter::successors(Some(first), |last| Some(last * u64::from(self.factor)));
        bounds.take(self.count).collect()
    }
}

/// Durations, counted in buckets of two kinds: the classic ones, and those of a native histogram.
#[derive(Debug)]
pub struct Histogram {
    bounds: Vec<u64>,
    /// One for each bound, and one for what is longer.
    buckets: Box<[Counter]>,
    sum_nanos: Counter,
    native: NativeBuckets,
}

impl Histogram {
    /// A histogram with these buckets.
    pub fn new(bounds: Bounds) -> Self {
        let bounds = bounds.nanos();
        let (sum_nanos, native) = (Counter::default(), NativeBuckets::new());
        Self { buckets: cells(bounds.len() + 1), bounds, sum_nanos, native }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let nanos = nanos(duration);
        self.native.observe(nanos);
        let bucket = self.bounds.partition_point(|bound| *bound < nanos);
        if let Some(cell) = self.buckets.get(bucket) {
            cell.count();
        }
        self.sum_nanos.add(nanos);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    /// The sum of all durations, in seconds.
    pub(super) fn sum_s(&self) -> f64 {
        seconds(self.sum_nanos.get())
    }

    /// The durations until now.
    pub fn distribution(&self) -> Distribution {
        self.native.distribution()
    }

    /// The same durations in the buckets of a native histogram.
    pub(super) fn native(&self) -> Native {
        self.native.read()
    }

    /// The upper bound of each bucket, in seconds, and how many durations are in it alone.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = self.bounds.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter().map(Counter::get)).collect()
    }
}

/// A histogram for each value of a label.
pub struct Histograms<L> {
    cells: Vec<Histogram>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Histograms<L> {
    /// Histograms with these buckets.
    pub fn new(bounds: Bounds) -> Self {
        let cells = L::values().iter().map(|_| Histogram::new(bounds)).collect();
        Self { cells, label: PhantomData }
    }

    /// Counts a duration with this value.
    pub fn observe(&self, value: L, duration: Duration) {
        if let Some(cell) = self.cells.get(value.number()) {
            cell.observe(duration);
        }
    }

    /// The values in which anything was counted, with their durations.
    pub fn distributions(&self) -> Vec<(&'static str, Distribution)> {
        self.each().map(|([(_, value)], histogram)| (value, histogram.distribution())).collect()
    }

    /// The values in which anything was counted, with their histograms.
    pub(super) fn each(
        &self,
    ) -> impl Iterator<Item = ([(&'static str, &'static str); 1], &Histogram)> {
        let names = L::values().into_iter().map(|value| [(L::NAME, value)]);
        names.zip(&self.cells).filter(|(_, cell)| cell.count() > 0)
    }
}

/// A histogram for each pair of values of two labels.
pub struct HistogramTable<A, B> {
    cells: Vec<Histograms<B>>,
    labels: PhantomData<fn(A)>,
}

impl<A: Label, B: Label> HistogramTable<A, B> {
    /// Histograms with these buckets.
    pub fn new(bounds: Bounds) -> Self {
        let cells = A::values().iter().map(|_| Histograms::new(bounds)).collect();
        Self { cells, labels: PhantomData }
    }

    /// Counts a duration with these values.
    pub fn observe(&self, row: A, column: B, duration: Duration) {
        if let Some(cells) = self.cells.get(row.number()) {
            cells.observe(column, duration);
        }
    }

    /// The pairs in which anything was counted, with their histograms.
    pub(super) fn each(
        &self,
    ) -> impl Iterator<Item = ([(&'static str, &'static str); 2], &Histogram)> {
        A::values().into_iter().zip(&self.cells).flat_map(|(a, cells)| {
            cells.each().map(move |([b], histogram)| ([(A::NAME, a), b], histogram))
        })
    }
}

/// About 584 years at most; a longer duration counts as that.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// For the test of how many series there may be.
#[cfg(test)]
impl<A: Label, B: Label> CounterTable<A, B> {
    pub(super) fn count_all(&self) {
        self.cells.iter().for_each(Counter::count);
    }
}

#[cfg(test)]
impl<L: Label> Histograms<L> {
    pub(super) fn observe_all(&self) {
        self.cells.iter().for_each(|cell| cell.observe(Duration::ZERO));
    }
}

#[cfg(test)]
impl<A: Label, B: Label> HistogramTable<A, B> {
    pub(super) fn observe_all(&self) {
        self.cells.iter().for_each(Histograms::observe_all);
    }
}

macro_rules! debug_by_name {
    ($($cells:ident<$($label:ident),+>)+) => {
        $(impl<$($label),+> fmt::Debug for $cells<$($label),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($cells))
            }
        })+
    };
}

debug_by_name! { Counters<L> CounterTable<A, B> Histograms<L> HistogramTable<A, B> }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::{StaleHead, Verdict};

    #[test]
    fn each_value_of_a_label_is_counted_by_itself() {
        let counters = Counters::<Verdict>::default();
        counters.count(Verdict::Failed);
        let counted: Vec<_> = counters.each().collect();
        assert_eq!(counted, [([("verdict", "held")], 0), ([("verdict", "failed")], 1)]);
    }

    #[test]
    fn a_table_shows_the_rows_that_were_counted() {
        let table = CounterTable::<Verdict, Verdict>::default();
        table.count(Verdict::Failed, Verdict::Held);
        let counted: Vec<_> =
            table.each().map(|([_, (_, column)], count)| (column, count)).collect();
        assert_eq!(counted, [("held", 1), ("failed", 0)]);
    }

    #[test]
    fn a_table_is_asked_for_a_column() {
        let table = CounterTable::<Verdict, StaleHead>::default();
        table.count(Verdict::Held, StaleHead::Other);
        table.count(Verdict::Failed, StaleHead::Other);
        table.count(Verdict::Failed, StaleHead::Absent);
        let absent: Vec<_> = table.of(StaleHead::Absent).collect();
        assert_eq!(absent, [("held", 0), ("failed", 1)]);
        let totals = StaleHead::ALL.iter().map(|column| table.total(*column));
        assert_eq!(totals.collect::<Vec<_>>(), [1, 0, 2]);
    }

    #[test]
    fn a_thing_is_counted_for_as_long_as_it_is_held() {
        let gauge = Gauge::default();
        let held = (gauge.hold(), gauge.hold());
        assert_eq!(gauge.get(), 2);
        drop(held);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_longer_than_all_to_the_last() {
        let histogram = Histogram::new(Bounds::FINE);
        for micros in [0, 500, 501, 1_000, 65_536_000, 65_536_001, 999_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let buckets = histogram.buckets();
        assert_eq!((buckets[0], buckets[1]), ((0.0005, 2), (0.001, 2)));
        assert_eq!((buckets[17], buckets[18]), ((65.536, 1), (f64::INFINITY, 2)));
        assert_eq!((buckets.len(), histogram.count()), (19, 7));
        let sum = 0.0005 + 0.000_501 + 0.001 + 65.536 + 65.536_001 + 999.0;
        assert!((histogram.sum_s() - sum).abs() < 1e-9, "{}", histogram.sum_s());
    }

    #[test]
    fn histograms_that_were_never_used_are_not_shown() {
        let table = HistogramTable::<Verdict, Verdict>::new(Bounds::COARSE);
        table.observe(Verdict::Held, Verdict::Failed, Duration::MAX);
        let shown: Vec<_> = table.each().map(|(labels, of)| (labels, of.count())).collect();
        assert_eq!(shown, [([("verdict", "held"), ("verdict", "failed")], 1)]);
    }
}
