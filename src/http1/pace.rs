//! The pace of a body: its rate, measured over the time that the proxy waited for its sender.

use std::time::Duration;

/// The slowest pace that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastRate {
    /// Bytes per second, averaged over the whole body; 0 for no limit.
    pub bytes_per_s: u64,
    /// The total waiting time after which the pace is checked.
    pub grace: Duration,
}

/// The pace of one body.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    least: LeastRate,
    bytes: u64,
    waited: Duration,
}

/// A body comes too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a body comes too slowly")]
pub struct TooSlow;

impl Pace {
    /// The pace of a body of which nothing has arrived.
    pub fn new(least: LeastRate) -> Self {
        Self { least, bytes: 0, waited: Duration::ZERO }
    }

    /// Counts bytes that arrived after this wait. Bytes that had already arrived count too; time in
    /// which no bytes were asked for does not.
    pub fn came(&mut self, bytes: usize, waited: Duration) -> Result<(), TooSlow> {
        self.bytes += bytes as u64;
        self.waited += waited;
        if self.waited <= self.least.grace {
            return Ok(());
        }
        let least = u128::from(self.least.bytes_per_s) * self.waited.as_millis() / 1000;
        if u128::from(self.bytes) < least { Err(TooSlow) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: LeastRate = LeastRate { bytes_per_s: 1000, grace: Duration::from_secs(10) };

    /// The number of pieces of this size, one every so many milliseconds, after which the body is
    /// too slow.
    fn pieces_taken(bytes: usize, every_ms: u64) -> Option<usize> {
        let mut pace = Pace::new(LEAST);
        (1..=1000).find(|_| pace.came(bytes, Duration::from_millis(every_ms)).is_err())
    }

    #[test]
    fn a_body_that_trickles_is_given_up_after_the_grace() {
        assert_eq!(pieces_taken(1, 1000), Some(11));
        assert_eq!(pieces_taken(1, 60_000), Some(1));
        assert_eq!(pieces_taken(999, 1000), Some(11));
        assert_eq!(pieces_taken(1000, 1000), None);
        assert_eq!(pieces_taken(64_000, 50_000), None);
    }

    #[test]
    fn what_came_fast_makes_up_for_what_comes_slowly() {
        let mut pace = Pace::new(LEAST);
        assert_eq!(pace.came(100_000, Duration::ZERO), Ok(()));
        assert_eq!(pace.came(1, Duration::from_secs(100)), Ok(()));
        assert_eq!(pace.came(1, Duration::from_secs(1)), Err(TooSlow));
    }

    #[test]
    fn without_a_least_rate_any_pace_will_do() {
        let mut pace = Pace::new(LeastRate { bytes_per_s: 0, grace: Duration::ZERO });
        assert_eq!(pace.came(1, Duration::from_hours(1)), Ok(()));
    }
}
