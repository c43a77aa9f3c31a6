//! The router: finds the server of each step.
//!
//! Sentinels, or the members of a cluster, are asked again and again which servers are the masters.
//! Their answer is a [`TopologySnapshot`], which may be used for a fixed time, counted on this
//! machine's own clock from before the question. So after that time the proxies ask a replaced
//! master for nothing, even if neither they nor the master itself were told. A new master's
//! quarantine is longer by the same time (`Terms::failover_lag`).

mod cluster;
pub(super) mod masters;
mod peer;
mod sentinel;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use self::cluster::Cluster;
use self::masters::{Masters, Shard, TopologySnapshot};
use self::sentinel::Sentinels;
use super::node::connections::{Access, login};
use super::node::transport::RegisterTls;
use super::node::{Health, Node};
use super::settings::{Address, RedisSettings, Topology};
use crate::register::RegisterError;

/// How the masters are found.
#[derive(Debug)]
enum Guide {
    /// The operator has named the one server.
    Operator(Address),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

impl Guide {
    fn new(settings: &RedisSettings, access: &Access) -> Self {
        match &settings.topology {
            Topology::Single { address, .. } => Self::Operator(address.clone()),
            Topology::Sentinels(settings) => {
                Self::Sentinels(Sentinels::new(settings, access.tls.clone()))
            }
            Topology::Cluster(seeds) => {
                Self::Cluster(Cluster::new(seeds, access.clone(), &settings.namespace))
            }
        }
    }
}

/// The part that all copies of a register share.
#[derive(Debug)]
struct Common {
    snapshot: Mutex<Option<TopologySnapshot>>,
    healths: Mutex<HashMap<Address, Arc<Health>>>,
    tls: Option<Arc<RegisterTls>>,
    clock_jump_max: Duration,
    snapshot_ttl: Duration,
}

/// Finds the server of a step.
#[derive(Debug)]
pub(super) struct Router {
    common: Arc<Common>,
    guide: Guide,
    access: Access,
    connections: usize,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    /// Locked by one task at a time, while Sentinels or a cluster are asked. Keeps the error of the
    /// last failed question, and when that question was asked.
    asking: tokio::sync::Mutex<Option<(Instant, RegisterError)>>,
}

impl Router {
    /// `snapshot_ttl`: how long an answer of Sentinels or of a cluster may be used.
    pub(super) fn new(
        settings: &RedisSettings,
        tls: Option<Arc<RegisterTls>>,
        snapshot_ttl: Duration,
    ) -> Self {
        let snapshot = match &settings.topology {
            Topology::Single { address, .. } => {
                let masters = Arc::new(Masters::all_at(address));
                Some(TopologySnapshot { masters, asked: Instant::now(), ttl: None })
            }
            Topology::Sentinels(_) | Topology::Cluster(_) => None,
        };
        let common = Common {
            snapshot: Mutex::new(snapshot),
            healths: Mutex::default(),
            tls,
            clock_jump_max: settings.clock_jump_max,
            snapshot_ttl,
        };
        Self::over(settings, Arc::new(common))
    }

    /// A router with connections of its own. The two share what either of them learns.
    pub(super) fn apart(&self, settings: &RedisSettings) -> Self {
        Self::over(settings, Arc::clone(&self.common))
    }

