//! Calls of steps: find the server, run the function there, compare the clocks, read the answer. A
//! call is repeated only where that is safe.

use std::sync::Arc;

use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use super::RedisRegister;
use super::error::{CallError, is_not_loaded, silent, spoils_connection};
use super::format::{Keys, keys_of};
use super::node::Node;
use super::node::clock::Reading;
use super::node::connections::Connection;
use super::node::partitions::{Partitions, new_epoch_id};
use super::reply::Reply;
use super::scripts::Step;
use super::topology::masters::{Shard, TopologySnapshot};
use crate::metrics::labels::Alarm;
use crate::register::RegisterError;
use crate::register::types::Millis;
use crate::s3::ObjectName;

/// May a step whose answer was lost be run again? Only where running it twice has the effect of
/// once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Never,
    Once,
}

/// A master, a connection to it, and the snapshot that names it as the master.
pub(super) struct Route {
    pub(super) node: Arc<Node>,
    pub(super) connection: Connection,
    pub(super) snapshot: TopologySnapshot,
}

/// One run of a step: its function, its keys, its arguments.
struct Call<'a> {
    step: &'a Step,
    keys: &'a Keys,
    arguments: &'a [&'a [u8]],
}

impl RedisRegister {
    /// Runs a step on a key within the time limit.
    pub(super) async fn run(
        &self,
        step: &Step,
        name: &ObjectName,
        arguments: &[&[u8]],
        repeat: Repeat,
    ) -> Result<Reply, RegisterError> {
        let keys = keys_of(&self.partitions.namespace, name);
        let call = Call { step, keys: &keys, arguments };
        let began = Instant::now();
        if repeat == Repeat::Once {
            let half = began + self.settings.timeout / 2;
            match self.attempt(&call, half).await {
                Err(RegisterError::Unreachable(_)) => {}
                settled => return settled,
            }
        }
        self.attempt(&call, began + self.settings.timeout).await
    }

    /// Runs a call, and a second time where the first server only said that the partition has
    /// moved.
    async fn attempt(&self, call: &Call<'_>, deadline: Instant) -> Result<Reply, RegisterError> {
        match self.ask_once(call, deadline).await {
            Err(CallError::Moved(_)) => Ok(self.ask_once(call, deadline).await?),
            answer => Ok(answer?),
        }
    }

    async fn ask_once(&self, call: &Call<'_>, deadline: Instant) -> Result<Reply, CallError> {
        let mut route = self.route_to(Shard::Partition(call.keys.number), deadline).await?;
        let asked = Instant::now();
        match timeout_at(deadline, call.run(&mut route.connection, &self.partitions)).await {
            Ok(Ok(value)) => {
                let reply = Reply::read(value, &self.partitions.terms);
                let reply = reply.map_err(|error| self.on_demoted(error, &route))?;
                self.compare_clocks(&mut route, asked, reply.at, deadline).await?;
                Ok(reply)
            }
            Ok(Err(error)) => Err(self.on_error(&error, &route)),
            Err(_) => {
                route.connection.spoil();
                Err(silent(&route.node, call.step.name).into())
            }
        }
    }

    /// The meaning of a call's error, also for the connection and the snapshot.
    pub(super) fn on_error(&self, error: &RedisError, route: &Route) -> CallError {
        if spoils_connection(error) {
            route.connection.spoil();
        }
        let error = CallError::from(error);
        if matches!(error, CallError::Moved(_)) {
            self.router.discard(&route.snapshot);
        }
        self.on_demoted(error, route)
    }

    /// A route to the master of this shard, named by a snapshot that is fresh at this moment.
    pub(super) async fn route_to(
        &self,
        shard: Shard,
        deadline: Instant,
    ) -> Result<Route, CallError> {
        loop {
            let snapshot = self.router.masters(deadline).await?;
            let node = self.router.node_of(shard, &snapshot)?;
            let connection = self.connection_to(&node, &snapshot, deadline).await?;
            // Connecting may have taken longer than the snapshot stays fresh.
            if snapshot.is_fresh() {
                return Ok(Route { node, connection, snapshot });
            }
        }
    }

    pub(super) async fn connection_to(
        &self,
        node: &Node,
        snapshot: &TopologySnapshot,
        deadline: Instant,
    ) -> Result<Connection, CallError> {
        let own = snapshot.masters.partitions_of(node.address());
        let taken = timeout_at(deadline, node.take(&self.partitions, &own)).await;
        let taken = taken.unwrap_or_else(|_| Err(silent(node, "connecting").into()));
        taken.map_err(|error| self.unless_guided(error, snapshot))
    }

    /// Where Sentinels or a cluster name the master, a master that became a replica is no error of
    /// the operator: the snapshot is out of date.
    pub(super) fn unless_guided(&self, error: CallError, snapshot: &TopologySnapshot) -> CallError {
        if !self.router.is_guided() || error != CallError::Demoted {
            return error;
        }
        self.router.discard(snapshot);
        RegisterError::Unreachable("the master has become a replica".to_owned()).into()
    }

    /// As [`Self::unless_guided`], after a call: the connection to such a server is no longer of
    /// use.
    pub(super) fn on_demoted(&self, error: CallError, route: &Route) -> CallError {
        if error == CallError::Demoted {
            route.connection.spoil();
        }
        self.unless_guided(error, &route.snapshot)
    }

    /// Refuses an answer that shows that the clock of Redis has jumped: leases may have ended
    /// early, perhaps the one that this answer grants. The register forgets all leases that this
    /// server holds, and grants none until all writes sent under them can no longer land.
    ///
    /// The error is never a [`CallError::Moved`], after which a step is run on another server: this
    /// server has run it.
    pub(super) async fn compare_clocks(
        &self,
        Route { node, connection, snapshot }: &mut Route,
        asked: Instant,
        at: Millis,
        deadline: Instant,
    ) -> Result<(), RegisterError> {
        let reading = Reading { asked, answered: Instant::now(), at };
        let Some(jump) = node.health.clock.jump(reading) else { return Ok(()) };
        let metrics = &self.partitions.metrics;
        metrics.alarms.count(Alarm::ClockJumped);
        metrics.register_clock_jump_ms.raise(i64::try_from(jump.as_millis()).unwrap_or(i64::MAX));
        tracing::error!(
            jump_s = jump.as_secs_f64(),
            "ALARM: the clock of {node} has jumped, or this machine has slept; the register begins a \
             new epoch"
        );
        let own = snapshot.masters.partitions_of(node.address());
        let forget = self.partitions.forget(&mut connection.requests, &own);
        let forgotten = timeout_at(deadline, forget).await;
        forgotten.unwrap_or_else(|_| Err(silent(node, "forgetting").into()))?;
        node.health.clock.accept(reading);
        Err(RegisterError::Unreachable(format!("{node}: its clock has jumped")))
    }
}

impl Call<'_> {
    /// Calls the function, and loads the library where Redis does not know it and so has run nothing
    /// of it.
    async fn run(
        &self,
        connection: &mut Connection,
        partitions: &Partitions,
    ) -> RedisResult<Value> {
        let mut command = Cmd::new();
        command.arg("FCALL").arg(&self.step.function).arg(2);
        command.arg(&self.keys.partition).arg(&self.keys.key);
        command.arg(new_epoch_id().0).arg(self.arguments);
        match command.query_async(&mut connection.requests).await {
            Err(error) if is_not_loaded(&error) => {
                partitions.load(&mut connection.requests).await?;
                command.query_async(&mut connection.requests).await
            }
            answer => answer,
        }
    }
}
