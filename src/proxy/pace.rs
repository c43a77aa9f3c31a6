//! How many deletes of one batch go to the store at a time. Some stores answer 500 where two deletes
//! race, for the last entry of a directory say: once that is seen, deletes go one by one for a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How long the store is spared after it has failed.
const SPARED_FOR: Duration = Duration::from_mins(5);

/// What is remembered of how the store bears deletes at the same time.
#[derive(Debug)]
pub struct Pace {
    at_once: usize,
    spared_until: Mutex<Option<Instant>>,
}

/// One batch's deletes.
#[derive(Debug)]
pub(super) struct Lanes<'a> {
    pace: &'a Pace,
    free: Semaphore,
}

impl Pace {
    /// As many at a time as the configuration says (`backend.deletes_at_once`).
    pub const fn new(at_once: usize) -> Self {
        Self { at_once, spared_until: Mutex::new(None) }
    }

    /// The lanes of a new batch.
    pub(super) fn lanes(&self) -> Lanes<'_> {
        Lanes { pace: self, free: Semaphore::new(self.at_once) }
    }

    /// How many deletes may wait for their turn at a time.
    pub(super) const fn at_once(&self) -> usize {
        self.at_once
    }

    fn is_spared(&self, now: Instant) -> bool {
        let until = self.spared_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }

    /// The store has answered a delete with a server error.
    pub(super) fn spare(&self, now: Instant) {
        let mut until = self.spared_until.lock().unwrap_or_else(PoisonError::into_inner);
        if self.at_once > 1 && until.is_none_or(|until| now >= until) {
            let seconds = SPARED_FOR.as_secs();
            tracing::warn!(
                seconds,
                "the store answered a delete of a batch with an error; they go one by one for a while"
            );
        }
        *until = Some(now + SPARED_FOR);
    }
}

impl Lanes<'_> {
    /// Waits until a delete may be sent: until one lane is free or, where the store is spared, all.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let lanes = if self.pace.is_spared(Instant::now()) { self.pace.at_once } else { 1 };
        let lanes = u32::try_from(lanes).unwrap_or(u32::MAX);
        // It is never closed.
        self.free.acquire_many(lanes).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    /// The most deletes that were under way at the same time; the one of this number fails.
    async fn most_at_once(pace: &Pace, fails: Option<usize>) -> (usize, usize) {
        let lanes = pace.lanes();
        let (now, before, after) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let deletes = (0..100).map(async |number| {
            let _lane = lanes.enter().await;
            let spared = pace.is_spared(Instant::now());
            let most = if spared { &after } else { &before };
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            if fails == Some(number) {
                pace.spare(Instant::now());
            }
            now.fetch_sub(1, Ordering::Relaxed);
        });
        let deletes: Vec<_> = deletes.collect();
        stream::iter(deletes).buffered(pace.at_once()).collect::<Vec<()>>().await;
        (before.into_inner(), after.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_error_the_rest_goes_one_by_one_and_so_does_what_comes_soon() {
        let pace = Pace::new(16);
        assert_eq!(most_at_once(&pace, None).await, (16, 0));
        assert_eq!(most_at_once(&pace, Some(40)).await, (16, 1));
        assert_eq!(most_at_once(&pace, None).await, (0, 1));
        tokio::time::advance(SPARED_FOR).await;
        assert_eq!(most_at_once(&pace, None).await, (16, 0));
        assert_eq!(most_at_once(&Pace::new(1), Some(3)).await, (1, 1));
    }
}
