//! Concurrency limit for the deletes of a batch. Some stores answer 500 where two deletes race, for
//! example for the last entry of a directory. After such an answer deletes are sent one at a time
//! for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How long deletes are sent one at a time after the store has failed.
const BACK_OFF: Duration = Duration::from_mins(5);

/// How many deletes of a batch are sent at the same time, and when the store last failed one.
#[derive(Debug)]
pub struct DeleteLimiter {
    at_once: usize,
    serial_until: Arc<Mutex<Option<Instant>>>,
}

/// The permits of one batch's deletes.
#[derive(Debug)]
pub(super) struct BatchLimiter<'a> {
    limiter: &'a DeleteLimiter,
    free: Semaphore,
}

impl DeleteLimiter {
    /// At most `at_once` deletes at the same time (`backend.deletes_at_once`).
    pub fn new(at_once: usize) -> Self {
        Self { at_once, serial_until: Arc::default() }
    }

    /// The same limiter with another limit: it remembers the same failure of the store.
    pub(super) fn with_limit(&self, at_once: usize) -> Self {
        Self { at_once, serial_until: Arc::clone(&self.serial_until) }
    }

    /// The permits for the deletes of a new batch.
    pub(super) fn batch(&self) -> BatchLimiter<'_> {
        BatchLimiter { limiter: self, free: Semaphore::new(self.at_once) }
    }

    /// How many deletes may wait for a permit at the same time.
    pub(super) const fn at_once(&self) -> usize {
        self.at_once
    }

    fn is_serial(&self, now: Instant) -> bool {
        let until = self.serial_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }

    /// The store has answered a delete with a server error.
    pub(super) fn back_off(&self, now: Instant) {
        let mut until = self.serial_until.lock().unwrap_or_else(PoisonError::into_inner);
        if self.at_once > 1 && until.is_none_or(|until| now >= until) {
            let seconds = BACK_OFF.as_secs();
            tracing::warn!(
                seconds,
                "the store answered a delete of a batch with an error; they go one by one for a while"
            );
        }
        *until = Some(now + BACK_OFF);
    }
}

impl BatchLimiter<'_> {
    /// Waits until a delete may be sent: for one permit or, after a failure, for all.
    pub(super) async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        let permits = if self.limiter.is_serial(Instant::now()) { self.limiter.at_once } else { 1 };
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        self.free.acquire_many(permits).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    /// The highest number of deletes under way at the same time; the delete with this number fails.
    async fn most_at_once(limiter: &DeleteLimiter, fails: Option<usize>) -> (usize, usize) {
        let batch = limiter.batch();
        let (now, before, after) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let deletes = (0..100).map(async |number| {
            let _permit = batch.acquire().await;
            let serial = limiter.is_serial(Instant::now());
            let most = if serial { &after } else { &before };
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            if fails == Some(number) {
                limiter.back_off(Instant::now());
            }
            now.fetch_sub(1, Ordering::Relaxed);
        });
        let deletes: Vec<_> = deletes.collect();
        stream::iter(deletes).buffered(limiter.at_once()).collect::<Vec<()>>().await;
        (before.into_inner(), after.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_error_the_rest_goes_one_by_one_and_so_does_what_comes_soon() {
        let limiter = DeleteLimiter::new(16);
        assert_eq!(most_at_once(&limiter, None).await, (16, 0));
        assert_eq!(most_at_once(&limiter, Some(40)).await, (16, 1));
        assert_eq!(most_at_once(&limiter, None).await, (0, 1));
        tokio::time::advance(BACK_OFF).await;
        assert_eq!(most_at_once(&limiter, None).await, (16, 0));
        assert_eq!(most_at_once(&DeleteLimiter::new(1), Some(3)).await, (1, 1));
        limiter.back_off(Instant::now());
        assert_eq!(most_at_once(&limiter.with_limit(4), None).await, (0, 1));
    }
}
