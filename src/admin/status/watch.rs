//! Watching the process from second to second, for what one look cannot know: how fast numbers grow,
//! and since when something has been wrong.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::history::{AllDurations, History, Sample};
use super::standing::{Since, standing};
use super::{Status, Traffic};
use crate::metrics::Metrics;
use crate::metrics::labels::Outcome;

/// What was seen until now.
#[derive(Debug)]
pub(crate) struct Watch(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    history: History,
    since: Since,
    /// How many lines with ALARM there were, and when the last one was seen.
    lines: BTreeMap<&'static str, (u64, i64)>,
}

impl Default for Watch {
    fn default() -> Self {
        let history = History::new(Instant::now().into_std());
        Self(Mutex::new(Seen { history, since: Since::default(), lines: BTreeMap::new() }))
    }
}

impl Watch {
    /// Notes the counters as they are now.
    pub(super) fn add(&self, metrics: &Metrics) {
        let now = Instant::now().into_std();
        self.seen(|seen| seen.history.add(now, sample(metrics), || durations(metrics)));
    }

    /// The traffic until now.
    pub(super) fn traffic(&self, metrics: &Metrics) -> Traffic {
        let (now, durations) = (Instant::now().into_std(), durations(metrics));
        self.seen(|seen| seen.history.traffic(now, sample(metrics), &durations))
    }

    /// Fills in what stands now, and since when.
    pub(super) fn date(&self, status: &mut Status) {
        self.seen(|seen| {
            for (which, count) in &status.alarms {
                let known = seen.lines.entry(which).or_default();
                if *count > known.0 {
                    *known = (*count, status.now_s);
                }
            }
            let lines = seen.lines.iter().filter(|(_, (count, _))| *count > 0);
            status.last_alarms_s = lines.map(|(which, (_, last_s))| (*which, *last_s)).collect();
            status.standing_alarms = standing(status);
            seen.since.date(&mut status.standing_alarms, status.now_s);
        });
    }

    /// No code that holds the lock can panic.
    fn seen<T>(&self, with: impl FnOnce(&mut Seen) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn durations(metrics: &Metrics) -> AllDurations {
    metrics.request_duration.distributions()
}

fn sample(metrics: &Metrics) -> Sample {
    let mut sample = Sample {
        request_bytes: metrics.request_bytes.get(),
        response_bytes: metrics.response_bytes.get(),
        ..Sample::default()
    };
    for outcome in Outcome::ALL {
        let count = metrics.requests.total(*outcome);
        sample.requests += count;
        match outcome {
            Outcome::Refused => sample.refused += count,
            Outcome::Failed | Outcome::StoreBrokeOff => sample.failed += count,
            Outcome::Ok | Outcome::Replayed | Outcome::ClientGone => {}
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::OperationName;

    #[test]
    fn each_outcome_is_a_request_and_some_are_refusals_or_failures() {
        let metrics = Metrics::default();
        for outcome in Outcome::ALL {
            metrics.requests.count(OperationName(None), *outcome);
        }
        metrics.requests.count(OperationName(None), Outcome::Refused);
        let sample = sample(&metrics);
        assert_eq!((sample.requests, sample.refused, sample.failed), (7, 2, 2));
    }
}
