//! A check of the store for `/readyz?store=1`: one small request, at most once every few seconds,
//! however often the check is asked for.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// For how long an answer is used again.
const KEPT: Duration = Duration::from_secs(5);

/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the store something; the error is a sentence.
pub(super) type Ask = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The check, with its last result.
pub struct StoreCheck {
    ask: Ask,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl StoreCheck {
    /// A check that asks in this way.
    pub fn new(ask: Ask) -> Self {
        Self { ask, last: Mutex::new(None) }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn result(&self) -> Result<(), String> {
        // Held while the store is asked: all who wait get the same result.
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < KEPT
        {
            return result.clone();
        }
        let asked = timeout(PATIENCE, (self.ask)()).await;
        let result = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

impl fmt::Debug for StoreCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreCheck")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_store_is_asked_seldom_and_not_waited_for_long() {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        let check = StoreCheck::new(Box::new(move || {
            // The second question is never answered.
            let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move { if first { Ok(()) } else { std::future::pending().await } })
        }));
        for _ in 0..9 {
            assert_eq!(check.result().await, Ok(()));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(KEPT).await;
        assert_eq!(check.result().await, Err("no answer in time".to_owned()));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
