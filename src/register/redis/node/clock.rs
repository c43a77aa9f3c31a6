//! Check for jumps of a server's clock. Redis counts leases by its wall clock, which may be set.
//! Between two answers, the time that passed on the server is compared with the time that passed
//! here, on a monotonic clock (F3).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::register::types::Millis;

/// A reading of the server's clock `at`, taken between the local times `asked` and `answered`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
    pub(crate) at: Millis,
}

/// Remembers the last reading.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    tolerated: Duration,
    last: Mutex<Option<Reading>>,
}

impl ClockWatch {
    /// A clock check that ignores jumps of up to `tolerated`.
    pub(crate) fn new(tolerated: Duration) -> Self {
        Self { tolerated, last: Mutex::new(None) }
    }

    /// The minimum by which the clock has jumped since the last reading, if it has. Then the
    /// reading is not stored: the caller makes the register forget its leases, and then calls
    /// [`Self::accept`].
    pub(crate) fn jump(&self, reading: Reading) -> Option<Duration> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let jump = last.map_or(Duration::ZERO, |last| jump_between(&last, &reading));
        if jump > self.tolerated {
            return Some(jump);
        }
        if last.is_none_or(|last| last.answered < reading.answered) {
            *last = Some(reading);
        }
        None
    }

    /// Compares the clock with this reading from now on.
    pub(crate) fn accept(&self, reading: Reading) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }
}

/// How much more or less time passed on the server than can have passed here.
fn jump_between(before: &Reading, after: &Reading) -> Duration {
    let there = i128::from(after.at.0) - i128::from(before.at.0);
    let longest = millis_between(before.asked, after.answered);
    let shortest = millis_between(before.answered, after.asked);
    let beyond = (there - longest).max(shortest - there).max(0);
    Duration::from_millis(u64::try_from(beyond).unwrap_or(u64::MAX))
}

fn millis_between(from: Instant, to: Instant) -> i128 {
    let millis = |duration: Duration| i128::try_from(duration.as_millis()).unwrap_or(i128::MAX);
    match to.checked_duration_since(from) {
        Some(later) => millis(later),
        None => -millis(from - to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERATED: Duration = Duration::from_millis(100);

    /// A reading of a clock that showed `at` between `asked` and `answered`, all in milliseconds.
    fn reading(start: Instant, asked: u64, answered: u64, at: u64) -> Reading {
        let after = |millis| start + Duration::from_millis(millis);
        Reading { asked: after(asked), answered: after(answered), at: Millis(at) }
    }

    #[test]
    fn time_that_went_by_is_no_jump_however_slow_the_answers() {
        let (watch, start) = (ClockWatch::new(TOLERATED), Instant::now());
        for (asked, answered, at) in [
            (0, 10, 5_005),
            (20, 30, 5_025),
            (1_000, 3_000, 6_000),
            (1_000, 3_001, 8_000),
            // Asked at the same time, on another connection, and answered earlier.
            (2_990, 2_995, 7_992),
            (100_000, 100_001, 105_000),
        ] {
            assert_eq!(watch.jump(reading(start, asked, answered, at)), None, "{at}");
        }
    }

    #[test]
    fn a_jump_is_seen_in_both_directions_until_it_is_accepted() {
        for (at, seen) in [(6_250, Some(240)), (6_100, None), (5_900, None), (5_500, Some(490))] {
            let (watch, start) = (ClockWatch::new(TOLERATED), Instant::now());
            assert_eq!(watch.jump(reading(start, 0, 0, 5_000)), None);
            let after = reading(start, 990, 1_010, at);
            let seen = seen.map(Duration::from_millis);
            assert_eq!(watch.jump(after), seen, "{at}");
            assert_eq!(watch.jump(after).is_some(), seen.is_some(), "{at}, again");
            watch.accept(after);
            assert_eq!(watch.jump(reading(start, 1_990, 2_010, at + 1_000)), None);
        }
    }
}
