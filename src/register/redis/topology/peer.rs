//! A server that is asked who the master is: a Sentinel, or a member of a cluster.

use std::fmt;
use std::time::Duration;

use redis::{Pipeline, RedisConnectionInfo, RedisError, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::register::redis::node::connections::{Connection, OpenError, open};
use crate::register::redis::settings::Address;

/// Asked over one connection, which is kept while it answers.
pub(super) struct Voter {
    address: Address,
    login: RedisConnectionInfo,
    kept: Mutex<Option<Connection>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nobody there, or not in time.
    Silent(String),
    /// An error for an answer.
    Error(RedisError),
}

impl Voter {
    pub(super) fn new(address: Address, login: RedisConnectionInfo) -> Self {
        Self { address, login, kept: Mutex::new(None) }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Puts these questions (which ignore errors); `patience` covers connecting too.
    pub(super) async fn ask(
        &self,
        questions: &Pipeline,
        patience: Duration,
    ) -> Result<Vec<Value>, Unanswered> {
        let asking = async {
            let mut kept = self.kept.lock().await;
            // Put back only once it has answered: what waits on it now must not delay what is asked
            // later.
            let connection = kept.take().filter(Connection::is_usable);
            let mut connection = match connection {
                Some(connection) => connection,
                None => open(&self.address, &self.login).await.map_err(|error| match error {
                    OpenError::Unreachable(error) => Unanswered::Silent(error.to_string()),
                    OpenError::Refused(error) => Unanswered::of(error),
                })?,
            };
            let answers = questions.query_async(&mut connection.requests).await;
            // Else the first error would hide in one about the pipeline.
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
        // The server said something: then the code is there.
        if error.code().is_some() || error.kind() == redis::ErrorKind::AuthenticationFailed {
            Self::Error(error)
        } else {
            Self::Silent(error.to_string())
        }
    }

    /// Was it the user name or the password?
    pub(super) fn is_login(&self) -> bool {
        match self {
            Self::Silent(_) => false,
            Self::Error(error) => {
                error.kind() == redis::ErrorKind::AuthenticationFailed
                    || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
            }
        }
    }

    /// Does it say that its user may not ask this?
    pub(super) fn is_permission(&self) -> bool {
        matches!(self, Self::Error(error) if error.code() == Some("NOPERM"))
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(why) => f.write_str(why),
            Self::Error(error) => {
                let (code, detail) = (error.code(), error.detail());
                write!(f, "{} {}", code.unwrap_or_default(), detail.unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Voter({})", self.address)
    }
}
