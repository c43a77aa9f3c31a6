//! One server of the register, as long as it is a master.

pub(super) mod clock;
pub(super) mod connections;
pub(super) mod fitness;
pub(super) mod partitions;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::RedisConnectionInfo;

use self::clock::ClockWatch;
use self::connections::{Connection, Connections};
use self::partitions::{Partitions, Survey};
use super::settings::Address;
use super::topology::Known;
use crate::register::RegisterError;

/// A server and the connections to it.
#[derive(Debug)]
pub(super) struct Node {
    address: Address,
    connections: Connections,
    pub(super) standing: Arc<Standing>,
}

/// What is known of a server whoever asked it.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) clock: ClockWatch,
    /// The last survey said that it must not be used.
    unfit: AtomicBool,
}

impl Standing {
    pub(super) fn new(clock_jump_max: Duration) -> Self {
        Self { clock: ClockWatch::new(clock_jump_max), unfit: AtomicBool::new(false) }
    }
}

impl Node {
    pub(super) fn new(
        address: Address,
        login: RedisConnectionInfo,
        connections: usize,
        standing: Arc<Standing>,
    ) -> Self {
        Self {
            connections: Connections::new(address.clone(), login, connections),
            address,
            standing,
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection in turn, opened if need be. A connection that is opened touches all of
    /// this server's partitions before anything else: where Redis lost its memory, a new epoch
    /// begins with it. A server that was found unfit is looked at again first.
    pub(super) async fn take(
        &self,
        partitions: &Partitions,
        known: &Known,
    ) -> Result<Connection, RegisterError> {
        let mut turn = self.connections.next().await;
        let found = turn.open_one();
        let unfit = self.standing.unfit.load(Ordering::Relaxed);
        if let (Some(connection), false) = (&found, unfit) {
            return Ok(connection.clone());
        }
        turn.keep(None);
        let mut connection = match found {
            Some(connection) => connection,
            None => self.connections.open().await?,
        };
        self.survey(&mut connection, partitions, known).await?;
        turn.keep(Some(connection.clone()));
        Ok(connection)
    }

    /// Looks at all that this server holds of the register, and whether it may be used.
    pub(super) async fn survey(
        &self,
        connection: &mut Connection,
        partitions: &Partitions,
        known: &Known,
    ) -> Result<Survey, RegisterError> {
        let own = known.masters.partitions_of(&self.address);
        let survey = partitions.survey(&mut connection.requests, &own).await;
        match &survey {
            Ok(_) => self.standing.unfit.store(false, Ordering::Relaxed),
            Err(RegisterError::Unsuitable(_)) => self.standing.unfit.store(true, Ordering::Relaxed),
            Err(
                RegisterError::Unreachable(_) | RegisterError::Full(_) | RegisterError::Disowned(_),
            ) => {}
        }
        survey
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connections.fmt(f)
    }
}
