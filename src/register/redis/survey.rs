//! Calls to every master at once: the survey, and the end of a quarantine by an operator.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::RedisRegister;
use super::calls::Route;
use super::error::{CallError, silent};
use super::node::Node;
use super::node::partitions::Survey;
use super::reply::Reply;
use super::topology::masters::TopologySnapshot;
use super::topology::no_master;
use crate::register::{RegisterError, Status};

/// A master and the route to it, or the reason why no route was found.
struct Reached {
    node: Arc<Node>,
    route: Result<Route, CallError>,
}

impl RedisRegister {
    /// Surveys every master.
    pub(super) async fn survey_all(&self) -> Result<Status, RegisterError> {
        let deadline = Instant::now() + self.settings.timeout;
        let (masters, snapshot) = self.every_master(deadline).await?;
        let looking = masters.into_iter().map(|master| self.look_at(master, deadline));
        let surveys = all(join_all(looking).await, &snapshot)?;
        let mut status = Status { quarantine: Duration::ZERO, leases: 0 };
        for survey in surveys {
            if let Some(elsewhere) = survey.elsewhere {
                return Err(elsewhere);
            }
            status.quarantine = status.quarantine.max(survey.status.quarantine);
            status.leases += survey.status.leases;
        }
        Ok(status)
    }

    /// Ends the quarantine of every master's partitions.
    pub(super) async fn skip_quarantine_of_all(&self) -> Result<(), RegisterError> {
        let deadline = Instant::now() + self.settings.timeout;
        let (masters, snapshot) = self.every_master(deadline).await?;
        let skipping = masters.into_iter().map(|master| self.skip_quarantine_of(master, deadline));
        all(join_all(skipping).await, &snapshot).map(drop)
    }

    /// Every master, named by a snapshot that is fresh at this moment.
    async fn every_master(
        &self,
        deadline: Instant,
    ) -> Result<(Vec<Reached>, TopologySnapshot), RegisterError> {
        loop {
            let snapshot = self.router.masters(deadline).await?;
            let connected = snapshot.masters.each().into_keys().map(async |address| {
                let node = self.router.node(address, &snapshot);
                let connection = self.connection_to(&node, &snapshot, deadline).await;
                let route = connection.map(|connection| Route {
                    node: Arc::clone(&node),
                    connection,
                    snapshot: snapshot.clone(),
                });
                Reached { node, route }
            });
            let masters = join_all(connected).await;
            if snapshot.is_fresh() {
                return Ok((masters, snapshot));
            }
        }
    }

    /// Surveys one master and compares its clock.
    async fn look_at(&self, master: Reached, deadline: Instant) -> Result<Survey, CallError> {
        let mut route = master.route?;
        let asked = Instant::now();
        let own = route.snapshot.masters.partitions_of(route.node.address());
        let survey = master.node.survey(&mut route.connection, &self.partitions, &own);
        let survey = timeout_at(deadline, survey).await;
        let survey = survey.unwrap_or_else(|_| Err(silent(&route.node, "check").into()));
        let survey = survey.inspect_err(|_| route.connection.spoil());
        let survey = survey.map_err(|error| self.unless_guided(error, &route.snapshot))?;
        self.compare_clocks(&mut route, asked, survey.at, deadline).await?;
        Ok(survey)
    }

    /// Ends the quarantine of one master's partitions.
    async fn skip_quarantine_of(
        &self,
        master: Reached,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let step = &self.library().skip_quarantine;
        let mut route = master.route?;
        let own = route.snapshot.masters.partitions_of(route.node.address());
        let skip = self.partitions.run_in(&mut route.connection.requests, step, &own);
        let answers = timeout_at(deadline, skip).await;
        let answers = answers.unwrap_or_else(|_| Err(silent(&route.node, step.name).into()));
        for answer in answers.inspect_err(|_| route.connection.spoil())? {
            let value = answer.map_err(|error| CallError::from(&error))?;
            Reply::read(value, &self.partitions.terms)?;
        }
        Ok(())
    }
}

/// The answers of all masters. An error is returned last, after everything possible was done.
fn all<T>(
    done: Vec<Result<T, CallError>>,
    snapshot: &TopologySnapshot,
) -> Result<Vec<T>, RegisterError> {
    let done = done.into_iter().collect::<Result<_, _>>()?;
    match snapshot.masters.missing() {
        0 => Ok(done),
        missing => Err(no_master(missing)),
    }
}
