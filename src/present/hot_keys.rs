//! The keys that are asked for most. Each thread counts in a sketch of its own, which only a person
//! who looks makes it wait for; a look puts the sketches together.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::{HashMap, RandomState};

pub use super::sketch::Did;
use super::sketch::Sketch;
use crate::worker;

/// Counts begin anew after this time. Those of the time before are shown too, so that a look always
/// covers at least this time, once the process is that old.
pub const WINDOW: Duration = Duration::from_mins(5);

/// The counts of all threads.
pub struct HotKeys {
    began: Instant,
    hasher: RandomState,
    threads: Box<[Mutex<Windows>]>,
}

/// The counts of this window and of the one before.
#[derive(Debug, Default)]
struct Windows {
    number: u64,
    current: Sketch,
    previous: Sketch,
}

/// What a look shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hottest {
    /// The time that it covers.
    pub over: Duration,
    /// Requests for keys in this time.
    pub requests: u64,
    /// Those that were asked for most, the first one most often.
    pub keys: Vec<HotKey>,
}

/// A key that is asked for often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HotKey {
    /// Its bucket.
    pub bucket: String,
    /// Its name, or the beginning of a long one.
    pub key: String,
    /// The same for the same key, as long as the process lives; it tells nothing about the name.
    pub mark: u64,
    /// How often it was asked for, at least.
    pub at_least: u64,
    /// How often it was asked for, at most.
    pub at_most: u64,
    /// Among those that were counted for it, how many would change it.
    pub writes: u64,
    /// Among those that were counted for it, how many were refused or failed.
    pub refused: u64,
}

impl HotKeys {
    /// For so many threads that serve, from now on.
    pub fn new(threads: usize, now: Instant) -> Self {
        // One more for the thread that accepts, and one for the background.
        let threads = std::iter::repeat_with(Mutex::default).take(threads + 2).collect();
        Self { began: now, hasher: RandomState::new(), threads }
    }

    /// Counts a request for a key.
    pub fn count(&self, (bucket, key): (&str, &str), did: Did, now: Instant) {
        let hash = self.mark((bucket, key));
        let window = self.window(now);
        if let Some(windows) = self.threads.get(worker::number() % self.threads.len()) {
            let mut windows = locked(windows);
            windows.turn_to(window);
            windows.current.count(hash, (bucket, key), did);
        }
    }

    /// The mark of a key ([`HotKey::mark`]).
    pub fn mark(&self, name: (&str, &str)) -> u64 {
        self.hasher.hash_one(name)
    }

    fn window(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / WINDOW.as_secs()
    }

    /// The keys that were asked for most, and at most so many of them.
    pub fn top(&self, most: usize, now: Instant) -> Hottest {
        let window = self.window(now);
        let (mut requests, mut overlooked) = (0, 0);
        let mut keys = HashMap::<u64, HotKey>::default();
        for windows in &self.threads {
            let mut windows = locked(windows);
            windows.turn_to(window);
            for sketch in [&windows.current, &windows.previous] {
                requests += sketch.total();
                // Of a key without a place, this many requests may be missing.
                let missing = sketch.overlooked();
                overlooked += missing;
                for (hash, count, seen) in sketch.each() {
                    let key = keys.entry(hash).or_insert_with(|| HotKey {
                        bucket: seen.bucket.clone(),
                        key: seen.key.clone(),
                        mark: hash,
                        ..HotKey::default()
                    });
                    key.at_least += count - seen.error;
                    key.at_most += count - missing;
                    key.writes += seen.writes;
                    key.refused += seen.refused;
                }
            }
        }
        let mut keys: Vec<_> = keys.into_values().collect();
        for key in &mut keys {
            key.at_most += overlooked;
        }
        keys.sort_by(|a, b| {
            let by = |key: &HotKey| (u64::MAX - key.at_least, u64::MAX - key.at_most);
            (by(a), &a.bucket, &a.key).cmp(&(by(b), &b.bucket, &b.key))
        });
        keys.truncate(most);
        let age = now.saturating_duration_since(self.began);
        let earlier = WINDOW * u32::try_from(window.saturating_sub(1)).unwrap_or(u32::MAX);
        Hottest { over: age.saturating_sub(earlier), requests, keys }
    }
}

impl Windows {
    fn turn_to(&mut self, number: u64) {
        // A clock that was read earlier, before the lock was waited for, turns nothing back.
        if number <= self.number {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        if number != self.number + 1 {
            self.previous.clear();
        }
        self.current.clear();
        self.number = number;
    }
}

/// No code that holds the lock can panic.
fn locked(windows: &Mutex<Windows>) -> MutexGuard<'_, Windows> {
    windows.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for HotKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HotKeys")
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const READ: Did = Did { write: false, refused: false };

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn the_counts_of_all_threads_are_put_together() {
        let began = now();
        let hot = HotKeys::new(2, began);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..1_000 {
                        hot.count(("b", "hot"), Did { write: true, refused: number < 10 }, began);
                        hot.count(("b", &format!("cold-{number}")), READ, began);
                    }
                });
            }
        });
        let seen = hot.top(3, began + Duration::from_secs(7));
        assert_eq!((seen.over, seen.requests, seen.keys.len()), (Duration::from_secs(7), 8_000, 3));
        let first = &seen.keys[0];
        assert_eq!((&*first.bucket, &*first.key), ("b", "hot"));
        assert!(first.at_least <= 4_000 && 4_000 <= first.at_most, "{first:?}");
        assert!(first.at_most - first.at_least <= 8_000 / 128 + 1, "{first:?}");
        assert_eq!((first.writes, first.refused), (4_000, 40));
    }

    #[test]
    fn what_was_asked_for_long_ago_is_forgotten() {
        let began = now();
        let hot = HotKeys::new(1, began);
        hot.count(("b", "old"), READ, began);
        let names = |at: Duration| {
            let seen = hot.top(9, began + at);
            (seen.keys.into_iter().map(|key| key.key).collect::<Vec<_>>(), seen.over)
        };
        assert_eq!(names(WINDOW).0, ["old"]);
        hot.count(("b", "new"), READ, began + WINDOW);
        assert_eq!(names(WINDOW * 3 / 2), (vec!["new".into(), "old".into()], WINDOW * 3 / 2));
        assert_eq!(names(WINDOW * 2), (vec!["new".into()], WINDOW));
        assert_eq!(names(WINDOW * 5).0, Vec::<String>::new());
    }

    #[test]
    fn who_has_read_the_clock_earlier_forgets_nothing() {
        let began = now();
        let hot = HotKeys::new(1, began);
        hot.count(("b", "old"), READ, began);
        hot.count(("b", "new"), READ, began + WINDOW);
        let late = began + WINDOW / 2;
        assert_eq!(hot.top(9, late).keys.len(), 2);
        hot.count(("b", "late"), READ, late);
        assert_eq!(hot.top(9, began + WINDOW).keys.len(), 3);
    }

    /// How long a count takes, printed for who wants to know; the bound is far above it, so that a
    /// busy machine does not fail the test.
    #[test]
    fn a_count_takes_little_time() {
        let began = now();
        let hot = HotKeys::new(1, began);
        let names: Vec<_> =
            (0..10_000).map(|number| format!("tables/part-{number}.parquet")).collect();
        let counted = u32::try_from(names.len()).unwrap() * 10;
        let start = now();
        for _ in 0..10 {
            for name in &names {
                hot.count(("bucket", name), READ, began);
            }
        }
        let each = start.elapsed() / counted;
        println!("a count of a key without a place: {each:?}");
        assert!(each < Duration::from_micros(100), "{each:?}");
    }
}
