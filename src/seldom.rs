//! Rate limit for log messages.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two messages of one kind.
const EVERY: Duration = Duration::from_secs(10);

/// One kind of message.
#[derive(Debug)]
pub struct Seldom(Mutex<Said>);

#[derive(Debug)]
struct Said {
    last: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// Not logged yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Said { last: None, left_out: 0 }))
    }

    /// Whether to log now; then how many messages were suppressed since the last one.
    pub fn due(&self) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if said.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            said.left_out += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.left_out))
    }
}

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_once_in_a_while_and_how_often_it_was_not() {
        let seldom = Seldom::new();
        assert_eq!([(); 3].map(|()| seldom.due()), [Some(0), None, None]);
        tokio::time::advance(EVERY).await;
        assert_eq!([(); 2].map(|()| seldom.due()), [Some(2), None]);
    }
}
