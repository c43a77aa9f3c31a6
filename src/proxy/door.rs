//! The door: accepts connections, reads and judges the head of each request, with limits on time and
//! size, and has the request served.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Buf;
use http::{HeaderValue, header};
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::date::get_cached_date;
use pingora::server::ShutdownWatch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connection_slots::{ConnectionSlot, ConnectionSlots, NoSlot};
use super::context::{Context, HOST, HOST_ID, REQUEST_ID};
use super::handshake::{Begun, Handshakes};
use super::live::LiveProxy;
use super::state::Proxy;
use super::wire::{Wire, client_address};
use crate::http1::answer_head::write_head;
use crate::http1::body::Framed;
use crate::http1::fields::Fields;
use crate::http1::pace::LeastRate;
use crate::lifecycle::connections::ConnectionTracker;
use crate::metrics::Metrics;
use crate::metrics::labels::HeadFault;
use crate::s3::wire::{HeadScan, ReceivedHead, read_head};
use crate::s3::{Code, S3Error};
use crate::seldom::Seldom;

/// How long a connection may stay open between two requests.
const BETWEEN_REQUESTS: Duration = Duration::from_mins(1);

/// The memory for a head up to this size belongs to its connection; AWS accepts no larger one.
const SMALL_HEAD_BYTES: usize = 8 * 1024;

/// How many larger heads there may be at the same time, arriving or being served.
const LARGE_HEADS_MAX: usize = 512;

/// Accepts connections and reads their requests' heads.
pub struct Door {
    live: LiveProxy,
    connections: ConnectionTracker,
    large_heads: Arc<Semaphore>,
    slots: ConnectionSlots,
    handshakes: Handshakes,
    turned_away: Seldom,
    metrics: Arc<Metrics>,
}

impl Door {
    /// The door to this proxy.
    pub fn new(live: LiveProxy, handshakes: Handshakes) -> Self {
        let metrics = Arc::clone(&live.current().metrics);
        Self {
            connections: ConnectionTracker::new(live.current().in_flight.clone()),
            live,
            slots: ConnectionSlots::default(),
            handshakes,
            turned_away: Seldom::new(),
            large_heads: Arc::new(Semaphore::new(LARGE_HEADS_MAX)),
            metrics,
        }
    }

    /// How long a head may take to arrive, from its first byte to its last.
    fn patience(&self) -> Duration {
        self.live.current().idle_timeout
    }

    /// The tracker of the open connections and the requests under way.
    pub fn connections(&self) -> ConnectionTracker {
        self.connections.clone()
    }

    /// Reads the next head. Until the head is complete its sender is not known, and nothing is
    /// being served: if there is no room for another connection, the connection that has waited
    /// longest for its head ends.
    async fn head(&self, wire: &mut Wire, slot: &ConnectionSlot) -> Result<Head, NoHead> {
        tokio::select! {
            biased;
            head = self.arriving(wire) => return head,
            () = slot.evicted() => {}
        }
        let begun = !wire.ahead().is_empty();
        let evicted = NoHead::Refused(HeadFault::Connections, no_room(NoSlot::All));
        Err(if begun { evicted } else { NoHead::Gone })
    }

    /// Reads the next head from its first byte to its last, and finds where the body after it ends.
    /// The head is taken from the bytes read ahead; the bytes behind it stay there.
    async fn arriving(&self, wire: &mut Wire) -> Result<Head, NoHead> {
        self.begins(wire).await?;
        let end = Instant::now() + self.patience();
        let mut scan = HeadScan::default();
        let mut room = None;
        loop {
            if let Some(bytes) = scan.scan(wire.ahead())? {
                let bytes = wire.ahead().split_to(bytes).freeze();
                return Ok(Head { received: read_head(&bytes)?, _room: room });
            }
            if wire.ahead().len() > SMALL_HEAD_BYTES && room.is_none() {
                let taken = Arc::clone(&self.large_heads).try_acquire_owned();
                let full = |_| NoHead::Refused(HeadFault::NoRoom, too_many_heads());
                room = Some(taken.map_err(full)?);
            }
            match timeout_at(end, wire.more()).await {
                Ok(true) => {}
                Ok(false) => return Err(NoHead::Refused(HeadFault::CutShort, ended_early())),
                Err(_) => {
                    let slow = S3Error::new(Code::RequestTimeout);
                    return Err(NoHead::Refused(HeadFault::Slow, slow));
                }
            }
        }
    }

    /// Returns when a head begins. Empty lines before it are skipped (RFC 9112 §2.2).
    async fn begins(&self, wire: &mut Wire) -> Result<(), NoHead> {
        // Requests that have arrived are served without a wait, so this task must yield to others.
        tokio::task::consume_budget().await;
        let idle = timeout(BETWEEN_REQUESTS, async {
            loop {
                while wire.ahead().starts_with(b"\r\n") {
                    wire.ahead().advance(2);
                }
                if !matches!(wire.ahead().as_ref(), [] | [b'\r']) {
                    return true;
                }
                if !wire.more().await {
                    return false;
                }
            }
        });
        tokio::select! {
            biased;
            begins = idle => if begins == Ok(true) { Ok(()) } else { Err(NoHead::Gone) },
            // The service's `shutdown` is not used here: where another process has taken over, a
            // connected client may send one more request. The answer to that one says that it is
            // the last.
            () = self.connections.closing() => Err(NoHead::Gone),
        }
    }

