//! Connections to Redis: made where they are first needed, and anew after they failed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::faults::fault;
use super::partitions::Partitions;
use super::{RedisSettings, RegisterError};

/// A fixed number of connections, taken in turn. Each carries any number of calls at once, their
/// answers in the order of their questions.
pub(super) struct Connections {
    host: String,
    port: u16,
    login: RedisConnectionInfo,
    slots: Vec<Mutex<Option<Connection>>>,
    next: AtomicUsize,
}

/// One connection; clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) requests: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// The task that carries bytes both ways. It ends when Redis closes the connection, or with the
/// runtime it was made in; so a connection that is of no more use is seen before it is used.
struct Driver {
    task: JoinHandle<()>,
    spoilt: AtomicBool,
}

impl Connections {
    pub(super) fn new(settings: &RedisSettings) -> Self {
        let mut login = RedisConnectionInfo::default()
            .set_db(i64::from(settings.database))
            .set_skip_set_lib_name();
        if let Some(username) = &settings.username {
            login = login.set_username(username);
        }
        if let Some(password) = &settings.password {
            login = login.set_password(password.expose());
        }
        Self {
            host: settings.host.clone(),
            port: settings.port,
            login,
            slots: (0..settings.connections.max(1)).map(|_| Mutex::new(None)).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The next connection in turn, opened if need be. A connection that is opened touches all
    /// partitions before anything else: where Redis lost its memory, a new epoch begins with it.
    pub(super) async fn take(&self, partitions: &Partitions) -> Result<Connection, RegisterError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let mut slot = self.slots[turn].lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| connection.is_usable()) {
            return Ok(connection.clone());
        }
        *slot = None;
        let mut connection = self.open().await?;
        partitions.survey(&mut connection.requests).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    async fn open(&self) -> Result<Connection, RegisterError> {
        let broken = |error| RegisterError::Unreachable(format!("{self}: {error}"));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(broken)?;
        // Else a step would wait for the acknowledgement of the one before it.
        stream.set_nodelay(true).map_err(broken)?;
        // The caller's own time limit covers all; the client's would come on top.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(CALLS_QUEUED_MAX);
        let (requests, driver) =
            MultiplexedConnection::new_with_config(&self.login, stream, config)
                .await
                .map_err(|error| fault(&error))?;
        let driver = Driver { task: tokio::spawn(driver), spoilt: AtomicBool::new(false) };
        Ok(Connection { requests, driver: Arc::new(driver) })
    }
}

impl Connection {
    /// Lets nobody take this connection again. Calls under way on it go on.
    pub(super) fn spoil(&self) {
        self.driver.spoilt.store(true, Ordering::Relaxed);
    }

    fn is_usable(&self) -> bool {
        !self.driver.spoilt.load(Ordering::Relaxed) && !self.driver.task.is_finished()
    }
}

impl Drop for Driver {
    /// A peer that vanished would keep the task waiting for ever.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where, and never with which password.
impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "redis://[{}]:{}/{}", self.host, self.port, self.login.db())
        } else {
            write!(f, "redis://{}:{}/{}", self.host, self.port, self.login.db())
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections({self})")
    }
}

/// Calls a connection takes on before its callers wait.
const CALLS_QUEUED_MAX: usize = 1024;
