//! Calls to every master at once: the survey, the young keys of a listing, and the end of a quarantine
//! by an operator.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::calls::Route;
use super::error::{CallError, silent};
use super::format::young_of;
use super::node::Node;
use super::node::partitions::Survey;
use super::reply::{Reply, strange};
use super::topology::masters::TopologySnapshot;
use super::topology::no_master;
use super::{RedisRegister, Topology};
use crate::register::{KeyRange, Millis, RegisterError, RegisterServer, Status, YoungKeys};

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
        let names: Vec<_> = masters.iter().map(|master| master.node.to_string()).collect();
        let looking = masters.into_iter().map(|master| self.look_at(master, deadline));
        let surveys = all(join_all(looking).await, &snapshot)?;
        let mut status = Status { quarantine: Duration::ZERO, leases: 0, servers: Vec::new() };
        for (name, survey) in names.into_iter().zip(surveys) {
            if let Some(elsewhere) = survey.elsewhere {
                return Err(elsewhere);
            }
            status.quarantine = status.quarantine.max(survey.status.quarantine);
            status.leases += survey.status.leases;
            let Status { quarantine, leases, .. } = survey.status;
            status.servers.push(RegisterServer { name, quarantine, leases });
        }
        Ok(status)
    }

    /// The young keys of a range, of all masters.
    pub(super) async fn young_keys_of_all(
        &self,
        range: &KeyRange<'_>,
    ) -> Result<YoungKeys, RegisterError> {
        if self.lag.is_zero() {
            return Ok(YoungKeys::default());
        }
        let deadline = Instant::now() + self.settings.timeout;
        let (masters, snapshot) = self.every_master(deadline).await?;
        let limit = self.limit_of_a_set(range);
        let asking =
            masters.into_iter().map(|master| self.young_keys_at(master, range, limit, deadline));
        let mut young = YoungKeys::default();
        for (mut reply, at) in all(join_all(asking).await, &snapshot)? {
            young.quarantine = young.quarantine.max(reply.duration()?);
            young.incomplete |= reply.number()? > 0;
            let mut lists = reply.lists();
            let epochs = lists.next().transpose()?.unwrap_or_default().into_iter().collect();
            for entries in lists {
                let entries = entries?.into_iter();
                let entries = entries.map(|entry| young_of(range.bucket, &epochs, &entry));
                let entries = entries.collect::<Option<Vec<_>>>();
                let entries = entries.ok_or_else(|| strange("no entry of a young set"))?;
                young.add(entries, limit, (self.lag, at));
            }
        }
        Ok(young.within_horizon())
    }

    /// How many entries of each set are read. In a cluster each partition has sets of its own, and a page
    /// ends where the first of them was not read to its end: so of each more than its share.
    fn limit_of_a_set(&self, range: &KeyRange<'_>) -> usize {
        match self.settings.topology {
            Topology::Cluster(_) => (range.limit / 16).max(8),
            Topology::Single { .. } | Topology::Sentinels(_) => range.limit,
        }
    }

    /// What one master knows of the young keys of a range, and when it said so.
    async fn young_keys_at(
        &self,
        master: Reached,
        range: &KeyRange<'_>,
        limit: usize,
        deadline: Instant,
    ) -> Result<(Reply, Millis), CallError> {
        let step = &self.library().young_keys;
        let mut route = master.route?;
        let own = match self.settings.topology {
            Topology::Cluster(_) => route.snapshot.masters.partitions_of(route.node.address()),
            // It has all of them.
            Topology::Single { .. } | Topology::Sentinels(_) => Vec::new(),
        };
        let ([first, last], limit) = (range.lex_bounds(), limit.to_string());
        let arguments: [&[u8]; 3] = [&first, &last, limit.as_bytes()];
        let asked = Instant::now();
        let requests = &mut route.connection.requests;
        let asking = self.partitions.run_over(requests, step, &arguments, &own);
        match timeout_at(deadline, asking).await {
            Ok(Ok(value)) => {
                let reply = Reply::read(value, &self.partitions.terms);
                let reply = reply.map_err(|error| self.on_demoted(error, &route))?;
                let at = reply.at;
                self.compare_clocks(&mut route, asked, at, deadline).await?;
                Ok((reply, at))
            }
            Ok(Err(error)) => Err(self.on_error(&error, &route)),
            Err(_) => {
                route.connection.spoil();
                Err(silent(&route.node, step.name).into())
            }
        }
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
