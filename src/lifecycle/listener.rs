//! The listening sockets: bound before anything else, or inherited, and given to Pingora. (Pingora
//! would bind its own, and does not tell their ports.)

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, IntoRawFd as _, OwnedFd};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::{ListenFds, RuntimeOpts, ShutdownWatch};
use pingora::services::Service as PingoraService;
use pingora::services::listening::Service;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connections::ConnectionTracker;

/// How many connections may wait to be accepted; Pingora's own value.
const BACKLOG: i32 = 65_535;

/// An address to listen on, and the socket bound to it.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    address: SocketAddr,
    socket: OwnedFd,
}

impl ListeningSocket {
    /// Binds the socket. Connections are refused until [`Self::listen`].
    pub(crate) fn bind(listen: SocketAddr) -> io::Result<Self> {
        let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of an earlier process may still be closing.
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        Ok(Self { address: socket.local_addr()?, socket: socket.as_fd().try_clone_to_owned()? })
    }

    /// A socket that another process has bound.
    pub(crate) fn inherited(socket: OwnedFd) -> io::Result<Self> {
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, socket: listener.into() })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on connections wait instead of being refused.
    pub(crate) fn listen(&self) -> io::Result<()> {
        Ok(rustix::net::listen(&self.socket, BACKLOG)?)
    }

    /// Another descriptor of the same socket.
    pub(crate) fn shared(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    /// Whether this is the socket for an address of the configuration, whose port may be 0.
    pub(crate) fn is_for(&self, listen: SocketAddr) -> bool {
        let (there, here) = (self.address, listen);
        there.ip() == here.ip() && (here.port() == 0 || there.port() == here.port())
    }

    #[cfg(test)]
    pub(crate) fn into_std(self) -> TcpListener {
        self.socket.into()
    }
}

/// A service of Pingora with existing sockets, which are put into Pingora's table of inherited
/// sockets.
pub(crate) struct Listening<A> {
    service: Service<A>,
    sockets: Vec<ListeningSocket>,
    accepting_ended: CancellationToken,
    runtime: watch::Sender<Option<Handle>>,
}

impl<A> Listening<A> {
    /// Makes the service listen on these sockets.
    pub(crate) fn new(mut service: Service<A>, sockets: Vec<ListeningSocket>) -> Self {
        for socket in &sockets {
            let endpoint = ListenerConfig::tcp(socket.address.to_string())
                // Every connection would have the buffers, busy or not; the proxy reads and writes
                // as much as it needs at once.
                .l4_buffer(L4BufferSettings::unbuffered());
            service.add_listener(endpoint);
        }
        let (accepting_ended, runtime) = (CancellationToken::new(), watch::Sender::new(None));
        Self { service, sockets, accepting_ended, runtime }
    }

    /// The runtime in which connections are served, once the service has started.
    pub(crate) fn runtime(&self) -> watch::Receiver<Option<Handle>> {
        self.runtime.subscribe()
    }

    /// Cancelled when the last connection was accepted.
    pub(crate) fn accepting_ended(&self) -> CancellationToken {
        self.accepting_ended.clone()
    }
}

impl<A> fmt::Debug for Listening<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> PingoraService for Listening<A> {
    async fn start_service(
        &mut self,
        sockets: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        self.runtime.send_replace(Some(Handle::current()));
        let sockets = sockets.expect("Pingora keeps a table of sockets on every Unix");
        for ListeningSocket { address, socket } in self.sockets.drain(..) {
            // Pingora's listener owns the descriptor from here on.
            sockets.lock().add(address.to_string(), socket.into_raw_fd());
        }
        self.service.start_service(Some(sockets), shutdown, listeners_per_fd).await;
        self.accepting_ended.cancel();
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        PingoraService::threads(&self.service)
    }

    fn runtime_opts_override(&self, global: &RuntimeOpts) -> Option<RuntimeOpts> {
        self.service.runtime_opts_override(global)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}

/// Returns when this process accepts connections there. A successful connect proves nothing:
/// connections wait until they are accepted, and another process may share the socket.
pub(crate) async fn wait_until_accepting(listening: SocketAddr, connections: &ConnectionTracker) {
    const EACH: Duration = Duration::from_millis(10);
    let mut reachable = listening;
    if reachable.ip().is_unspecified() {
        reachable.set_ip(if reachable.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    loop {
        let _connection = timeout(EACH, TcpStream::connect(reachable)).await;
        if timeout(EACH, connections.first_accepted()).await.is_ok() {
            return;
        }
    }
}
