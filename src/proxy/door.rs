//! The door: a request's head is taken whole, within a time and a size, and judged, before Pingora
//! reads it. Pingora alone waits for a head as long as a byte comes now and then, takes 1 MiB of
//! it, and says nothing of why it refuses one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use http::StatusCode;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::date::get_cached_date;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Proxy;
use super::context::Context;
use super::doorway::Doorway;
use super::respond::{HOST, HOST_ID, LINGER, LINGER_BYTES_MAX, LINGER_IDLE, REQUEST_ID};
use crate::in_flight::InFlight;
use crate::s3::wire::{HeadScan, authority, check_head};
use crate::s3::{Code, S3Error};

/// How long a connection may be open between two requests; what Pingora tells clients, too.
const BETWEEN_REQUESTS: Duration = Duration::from_mins(1);

/// A head is read in pieces of this size at most.
const PIECE_BYTES: usize = 4096;

/// Where connections come in.
pub struct Door {
    proxy: Arc<HttpProxy<Proxy>>,
    in_flight: InFlight,
    doorway: Doorway,
    /// How long a head may take to arrive, from its first byte to its last.
    patience: Duration,
}

impl Door {
    /// The way in to this proxy.
    pub fn new(proxy: Proxy, conf: &Arc<ServerConf>) -> Self {
        let (in_flight, patience) = (proxy.in_flight.clone(), proxy.idle_timeout);
        let doorway = Doorway::new(in_flight.clone());
        Self { proxy: Arc::new(http_proxy(conf, proxy)), in_flight, doorway, patience }
    }

    /// What is known of it while Pingora has it.
    pub fn doorway(&self) -> Doorway {
        self.doorway.clone()
    }

    /// The next head, and what came with it.
    async fn head(&self, stream: &mut Stream) -> Result<BytesMut, NoHead> {
        let mut received = BytesMut::with_capacity(PIECE_BYTES);
        match timeout(BETWEEN_REQUESTS, stream.read_buf(&mut received)).await {
            Ok(Ok(bytes)) if bytes > 0 => {}
            Ok(_) | Err(_) => return Err(NoHead::Gone),
        }
        let end = Instant::now() + self.patience;
        let mut scan = HeadScan::default();
        loop {
            if let Some(bytes) = scan.scan(&received)? {
                check_head(&received[..bytes])?;
                if let Some(authority) = authority(&received) {
                    let path = received.split_off(authority.all.end);
                    received.truncate(authority.all.start);
                    received.extend_from_slice(&path);
                }
                return Ok(received);
            }
            received.reserve(1);
            let mut piece = (&mut received).limit(PIECE_BYTES);
            match timeout_at(end, stream.read_buf(&mut piece)).await {
                Ok(Ok(0)) => return Err(ended_early().into()),
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Err(NoHead::Gone),
                Err(_) => return Err(S3Error::new(Code::RequestTimeout).into()),
            }
        }
    }

    /// Answers a head that is none, and closes.
    async fn refuse(&self, stream: &mut Stream, error: &S3Error) {
        let mut context = Context::new(self.in_flight.enter());
        error.code().clone_into(&mut context.log.code);
        let answer = answer(error, &context.request_id);
        let written = timeout(self.patience, async {
            stream.write_all(&answer).await?;
            stream.flush().await?;
            AsyncWriteExt::shutdown(stream).await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            context.log.client_gone();
        }
        context.write_log_line(Some(error.status().as_u16()), 0, answer.len());
        linger(stream).await;
    }
}

#[async_trait]
impl ServerApp for Door {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let _entered = self.doorway.enter();
        let mut settings = None;
        loop {
            let head = tokio::select! {
                biased;
                head = self.head(&mut stream) => head,
                // Not at Pingora's word, `shutdown`: where another process has taken over, whoever is
                // connected may send one more request, whose answer then says that it was the last.
                () = self.doorway.closing() => return None,
            };
            let received = match head {
                Ok(received) => received,
                Err(NoHead::Refused(error)) => {
                    self.refuse(&mut stream, &error).await;
                    return None;
                }
                Err(NoHead::Gone) => return None,
            };
            let mut session = ServerSession::new_http1(stream);
            session.set_keepalive(Some(BETWEEN_REQUESTS.as_secs()));
            if let Some(settings) = settings.take() {
                HttpPersistentSettings::apply_to_session(settings, &mut session);
            }
            session.set_pipelined_prefix(received);
            (stream, settings) = self.proxy.process_new_http(session, shutdown).await?.consume();
        }
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// Why there is no request.
enum NoHead {
    /// The client said nothing, or is no longer there.
    Gone,
    /// What it said is told it.
    Refused(S3Error),
}

impl From<S3Error> for NoHead {
    fn from(error: S3Error) -> Self {
        Self::Refused(error)
    }
}

fn ended_early() -> S3Error {
    S3Error::new(Code::BadRequest).because("The connection ended in the middle of a request head.")
}

/// The whole answer as it goes over the wire. To a HEAD it has a body, too: the method may be what
/// cannot be read, and the connection ends here.
fn answer(error: &S3Error, request_id: &str) -> Vec<u8> {
    let document = error.to_xml(None, request_id, HOST);
    let status = error.status();
    let reason = StatusCode::canonical_reason(&status).unwrap_or_default();
    let (status, bytes) = (status.as_u16(), document.len());
    let date = String::from_utf8_lossy(get_cached_date().as_bytes()).into_owned();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\n\
         Content-Type: application/xml\r\n\
         Content-Length: {bytes}\r\n\
         Date: {date}\r\n\
         {REQUEST_ID}: {request_id}\r\n\
         {HOST_ID}: {HOST}\r\n\
         Connection: close\r\n\r\n"
    );
    [head.as_bytes(), document.as_ref()].concat()
}

/// Reads and forgets what the client still sends: closing at once would reset the connection and
/// destroy the answer on its way.
async fn linger(stream: &mut Stream) {
    let end = Instant::now() + LINGER;
    let mut bytes = 0;
    let mut forgotten = BytesMut::with_capacity(PIECE_BYTES);
    while bytes < LINGER_BYTES_MAX {
        forgotten.clear();
        let until = end.min(Instant::now() + LINGER_IDLE);
        match timeout_at(until, stream.read_buf(&mut forgotten)).await {
            Ok(Ok(more)) if more > 0 => bytes += more,
            Ok(_) | Err(_) => return,
        }
    }
}
