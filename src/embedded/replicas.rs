//! Copies of the store that lag, each on its own, as a sequence of random steps: pure.

/// How far one replica lags at most moves with one request that it serves, as a share of the whole.
const STEP: f64 = 0.5;

/// Replicas, each with its lag as a share of the longest, from 0 to 1. Which one serves a request is
/// drawn by lot, so what is shown goes back and forth between them; and a replica's own lag wanders, so
/// that it may go back too.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replicas<const COUNT: usize> {
    lags: [f64; COUNT],
}

impl<const COUNT: usize> Replicas<COUNT> {
    /// Replicas with lags by lot; `throw` gives numbers from 0 to 1.
    pub(super) fn new(mut throw: impl FnMut() -> f64) -> Self {
        Self { lags: std::array::from_fn(|_| throw()) }
    }

    /// The number of the replica that serves the next request, and its lag.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "there are few replicas"
    )]
    pub(super) fn serve(&mut self, mut throw: impl FnMut() -> f64) -> (usize, f64) {
        let number = ((throw() * COUNT as f64) as usize).min(COUNT - 1);
        let moved = self.lags[number] + (throw() - 0.5) * 2.0 * STEP;
        // At the ends it turns back.
        let lag = if moved > 1.0 { 2.0 - moved } else { moved.abs() };
        self.lags[number] = lag;
        (number, lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn dice(mut seed: u64) -> impl FnMut() -> f64 {
        move || {
            f64::from(u32::try_from(random::next(&mut seed) >> 32).unwrap()) / f64::from(u32::MAX)
        }
    }

    fn served(seed: u64) -> Vec<(usize, f64)> {
        let mut throw = dice(seed);
        let mut replicas = Replicas::<3>::new(&mut throw);
        (0..1000).map(|_| replicas.serve(&mut throw)).collect()
    }

    #[test]
    fn each_replica_lags_on_its_own_and_goes_back_and_forth() {
        let served = served(7);
        for number in 0..3 {
            let lags: Vec<f64> =
                served.iter().filter(|(by, _)| *by == number).map(|(_, lag)| *lag).collect();
            assert!((250..420).contains(&lags.len()), "{number} serves its share");
            assert!(lags.iter().all(|lag| (0.0..=1.0).contains(lag)));
            assert!(lags.iter().any(|lag| *lag < 0.1) && lags.iter().any(|lag| *lag > 0.9));
            let steps = || lags.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(steps().all(|step| step.abs() <= STEP));
            assert!(steps().any(|step| step > 0.0) && steps().any(|step| step < 0.0));
        }
    }

    #[test]
    fn the_same_seed_decides_the_same() {
        assert_eq!(served(7), served(7));
        assert_ne!(served(7), served(8));
    }
}