    fn over(settings: &RedisSettings, common: Arc<Common>) -> Self {
        let access = Access { login: login_of(settings), tls: common.tls.clone() };
        Self {
            common,
            guide: Guide::new(settings, &access),
            access,
            connections: settings.connections,
            nodes: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// A fresh snapshot; asks for the masters if there is none.
    pub(super) async fn masters(
        &self,
        deadline: Instant,
    ) -> Result<TopologySnapshot, RegisterError> {
        if let Some(snapshot) = self.common.fresh() {
            return Ok(snapshot);
        }
        let came = Instant::now();
        let asking = async {
            let mut failed = self.asking.lock().await;
            if let Some(snapshot) = self.common.fresh() {
                return Ok(snapshot);
            }
            // A question that was asked while this task waited for the lock counts for this task,
            // too.
            if let Some((asked, error)) = &*failed
                && *asked >= came
            {
                return Err(error.clone());
            }
            self.ask(&mut failed).await
        };
        let late = || Err(RegisterError::Unreachable("no master was found in time".to_owned()));
        timeout_at(deadline, asking).await.unwrap_or_else(|_| late())
    }

    /// Keeps the snapshot fresh, as long as this future is polled.
    pub(super) async fn keep_asking(&self) {
        if !self.is_guided() {
            return;
        }
        let mut in_sight = true;
        loop {
            sleep(self.common.snapshot_ttl / QUESTIONS_PER_TTL).await;
            let mut failed = self.asking.lock().await;
            let answer = self.ask(&mut failed).await;
            drop(failed);
            match answer {
                Ok(_) if !in_sight => tracing::info!("the register's masters are known again"),
                Err(error) if in_sight => {
                    tracing::warn!(%error, "the register's masters are no longer known");
                }
                Ok(_) | Err(_) => {}
            }
            in_sight = self.common.fresh().is_some();
        }
    }

    async fn ask(
        &self,
        failed: &mut Option<(Instant, RegisterError)>,
    ) -> Result<TopologySnapshot, RegisterError> {
        let asked = Instant::now();
        let patience = self.common.snapshot_ttl / 2;
        let answer = match &self.guide {
            Guide::Operator(address) => Ok(Masters::all_at(address)),
            Guide::Sentinels(sentinels) => sentinels.ask(patience).await,
            Guide::Cluster(cluster) => cluster.ask(patience).await,
        };
        match answer {
            Ok(masters) => Ok(self.common.learn(masters, asked)),
            Err(error) => {
                *failed = Some((asked, error.clone()));
                Err(error)
            }
        }
    }

    /// May another server become the master, so that Sentinels or a cluster must be asked?
    pub(super) fn is_guided(&self) -> bool {
        !matches!(self.guide, Guide::Operator(_))
    }

    /// Discards the snapshot: a server's answer contradicts it.
    pub(super) fn discard(&self, snapshot: &TopologySnapshot) {
        let mut present = lock(&self.common.snapshot);
        let is_older = |present: &TopologySnapshot| present.asked <= snapshot.asked;
        if self.is_guided() && present.as_ref().is_some_and(is_older) {
            *present = None;
        }
    }

    /// The node with this address. Connections to servers that are no longer masters are dropped.
    pub(super) fn node(&self, address: &Address, snapshot: &TopologySnapshot) -> Arc<Node> {
        let mut nodes = lock(&self.nodes);
        if let Some(node) = nodes.get(address) {
            return Arc::clone(node);
        }
        let each = snapshot.masters.each();
        nodes.retain(|address, _| {
            each.contains_key(address) || snapshot.masters.of(Shard::Id) == Some(address)
        });
        let health = self.common.health(address);
        let node = Node::new(address.clone(), self.access.clone(), self.connections, health);
        let node = Arc::new(node);
        nodes.insert(address.clone(), Arc::clone(&node));
        node
    }

    /// The server of this shard.
    pub(super) fn node_of(
        &self,
        shard: Shard,
        snapshot: &TopologySnapshot,
    ) -> Result<Arc<Node>, RegisterError> {
        match snapshot.masters.of(shard) {
            Some(address) => Ok(self.node(address, snapshot)),
            None => Err(no_master(1)),
        }
    }
}

/// The error for this number of shards without a master.
pub(super) fn no_master(shards: usize) -> RegisterError {
    RegisterError::Unreachable(format!(
        "most of the cluster's masters do not agree on the master of {shards} of the register's \
         parts"
    ))
}

fn login_of(settings: &RedisSettings) -> redis::RedisConnectionInfo {
    login(settings.username.as_deref(), settings.password.as_ref(), settings.database)
}

impl Common {
    fn fresh(&self) -> Option<TopologySnapshot> {
        lock(&self.snapshot).clone().filter(TopologySnapshot::is_fresh)
    }

    fn learn(&self, masters: Masters, asked: Instant) -> TopologySnapshot {
        let mut present = lock(&self.snapshot);
        let masters = match present.as_ref() {
            Some(before) if *before.masters == masters => Arc::clone(&before.masters),
            before => {
                let named = |masters: &Masters| {
                    masters
                        .each()
                        .into_keys()
                        .map(Address::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                let was = before.map_or_else(|| "unknown".to_owned(), |was| named(&was.masters));
                tracing::info!(master = named(&masters), was, "the register's masters");
                Arc::new(masters)
            }
        };
        let snapshot = TopologySnapshot { masters, asked, ttl: Some(self.snapshot_ttl) };
        if present.as_ref().is_none_or(|present| present.asked < asked) {
            *present = Some(snapshot.clone());
        }
        snapshot
    }

    fn health(&self, address: &Address) -> Arc<Health> {
        let mut healths = lock(&self.healths);
        let new = || Arc::new(Health::new(self.clock_jump_max));
        Arc::clone(healths.entry(address.clone()).or_insert_with(new))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many questions are asked while a snapshot may be used. An answer may take the rest of that
/// time.
const QUESTIONS_PER_TTL: u32 = 4;
