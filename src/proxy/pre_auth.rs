//! Pre-authentication slots, for requests that are not authenticated yet (`limits.strangers`): a
//! browser's form names its signer only in its body. Until then it takes no slot of the writes.
//! When all slots are taken, the oldest request is evicted, so that idle connections block no
//! working client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// A request is not evicted before this time: its first bytes may still be on their way.
const STAY_MIN: Duration = Duration::from_secs(1);

/// The slots.
#[derive(Debug, Clone)]
pub struct PreAuthSlots {
    limit: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next_number: u64,
    /// The oldest first.
    slots: VecDeque<Slot>,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    since: Instant,
    evict: oneshot::Sender<()>,
}

impl PreAuthSlots {
    /// This many slots.
    pub fn new(limit: usize) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// The same slots with another limit.
    pub(super) fn with_limit(&self, limit: usize) -> Self {
        Self { limit, taken: Arc::clone(&self.taken) }
    }

    /// How many slots are taken, and how many there are.
    pub(super) fn level(&self) -> (u64, u64) {
        (lock(&self.taken).slots.len() as u64, self.limit as u64)
    }

    /// A slot; `None` where all slots were taken only just now.
    pub(super) fn take(&self) -> Option<PreAuthSlot> {
        let mut taken = lock(&self.taken);
        if taken.slots.len() >= self.limit {
            let is_due = taken.slots.front().is_some_and(|it| it.since.elapsed() >= STAY_MIN);
            let oldest = is_due.then(|| taken.slots.pop_front()).flatten()?;
            // The request may have ended at this moment.
            let _ended_already = oldest.evict.send(());
        }
        let (evict, evicted) = oneshot::channel();
        let number = taken.next_number;
        taken.next_number += 1;
        taken.slots.push_back(Slot { number, since: Instant::now(), evict });
        Some(PreAuthSlot { number, taken: Arc::clone(&self.taken), evicted })
    }
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(super) struct PreAuthSlot {
    number: u64,
    taken: Arc<Mutex<Taken>>,
    evicted: oneshot::Receiver<()>,
}

impl PreAuthSlot {
    /// Returns when another request got the slot.
    pub(super) async fn evicted(&mut self) {
        if (&mut self.evicted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for PreAuthSlot {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Ok(at) = taken.slots.binary_search_by_key(&self.number, |slot| slot.number) {
            taken.slots.remove(at);
        }
    }
}

/// No code that holds the lock can panic.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_evicted_for_the_next_but_not_at_once() {
        let slots = PreAuthSlots::new(2);
        let mut first = slots.take().unwrap();
        let mut second = slots.take().unwrap();
        assert!(slots.take().is_none());
        tokio::time::advance(STAY_MIN).await;
        let third = slots.take().unwrap();
        assert!(first.evicted().now_or_never().is_some());
        assert!(second.evicted().now_or_never().is_none());
        // An evicted request has no slot to give back.
        drop(first);
        let _fourth = slots.take().unwrap();
        assert!(second.evicted().now_or_never().is_some());
        assert!(slots.take().is_none());
        assert!(slots.with_limit(3).take().is_some());
        drop(third);
        assert!(slots.take().is_some());
    }
}
