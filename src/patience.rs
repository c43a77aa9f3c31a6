//! Waiting for what is usually there at once: only what is not costs a look at the clock and a timer.
//! Waiting between questions. And letting others have their turn after long work.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout_at};

/// A piece of a body of this size is long: to compute a digest of it, or to hand it to the kernel, takes
/// as long as a small request.
pub(crate) const LONG_PIECE_BYTES: usize = 16 * 1024;

/// Lets the other connections of this thread have their turn, where work on so many bytes was long.
pub(crate) async fn turn_to_others_after(bytes: usize) {
    if bytes >= LONG_PIECE_BYTES {
        yield_now().await;
    }
}

/// Does some work, for no longer than this.
pub(crate) fn within<T>(
    patience: Duration,
    work: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Elapsed>> {
    bounded(move || Instant::now() + patience, work)
}

/// The same, until this moment.
pub(crate) fn until<T>(
    deadline: Instant,
    work: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Elapsed>> {
    bounded(move || deadline, work)
}

/// The same. The deadline is computed only for what is not there at once.
async fn bounded<T>(
    deadline: impl FnOnce() -> Instant,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout_at(deadline(), work).await,
    }
}

/// Pauses between questions that get no good answer yet. Each is twice as long as the one before, and
/// the last one ends when the patience does.
pub(crate) struct Pauses {
    next: Duration,
    end: Instant,
}

impl Pauses {
    /// Pauses of which the first is so long; the patience begins now.
    pub(crate) fn new(first: Duration, patience: Duration) -> Self {
        Self::until(first, Instant::now() + patience)
    }

    /// The same, with a patience that ends then.
    pub(crate) fn until(first: Duration, end: Instant) -> Self {
        Self { next: first, end }
    }

    /// Whether what is asked now is asked for the last time.
    pub(crate) fn are_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Waits for the next one to pass.
    pub(crate) async fn pass(&mut self) {
        sleep_until((Instant::now() + self.next).min(self.end)).await;
        self.next *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_there_at_once_has_no_deadline() {
        assert_eq!(within(Duration::ZERO, ready(1)).await, Ok(1));
        assert_eq!(until(Instant::now() - LONG, ready(1)).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_is_waited_for_until_then() {
        let late = || async {
            yield_now().await;
            1
        };
        assert_eq!(
            (within(LONG, late()).await, until(Instant::now() + LONG, late()).await),
            (Ok(1), Ok(1))
        );
        let began = Instant::now();
        assert!(within(LONG, pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), LONG);
        assert!(until(began + 2 * LONG, pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), 2 * LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end_at_their_moment() {
        let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(5));
        let began = Instant::now();
        for (passed, over) in [(1, false), (3, false), (5, true), (5, true)] {
            pauses.pass().await;
            assert_eq!((began.elapsed().as_secs(), pauses.are_over()), (passed, over));
        }
    }
}
