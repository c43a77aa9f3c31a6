//! The TLS handshake with a client, behind the door: a time limit, a reason for each failure, and an
//! answer for a client that speaks HTTP to the port for TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{Peek as _, SocketDigest, Stream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::tls_stream::TlsStream;
use crate::seldom::Seldom;
use crate::tls::{ServerTls, failure};

/// How connections begin: which of them by TLS, and how.
#[derive(Debug)]
pub struct Handshakes {
    tls: Option<Arc<ServerTls>>,
    ports: Ports,
    patience: Duration,
    failed: Seldom,
}

/// What a connection has turned out to be.
pub(super) enum Begun {
    /// It can be read.
    Stream(Stream),
    /// The client speaks HTTP without TLS at an address for TLS.
    Plain(Stream),
    /// The handshake failed; this was logged.
    Failed,
}

impl Handshakes {
    /// `plain` and `secured` are the addresses of the listening sockets without and with TLS.
    /// `patience` is how long a handshake may take.
    pub fn new(
        tls: Option<Arc<ServerTls>>,
        plain: &[SocketAddr],
        secured: &[SocketAddr],
        patience: Duration,
    ) -> Self {
        Self { tls, ports: Ports::new(plain, secured), patience, failed: Seldom::new() }
    }

    /// The settings for TLS, if this connection begins by it.
    pub(super) fn of(&self, stream: &Stream) -> Option<&ServerTls> {
        let tls = self.tls.as_deref()?;
        let local = || stream.get_socket_digest().and_then(|socket| local_address(&socket));
        self.ports.is_secured(local).then_some(tls)
    }

    /// Shakes hands. `address` is the client's, for the log.
    pub(super) async fn begin(
        &self,
        tls: &ServerTls,
        stream: Stream,
        address: Option<IpAddr>,
    ) -> Begun {
        match timeout(self.patience, shaken(tls, stream)).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(why)) => self.failed(address, &why),
            Err(_) => self.failed(address, "it did not complete the handshake in time"),
        }
    }

    fn failed(&self, address: Option<IpAddr>, why: &str) -> Begun {
        if let Some(left_out) = self.failed.due() {
            let address = address.map(tracing::field::display);
            tracing::warn!(address, why, left_out, "no TLS with this client");
        }
        Begun::Failed
    }
}

/// The error is the reason, in words.
async fn shaken(tls: &ServerTls, stream: Stream) -> Result<Begun, String> {
    let stream = stream.into_any().downcast::<L4Stream>();
    let mut stream = *stream.map_err(|_| "its connection is of an unknown kind".to_owned())?;
    let mut first = [0];
    if stream.try_peek(&mut first).await.is_err() {
        // A load balancer that looks whether the port is open sends nothing.
        return Ok(Begun::Failed);
    }
    // TLS begins with a number below 32, and HTTP with a method's name.
    if first[0].is_ascii_uppercase() {
        return Ok(Begun::Plain(Box::new(stream)));
    }
    let shaken = TlsAcceptor::from(tls.config()).accept(stream).await;
    let shaken = shaken.map_err(|error| failure::of_client(&error))?;
    Ok(Begun::Stream(Box::new(TlsStream::new(shaken))))
}

/// Which addresses are for TLS.
#[derive(Debug)]
enum Ports {
    /// All of them.
    Secured,
    /// Some.
    Mixed { plain: Vec<SocketAddr>, secured: Vec<SocketAddr> },
}

impl Ports {
    fn new(plain: &[SocketAddr], secured: &[SocketAddr]) -> Self {
        if plain.is_empty() {
            return Self::Secured;
        }
        Self::Mixed { plain: plain.to_vec(), secured: secured.to_vec() }
    }

    /// Whether a connection to this local address begins by TLS; where the address is not known, it
    /// does. The address is asked for only if there are both kinds.
    fn is_secured(&self, local: impl FnOnce() -> Option<SocketAddr>) -> bool {
        let Self::Mixed { plain, secured } = self else { return true };
        let Some(local) = local() else { return true };
        // An IPv4 address at a socket for both versions.
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let exact = |all: &[SocketAddr]| all.contains(&local);
        let any = |all: &[SocketAddr]| {
            all.iter().any(|at| at.ip().is_unspecified() && at.port() == local.port())
        };
        // As in the kernel, the socket that is bound to the very address comes first.
        exact(secured) || (!exact(plain) && any(secured))
    }
}

fn local_address(socket: &SocketDigest) -> Option<SocketAddr> {
    socket.local_addr()?.as_inet().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_begins_as_its_listening_socket_says() {
        let at = |all: &[&str]| all.iter().map(|at| at.parse().unwrap()).collect::<Vec<_>>();
        for (plain, secured, local, expected) in [
            (&["0.0.0.0:9000"][..], &["0.0.0.0:9443"][..], "10.0.0.5:9443", true),
            (&["0.0.0.0:9000"], &["0.0.0.0:9443"], "10.0.0.5:9000", false),
            (&["[::]:9000"], &["[::]:9443"], "[::ffff:10.0.0.5]:9443", true),
            (&["[::]:9000"], &["[::]:9443"], "[::ffff:10.0.0.5]:9000", false),
            (&["127.0.0.1:9000"], &["10.0.0.5:9000"], "10.0.0.5:9000", true),
            (&["127.0.0.1:9000"], &["10.0.0.5:9000"], "127.0.0.1:9000", false),
            (&["127.0.0.1:9000"], &["0.0.0.0:9000"], "127.0.0.1:9000", false),
            (&["127.0.0.1:9000"], &["0.0.0.0:9000"], "10.0.0.5:9000", true),
            (&["0.0.0.0:9000"], &["127.0.0.1:9000"], "127.0.0.1:9000", true),
            (&[], &["127.0.0.1:9443"], "127.0.0.1:1", true),
        ] {
            let ports = Ports::new(&at(plain), &at(secured));
            let is = ports.is_secured(|| Some(local.parse().unwrap()));
            assert_eq!(is, expected, "{plain:?} {secured:?} {local}");
            assert!(Ports::new(&at(plain), &at(secured)).is_secured(|| None));
        }
    }
}
