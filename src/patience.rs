//! Waiting for what is usually there at once: only what is not costs a look at the clock and a timer.
//! And letting others have their turn after long work.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

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