    /// The connection as it can be read: after the handshake, where it begins by TLS. `None` when it
    /// has ended.
    async fn begun(
        &self,
        stream: Stream,
        slot: &ConnectionSlot,
        place: TaskTrackerToken,
        address: Option<IpAddr>,
    ) -> Option<Wire> {
        let Some(tls) = self.handshakes.of(&stream) else {
            return Some(Wire::new(stream, place, self.patience()));
        };
        let patience = self.live.current().handshake_timeout;
        let begun = tokio::select! {
            biased;
            // In a box, so that a connection without TLS has no room for it.
            begun = Box::pin(self.handshakes.begin(tls, stream, address, patience)) => begun,
            // It waits for its first head, as far as the limits are concerned.
            () = slot.evicted() => self.handshakes.evicted(),
        };
        match begun {
            Begun::Stream(stream) => Some(Wire::new(stream, place, self.patience())),
            Begun::Plain(stream) => {
                self.refuse(
                    Wire::new(stream, place, self.patience()),
                    HeadFault::Malformed,
                    &plain_at_tls(),
                )
                .await;
                None
            }
            Begun::Failed => None,
        }
    }

    /// Tells a client that there is no room for its connection, whatever its request. One that
    /// begins by TLS is only closed: a handshake costs more than a request.
    async fn reject(
        &self,
        stream: Stream,
        place: TaskTrackerToken,
        address: Option<IpAddr>,
        why: NoSlot,
    ) {
        let (fault, limit) = match why {
            NoSlot::All => (HeadFault::Connections, "limits.connections"),
            NoSlot::OfAddress => {
                (HeadFault::ConnectionsOfAddress, "limits.connections_per_address")
            }
        };
        if let Some(left_out) = self.turned_away.due() {
            let address = address.map(tracing::field::display);
            tracing::warn!(address, limit, left_out, "no room for another connection");
        }
        if self.handshakes.of(&stream).is_none() {
            self.refuse(Wire::new(stream, place, self.patience()), fault, &no_room(why)).await;
        }
    }

    /// Answers an invalid head; the connection ends here.
    async fn refuse(&self, mut wire: Wire, fault: HeadFault, error: &S3Error) {
        self.metrics.rejected_heads.count(fault);
        let mut context = Context::new(self.connections.request());
        error.code().clone_into(&mut context.log.code);
        context.log.address = wire.address();
        let answer = answer(error, &context.request_id);
        if wire.write(Framed::bare(&answer)).await.is_err() {
            context.log.client_gone();
        }
        let status = Some(error.status().as_u16());
        context.count(&self.metrics, status, (0, answer.len()), Instant::now());
        context.write_log_line(status, (0, answer.len()), None);
        wire.give_up();
    }
}

#[async_trait]
impl ServerApp for Door {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let place = self.connections.connected();
        let address = client_address(&stream);
        let slot = match self.slots.take(address, self.live.current().connection_limits) {
            Ok(slot) => slot,
            Err(why) => {
                self.reject(stream, place, address, why).await;
                return None;
            }
        };
        let mut wire = self.begun(stream, &slot, place, address).await?;
        loop {
            let head = match self.head(&mut wire, &slot).await {
                Ok(head) => head,
                Err(NoHead::Refused(fault, error)) => {
                    self.refuse(wire, fault, &error).await;
                    return None;
                }
                Err(NoHead::Gone) => break,
            };
            let (proxy, last) = (self.live.current(), *shutdown.borrow());
            wire.begin(head.received.framing, least_rate(&proxy));
            // In a box, so that a connection has no room for a request while none is under way.
            if !Box::pin(proxy.serve(&mut wire, &head.received, last)).await {
                break;
            }
        }
        wire.close().await;
        None
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// The slowest rate at which a body may arrive.
fn least_rate(proxy: &Proxy) -> LeastRate {
    LeastRate { bytes_per_s: proxy.body_least_rate, grace: proxy.idle_timeout }
}

/// A valid head.
struct Head {
    received: ReceivedHead,
    /// Held until the request is served.
    _room: Option<OwnedSemaphorePermit>,
}

/// Why there is no request.
enum NoHead {
    /// The client sent nothing, or has disconnected.
    Gone,
    /// The head is refused with this error.
    Refused(HeadFault, S3Error),
}

/// The error of a head that has arrived, or is too large.
impl From<S3Error> for NoHead {
    fn from(error: S3Error) -> Self {
        let too_large = error.code() == Code::RequestHeaderSectionTooLarge.as_str();
        let fault = if too_large { HeadFault::TooLarge } else { HeadFault::Malformed };
        Self::Refused(fault, error)
    }
}

fn plain_at_tls() -> S3Error {
    S3Error::new(Code::BadRequest).because("This port speaks TLS: use https://.")
}

fn no_room(why: NoSlot) -> S3Error {
    S3Error::slow_down(1).because(match why {
        NoSlot::All => "There are too many connections.",
        NoSlot::OfAddress => "There are too many connections from this address.",
    })
}

fn too_many_heads() -> S3Error {
    S3Error::slow_down(1).because("Too many requests with large heads are under way.")
}

fn ended_early() -> S3Error {
    S3Error::new(Code::BadRequest).because("The connection ended in the middle of a request head.")
}

/// The whole answer as it is sent. The answer to a HEAD has a body too: the method may be the part
/// that cannot be read, and the connection ends here.
fn answer(error: &S3Error, request_id: &str) -> Vec<u8> {
    let document = error.to_xml(None, request_id, HOST);
    let mut headers = Fields::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(header::CONTENT_LENGTH, document.len().into());
    headers.insert(header::DATE, get_cached_date());
    // It consists of letters and digits.
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, request_id);
    }
    headers.insert(HOST_ID, HeaderValue::from_static(HOST));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut answer = Vec::new();
    write_head(&mut answer, error.status(), &headers);
    answer.extend_from_slice(&document);
    answer
}
