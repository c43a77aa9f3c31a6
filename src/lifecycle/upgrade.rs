//! A zero-downtime upgrade: tells the predecessor to drain once this process accepts connections, then
//! serves this process's own successor.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::connections::ConnectionTracker;
use super::handover::{HandoverClient, HandoverServer};
use super::listener::{self, ListeningSocket};
use crate::config::UpgradeSocket;

/// Both sides of an upgrade, in the order in which a process takes them.
pub(crate) struct Upgrade {
    connections: ConnectionTracker,
    role: Role,
    handed_over: CancellationToken,
}

/// The upgrade socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("upgrade_socket {path} cannot be opened: {error}")]
pub(crate) struct NotOpened {
    pub(crate) path: PathBuf,
    pub(crate) error: std::io::Error,
}

/// The role of this process in an upgrade.
enum Role {
    /// There is no predecessor. Holds the server for a successor, if one was opened.
    First(Option<HandoverServer>),
    /// There is a predecessor. This process will serve its own successor at the predecessor's
    /// upgrade socket.
    Successor(HandoverClient, UpgradeSocket, Vec<OwnedFd>),
}

impl Upgrade {
    /// Opens the upgrade socket, or prepares to, where a predecessor still holds it.
    ///
    /// # Errors
    /// When it cannot be opened although its path was configured.
    pub(crate) fn new(
        background: &Runtime,
        at: Option<UpgradeSocket>,
        sockets: &[ListeningSocket],
        predecessor: Option<HandoverClient>,
        connections: ConnectionTracker,
    ) -> Result<Self, NotOpened> {
        let shared = || sockets.iter().map(ListeningSocket::shared).collect::<Result<_, _>>();
        let not_opened = |at: &UpgradeSocket, error| NotOpened { path: at.path.clone(), error };
        let role = match (at, predecessor) {
            (None, _) => Role::First(None),
            (Some(at), Some(predecessor)) => {
                let sockets = shared().map_err(|error| not_opened(&at, error))?;
                Role::Successor(predecessor, at, sockets)
            }
            (Some(at), None) => {
                let _runtime = background.enter();
                let opened = shared().and_then(|sockets| HandoverServer::open(&at, sockets));
                match opened {
                    Ok(server) => Role::First(Some(server)),
                    Err(error) if at.written => return Err(not_opened(&at, error)),
                    Err(error) => {
                        tracing::info!(path = %at.path.display(), %error, "no process can take over from this one");
                        Role::First(None)
                    }
                }
            }
        };
        Ok(Self { connections, role, handed_over: CancellationToken::new() })
    }

    /// Cancelled when another process serves in place of this one.
    pub(crate) fn handed_over(&self) -> CancellationToken {
        self.handed_over.clone()
    }

    /// Runs both sides. `ready` is called when this process alone accepts connections.
    pub(crate) async fn run(self, listening: SocketAddr, ready: impl FnOnce()) {
        listener::wait_until_accepting(listening, &self.connections).await;
        let server = match self.role {
            Role::First(server) => server,
            Role::Successor(predecessor, at, sockets) => {
                // It has its own time limit and does not panic.
                let _ = tokio::task::spawn_blocking(move || predecessor.confirm()).await;
                let opened = HandoverServer::open(&at, sockets);
                opened
                    .inspect_err(|error| {
                        tracing::warn!(path = %at.path.display(), %error, "no process can take over from this one");
                    })
                    .ok()
            }
        };
        ready();
        if let Some(server) = server {
            server.completed().await;
            self.handed_over.cancel();
        }
    }
}
