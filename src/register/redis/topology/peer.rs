//! A peer: a Sentinel, or a member of a cluster, that is asked which server is the master.

use std::fmt;
use std::time::Duration;

use redis::{Pipeline, RedisError, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::register::redis::node::connections::{Access, Connection, OpenError, open};
use crate::register::redis::settings::Address;

/// A server and one connection to it, which is kept while the server answers.
pub(super) struct Peer {
    address: Address,
    access: Access,
    kept: Mutex<Option<Connection>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The server was not reached, or did not answer in time.
    #[error("{0}")]
    Silent(String),
    /// The answer was an error.
    #[error("{} {}", .0.code().unwrap_or_default(), .0.detail().unwrap_or_default())]
    Error(RedisError),
}

impl Peer {
    pub(super) fn new(address: Address, access: Access) -> Self {
        Self { address, access, kept: Mutex::new(None) }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends this pipeline (which ignores errors); `patience` includes connecting.
    pub(super) async fn ask(
        &self,
        questions: &Pipeline,
        patience: Duration,
    ) -> Result<Vec<Value>, Unanswered> {
        let asking = async {
            let mut kept = self.kept.lock().await;
            // The connection is put back only after an answer, so that a call that hangs on it does
            // not delay a later call.
            let connection = kept.take().filter(Connection::is_usable);
            let mut connection = match connection {
                Some(connection) => connection,
                None => open(&self.address, &self.access).await.map_err(|error| match error {
                    OpenError::Unreachable(error) => Unanswered::Silent(error.to_string()),
                    OpenError::Refused(error) => Unanswered::of(error),
                })?,
            };
            let answers = questions.query_async(&mut connection.requests).await;
            // Read as a list of results: redis-rs would otherwise hide the first error behind one
            // about the pipeline.
            let answers: RedisResult<Vec<RedisResult<Value>>> = answers;
            let answers = answers.and_then(|each| each.into_iter().collect());
            let answers = answers.map_err(Unanswered::of);
            if !matches!(answers, Err(Unanswered::Silent(_))) {
                *kept = Some(connection);
            }
            answers
        };
        let late = || Err(Unanswered::Silent("no answer in time".to_owned()));
        timeout(patience, asking).await.unwrap_or_else(|_| late())
    }
}

impl Unanswered {
    fn of(error: RedisError) -> Self {
        // Where the server answered, there is a code.
        if error.code().is_some() || error.kind() == redis::ErrorKind::AuthenticationFailed {
            Self::Error(error)
        } else {
            Self::Silent(error.to_string())
        }
    }

    /// Did the server refuse the user name or the password?
    pub(super) fn is_login(&self) -> bool {
        match self {
            Self::Silent(_) => false,
            Self::Error(error) => {
                error.kind() == redis::ErrorKind::AuthenticationFailed
                    || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
            }
        }
    }

    /// Did the server say that its user may not run this command?
    pub(super) fn is_permission(&self) -> bool {
        matches!(self, Self::Error(error) if error.code() == Some("NOPERM"))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.address)
    }
}
