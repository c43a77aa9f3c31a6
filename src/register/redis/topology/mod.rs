//! Which server a step goes to, and whether that is known well enough.
//!
//! Whoever finds the masters (Sentinels, a cluster) is asked again and again. What was learned is
//! believed for a fixed time, counted on this machine's own clock from before the question. A master
//! that was replaced without a word to it, or to us, is thus asked for nothing after that time, and
//! a new master's quarantine is longer by it (`Terms::failover_lag`).

mod cluster;
pub(super) mod masters;
mod peer;
mod sentinel;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::RedisConnectionInfo;
use tokio::time::{Instant, sleep, timeout_at};

use self::cluster::Cluster;
use self::masters::{Masters, Part};
use self::sentinel::Sentinels;
use super::RedisSettings;
use super::node::connections::login;
use super::node::{Node, Standing};
use super::settings::{Address, Place};
use crate::register::RegisterError;

/// Who the masters are.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) masters: Arc<Masters>,
    /// Just before they were asked for.
    asked: Instant,
    /// `None`: for ever.
    good_for: Option<Duration>,
}

impl Known {
    pub(super) fn is_fresh(&self) -> bool {
        self.good_for.is_none_or(|good_for| self.asked.elapsed() < good_for)
    }
}

/// Who says which servers are masters.
#[derive(Debug)]
enum Guide {
    /// The operator.
    Nobody,
    Sentinels(Sentinels),
    Cluster(Cluster),
}

impl Guide {
    fn new(settings: &RedisSettings) -> Self {
        match &settings.place {
            Place::One { .. } => Self::Nobody,
            Place::Sentinels(place) => Self::Sentinels(Sentinels::new(place)),
            Place::Cluster(seeds) => {
                Self::Cluster(Cluster::new(seeds, login_of(settings), &settings.namespace))
            }
        }
    }
}

/// What is known whoever found it out: shared by all copies of a register.
#[derive(Debug)]
struct Common {
    known: Mutex<Option<Known>>,
    standings: Mutex<HashMap<Address, Arc<Standing>>>,
    clock_jump_max: Duration,
    believed_for: Duration,
}

/// Finds the server of a step.
#[derive(Debug)]
pub(super) struct Router {
    common: Arc<Common>,
    guide: Guide,
    login: RedisConnectionInfo,
    connections: usize,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    /// One asks at a time. Holds how the last question failed, and when it was put.
    asking: tokio::sync::Mutex<Option<(Instant, RegisterError)>>,
}

impl Router {
    /// `believed_for`: how long to believe what Sentinels or a cluster say.
    pub(super) fn new(settings: &RedisSettings, believed_for: Duration) -> Self {
        let known = match &settings.place {
            Place::One { address, .. } => {
                let masters = Arc::new(Masters::all_at(address));
                Some(Known { masters, asked: Instant::now(), good_for: None })
            }
            Place::Sentinels(_) | Place::Cluster(_) => None,
        };
        let common = Common {
            known: Mutex::new(known),
            standings: Mutex::default(),
            clock_jump_max: settings.clock_jump_max,
            believed_for,
        };
        Self::over(settings, Arc::new(common))
    }

    /// A router with connections of its own, which knows what this one finds out, and tells it.
    pub(super) fn apart(&self, settings: &RedisSettings) -> Self {
        Self::over(settings, Arc::clone(&self.common))
    }

