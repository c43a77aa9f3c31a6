//! Pipelines of commands over all partitions on one server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value, cmd};

use super::fitness::{self, Demands, Wanted};
use crate::metrics::Metrics;
use crate::register::redis::error::{
    CallError, is_elsewhere, is_loaded_already, is_not_loaded, is_withheld,
};
use crate::register::redis::format::partition_key;
use crate::register::redis::reply::Reply;
use crate::register::redis::scripts::{Library, Step};
use crate::register::types::Millis;
use crate::register::{EpochId, RegisterError, Status};

/// What all partitions of a register have in common.
#[derive(Debug)]
pub(crate) struct Partitions {
    pub(crate) namespace: String,
    pub(crate) library: Library,
    /// This proxy's terms, in the form that the partitions store.
    pub(crate) terms: String,
    /// The requirements on the servers that hold the partitions.
    pub(crate) demands: Demands,
    /// Where the use of the servers is counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// The status of one server's partitions.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) status: Status,
    /// The time of the reading, on Redis's clock.
    pub(crate) at: Millis,
    /// Some partitions were missing, or moving to another server.
    pub(crate) elsewhere: Option<RegisterError>,
}

impl Partitions {
    /// Checks whether this Redis may be used, and reads these partitions, so that an epoch that is
    /// due begins now.
    pub(crate) async fn survey(
        &self,
        requests: &mut MultiplexedConnection,
        partitions: &[u64],
    ) -> Result<Survey, CallError> {
        let info: String =
            cmd("INFO").query_async(requests).await.map_err(|e| CallError::from(&e))?;
        let wanted = fitness::judge(&info, &self.demands)?;
        if let Some(wanted) = wanted {
            self.judge_configuration(requests, wanted).await?;
        }
        let mut status = Status { quarantine: Duration::ZERO, leases: 0, servers: Vec::new() };
        // On a server that has only the register's id, no leases are counted by the clock.
        let mut at = partitions.is_empty().then_some(Millis(0));
        let mut elsewhere = None;
        for answer in self.run_in(requests, &self.library.survey, partitions).await? {
            let mut reply = match answer {
                Ok(value) => Reply::read(value, &self.terms)?,
                Err(error) if is_elsewhere(&error) => {
                    elsewhere = Some(CallError::from(&error).into());
                    continue;
                }
                Err(error) => return Err((&error).into()),
            };
            at = at.max(Some(reply.at));
            status.quarantine = status.quarantine.max(reply.duration()?);
            status.leases += usize::try_from(reply.number()?).unwrap_or(usize::MAX);
        }
        match at {
            Some(at) => Ok(Survey { status, at, elsewhere }),
            None => Err(elsewhere
                .unwrap_or_else(|| {
                    let nothing = "it holds none of the register's partitions".to_owned();
                    RegisterError::Unreachable(nothing)
                })
                .into()),
        }
    }

    async fn judge_configuration(
        &self,
        requests: &mut MultiplexedConnection,
        wanted: Wanted,
    ) -> Result<(), CallError> {
        let mut question = cmd("CONFIG");
        question.arg("GET").arg(wanted.parameters());
        let answer: RedisResult<HashMap<String, String>> = question.query_async(requests).await;
        let configuration = match answer {
            Ok(configuration) => Some(configuration),
            Err(error) if is_withheld(&error) => None,
            Err(error) => return Err((&error).into()),
        };
        Ok(wanted.judge(configuration.as_ref(), &self.demands)?)
    }

    /// Deletes all leases of these partitions, so that a new epoch begins.
    pub(crate) async fn forget(
        &self,
        requests: &mut MultiplexedConnection,
        partitions: &[u64],
    ) -> Result<(), CallError> {
        let mut pipeline = Pipeline::new();
        for partition in partitions {
            pipeline.del(partition_key(&self.namespace, *partition)).ignore();
        }
        pipeline.query_async(requests).await.map_err(|e| CallError::from(&e))
    }

    /// Runs a step that is about no key in each of these partitions, in one round trip; in two where
    /// the library has to be loaded first.
    pub(crate) async fn run_in(
        &self,
        requests: &mut MultiplexedConnection,
        step: &Step,
        partitions: &[u64],
    ) -> Result<Vec<RedisResult<Value>>, CallError> {
        let mut pipeline = Pipeline::new();
        pipeline.ignore_errors();
        for partition in partitions {
            let key = partition_key(&self.namespace, *partition);
            pipeline.cmd("FCALL").arg(&step.function).arg(1).arg(key).arg(new_epoch_id().0);
        }
        let answers = async |requests: &mut MultiplexedConnection| {
            let answers = pipeline.query_async::<Vec<RedisResult<Value>>>(requests).await;
            answers.map_err(|error| CallError::from(&error))
        };
        let found = answers(requests).await?;
        if !found.iter().any(|answer| answer.as_ref().is_err_and(is_not_loaded)) {
            return Ok(found);
        }
        self.load(requests).await.map_err(|error| CallError::from(&error))?;
        answers(requests).await
    }

    /// Runs a step that is about all partitions of a server at once, and loads the library where it is
    /// missing. `partitions`: those of the server, in a cluster.
    pub(crate) async fn run_over(
        &self,
        requests: &mut MultiplexedConnection,
        step: &Step,
        arguments: &[&[u8]],
        partitions: &[u64],
    ) -> RedisResult<Value> {
        let mut command = cmd("FCALL");
        command.arg(&step.function).arg(0).arg(new_epoch_id().0).arg(arguments);
        command.arg(&self.namespace).arg(partitions);
        match command.query_async(requests).await {
            Err(error) if is_not_loaded(&error) => {
                self.load(requests).await?;
                command.query_async(requests).await
            }
            answer => answer,
        }
    }

    /// Loads the library of the steps. Never in place of one that is there, which would lose its
    /// memory.
    pub(crate) async fn load(&self, requests: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut load = cmd("FUNCTION");
        load.arg("LOAD").arg(&self.library.text);
        match load.query_async(requests).await {
            Err(error) if is_loaded_already(&error) => Ok(()),
            loaded => loaded,
        }
    }
}

/// A new epoch's name. Names are unique, also within one process.
pub(crate) fn new_epoch_id() -> EpochId {
    EpochId(crate::random::id())
}
