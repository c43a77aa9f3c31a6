//! How much is under way, of one kind: a process that is told to stop ends with the last of it.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts what is under way.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<watch::Sender<usize>>);

/// One thing under way, as long as it lives.
#[derive(Debug)]
pub struct UnderWay(Arc<watch::Sender<usize>>);

impl Default for InFlight {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl InFlight {
    /// Counts one more.
    pub fn enter(&self) -> UnderWay {
        self.0.send_modify(|count| *count += 1);
        UnderWay(Arc::clone(&self.0))
    }

    /// Returns when nothing is under way.
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
