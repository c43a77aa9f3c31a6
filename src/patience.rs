//! Waiting for what is usually there at once: only what is not costs a look at the clock and a timer.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Does some work, for no longer than this.
pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout_at(Instant::now() + patience, work).await,
    }
}

/// The same, until this moment.
pub(crate) async fn until<T>(
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout_at(deadline, work).await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::yield_now;

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
}
