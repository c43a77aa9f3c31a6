//! The socket of the admin listener and its connections. Each carries one request, within limits on
//! the size of its head, on its time and on the number of connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::Admin;
use super::status::keep::keep;
use crate::lifecycle::phase::Phase;
use crate::seldom::Seldom;

/// How many connections there may be. One more is closed at once.
const CONNECTIONS_MAX: usize = 64;

/// How long a head may take to arrive.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection may last, from its first byte to its last.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(15);

/// The largest head, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How soon a successor tries again to listen where its predecessor still does.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// After this time a successor says that it still waits.
const TOLD_AFTER: Duration = Duration::from_secs(10);

/// The address is not free, or not one of this machine.
#[derive(Debug, thiserror::Error)]
#[error("the admin listener cannot listen on {0}: {1}. Choose another with admin.listen")]
pub struct NotBound(SocketAddr, io::Error);

/// Where the admin listener listens, or will.
#[derive(Debug)]
pub enum AdminSocket {
    /// It listens.
    Bound(TcpListener),
    /// The predecessor of this process may still listen there.
    Awaited(SocketAddr),
}

impl AdminSocket {
    /// Listens there. Where this process takes over from another one, its address becomes free only
    /// when the other one stops listening. Must be called within a runtime.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn open(listen: SocketAddr, takes_over: bool) -> Result<Self, NotBound> {
        match bound(listen) {
            Ok(listener) => Ok(Self::Bound(listener)),
            Err(error) if takes_over && error.kind() == io::ErrorKind::AddrInUse => {
                Ok(Self::Awaited(listen))
            }
            Err(error) => Err(NotBound(listen, error)),
        }
    }

    /// The listener, as soon as the address is free.
    async fn listener(self) -> io::Result<TcpListener> {
        let listen = match self {
            Self::Bound(listener) => return Ok(listener),
            Self::Awaited(listen) => listen,
        };
        let (began, mut told) = (Instant::now(), false);
        loop {
            match bound(listen) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                done => return done,
            }
            if !told && began.elapsed() >= TOLD_AFTER {
                tracing::warn!(%listen, "the admin listener waits: another process listens there");
                told = true;
            }
            sleep(AGAIN_AFTER).await;
        }
    }
}

fn bound(listen: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Serves at this socket, if there is one, until this process hands over to another one, which then
/// listens at this address.
pub async fn serve_at(socket: Option<AdminSocket>, admin: Admin) {
    if let Some(socket) = socket {
        serve(socket, Arc::new(admin)).await;
    }
}

async fn serve(socket: AdminSocket, admin: Arc<Admin>) {
    let listener = match socket.listener().await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin listener cannot listen");
            return;
        }
    };
    if let Ok(listen) = listener.local_addr() {
        tracing::info!(%listen, "the admin listener serves");
    }
    let (life, watching) = (admin.life.clone(), Arc::clone(&admin));
    tokio::select! {
        () = accept(&listener, admin) => {}
        () = keep(&watching) => {}
        () = handed_over(&life) => {}
    }
}

/// Returns when another process serves in place of this one. A process that was only told to stop
/// answers its health checks until its end.
async fn handed_over(life: &crate::lifecycle::phase::Life) {
    life.reached(Phase::HandedOver).await;
    if life.phase() != Phase::HandedOver {
        std::future::pending::<()>().await;
    }
}

async fn accept(listener: &TcpListener, admin: Arc<Admin>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let turned_away = Seldom::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Probably no file descriptor is left: other connections must end first.
                if turned_away.due().is_some() {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                }
                sleep(AGAIN_AFTER).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            if let Some(left_out) = turned_away.due() {
                tracing::warn!(left_out, "the admin listener has too many connections");
            }
            continue;
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let served = timeout(CONNECTION_PATIENCE, connection(stream, &admin)).await;
            if let Ok(Err(error)) = served {
                tracing::debug!(%error, "a connection to the admin listener broke");
            }
            drop(slot);
        });
    }
}

async fn connection(stream: TcpStream, admin: &Admin) -> hyper::Result<()> {
    let loopback =
        stream.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(async |request| Ok::<_, Infallible>(admin.respond(request, loopback).await)),
        )
        .await
}
