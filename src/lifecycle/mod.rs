//! The life cycle of the process: the listening socket, a zero-downtime upgrade, draining, signals.
//!
//! [`listener`] hands Pingora a socket that is bound already. [`upgrade`] runs the two sides of an
//! upgrade over the [`handover`] of that socket. [`drain`] ends the process when its work is done,
//! [`signals`] say when, and [`connections`] is what the door reports and is told meanwhile.

pub(crate) mod connections;
pub(crate) mod drain;
pub(crate) mod handover;
pub(crate) mod listener;
pub(crate) mod signals;
pub(crate) mod upgrade;

use tokio_util::task::TaskTracker;

/// Returns when nothing is counted by this tracker. Work that begins afterwards is counted still.
pub(crate) async fn idle(tracker: &TaskTracker) {
    // A tracker that is not closed may be filled again, so `wait` would not return.
    tracker.close();
    tracker.wait().await;
}
