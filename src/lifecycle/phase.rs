//! The phase of the process, for its health checks: a load balancer has to know that the process is
//! about to stop before it stops accepting.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The phases, in their order. A process never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not all parts run yet.
    Starting,
    /// It serves clients.
    Serving,
    /// Another process serves in its place; it finishes what is under way.
    HandedOver,
    /// It was told to stop.
    Stopping,
}

impl Phase {
    /// Its name, for operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::HandedOver => "handed over",
            Self::Stopping => "stopping",
        }
    }
}

/// The phase of this process. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Life {
    phase: watch::Sender<Phase>,
    asked_to_stop: CancellationToken,
}

impl Default for Life {
    fn default() -> Self {
        let (phase, _) = watch::channel(Phase::Starting);
        Self { phase, asked_to_stop: CancellationToken::new() }
    }
}

impl Life {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Enters a phase, unless the process is in a later one.
    pub fn enter(&self, next: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = next > *phase;
            if later {
                *phase = next;
            }
            later
        });
    }

    /// Returns in this phase or a later one.
    pub async fn reached(&self, wanted: Phase) {
        // The sender is not dropped while this future borrows it.
        let _ = self.phase.subscribe().wait_for(|phase| *phase >= wanted).await;
    }

    /// Stops the process as SIGTERM does.
    pub fn ask_to_stop(&self) {
        self.asked_to_stop.cancel();
    }

    /// Returns when an operator asked to stop by other means than a signal.
    pub(super) async fn asked_to_stop(&self) {
        self.asked_to_stop.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_never_goes_back() {
        let life = Life::default();
        assert_eq!(life.phase(), Phase::Starting);
        life.enter(Phase::Stopping);
        life.enter(Phase::Serving);
        assert_eq!(life.phase(), Phase::Stopping);
        life.reached(Phase::HandedOver).await;
    }
}
