//! The traffic of the last minute, from samples of the counters. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Durations, Second, Traffic};
use crate::metrics::native::Distribution;

/// How many seconds are shown.
const SECONDS: usize = 60;

/// How long the durations are about, at least; twice as long at most.
const WINDOW: Duration = Duration::from_mins(1);

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

/// How long requests took until a moment, by class.
pub(crate) type AllDurations = Vec<(&'static str, Distribution)>;

/// Samples of the last minute, one a second, and the durations until the beginning of this window and
/// of the one before.
#[derive(Debug)]
pub(crate) struct History {
    samples: VecDeque<(Instant, Sample)>,
    windows: [(Instant, AllDurations); 2],
}

impl History {
    /// Begins with a process that has served nothing.
    pub(crate) fn new(now: Instant) -> Self {
        let samples = VecDeque::from([(now, Sample::default())]);
        Self { samples, windows: [(now, Vec::new()), (now, Vec::new())] }
    }

    /// Adds a sample; `durations` are read where a new window begins.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        sample: Sample,
        durations: impl FnOnce() -> AllDurations,
    ) {
        self.samples.push_back((now, sample));
        while self.samples.len() > SECONDS + 1 {
            self.samples.pop_front();
        }
        if now.saturating_duration_since(self.windows[1].0) >= WINDOW {
            self.windows.swap(0, 1);
            self.windows[1] = (now, durations());
        }
    }

    /// The traffic until now, without what was counted since the start.
    pub(crate) fn traffic(
        &self,
        now: Instant,
        sample: Sample,
        durations: &AllDurations,
    ) -> Traffic {
        let (began, first) = self.samples.front().copied().unwrap_or((now, sample));
        let over_s = now.saturating_duration_since(began).as_secs_f64();
        let rate = |of: fn(&Sample) -> u64| {
            let counted = of(&sample).saturating_sub(of(&first));
            if over_s > 0.0 { number(counted) / over_s } else { 0.0 }
        };
        let pairs = self.samples.iter().zip(self.samples.iter().skip(1));
        let by_second = pairs.map(|((_, before), (_, after))| Second {
            requests: after.requests.saturating_sub(before.requests),
            refused: after.refused.saturating_sub(before.refused),
            failed: after.failed.saturating_sub(before.failed),
        });
        Traffic {
            over_s,
            requests_per_s: rate(|sample| sample.requests),
            refused_per_s: rate(|sample| sample.refused),
            failed_per_s: rate(|sample| sample.failed),
            request_bytes_per_s: rate(|sample| sample.request_bytes),
            response_bytes_per_s: rate(|sample| sample.response_bytes),
            by_second: by_second.collect(),
            durations: self.durations(durations),
            ..Traffic::default()
        }
    }

    fn durations(&self, until_now: &AllDurations) -> Vec<Durations> {
        let earlier = &self.windows[0].1;
        let of_class = |(class, all): &(&'static str, Distribution)| {
            let before = earlier.iter().find(|(other, _)| other == class);
            let recent = before.map_or_else(|| all.clone(), |(_, before)| all.since(before));
            let quantile = |percent| Some(recent.quantile(percent)?.as_secs_f64() * 1_000.0);
            Some(Durations {
                operation_class: class,
                requests: recent.count(),
                p50_ms: quantile(50)?,
                p99_ms: quantile(99)?,
            })
        };
        until_now.iter().filter_map(of_class).collect()
    }
}

/// Exact below 2^53, which no counter of this process reaches.
#[allow(clippy::cast_precision_loss, reason = "see above")]
fn number(counted: u64) -> f64 {
    counted as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::cells::{Bounds, Histograms};
    use crate::metrics::labels::OperationClass;

    const S: Duration = Duration::from_secs(1);

    fn sample(requests: u64) -> Sample {
        Sample {
            requests,
            refused: requests / 2,
            request_bytes: requests * 10,
            ..Sample::default()
        }
    }

    #[test]
    fn rates_are_of_the_last_minute() {
        let began = tokio::time::Instant::now().into_std();
        let mut history = History::new(began);
        let idle = history.traffic(began, Sample::default(), &Vec::new());
        assert_eq!((idle.requests_per_s, idle.by_second.len()), (0.0, 0));
        for second in 1..=100 {
            history.add(began + S * second, sample(u64::from(second) * 6), Vec::new);
        }
        let traffic = history.traffic(began + S * 100, sample(600), &Vec::new());
        assert_eq!((traffic.over_s, traffic.by_second.len()), (60.0, 60));
        assert_eq!((traffic.requests_per_s, traffic.refused_per_s), (6.0, 3.0));
        assert_eq!((traffic.request_bytes_per_s, traffic.failed_per_s), (60.0, 0.0));
        assert_eq!(traffic.by_second[59], Second { requests: 6, refused: 3, failed: 0 });
    }

    #[test]
    fn durations_are_of_the_last_minute_or_two() {
        let began = tokio::time::Instant::now().into_std();
        let counted = Histograms::new(Bounds::FINE);
        let mut history = History::new(began);
        let observe = |ms| counted.observe(OperationClass::Write, Duration::from_millis(ms));
        let shown = |history: &History| {
            let traffic = history.traffic(began, Sample::default(), &counted.distributions());
            traffic.durations.first().map(|of| (of.requests, of.p99_ms.round()))
        };
        assert_eq!(shown(&history), None);
        observe(1_000);
        assert!(matches!(shown(&history), Some((1, 1_000.0))), "{:?}", shown(&history));
        for second in 1..=60 {
            history.add(began + S * second, sample(1), || counted.distributions());
        }
        observe(10);
        assert!(matches!(shown(&history), Some((2, _))));
        for second in 61..=120 {
            history.add(began + S * second, sample(2), || counted.distributions());
        }
        assert!(matches!(shown(&history), Some((1, 10.0..11.0))), "{:?}", shown(&history));
        history.add(began + S * 180, sample(2), || counted.distributions());
        assert_eq!(shown(&history), None);
    }
}
