//! Noticing that the store shows another state of a key than the one that was last written there.

use std::time::Duration;

use super::Gate;
use crate::metrics::labels::{Alarm, StaleHead};
use crate::register::{State, Writers};
use crate::s3::{Current, ObjectName};
use crate::seldom::Seldom;

/// A HEAD that contradicts the record of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contradiction {
    shows: StaleHead,
    /// How long before it the record's write had landed at the latest.
    age: Duration,
}

/// Does a HEAD contradict a record whose write landed less than `missed_for` ago?
fn contradiction(
    recorded: &State,
    landed: Option<Duration>,
    seen: &Current,
    missed_for: Duration,
) -> Option<Contradiction> {
    let age = landed.filter(|age| *age < missed_for)?;
    let shows = match (recorded.known()?, seen) {
        (recorded, seen) if recorded == *seen => return None,
        (Current::Present(_), Current::Absent) => StaleHead::Absent,
        (Current::Absent, Current::Present(_)) => StaleHead::Undeleted,
        (_, _) => StaleHead::Other,
    };
    Some(Contradiction { shows, age })
}

impl Gate {
    /// Counts a HEAD that contradicts a young record, and logs it: the store lags, or there are
    /// writers that go around the proxies although `writers = "exclusive"` says that there are none.
    /// Returns whether it does.
    pub(super) fn notice(
        &self,
        name: &ObjectName,
        recorded: &State,
        landed: Option<Duration>,
        seen: &Current,
    ) -> bool {
        static LAGS: Seldom = Seldom::new();
        let terms = &self.settings.terms;
        if terms.writers == Writers::Shared {
            return false;
        }
        let Some(found) = contradiction(recorded, landed, seen, terms.missed_for()) else {
            return false;
        };
        let Contradiction { shows, age } = found;
        self.metrics.store_stale_heads.count(shows);
        self.metrics.store_lag.observe(age);
        let (shows, age_ms) = (shows.as_str(), age.as_millis());
        if !terms.lag.is_zero() {
            self.metrics.alarms.count(Alarm::LagExceeded);
            tracing::error!(%name, shows, age_ms, "ALARM: the store shows another state than was \
                            written, longer after the write than register.lag; an update may be lost. Or \
                            a writer goes around the proxies");
        } else if let Some(left_out) = LAGS.due() {
            tracing::warn!(%name, shows, age_ms, left_out, "the store shows another state than was \
                           written a short time ago: it is not read-after-write consistent (see \
                           register.lag), or a writer goes around the proxies (see writers)");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::Terms;
    use crate::s3::ETag;

    #[test]
    fn a_head_contradicts_a_record_that_is_young_and_known() {
        let present = |etag: &str| Current::Present(ETag::parse(etag.as_bytes()));
        let at = |recorded: State, age_s, seen: Current, lag_s| {
            let (age, lag) = (Duration::from_secs(age_s), Duration::from_secs(lag_s));
            contradiction(
                &recorded,
                Some(age),
                &seen,
                Terms { lag, ..Terms::default() }.missed_for(),
            )
            .map(|found| found.shows)
        };
        for (recorded, seen, shows) in [
            (present("a"), Current::Absent, Some(StaleHead::Absent)),
            (Current::Absent, present("a"), Some(StaleHead::Undeleted)),
            (present("a"), present("b"), Some(StaleHead::Other)),
            (present("a"), present("a"), None),
            (Current::Absent, Current::Absent, None),
        ] {
            assert_eq!(
                at(recorded.clone().into(), 59, seen.clone(), 0),
                shows,
                "{recorded:?} {seen:?}"
            );
            assert_eq!(at(recorded.into(), 60, seen.clone(), 0), None, "a lifecycle rule, perhaps");
            assert_eq!(at(State::Unknown, 1, seen, 0), None);
        }
        assert_eq!(at(present("a").into(), 99, Current::Absent, 20), Some(StaleHead::Absent));
        assert_eq!(contradiction(&State::Absent, None, &present("a"), Duration::ZERO), None);
    }
}
