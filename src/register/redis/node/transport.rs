//! The byte stream to a server: TCP, and TLS over it where the register is reached by TLS.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::register::redis::settings::Address;
use crate::tls::{ClientTls, failure};

/// TLS to all servers of a register.
#[derive(Debug)]
pub(crate) struct RegisterTls {
    /// What is trusted, and the certificate that is shown.
    pub(crate) client: ClientTls,
    /// The name that every server's certificate is for; its own name or address when absent.
    pub(crate) server_name: Option<String>,
    /// How long a handshake may take. Shorter than a step, so that a server which does not speak
    /// TLS has an error of its own: Redis just waits for the end of a line.
    pub(crate) patience: Duration,
}

/// Why there is no byte stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTransport {
    /// No server listens there, or the network does not lead there.
    #[error("{0}")]
    Tcp(io::Error),
    /// The handshake failed; a sentence.
    #[error("{0}. TLS is used because register.url begins with rediss")]
    Tls(String),
    /// The server ended the connection at the first command without TLS.
    #[error("{0}{hint}", hint = hint(.0))]
    Plain(io::Error),
}

/// Sends a PING and reads the answer, whatever it is. Only this shows that the server accepts the
/// connection: with TLS 1.3 it refuses a client's certificate after the client's handshake, and the
/// redis crate would lose that reason.
pub(crate) async fn answered<S>(stream: &mut S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // If the server has closed the connection, what it said before can still be read.
    let sent = async {
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
        stream.flush().await
    };
    let sent = sent.await;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let mut read = 0;
    while read < answer.len() && !answer[..read].ends_with(b"\r\n") {
        match stream.read(&mut answer[read..]).await? {
            0 => return sent.and_then(|()| Err(io::ErrorKind::UnexpectedEof.into())),
            bytes => read += bytes,
        }
    }
    let said = String::from_utf8_lossy(&answer[..read]);
    match answer[0] {
        // It closes the connection after these: protected mode, too many clients.
        b'-' if said.starts_with("-DENIED") || said.starts_with("-ERR") => {
            Err(io::Error::other(said.trim_start_matches('-').trim_end().to_owned()))
        }
        b'+' | b'-' => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is not that of a Redis")),
    }
}

/// Longer than any answer to a PING, which is one line.
const ANSWER_BYTES_MAX: usize = 1024;

/// What else to say of an error without TLS. If the server has given a reason, nothing.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::Other => "",
        _ => ". Perhaps this port speaks TLS: then write rediss:// in register.url",
    }
}

/// Connects by TCP.
pub(crate) async fn tcp(address: &Address) -> Result<TcpStream, NoTransport> {
    let to = (address.host.as_str(), address.port);
    let stream = TcpStream::connect(to).await.map_err(NoTransport::Tcp)?;
    // Otherwise a step would wait for the acknowledgement of the step before it.
    stream.set_nodelay(true).map_err(NoTransport::Tcp)?;
    Ok(stream)
}

impl RegisterTls {
    /// Shakes hands over this connection, and waits until the server accepts it.
    pub(crate) async fn over(
        &self,
        stream: TcpStream,
        address: &Address,
    ) -> Result<TlsStream<TcpStream>, NoTransport> {
        let asked = self.server_name.as_deref().unwrap_or(&address.host);
        let name = ServerName::try_from(asked.to_owned()).map_err(|_| {
            NoTransport::Tls(format!("\"{asked}\" cannot be the name in a certificate"))
        })?;
        let handshake = TlsConnector::from(self.client.config()).connect(name, stream);
        let accepted = async {
            let mut stream = handshake.await?;
            answered(&mut stream).await.map(|()| stream)
        };
        match timeout(self.patience, accepted).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(NoTransport::Tls(failure::of_server(&error, asked))),
            Err(_) => Err(NoTransport::Tls(SILENT.to_owned())),
        }
    }
}

const SILENT: &str = "it does not answer the beginning of TLS in time; perhaps it does not speak TLS \
                      on this port";

/// The scheme of a URL with or without TLS.
pub(crate) struct Scheme<'a>(pub(crate) Option<&'a Arc<RegisterTls>>);

impl fmt::Display for Scheme<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "rediss" } else { "redis" })
    }
}
