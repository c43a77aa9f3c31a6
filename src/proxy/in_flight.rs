//! How many requests are under way: a process that is told to stop ends with the last of them.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts the requests under way.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<watch::Sender<usize>>);

/// One request under way, as long as it lives.
#[derive(Debug)]
pub struct UnderWay(Arc<watch::Sender<usize>>);

impl Default for InFlight {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl InFlight {
    /// Counts one more request.
    pub fn enter(&self) -> UnderWay {
        self.0.send_modify(|count| *count += 1);
        UnderWay(Arc::clone(&self.0))
    }

    /// Returns when no request is under way.
    pub async fn none_left(&self) {
        let mut count = self.0.subscribe();
        // Cannot fail: the sender is `self`.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