    fn over(settings: &RedisSettings, common: Arc<Common>) -> Self {
        Self {
            common,
            guide: Guide::new(settings),
            login: login_of(settings),
            connections: settings.connections,
            nodes: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The masters, as somebody said not too long ago; asked for if need be.
    pub(super) async fn masters(&self, deadline: Instant) -> Result<Known, RegisterError> {
        if let Some(known) = self.common.fresh() {
            return Ok(known);
        }
        let came = Instant::now();
        let asking = async {
            let mut failed = self.asking.lock().await;
            if let Some(known) = self.common.fresh() {
                return Ok(known);
            }
            // Who asked in the meantime asked for all who wait.
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

    /// Keeps what is known young, as long as it is polled.
    pub(super) async fn keep_asking(&self) {
        if !self.is_guided() {
            return;
        }
        let mut in_sight = true;
        loop {
            sleep(self.common.believed_for / ASKED_PER_BELIEF).await;
            let mut failed = self.asking.lock().await;
            let answer = self.ask(&mut failed).await;
            drop(failed);
            match answer {
                Ok(_) if !in_sight => tracing::info!("the register's masters are known again"),
                Err(error) if in_sight => {
                    tracing::warn!(%error, "who the register's masters are is not known any more");
                }
                Ok(_) | Err(_) => {}
            }
            in_sight = self.common.fresh().is_some();
        }
    }

    async fn ask(
        &self,
        failed: &mut Option<(Instant, RegisterError)>,
    ) -> Result<Known, RegisterError> {
        let asked = Instant::now();
        let patience = self.common.believed_for / 2;
        let answer = match &self.guide {
            Guide::Nobody => unreachable!("what the operator says is believed for ever"),
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

    /// Whether somebody else may be the master tomorrow.
    pub(super) fn is_guided(&self) -> bool {
        !matches!(self.guide, Guide::Nobody)
    }

    /// Something contradicts this: it is not believed any more.
    pub(super) fn doubt(&self, known: &Known) {
        let mut present = lock(&self.common.known);
        if self.is_guided() && present.as_ref().is_some_and(|present| present.asked <= known.asked)
        {
            *present = None;
        }
    }

    /// The server of this address. Connections to servers that are masters no more are dropped.
    pub(super) fn node(&self, address: &Address, known: &Known) -> Arc<Node> {
        let mut nodes = lock(&self.nodes);
        if let Some(node) = nodes.get(address) {
            return Arc::clone(node);
        }
        let each = known.masters.each();
        nodes.retain(|address, _| {
            each.contains_key(address) || known.masters.of(Part::Id) == Some(address)
        });
        let standing = self.common.standing(address);
        let node = Node::new(address.clone(), self.login.clone(), self.connections, standing);
        let node = Arc::new(node);
        nodes.insert(address.clone(), Arc::clone(&node));
        node
    }

    /// The server of this part.
    pub(super) fn node_of(&self, part: Part, known: &Known) -> Result<Arc<Node>, RegisterError> {
        match known.masters.of(part) {
            Some(address) => Ok(self.node(address, known)),
            None => Err(no_master(1)),
        }
    }
}

/// So many parts have no master.
pub(super) fn no_master(parts: usize) -> RegisterError {
    RegisterError::Unreachable(format!(
        "most of the cluster's masters do not agree on the master of {parts} of the register's \
         parts"
    ))
}

fn login_of(settings: &RedisSettings) -> RedisConnectionInfo {
    login(settings.username.as_deref(), settings.password.as_ref(), settings.database)
}

impl Common {
    fn fresh(&self) -> Option<Known> {
        lock(&self.known).clone().filter(Known::is_fresh)
    }

    fn learn(&self, masters: Masters, asked: Instant) -> Known {
        let mut present = lock(&self.known);
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
        let known = Known { masters, asked, good_for: Some(self.believed_for) };
        if present.as_ref().is_none_or(|present| present.asked < asked) {
            *present = Some(known.clone());
        }
        known
    }

    fn standing(&self, address: &Address) -> Arc<Standing> {
        let mut standings = lock(&self.standings);
        let new = || Arc::new(Standing::new(self.clock_jump_max));
        Arc::clone(standings.entry(address.clone()).or_insert_with(new))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often in the time for which an answer is believed the next one is asked for. An answer may
/// take as long as what is left of it.
const ASKED_PER_BELIEF: u32 = 4;
