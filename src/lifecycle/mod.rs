//! The life cycle of the process: the listening socket, a zero-downtime upgrade, draining, signals.
//!
//! [`listener`] binds the socket, [`workers`] accept at it and serve. [`upgrade`] runs the two sides of an
//! upgrade over the [`handover`] of that socket. [`drain`] ends the process when its work is done,
//! [`signals`] start that, and [`connections`] carries signals between the door and these modules.
//! [`service_manager`] is told of all this.

pub(crate) mod connections;
pub(crate) mod drain;
mod exit;
pub(crate) mod handover;
pub(crate) mod listener;
pub(crate) mod memory;
pub mod phase;
pub(crate) mod service_manager;
pub(crate) mod signals;
pub(crate) mod upgrade;
pub(crate) mod workers;

use tokio_util::task::TaskTracker;

/// Returns when the tracker counts no task. Tasks that begin afterwards are still counted.
pub(crate) async fn idle(tracker: &TaskTracker) {
    // A tracker that is not closed may be filled again, so `wait` would not return.
    tracker.close();
    tracker.wait().await;
}
