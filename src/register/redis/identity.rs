//! The register's id in Redis: a key of its own without a time to live, so that new epochs, which
//! empty the partitions, leave it.

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue};
use tokio::time::{Instant, timeout_at};

use super::RedisRegister;
use super::error::{CallError, silent};
use super::format::id_key;
use super::topology::masters::Shard;
use crate::register::RegisterError;
use crate::register::identity::{Identified, RegisterId};

impl RedisRegister {
    /// Sends a command about the id, and a second time where the first server only said that the id
    /// has moved.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RegisterError> {
        let deadline = Instant::now() + self.settings.timeout;
        match self.ask_for_id(command, deadline).await {
            Err(CallError::Moved(_)) => Ok(self.ask_for_id(command, deadline).await?),
            answer => Ok(answer?),
        }
    }

    async fn ask_for_id<T: FromRedisValue>(
        &self,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, CallError> {
        let mut route = self.route_to(Shard::Id, deadline).await?;
        let requests = &mut route.connection.requests;
        let answer = timeout_at(deadline, command.query_async(requests)).await;
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.on_error(&error, &route)),
            Err(_) => {
                route.connection.spoil();
                Err(silent(&route.node, "identity").into())
            }
        }
    }

    fn identity_key(&self) -> String {
        id_key(&self.partitions.namespace)
    }

    fn read_id(&self, text: &str) -> Result<RegisterId, RegisterError> {
        RegisterId::parse(text).ok_or_else(|| {
            RegisterError::Unsuitable(format!(
                "its key {} holds what is no register's id. Is something else using \
                 register.namespace?",
                self.identity_key()
            ))
        })
    }
}

#[async_trait]
impl Identified for RedisRegister {
    async fn name(&self) -> Result<Option<RegisterId>, RegisterError> {
        let found: Option<String> = self.ask(redis::cmd("GET").arg(self.identity_key())).await?;
        found.map(|text| self.read_id(&text)).transpose()
    }

    async fn name_if_nameless(&self, id: &RegisterId) -> Result<RegisterId, RegisterError> {
        let mut set = redis::cmd("SET");
        set.arg(self.identity_key()).arg(id.as_str()).arg("NX").arg("GET");
        let before: Option<String> = self.ask(&set).await?;
        before.map_or_else(|| Ok(id.clone()), |text| self.read_id(&text))
    }
}
