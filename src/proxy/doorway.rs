//! What those who start and end the process are told of the door, and tell it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::in_flight::{InFlight, UnderWay};

/// Shared by the door and the rest of the process.
#[derive(Debug, Clone)]
pub struct Doorway {
    entered: Arc<watch::Sender<bool>>,
    closing: Arc<watch::Sender<bool>>,
    connections: InFlight,
    requests: InFlight,
}

impl Doorway {
    pub(super) fn new(requests: InFlight) -> Self {
        Self {
            entered: Arc::new(watch::Sender::new(false)),
            closing: Arc::new(watch::Sender::new(false)),
            connections: InFlight::default(),
            requests,
        }
    }

    /// Counts one more connection.
    pub(super) fn enter(&self) -> UnderWay {
        self.entered.send_if_modified(|entered| !std::mem::replace(entered, true));
        self.connections.enter()
    }

    /// Returns when this process has accepted a connection.
    pub async fn first_entry(&self) {
        // Cannot fail, here and below: the sender is `self`.
        let _ = self.entered.subscribe().wait_for(|entered| *entered).await;
    }

    /// Has connections closed that wait for their next request, now and from now on.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Returns when `close` was called.
    pub(super) async fn closing(&self) {
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Returns when no request is under way.
    pub async fn no_request(&self) {
        self.requests.none_left().await;
    }

    /// Returns when nobody is connected and no request is under way.
    pub async fn deserted(&self) {
        self.connections.none_left().await;
        self.requests.none_left().await;
    }
}
