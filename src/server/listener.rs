//! The listening socket: Pingora binds it, and does not say to which port.

use std::net::SocketAddr;
use std::time::Duration;

use pingora::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora::services::listening::Service;
use tokio::net::{TcpSocket, TcpStream};

/// What every connection holds, busy or not: room for a head and a small body. Pingora's 64 KiB are for
/// TLS; bodies are read past it.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// An address that is ours to listen on.
///
/// For port 0 the kernel is asked for a free port by binding a socket that never listens; Pingora
/// then shares that port with it (`SO_REUSEPORT`). A port that was named is not shared: another
/// process that took it too would get half of the connections.
#[derive(Debug)]
pub(super) struct Reserved {
    address: SocketAddr,
    holder: Option<TcpSocket>,
}

impl Reserved {
    /// Fails when the address cannot be bound.
    pub(super) fn new(listen: SocketAddr) -> std::io::Result<Self> {
        let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let free_port = listen.port() == 0;
        if free_port {
            socket.set_reuseport(true)?;
        } else {
            // As Pingora will: connections of an earlier process may still be closing.
            socket.set_reuseaddr(true)?;
        }
        socket.bind(listen)?;
        let address = socket.local_addr()?;
        // A named port was only tried: it must be free when Pingora binds it.
        Ok(Self { address, holder: free_port.then_some(socket) })
    }

    /// Has the service listen there. The reservation is kept for as long as the process lives.
    pub(super) fn add_to<A>(self, service: &mut Service<A>) -> SocketAddr {
        let address = self.address.to_string();
        let mut options = TcpSocketOptions::default();
        if let Some(holder) = self.holder {
            options.so_reuseport = Some(true);
            std::mem::forget(holder);
        }
        let endpoint = ListenerConfig::tcp(address)
            .tcp_socket_options(options)
            .l4_buffer(L4BufferSettings::default().read(READ_BUFFER_BYTES));
        service.add_listener(endpoint);
        self.address
    }
}

/// Returns when a connection is accepted there.
pub(super) async fn wait_until_accepting(listening: SocketAddr) {
    let mut reachable = listening;
    if reachable.ip().is_unspecified() {
        reachable.set_ip(if reachable.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    while TcpStream::connect(reachable).await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
