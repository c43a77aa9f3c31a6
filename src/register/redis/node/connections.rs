//! Connections to one server: opened when first needed, and opened again after they failed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use super::transport::{NoTransport, RegisterTls, Scheme, answered, tcp};
use crate::register::RegisterError;
use crate::register::redis::error::CallError;
use crate::register::redis::settings::Address;
use crate::secret::Secret;
use crate::worker;

/// A fixed number of connections, one for each thread: its calls and its answers then wake no other
/// thread. Where there are more threads, they share. Each carries any number of calls at once; the
/// answers come in the order of the calls.
pub(crate) struct Connections {
    address: Address,
    access: Access,
    slots: Vec<Mutex<Option<Connection>>>,
}

/// How connections are opened, to any server.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) login: RedisConnectionInfo,
    /// TLS, where it is used.
    pub(crate) tls: Option<Arc<RegisterTls>>,
}

/// One connection; clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) requests: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// The task that carries bytes both ways. It ends when Redis closes the connection, or with the
/// runtime it was made in, so that a dead connection is recognised before it is used.
struct Driver {
    task: JoinHandle<()>,
    spoilt: AtomicBool,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The server cannot be reached, or not by TLS.
    #[error(transparent)]
    Unreachable(NoTransport),
    /// The server refused the login.
    #[error("{0}")]
    Refused(RedisError),
}

/// The connection of a thread, held exclusively as long as this lives.
pub(crate) struct Turn<'a>(MutexGuard<'a, Option<Connection>>);

impl Connections {
    pub(crate) fn new(address: Address, access: Access, count: usize) -> Self {
        Self { address, access, slots: (0..count.max(1)).map(|_| Mutex::new(None)).collect() }
    }

    /// The connection of this thread.
    pub(crate) async fn ours(&self) -> Turn<'_> {
        Turn(self.slots[worker::number() % self.slots.len()].lock().await)
    }

    /// A new connection.
    pub(crate) async fn open(&self) -> Result<Connection, CallError> {
        open(&self.address, &self.access).await.map_err(|error| match error {
            OpenError::Unreachable(error) => {
                RegisterError::Unreachable(format!("{self}: {error}")).into()
            }
            OpenError::Refused(error) => CallError::from(&error),
        })
    }
}

impl Turn<'_> {
    /// The connection, if it is open and usable.
    pub(crate) fn open_one(&self) -> Option<Connection> {
        self.0.clone().filter(Connection::is_usable)
    }

    /// Whether there is a connection in its place, usable or not.
    pub(crate) fn holds_one(&self) -> bool {
        self.0.is_some()
    }

    /// Keeps this connection in its place; `None` empties the place.
    pub(crate) fn keep(&mut self, connection: Option<Connection>) {
        *self.0 = connection;
    }
}

/// The login of a connection, and its database.
pub(crate) fn login(
    username: Option<&str>,
    password: Option<&Secret>,
    database: u32,
) -> RedisConnectionInfo {
    let mut login =
        RedisConnectionInfo::default().set_db(i64::from(database)).set_skip_set_lib_name();
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    login
}

/// Opens a connection in the current runtime.
pub(crate) async fn open(address: &Address, access: &Access) -> Result<Connection, OpenError> {
    let mut stream = tcp(address).await.map_err(OpenError::Unreachable)?;
    match &access.tls {
        None => {
            let answered = answered(&mut stream).await;
            answered.map_err(|error| OpenError::Unreachable(NoTransport::Plain(error)))?;
            over(stream, &access.login).await
        }
        Some(tls) => {
            let stream = tls.over(stream, address).await.map_err(OpenError::Unreachable)?;
            over(stream, &access.login).await
        }
    }
}

async fn over<S>(stream: S, login: &RedisConnectionInfo) -> Result<Connection, OpenError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The caller's time limit covers everything; the library's own would be added to it.
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_pipeline_buffer_size(CALLS_QUEUED_MAX);
    let (requests, driver) = MultiplexedConnection::new_with_config(login, stream, config)
        .await
        .map_err(OpenError::Refused)?;
    let driver = Driver { task: tokio::spawn(driver), spoilt: AtomicBool::new(false) };
    Ok(Connection { requests, driver: Arc::new(driver) })
}

impl Connection {
    /// Stops handing out this connection. Calls under way on it go on.
    pub(crate) fn spoil(&self) {
        self.driver.spoilt.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.driver.spoilt.load(Ordering::Relaxed) && !self.driver.task.is_finished()
    }
}

impl Drop for Driver {
    /// Ends the task, which would wait for ever for a peer that vanished.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Without the login.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Shows the address, never the password.
impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access { login, tls } = &self.access;
        write!(f, "{}://{}/{}", Scheme(tls.as_ref()), self.address, login.db())
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections({self})")
    }
}

/// How many calls a connection queues before its callers wait.
const CALLS_QUEUED_MAX: usize = 1024;
