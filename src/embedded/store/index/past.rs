//! The index as it was, for a store that lags on purpose: a snapshot of each commit, for a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::tables::Snapshot;

/// Snapshots, each with the time from which on it was true; the earliest first.
pub(super) struct Past {
    lag: Duration,
    kept: Mutex<VecDeque<(Instant, Arc<Snapshot>)>>,
}

impl std::fmt::Debug for Past {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Past").field("lag", &self.lag).finish_non_exhaustive()
    }
}

impl Past {
    pub(super) fn new(lag: Duration) -> Self {
        Self { lag, kept: Mutex::default() }
    }

    /// Adds what is true from now on, and forgets what is too long ago to be shown.
    pub(super) fn add(&self, snapshot: Snapshot) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((now, Arc::new(snapshot)));
        while kept.get(1).is_some_and(|(since, _)| *since + self.lag <= now) {
            kept.pop_front();
        }
    }

    /// Forgets all of it: a database that was closed cannot be read any more.
    pub(super) fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What was true so long ago.
    pub(super) fn at(&self, ago: Duration) -> Option<Arc<Snapshot>> {
        let now = Instant::now();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let then = kept.iter().rev().find(|(since, _)| *since + ago <= now);
        then.or_else(|| kept.front()).map(|(_, snapshot)| Arc::clone(snapshot))
    }
}
