//! The name of a register in Redis: a key of its own without a time to live, so that new epochs, which
//! empty the partitions, leave it.

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue};
use tokio::time::{Instant, timeout_at};

use super::RedisRegister;
use super::faults::{fault, spoils_connection};
use crate::register::RegisterError;
use crate::register::identity::{Identified, RegisterId};

impl RedisRegister {
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RegisterError> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut connection = self.connection(deadline).await?;
        let answer = timeout_at(deadline, command.query_async(&mut connection.requests)).await;
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if spoils_connection(&error) {
                    connection.spoil();
                }
                Err(fault(&error))
            }
            Err(_) => {
                connection.spoil();
                Err(self.silent("identity"))
            }
        }
    }

    fn identity_key(&self) -> String {
        format!("{{{}:id}}", self.partitions.namespace)
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
