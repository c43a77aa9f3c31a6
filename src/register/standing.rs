//! The register's standing: what its last survey found, and the youngest epoch that was seen. It
//! answers questions about the register without asking the register.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{RegisterError, RegisterServer, Status};
use crate::metrics::levels::RegisterLevels;

/// What is known of the register.
#[derive(Debug, Default)]
pub struct Standing(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    surveyed: Option<(Instant, Result<Status, RegisterError>)>,
    /// When the youngest epoch began.
    epoch: Option<Instant>,
    /// The servers, as the last survey named them that found all of them fit.
    servers: Vec<RegisterServer>,
}

impl Standing {
    /// Notes what a survey found.
    pub fn surveyed(&self, found: Result<Status, RegisterError>, now: Instant) {
        self.known(|known| {
            if let Ok(status) = &found {
                known.servers.clone_from(&status.servers);
            }
            known.surveyed = Some((now, found));
        });
    }

    /// Notes an epoch of this age.
    pub fn saw_epoch(&self, age: Duration, now: Instant) {
        let began = now.checked_sub(age);
        // Partitions have epochs of their own; the youngest counts. `None` is less than any time.
        self.known(|known| known.epoch = known.epoch.max(began));
    }

    /// For how long the register grants no lease, or why it cannot be used.
    ///
    /// # Errors
    /// With the error of the last survey, also where there was none yet.
    pub fn quarantine(&self, now: Instant) -> Result<Duration, RegisterError> {
        self.known(|known| match &known.surveyed {
            Some((at, Ok(status))) => Ok((*at + status.quarantine).saturating_duration_since(now)),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err(RegisterError::Unreachable("it was not looked at yet".to_owned())),
        })
    }

    /// The servers that hold the register, as the last survey named them that found all of them fit;
    /// none where it is in this process.
    pub fn servers(&self) -> Vec<RegisterServer> {
        self.known(|known| known.servers.clone())
    }

    /// For the metrics.
    pub fn levels(&self, now: Instant) -> RegisterLevels {
        let quarantine = self.quarantine(now);
        self.known(|known| RegisterLevels {
            usable: quarantine.is_ok(),
            quarantine: quarantine.unwrap_or_default(),
            leases: match &known.surveyed {
                Some((_, Ok(status))) => status.leases as u64,
                _ => 0,
            },
            epoch_age: known.epoch.map(|began| now.saturating_duration_since(began)),
        })
    }

    /// No code that holds the lock can panic.
    fn known<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_quarantine_ends_by_the_clock_and_an_error_stays_until_the_next_survey() {
        let (standing, now) = (Standing::default(), Instant::now());
        assert!(standing.quarantine(now).is_err());
        let name = "redis://r1:6379/0".to_owned();
        let server = RegisterServer { name, quarantine: 5 * S, leases: 3 };
        standing.surveyed(
            Ok(Status { quarantine: 5 * S, leases: 3, servers: vec![server.clone()] }),
            now,
        );
        assert_eq!(standing.quarantine(now + 2 * S), Ok(3 * S));
        assert_eq!(standing.quarantine(now + 9 * S), Ok(Duration::ZERO));
        assert_eq!(standing.levels(now).leases, 3);
        let gone = RegisterError::Unreachable("gone".to_owned());
        standing.surveyed(Err(gone.clone()), now);
        assert_eq!(standing.quarantine(now + 9 * S), Err(gone));
        assert!(!standing.levels(now).usable);
        assert_eq!(standing.servers(), [server], "those that were there before");
    }

    #[test]
    fn the_youngest_epoch_counts() {
        let (standing, now) = (Standing::default(), Instant::now());
        assert_eq!(standing.levels(now).epoch_age, None);
        for age in [5, 2, 7] {
            standing.saw_epoch(age * S, now);
        }
        assert_eq!(standing.levels(now + S).epoch_age, Some(3 * S));
    }
}
