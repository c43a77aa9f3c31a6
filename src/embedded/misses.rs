//! Objects that were asked for when they were not there: a replica that has said so says it again for a
//! while, although they are there by now. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// How many misses there may be before those that count no more are forgotten.
const MANY: usize = 10_000;

/// What each replica has missed, and the moment that it showed then.
#[derive(Debug, Default)]
pub(super) struct Misses {
    shown: HashMap<(usize, String), Instant>,
}

impl Misses {
    /// A replica has shown that something was not there at a moment.
    pub(super) fn note(&mut self, replica: usize, what: String, moment: Instant, lag: Duration) {
        if self.shown.len() >= MANY {
            let now = Instant::now();
            self.shown.retain(|_, moment| *moment + lag > now);
        }
        let latest = self.shown.entry((replica, what)).or_insert(moment);
        *latest = moment.max(*latest);
    }

    /// How long ago the moment is that a replica shows once more, if it does: never longer than `lag`.
    pub(super) fn age(&self, replica: usize, what: &str, lag: Duration) -> Option<Duration> {
        let moment = self.shown.get(&(replica, what.to_owned()))?;
        Some(moment.elapsed()).filter(|age| *age <= lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_secs(4);

    #[tokio::test(start_paused = true)]
    async fn a_miss_is_shown_again_by_its_replica_for_as_long_as_it_may_lag() {
        let mut misses = Misses::default();
        let second = Duration::from_secs(1);
        let began = Instant::now();
        tokio::time::advance(second).await;
        misses.note(1, "a".to_owned(), began, LAG);
        assert_eq!(misses.age(1, "a", LAG), Some(second));
        assert_eq!((misses.age(0, "a", LAG), misses.age(1, "b", LAG)), (None, None));
        // An earlier moment takes nothing away; a later one counts from then on.
        misses.note(1, "a".to_owned(), began + second, LAG);
        misses.note(1, "a".to_owned(), began, LAG);
        tokio::time::advance(LAG).await;
        assert_eq!(misses.age(1, "a", LAG), Some(LAG));
        tokio::time::advance(second).await;
        assert_eq!(misses.age(1, "a", LAG), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_counts_no_more_is_forgotten() {
        let mut misses = Misses::default();
        for number in 0..MANY {
            misses.note(0, number.to_string(), Instant::now(), LAG);
        }
        tokio::time::advance(LAG).await;
        misses.note(0, "new".to_owned(), Instant::now(), LAG);
        assert_eq!(misses.shown.len(), 1);
    }
}
