//! One Redis server that is a master of the register: its connections, its clock, its fitness.

pub(super) mod clock;
pub(super) mod connections;
pub(super) mod fitness;
pub(super) mod partitions;
pub(super) mod transport;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::clock::ClockWatch;
use self::connections::{Access, Connection, Connections};
use self::partitions::{Partitions, Survey};
use super::error::CallError;
use super::settings::Address;
use crate::register::RegisterError;

/// A server and the connections to it.
#[derive(Debug)]
pub(super) struct Node {
    address: Address,
    connections: Connections,
    pub(super) health: Arc<Health>,
}

/// What is known about a server, shared by all copies of a register.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) clock: ClockWatch,
    /// The last survey found that the server must not be used.
    unfit: AtomicBool,
}

impl Health {
    pub(super) fn new(clock_jump_max: Duration) -> Self {
        Self { clock: ClockWatch::new(clock_jump_max), unfit: AtomicBool::new(false) }
    }
}

impl Node {
    pub(super) fn new(
        address: Address,
        access: Access,
        connections: usize,
        health: Arc<Health>,
    ) -> Self {
        Self {
            connections: Connections::new(address.clone(), access, connections),
            address,
            health,
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection in turn, opened if needed. `own` are the numbers of this server's
    /// partitions. A new connection reads all of them first: where Redis lost its memory, a new
    /// epoch begins with it. A server that was found unfit is checked again first.
    pub(super) async fn take(
        &self,
        partitions: &Partitions,
        own: &[u64],
    ) -> Result<Connection, CallError> {
        let mut turn = self.connections.ours().await;
        let found = turn.open_one();
        let unfit = self.health.unfit.load(Ordering::Relaxed);
        if let (Some(connection), false) = (&found, unfit) {
            return Ok(connection.clone());
        }
        if found.is_none() && turn.holds_one() {
            partitions.metrics.register_reconnects.count();
        }
        turn.keep(None);
        let mut connection = match found {
            Some(connection) => connection,
            None => self.connections.open().await?,
        };
        self.survey(&mut connection, partitions, own).await?;
        turn.keep(Some(connection.clone()));
        Ok(connection)
    }

    /// Reads all partitions on this server, and checks whether the server may be used.
    pub(super) async fn survey(
        &self,
        connection: &mut Connection,
        partitions: &Partitions,
        own: &[u64],
    ) -> Result<Survey, CallError> {
        let survey = partitions.survey(&mut connection.requests, own).await;
        match &survey {
            Ok(_) => self.health.unfit.store(false, Ordering::Relaxed),
            Err(CallError::Demoted | CallError::Other(RegisterError::Unsuitable(_))) => {
                self.health.unfit.store(true, Ordering::Relaxed);
            }
            Err(
                CallError::Moved(_)
                | CallError::Other(
                    RegisterError::Unreachable(_)
                    | RegisterError::Full(_)
                    | RegisterError::Disowned(_),
                ),
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
