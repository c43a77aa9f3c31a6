//! The listening sockets: bound before anything else, or inherited.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

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

    pub(crate) fn into_std(self) -> TcpListener {
        self.socket.into()
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
