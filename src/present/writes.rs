//! The guarded writes under way: what each waits for, and since when; and those that ended in doubt,
//! until their keys are free again.
//!
//! A write changes its own entry without a lock. A look may therefore catch an entry between two
//! changes: it is for people, and the next look shows the rest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::units::in_millis;
use crate::worker;

/// How many writes of a thread have an entry at once. Further ones are only counted.
const ENTRIES_MAX: usize = 1024;

/// How many writes are remembered that ended in doubt.
const LEFT_MAX: usize = 64;

/// What a write waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum WaitsFor {
    /// Its turn behind other writes of the key in this process.
    Turn,
    /// The register's answer.
    Register,
    /// The lease, which another writer of the key has.
    Lease,
    /// The store's answer to the HEAD by which the condition is judged.
    Head,
    /// The store's answer to the write.
    Store,
    /// A HEAD that shows that the write has landed, whose answer was lost.
    Landing,
    /// The time after which a write whose answer was lost can land no more.
    Settling,
    /// A store that lags to show what was written.
    Lag,
    /// The register to record the landing. The client may have its answer already.
    Record,
}

impl WaitsFor {
    const ALL: [Self; 9] = [
        Self::Turn,
        Self::Register,
        Self::Lease,
        Self::Head,
        Self::Store,
        Self::Landing,
        Self::Settling,
        Self::Lag,
        Self::Record,
    ];

    /// A word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Register => "register",
            Self::Lease => "lease",
            Self::Head => "head",
            Self::Store => "store",
            Self::Landing => "landing",
            Self::Settling => "settling",
            Self::Lag => "lag",
            Self::Record => "record",
        }
    }

    /// Words for people.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Turn => "its turn behind other writes of the key in this process",
            Self::Register => "the register",
            Self::Lease => "the key's lease, which another writer has",
            Self::Head => "the store: a HEAD, to judge the condition",
            Self::Store => "the store's answer to the write",
            Self::Landing => "a HEAD that shows it landed; its answer was lost",
            Self::Settling => "the time after which it can land no more; its answer was lost",
            Self::Lag => "the store to show what was written last",
            Self::Record => "the register to record that it landed",
        }
    }
}

/// All writes under way. Clones are the same ones; nothing is kept by the default one.
#[derive(Debug, Clone, Default)]
pub struct Writes(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    threads: Box<[Mutex<Entries>]>,
    without_entry: AtomicUsize,
    /// The oldest first.
    left: Mutex<VecDeque<LeftInDoubt>>,
    /// How many of those there are, so that a write need not lock to see that there are none.
    left_count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Entries {
    places: Vec<Option<Arc<Entry>>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    bucket: String,
    key: String,
    operation: &'static str,
    began: Instant,
    waits_for: AtomicU8,
    /// In milliseconds after `began`.
    waits_since_ms: AtomicU64,
    /// The same; 0 where it is not known.
    waits_until_ms: AtomicU64,
    has_lease: AtomicBool,
    in_doubt: AtomicBool,
}

/// A write under way. Clones are the same write; it ends with the last of them.
#[derive(Debug, Clone, Default)]
pub struct UnderWay(Option<Arc<Place>>);

#[derive(Debug)]
struct Place {
    kept: Arc<Kept>,
    /// Absent where there was no room for one.
    entry: Option<(Arc<Entry>, usize, usize)>,
}

/// A write under way, as a look shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The operation.
    pub operation: &'static str,
    /// For how long it has been under way.
    pub age: Duration,
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// For how long it has waited for that.
    pub waits_since: Duration,
    /// For how much longer it may have to; `None` where that is not known.
    pub waits_left: Option<Duration>,
    /// Whether it holds the key's lease.
    pub has_lease: bool,
    /// Whether it may have landed without anybody knowing.
    pub in_doubt: bool,
}

/// A write that ended in doubt: its client was told that the outcome is unknown. Until the doubt is
/// settled, the next writer of the key waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftInDoubt {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The operation.
    pub operation: &'static str,
    /// When it ended.
    pub ended: Instant,
    /// From when on the key is free, at the latest.
    pub free: Instant,
}

/// What a look shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The writes under way, the oldest first.
    pub under_way: Vec<Shown>,
    /// How many there are, also of those that are not shown.
    pub count: usize,
    /// The writes that were left in doubt, and whose keys may be blocked still, the latest first.
    pub left_in_doubt: Vec<LeftInDoubt>,
}

impl Writes {
    /// For so many threads that serve.
    pub fn new(threads: usize) -> Self {
        let threads = std::iter::repeat_with(Mutex::default).take(threads + 2).collect();
        Self(Some(Arc::new(Kept {
            threads,
            without_entry: AtomicUsize::new(0),
            left: Mutex::default(),
            left_count: AtomicUsize::new(0),
        })))
    }

