//! Signals shared by the door and the rest of the life cycle: the first connection was accepted, idle
//! connections have to be closed, all connections and requests have ended.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::idle;

/// The open connections and the requests under way. Clones are the same tracker.
#[derive(Debug, Clone)]
pub struct ConnectionTracker {
    accepted: CancellationToken,
    closing: CancellationToken,
    connections: TaskTracker,
    requests: TaskTracker,
}

impl ConnectionTracker {
    /// A tracker for a process that counts its requests in `requests`.
    pub fn new(requests: TaskTracker) -> Self {
        Self {
            accepted: CancellationToken::new(),
            closing: CancellationToken::new(),
            connections: TaskTracker::new(),
            requests,
        }
    }

    /// Counts one more connection for as long as the token lives.
    pub fn connected(&self) -> TaskTrackerToken {
        self.accepted.cancel();
        self.connections.token()
    }

    /// Counts one more request for as long as the token lives.
    pub fn request(&self) -> TaskTrackerToken {
        self.requests.token()
    }

    /// How many connections are open, and how many requests are under way.
    pub fn level(&self) -> (u64, u64) {
        (self.connections.len() as u64, self.requests.len() as u64)
    }

    /// Returns when this process has accepted a connection.
    pub(super) async fn first_accepted(&self) {
        self.accepted.cancelled().await;
    }

    /// Closes connections that wait for their next request, now and from now on.
    pub(super) fn close_idle(&self) {
        self.closing.cancel();
    }

    /// Returns when idle connections have to be closed.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// How many requests are under way.
    pub(super) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Returns when no request is under way.
    pub(super) async fn requests_ended(&self) {
        idle(&self.requests).await;
    }

    /// Returns when no connection is open and no request is under way.
    pub(super) async fn all_ended(&self) {
        idle(&self.connections).await;
        idle(&self.requests).await;
    }
}
