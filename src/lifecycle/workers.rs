//! The threads that serve clients, and the one that accepts their connections.
//!
//! Each worker has a runtime of its own. A connection stays with its worker for as long as it is
//! open: what a request uses stays in one processor's cache, and no thread is woken for the work of
//! another one (docs/decisions/0087-one-thread-for-a-connection.md).

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::{GetSocketDigest as _, SocketDigest};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::listener::ListeningSocket;
use crate::{descriptors, worker};

/// How long to wait after a connection could not be accepted: where descriptors are missing, and
/// otherwise.
const PAUSE_WITHOUT_DESCRIPTORS: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// How often a worker's own timer ends: sooner than any that a usual request sets.
const TICK: Duration = Duration::from_millis(250);

/// The runtimes of the workers that have started, each as often as it has connections and once more.
pub(crate) type Runtimes = Vec<Arc<Handle>>;

/// Services of Pingora, each a thread that serves the connections that it is given.
#[derive(Debug)]
pub(crate) struct Workers {
    count: usize,
    started: watch::Sender<Runtimes>,
}

/// One of them.
struct Worker {
    name: String,
    started: watch::Sender<Runtimes>,
}

/// A service of Pingora that accepts connections at these sockets, and gives each to the worker that
/// has the fewest.
pub(crate) struct Acceptor<A> {
    app: Arc<A>,
    sockets: Vec<ListeningSocket>,
    workers: Workers,
    accepting_ended: CancellationToken,
}

impl Workers {
    pub(crate) fn new(count: usize) -> Self {
        Self { count, started: watch::Sender::default() }
    }

    /// What Pingora has to start, one for each.
    pub(crate) fn services(&self) -> impl Iterator<Item = impl Service + 'static> {
        let worker =
            |number| Worker { name: format!("worker {number}"), started: self.started.clone() };
        (1..=self.count).map(worker)
    }

    /// Their runtimes, once all have started.
    pub(crate) fn runtimes(&self) -> impl Future<Output = Runtimes> + Send + use<> {
        let (mut started, count) = (self.started.subscribe(), self.count);
        async move {
            let all = started.wait_for(|started| started.len() == count).await;
            all.map(|all| all.clone()).unwrap_or_default()
        }
    }
}

#[async_trait]
impl Service for Worker {
    async fn start_service(&mut self, _: Option<ListenFds>, mut shutdown: ShutdownWatch, _: usize) {
        // Workers take numbers one after the other, before other threads ask: so each has a connection to
        // Redis of its own where there are as many.
        worker::number();
        self.started.send_modify(|started| started.push(Arc::new(Handle::current())));
        tokio::spawn(tick());
        // Its runtime lives on for the requests under way, until the process ends.
        shuts_down(&mut shutdown).await;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

impl<A> Acceptor<A> {
    pub(crate) fn new(app: A, sockets: Vec<ListeningSocket>, workers: Workers) -> Self {
        Self { app: Arc::new(app), sockets, workers, accepting_ended: CancellationToken::new() }
    }

    /// Cancelled when the last connection was accepted.
    pub(crate) fn accepting_ended(&self) -> CancellationToken {
        self.accepting_ended.clone()
    }
}

impl<A> fmt::Debug for Acceptor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for Acceptor<A> {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        // Also where accepting fails: whoever waits for its end would wait for ever.
        let _ended = self.accepting_ended.clone().drop_guard();
        let workers = self.workers.runtimes().await;
        let mut accepting = JoinSet::new();
        for socket in self.sockets.drain(..) {
            let (app, shutdown) = (Arc::clone(&self.app), shutdown.clone());
            accepting.spawn(accept_all(socket, app, workers.clone(), shutdown));
        }
        accepting.join_all().await;
    }

    fn name(&self) -> &'static str {
        "acceptor"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

/// Accepts connections until the server shuts down.
async fn accept_all<A: ServerApp + Send + Sync + 'static>(
    socket: ListeningSocket,
    app: Arc<A>,
    workers: Runtimes,
    mut shutdown: ShutdownWatch,
) {
    let address = socket.address();
    let listener = match TcpListener::from_std(socket.into_std()) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "no connections are accepted");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shuts_down(&mut shutdown) => return,
        };
        match accepted {
            Ok((connection, client)) => {
                // A worker is as often in use as it has connections.
                let Some(worker) = workers.iter().min_by_key(|it| Arc::strong_count(it)) else {
                    return;
                };
                let (place, app, shutdown) =
                    (Arc::clone(worker), Arc::clone(&app), shutdown.clone());
                let connection = connection.into_std();
                worker.spawn(async move {
                    serve(connection, client, &app, &shutdown).await;
                    drop(place);
                });
            }
            // `descriptors::watch` tells of it.
            Err(error) if descriptors::is_out(&error) => sleep(PAUSE_WITHOUT_DESCRIPTORS).await,
            Err(error) => {
                tracing::warn!(%address, %error, "a connection was not accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Serves a connection in the runtime of its worker, which is told of its events.
async fn serve<A: ServerApp + Send + Sync>(
    connection: io::Result<StdTcpStream>,
    client: SocketAddr,
    app: &Arc<A>,
    shutdown: &ShutdownWatch,
) {
    let mut stream = match connection.and_then(TcpStream::from_std) {
        Ok(connection) => Stream::from(connection),
        Err(error) => return tracing::warn!(%error, "a connection is not served"),
    };
    // An answer does not wait for the client's acknowledgement of an earlier one.
    if let Err(error) = stream.set_nodelay() {
        tracing::debug!(%error, "a connection ended before it was served");
        return;
    }
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    let _ = digest.peer_addr.set(Some(client.into()));
    stream.set_socket_digest(digest);
    app.process_new(Box::new(stream), shutdown).await;
}

/// A timer that ends before all others of a runtime has its thread woken, by a call of the kernel, even
/// where that thread itself sets it: each write did so for the renewal of its lease. No timer of theirs is
/// the first to end while there is this one.
async fn tick() {
    loop {
        sleep(TICK).await;
    }
}

/// Returns when the server shuts down.
async fn shuts_down(shutdown: &mut ShutdownWatch) {
    // Without a sender there is no server any more.
    let _ = shutdown.wait_for(|shuts_down| *shuts_down).await;
}

#[cfg(test)]
#[path = "workers_tests.rs"]
mod tests;
