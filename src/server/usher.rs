//! Sees to it that the process before this one leaves when this one serves, and that this one leaves
//! when the next one does.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::handover::{Inheritance, Offer};
use super::listener::{self, ListeningSocket};
use super::{Config, StartError};
use crate::config::UpgradeSocket;
use crate::proxy::Doorway;

/// Takes over and hands over.
pub(super) struct Usher {
    doorway: Doorway,
    place: Place,
    handed_over: watch::Sender<bool>,
}

/// Whether there is a process before this one.
enum Place {
    /// There is none. Where one that follows may ask.
    First(Option<Offer>),
    /// There is, and it waits where this one will.
    Successor(Inheritance, UpgradeSocket, OwnedFd),
}

impl Usher {
    /// Opens what a successor needs, or prepares to.
    pub(super) fn new(
        keeper: &Runtime,
        config: &Config,
        socket: &ListeningSocket,
        inheritance: Option<Inheritance>,
        doorway: Doorway,
    ) -> Result<Self, StartError> {
        let place = match (config.upgrade_socket.clone(), inheritance) {
            (None, _) => Place::First(None),
            (Some(at), Some(inheritance)) => Place::Successor(inheritance, at, socket.shared()?),
            (Some(at), None) => {
                let _runtime = keeper.enter();
                match Offer::open(&at, socket.shared()?) {
                    Ok(offer) => Place::First(Some(offer)),
                    Err(error) if at.written => {
                        return Err(StartError::UpgradeSocket(at.path, error));
                    }
                    Err(error) => {
                        tracing::info!(path = %at.path.display(), %error, "no process can take over from this one");
                        Place::First(None)
                    }
                }
            }
        };
        Ok(Self { doorway, place, handed_over: watch::Sender::new(false) })
    }

    /// Whether another process serves in this one's place.
    pub(super) fn handed_over(&self) -> watch::Receiver<bool> {
        self.handed_over.subscribe()
    }

    /// Does both. `ready` is called when this process alone accepts connections.
    pub(super) async fn attend(self, listening: SocketAddr, ready: impl FnOnce()) {
        listener::wait_until_accepting(listening, &self.doorway).await;
        let offer = match self.place {
            Place::First(offer) => offer,
            Place::Successor(inheritance, at, socket) => {
                // It has a time limit of its own, and does not panic.
                let _ = tokio::task::spawn_blocking(move || inheritance.serving()).await;
                let opened = Offer::open(&at, socket);
                opened
                    .inspect_err(|error| {
                        tracing::warn!(path = %at.path.display(), %error, "no process can take over from this one");
                    })
                    .ok()
            }
        };
        ready();
        if let Some(offer) = offer {
            offer.taken().await;
            self.handed_over.send_replace(true);
        }
    }
}
