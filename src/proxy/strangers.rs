//! A small room for callers who are not known yet: a browser's form says who signed it only in its
//! body. Whoever waits here takes no place of the writes, and where the room is full, the one who has
//! waited longest makes place for the next: idle connections keep nobody out who has something to say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Nobody is shown out before this time: what has been sent may still be on its way.
const STAY_MIN: Duration = Duration::from_secs(1);

/// The room.
#[derive(Debug, Clone)]
pub struct Strangers {
    places: usize,
    guests: Arc<Mutex<Guests>>,
}

#[derive(Debug, Default)]
struct Guests {
    next_number: u64,
    /// Who came first stands first.
    present: VecDeque<Guest>,
}

#[derive(Debug)]
struct Guest {
    number: u64,
    came: Instant,
    shown_out: oneshot::Sender<()>,
}

impl Strangers {
    /// A room with so many places.
    pub fn new(places: usize) -> Self {
        Self { places, guests: Arc::default() }
    }

    /// A place; `None` where all are taken by callers who came just now.
    pub(super) fn enter(&self) -> Option<Stranger> {
        let mut guests = lock(&self.guests);
        if guests.present.len() >= self.places {
            let is_due = guests.present.front().is_some_and(|it| it.came.elapsed() >= STAY_MIN);
            let longest = is_due.then(|| guests.present.pop_front()).flatten()?;
            // It may have left of its own accord at this moment.
            let _left_already = longest.shown_out.send(());
        }
        let (shown_out, notice) = oneshot::channel();
        let number = guests.next_number;
        guests.next_number += 1;
        guests.present.push_back(Guest { number, came: Instant::now(), shown_out });
        Some(Stranger { number, guests: Arc::clone(&self.guests), notice })
    }
}

/// A place in the room, until it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    number: u64,
    guests: Arc<Mutex<Guests>>,
    notice: oneshot::Receiver<()>,
}

impl Stranger {
    /// Ends when the place was given to another caller.
    pub(super) async fn shown_out(&mut self) {
        if (&mut self.notice).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut guests = lock(&self.guests);
        if let Ok(at) = guests.present.binary_search_by_key(&self.number, |guest| guest.number) {
            guests.present.remove(at);
        }
    }
}

/// Nothing can panic while it is locked.
fn lock(guests: &Mutex<Guests>) -> MutexGuard<'_, Guests> {
    guests.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_makes_place_for_the_next_but_not_at_once() {
        let room = Strangers::new(2);
        let mut first = room.enter().unwrap();
        let mut second = room.enter().unwrap();
        assert!(room.enter().is_none());
        tokio::time::advance(STAY_MIN).await;
        let third = room.enter().unwrap();
        assert!(first.shown_out().now_or_never().is_some());
        assert!(second.shown_out().now_or_never().is_none());
        // Who was shown out has no place to give back.
        drop(first);
        let _fourth = room.enter().unwrap();
        assert!(second.shown_out().now_or_never().is_some());
        assert!(room.enter().is_none());
        drop(third);
        assert!(room.enter().is_some());
    }
}
