//! The connection to the collector: OTLP over HTTP, one request after the other.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::answer::Taken;
use super::settings::Settings;
use crate::tls::{ClientTls, FileFault};
use crate::whole::Whole;

/// Where spans are sent.
pub(super) struct Target {
    pub(super) settings: Settings,
    tls: Option<ClientTls>,
}

impl Target {
    /// Reads the files of these settings.
    pub(super) fn open(settings: Settings) -> Result<Self, FileFault> {
        let tls = settings.https.then(|| ClientTls::open(settings.files.clone())).transpose()?;
        Ok(Self { settings, tls })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.settings.authority).finish()
    }
}

/// Why spans were not taken.
pub(super) enum Unsent {
    /// The collector wants them not, and would not later.
    Refused(String),
    /// They may be sent again later.
    Again(String),
}

/// The collector, with the connection that is open.
#[derive(Default)]
pub(super) struct Collector {
    open: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Whole>,
    to: Arc<Target>,
}

impl Collector {
    /// Sends an `ExportTraceServiceRequest`, within the time that one export may take.
    pub(super) async fn send(
        &mut self,
        to: &Arc<Target>,
        request: Vec<u8>,
    ) -> Result<Taken, Unsent> {
        let request = Bytes::from(request);
        // Where it takes too long, its connection is dropped with it.
        let sent = timeout(to.settings.timeout, self.send_at_length(to, request)).await;
        let late = |_| Err(Unsent::Again("it has not answered in time".to_owned()));
        sent.unwrap_or_else(late)
    }

    /// The same without a limit: on the open connection, and on a new one where that has ended.
    async fn send_at_length(&mut self, to: &Arc<Target>, request: Bytes) -> Result<Taken, Unsent> {
        let used = self.open.take().filter(|open| Arc::ptr_eq(&open.to, to) && open.is_usable());
        if let Some(mut connection) = used
            && let Ok((status, said)) = connection.post(request.clone()).await
        {
            self.open = Some(connection);
            return taken(status, &said);
        }
        let again = |error: io::Error| Unsent::Again(error.to_string());
        let mut connection = Connection::open(to).await.map_err(again)?;
        let answer = connection.post(request).await;
        let (status, said) = answer.map_err(|error| Unsent::Again(error.to_string()))?;
        self.open = Some(connection);
        taken(status, &said)
    }
}

/// What a status and a body say of the spans (OTLP: "OTLP/HTTP Response").
fn taken(status: StatusCode, said: &[u8]) -> Result<Taken, Unsent> {
    match status.as_u16() {
        200..=299 => Ok(Taken::read(said)),
        429 | 502..=504 => Err(Unsent::Again(format!("it answers {status}"))),
        _ => Err(Unsent::Refused(format!("it answers {status}"))),
    }
}

impl Connection {
    async fn open(to: &Arc<Target>) -> io::Result<Self> {
        let Settings { host, port, .. } = &to.settings;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        let sender = match &to.tls {
            None => Self::begin(stream).await?,
            Some(tls) => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                Self::begin(TlsConnector::from(tls.config()).connect(name, stream).await?).await?
            }
        };
        Ok(Self { sender, to: Arc::clone(to) })
    }

    async fn begin<S>(stream: S) -> io::Result<SendRequest<Whole>>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // It ends with its sender. An error of it is one of the request under way.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Posts a message and reads the answer to its end.
    async fn post(&mut self, message: Bytes) -> hyper::Result<(StatusCode, Vec<u8>)> {
        self.sender.ready().await?;
        let settings = &self.to.settings;
        let mut request = Request::new(Whole::new(message));
        *request.method_mut() = http::Method::POST;
        // The configuration has checked the path, and the authority is a host.
        *request.uri_mut() = settings.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&settings.authority) {
            headers.insert(header::HOST, host);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("ifmatch"));
        for (name, value) in &settings.headers {
            headers.insert(name, value.clone());
        }
        let (answer, mut body) = self.sender.send_request(request).await?.into_parts();
        let said = drained(&mut body).await?;
        Ok((answer.status, said))
    }
}

/// Of an answer so much is kept: it has a number, and a text for people.
const ANSWER_MAX: usize = 16 * 1024;

/// Reads a body to its end: only then may another request follow. Returns it, unless it is too long.
async fn drained(body: &mut Incoming) -> hyper::Result<Vec<u8>> {
    let (mut said, mut is_whole) = (Vec::new(), true);
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context))
        .await
        .transpose()?
    {
        let piece = frame.into_data().unwrap_or_default();
        is_whole &= said.len() + piece.len() <= ANSWER_MAX;
        if is_whole {
            said.extend_from_slice(&piece);
        }
    }
    Ok(if is_whole { said } else { Vec::new() })
}
