//! The TLS handshake with a client, behind the door: a time limit, a reason for each failure, and an
//! answer for a client that speaks HTTP to the port for TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{Peek as _, SocketDigest, Stream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::tls_stream::TlsStream;
use crate::metrics::Metrics;
use crate::metrics::tls::HandshakeFailure;
use crate::seldom::Seldom;
use crate::tls::{ServerTls, Shown, failure};

/// How connections begin: which of them by TLS, and how.
#[derive(Debug)]
pub struct Handshakes {
    tls: Option<Arc<ServerTls>>,
    ports: Ports,
    failed: Seldom,
    metrics: Arc<Metrics>,
}

/// What a connection has turned out to be.
pub(super) enum Begun {
    /// It can be read.
    Stream(Box<TlsStream>),
    /// The client speaks HTTP without TLS at an address for TLS.
    Plain(Stream),
    /// The handshake failed, which was counted; or the client said nothing at all.
    Failed,
}

/// What a handshake has come to.
enum Shaken {
    /// With the time from the client's first byte on.
    Secured(Box<TlsStream>, Duration),
    /// The client speaks HTTP.
    Plain(Stream),
    /// The client has left before it said anything.
    Silent,
}

impl Handshakes {
    /// `plain` and `secured` are the addresses of the listening sockets without and with TLS.
    pub fn new(
        tls: Option<Arc<ServerTls>>,
        plain: &[SocketAddr],
        secured: &[SocketAddr],
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { tls, ports: Ports::new(plain, secured), failed: Seldom::new(), metrics }
    }

    /// The settings for TLS, if this connection begins by it.
    pub(super) fn of(&self, stream: &Stream) -> Option<&Arc<ServerTls>> {
        let tls = self.tls.as_ref()?;
        let local = || stream.get_socket_digest().and_then(|socket| local_address(&socket));
        self.ports.is_secured(local).then_some(tls)
    }

    /// Shakes hands, for no longer than `patience`. `address` is the client's, for the log.
    pub(super) async fn begin(
        &self,
        tls: &Arc<ServerTls>,
        stream: Stream,
        address: Option<IpAddr>,
        patience: Duration,
    ) -> Begun {
        match timeout(patience, shaken(tls, stream)).await {
            Ok(Ok(Shaken::Secured(stream, took))) => {
                self.metrics.tls.handshake.observe(took);
                if stream.is_resumed() {
                    self.metrics.tls.resumptions.count();
                }
                Begun::Stream(stream)
            }
            Ok(Ok(Shaken::Plain(stream))) => {
                self.metrics.tls.handshake_failures.count(HandshakeFailure::PlainHttp);
                Begun::Plain(stream)
            }
            Ok(Ok(Shaken::Silent)) => Begun::Failed,
            Ok(Err((reason, why))) => self.failed(address, reason, &why),
            Err(_) => {
                let why = "it did not complete the handshake in time";
                self.failed(address, HandshakeFailure::Timeout, why)
            }
        }
    }

    /// Another connection needs the place of one that shakes hands.
    pub(super) fn evicted(&self) -> Begun {
        self.metrics.tls.handshake_failures.count(HandshakeFailure::Evicted);
        Begun::Failed
    }

    fn failed(&self, address: Option<IpAddr>, reason: HandshakeFailure, why: &str) -> Begun {
        self.metrics.tls.handshake_failures.count(reason);
        if let Some(left_out) = self.failed.due() {
            let address = address.map(tracing::field::display);
            tracing::warn!(address, why, left_out, "no TLS with this client");
        }
        Begun::Failed
    }
}

/// The error is the reason, as it is counted and in words.
async fn shaken(
    tls: &Arc<ServerTls>,
    stream: Stream,
) -> Result<Shaken, (HandshakeFailure, String)> {
    let unknown = |_| (HandshakeFailure::Other, "its connection is of an unknown kind".to_owned());
    let mut stream = *stream.into_any().downcast::<L4Stream>().map_err(unknown)?;
    let mut first = [0];
    if stream.try_peek(&mut first).await.is_err() {
        // A load balancer that looks whether the port is open sends nothing.
        return Ok(Shaken::Silent);
    }
    // TLS begins with a number below 32, and HTTP with a method's name.
    if first[0].is_ascii_uppercase() {
        return Ok(Shaken::Plain(Box::new(stream)));
    }
    let (began, accepting) = (Instant::now(), tls.accepting());
    let shaken = TlsAcceptor::from(accepting.config()).accept(stream).await;
    let shaken = shaken.map_err(|error| failure::of_client(&error))?;
    let shown = Shown::of(shaken.get_ref().1, &accepting, tls);
    Ok(Shaken::Secured(Box::new(TlsStream::new(shaken, shown)), began.elapsed()))
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
