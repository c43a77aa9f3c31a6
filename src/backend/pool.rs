//! Connections to the store: opened by Pingora's connector, and kept while they are idle. They belong
//! to the runtime that uses them.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use ahash::HashMap;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::Stream;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use super::store_tls::NO_CA_FILE;
use crate::worker;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_mins(1);

/// How often connections are searched for that were closed, or have been idle for too long.
const SWEEP: Duration = Duration::from_secs(5);

/// How many shelves a pool has. Threads beyond that share them.
const SHELVES: usize = 16;

/// Idle connections of all nodes, by what they are connected to. Clones are the same pool.
///
/// Each thread has shelves of its own: a connection is served by the runtime in which it was opened,
/// and to use it in another one would wake that one for each of its events.
#[derive(Clone)]
pub struct Pool {
    connector: Arc<TransportConnector>,
    idle: Arc<IdleConnections>,
    /// How many connections may be idle, to all peers together.
    most: usize,
}

#[derive(Default)]
struct IdleConnections {
    shelves: [Mutex<Shelves>; SHELVES],
    /// How many there are in all.
    count: AtomicUsize,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("most", &self.most).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shelves {
    by_peer: HashMap<u64, Vec<Idle>>,
    /// Whether a task sweeps them.
    swept: bool,
}

struct Idle {
    stream: Stream,
    since: Instant,
}

impl Pool {
    /// An empty pool, which keeps so many idle connections.
    pub fn new(most: usize) -> Self {
        let mut options = ConnectorOptions::new(most);
        options.ca_file = Some(NO_CA_FILE.to_owned());
        let connector = Arc::new(TransportConnector::new(Some(options)));
        Self { connector, idle: Arc::default(), most }
    }

    /// A connection to this peer, and whether it was used before.
    ///
    /// # Errors
    /// None could be opened.
    pub(super) async fn connect(
        &self,
        peer: &HttpPeer,
        fresh: bool,
    ) -> pingora::Result<(Stream, bool)> {
        let pooled = if fresh { None } else { self.take(peer.reuse_hash()) };
        match pooled {
            Some(stream) => Ok((stream, true)),
            // Boxed: few requests need a new connection, and otherwise the future of every request
            // would have its size, and be moved with it.
            None => Box::pin(self.connector.new_stream(peer)).await.map(|stream| (stream, false)),
        }
    }

    fn shelves(&self, number: usize) -> MutexGuard<'_, Shelves> {
        self.idle.shelves[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection to this peer that was used last, if one is alive.
    fn take(&self, peer: u64) -> Option<Stream> {
        loop {
            let mut idle = self.shelves(ours()).take(peer)?;
            self.idle.count.fetch_sub(1, Ordering::Relaxed);
            if idle.is_alive() {
                return Some(idle.stream);
            }
        }
    }

    /// Keeps a connection to this peer. Where there are too many, the one of this thread that was
    /// idle for longest is closed.
    pub(super) fn keep(&self, peer: u64, stream: Stream) {
        let number = ours();
        let mut shelves = self.shelves(number);
        let idle = Idle { stream, since: Instant::now() };
        shelves.by_peer.entry(peer).or_default().push(idle);
        let count = self.idle.count.fetch_add(1, Ordering::Relaxed) + 1;
        let superfluous = if count > self.most { shelves.take_oldest() } else { None };
        self.idle.count.fetch_sub(superfluous.iter().len(), Ordering::Relaxed);
        let begins = !std::mem::replace(&mut shelves.swept, true);
        drop(shelves);
        drop(superfluous);
        if begins {
            tokio::spawn(self.clone().sweep(number));
        }
    }

    /// Closes what is of no use on these shelves, until there is nothing left.
    async fn sweep(self, number: usize) {
        loop {
            sleep(SWEEP).await;
            let (closed, goes_on) = self.shelves(number).sweep();
            self.idle.count.fetch_sub(closed.len(), Ordering::Relaxed);
            drop(closed);
            if !goes_on {
                return;
            }
        }
    }
}

/// The number of this thread's shelves.
fn ours() -> usize {
    worker::number() % SHELVES
}

impl Shelves {
    fn take(&mut self, peer: u64) -> Option<Idle> {
        self.by_peer.get_mut(&peer)?.pop()
    }

    /// The connection that has been idle for longest.
    fn take_oldest(&mut self) -> Option<Idle> {
        let oldest = |shelf: &&mut Vec<Idle>| shelf.first().map(|idle| idle.since);
        let shelves = self.by_peer.values_mut().filter(|shelf| !shelf.is_empty());
        Some(shelves.min_by_key(oldest)?.remove(0))
    }

    /// Takes out what is of no use; whether anything is left to be swept.
    fn sweep(&mut self) -> (Vec<Idle>, bool) {
        let mut closed = Vec::new();
        for shelf in self.by_peer.values_mut() {
            closed.extend(
                shelf.extract_if(.., |idle| idle.since.elapsed() > IDLE || !idle.is_alive()),
            );
        }
        self.by_peer.retain(|_, shelf| !shelf.is_empty());
        self.swept = !self.by_peer.is_empty();
        (closed, self.swept)
    }
}

impl Idle {
    /// Whether the store has neither closed the connection nor sent anything, as far as this process
    /// has been told. What has not been told yet is found when the connection is used.
    fn is_alive(&mut self) -> bool {
        let stream = &mut self.stream;
        let read = poll_fn(|cx| {
            let mut space = [0; 1];
            Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut space))
        });
        // A task that has done much is told "not yet" by every connection, whatever it holds.
        let read = pin!(unconstrained(read));
        read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}
