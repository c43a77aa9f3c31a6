//! All partitions of a register, gone through at once.

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value, cmd};

use super::faults::fault;
use super::format::{PARTITIONS, partition_key};
use super::reply::Reply;
use super::scripts::{Scripts, Step};
use super::suitability;
use crate::register::words::Millis;
use crate::register::{EpochId, RegisterError, Status};

/// What is to be known of a register to touch all of it.
#[derive(Debug)]
pub(super) struct Partitions {
    pub(super) namespace: String,
    pub(super) scripts: Scripts,
    /// This proxy's terms, as the partitions keep them.
    pub(super) terms: String,
}

impl Partitions {
    /// Asks whether this Redis may be used, and touches every partition, so that an epoch that is
    /// due begins now. Also says when that was, on Redis's clock.
    pub(super) async fn survey(
        &self,
        requests: &mut MultiplexedConnection,
    ) -> Result<(Status, Millis), RegisterError> {
        let info: String = cmd("INFO").query_async(requests).await.map_err(|e| fault(&e))?;
        suitability::judge(&info).map_err(RegisterError::Unsuitable)?;
        let mut status = Status { quarantine: std::time::Duration::ZERO, leases: 0 };
        let mut at = Millis(0);
        for mut reply in self.run_in_each(requests, &self.scripts.touch).await? {
            at = at.max(reply.at);
            status.quarantine = status.quarantine.max(reply.duration()?);
            status.leases += usize::try_from(reply.number()?).unwrap_or(usize::MAX);
        }
        Ok((status, at))
    }

    /// Takes everything that the register knows of leases, so that a new epoch begins.
    pub(super) async fn forget(
        &self,
        requests: &mut MultiplexedConnection,
    ) -> Result<(), RegisterError> {
        let mut pipeline = Pipeline::new();
        for partition in 0..PARTITIONS {
            pipeline.del(partition_key(&self.namespace, partition)).ignore();
        }
        pipeline.query_async(requests).await.map_err(|e| fault(&e))
    }

    /// Runs a step that knows no key in every partition, in one round trip.
    pub(super) async fn run_in_each(
        &self,
        requests: &mut MultiplexedConnection,
        step: &Step,
    ) -> Result<Vec<Reply>, RegisterError> {
        let mut pipeline = Pipeline::new();
        pipeline.ignore_errors().cmd("SCRIPT").arg("LOAD").arg(&step.text);
        for partition in 0..PARTITIONS {
            let key = partition_key(&self.namespace, partition);
            pipeline.cmd("EVALSHA").arg(&step.sha).arg(1).arg(key).arg(new_epoch_id().0);
        }
        let answers: Vec<RedisResult<Value>> =
            pipeline.query_async(requests).await.map_err(|e| fault(&e))?;
        let mut answers = answers.into_iter();
        // Without permission to load it, the script's own absence would hide the cause.
        answers.next().transpose().map_err(|e| fault(&e))?;
        answers.map(|answer| Reply::read(answer.map_err(|e| fault(&e))?, &self.terms)).collect()
    }
}

/// A name for an epoch, should one begin: never used twice, also not within one process.
pub(super) fn new_epoch_id() -> EpochId {
    EpochId(crate::chance::name())
}