    /// A write begins.
    #[must_use]
    pub fn begin(
        &self,
        (bucket, key): (&str, &str),
        operation: &'static str,
        now: Instant,
    ) -> UnderWay {
        let Some(kept) = &self.0 else { return UnderWay(None) };
        let entry = || {
            Arc::new(Entry {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                operation,
                began: now,
                waits_for: AtomicU8::new(WaitsFor::Turn as u8),
                waits_since_ms: AtomicU64::new(0),
                waits_until_ms: AtomicU64::new(0),
                has_lease: AtomicBool::new(false),
                in_doubt: AtomicBool::new(false),
            })
        };
        let thread = worker::number() % kept.threads.len();
        let entry = kept.threads.get(thread).and_then(|entries| {
            let mut entries = locked(entries);
            let place = entries.free.pop().or_else(|| {
                let place = entries.places.len();
                (place < ENTRIES_MAX).then(|| entries.places.push(None))?;
                Some(place)
            })?;
            let entry = entry();
            *entries.places.get_mut(place)? = Some(Arc::clone(&entry));
            Some((entry, thread, place))
        });
        if entry.is_none() {
            kept.without_entry.fetch_add(1, Relaxed);
        }
        UnderWay(Some(Arc::new(Place { kept: Arc::clone(kept), entry })))
    }

    /// A write of a key has ended, and it is not known whether it landed. The key is free again at
    /// `free` at the latest.
    pub fn leave_in_doubt(&self, left: LeftInDoubt) {
        let Some(kept) = &self.0 else { return };
        let mut all = locked(&kept.left);
        if all.len() >= LEFT_MAX {
            all.pop_front();
        }
        all.push_back(left);
        kept.left_count.store(all.len(), Relaxed);
    }

    /// A write has got the lease of a key: what was left in doubt there is settled, or settled by it.
    pub fn settles(&self, (bucket, key): (&str, &str)) {
        let Some(kept) = &self.0 else { return };
        if kept.left_count.load(Relaxed) > 0 {
            let mut all = locked(&kept.left);
            all.retain(|left| left.bucket != bucket || left.key != key);
            kept.left_count.store(all.len(), Relaxed);
        }
    }

    /// What is under way now; of the writes the oldest, so many at most.
    pub fn look(&self, most: usize, now: Instant) -> Look {
        let Some(kept) = &self.0 else { return Look::default() };
        let mut entries = Vec::new();
        for thread in &kept.threads {
            entries.extend(locked(thread).places.iter().flatten().cloned());
        }
        let count = entries.len() + kept.without_entry.load(Relaxed);
        entries.sort_by_key(|entry| entry.began);
        entries.truncate(most);
        let under_way = entries.iter().map(|entry| entry.shown(now)).collect();
        let mut all = locked(&kept.left);
        all.retain(|left| left.free > now);
        kept.left_count.store(all.len(), Relaxed);
        Look { under_way, count, left_in_doubt: all.iter().rev().cloned().collect() }
    }
}

impl UnderWay {
    /// From now on it waits for this; until then at the latest, where that is known.
    pub fn waits_for(&self, what: WaitsFor, now: impl FnOnce() -> Instant, until: Option<Instant>) {
        // Where nobody looks, the clock is not read.
        let Some(entry) = self.entry() else { return };
        let after = |at: Instant| in_millis(at.saturating_duration_since(entry.began));
        if entry.waits_for.swap(what as u8, Relaxed) != what as u8 {
            entry.waits_since_ms.store(after(now()), Relaxed);
        }
        entry.waits_until_ms.store(until.map_or(0, after), Relaxed);
    }

    /// Whether it holds the lease of its key.
    pub fn has_lease(&self, has: bool) {
        if let Some(entry) = self.entry() {
            entry.has_lease.store(has, Relaxed);
        }
    }

    /// Whether it may have landed without anybody knowing.
    pub fn in_doubt(&self, is: bool) {
        if let Some(entry) = self.entry() {
            entry.in_doubt.store(is, Relaxed);
        }
    }

    fn entry(&self) -> Option<&Entry> {
        self.0.as_ref()?.entry.as_ref().map(|(entry, ..)| &**entry)
    }
}

impl Entry {
    fn shown(&self, now: Instant) -> Shown {
        let age = now.saturating_duration_since(self.began);
        let waits_for = usize::from(self.waits_for.load(Relaxed));
        let until = Duration::from_millis(self.waits_until_ms.load(Relaxed));
        Shown {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            operation: self.operation,
            age,
            waits_for: WaitsFor::ALL.get(waits_for).copied().unwrap_or(WaitsFor::Turn),
            waits_since: age
                .saturating_sub(Duration::from_millis(self.waits_since_ms.load(Relaxed))),
            waits_left: (!until.is_zero()).then(|| until.saturating_sub(age)),
            has_lease: self.has_lease.load(Relaxed),
            in_doubt: self.in_doubt.load(Relaxed),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((_, thread, place)) = &self.entry else {
            self.kept.without_entry.fetch_sub(1, Relaxed);
            return;
        };
        if let Some(entries) = self.kept.threads.get(*thread) {
            let mut entries = locked(entries);
            if let Some(entry) = entries.places.get_mut(*place) {
                *entry = None;
            }
            entries.free.push(*place);
        }
    }
}

/// No code that holds one of these locks can panic.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "writes_tests.rs"]
mod tests;
