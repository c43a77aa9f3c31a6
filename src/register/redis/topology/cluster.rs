//! The masters of a Redis Cluster, as a majority of them sees it.
//!
//! Each master is asked directly for its view of the cluster (`CLUSTER SLOTS`, `CLUSTER SHARDS`).
//! The master of a partition is the node that more than half of all masters report as the healthy
//! owner of the partition's slot. A node that was asked, does not answer and is in no view may be a
//! master too, and counts towards the total.
//!
//! A master that was replaced while it was frozen or cut off still reports itself as the master:
//! the other masters outvote it. A master that most masters have marked as failed (`fail`) is no
//! longer used even before a replica takes its place, since the same masters have to vote for that
//! replica.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::masters::{Masters, Shard};
use super::peer::{Peer, Unanswered};
use super::view::{Quorum, View};
use crate::register::RegisterError;
use crate::register::redis::format::{id_key, partition_key};
use crate::register::redis::node::connections::Access;
use crate::register::redis::settings::Address;

/// A cluster, and the members of it that are asked.
#[derive(Debug)]
pub(super) struct Cluster {
    seeds: Vec<Address>,
    namespace: String,
    access: Access,
    question: Arc<Pipeline>,
    peers: Mutex<BTreeMap<Address, Arc<Peer>>>,
}

/// Why a member gave no view. The text follows the member's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum NoView {
    #[error("does not answer ({0})")]
    Silent(String),
    #[error(
        "refuses the user name or the password. Set both in register.url, or the password in \
         register.password"
    )]
    Login,
    #[error("does not let its user ask. Give it +cluster|myid +cluster|slots +cluster|shards")]
    Permission,
    #[error("answers what this version does not understand")]
    Strange,
    /// `passing`: it may answer differently soon.
    #[error("answers {said:?}: write redis:// in register.url if it is not part of a cluster")]
    Refuses { said: String, passing: bool },
}

impl NoView {
    /// Will the member give no view until an operator acts?
    fn needs_operator(&self) -> bool {
        match self {
            Self::Silent(_) => false,
            Self::Login | Self::Permission | Self::Strange => true,
            Self::Refuses { passing, .. } => !passing,
        }
    }
}

impl From<Unanswered> for NoView {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Silent(why) => Self::Silent(why),
            refused @ Unanswered::Error(_) if refused.is_login() => Self::Login,
            refused @ Unanswered::Error(_) if refused.is_permission() => Self::Permission,
            Unanswered::Error(error) => {
                let passing = matches!(error.code(), Some("LOADING" | "BUSY"));
                Self::Refuses { said: Unanswered::Error(error).to_string(), passing }
            }
        }
    }
}

impl Cluster {
    /// The login is for database 0, the only one in a cluster.
    pub(super) fn new(seeds: &[Address], access: Access, namespace: &str) -> Self {
        let mut question = Pipeline::new();
        question.ignore_errors();
        question.cmd("CLUSTER").arg("MYID");
        question.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("SHARDS");
        Self {
            seeds: seeds.to_vec(),
            namespace: namespace.to_owned(),
            access,
            question: Arc::new(question),
            peers: Mutex::default(),
        }
    }

    /// Asks the seeds and every node that a view calls a master, and waits until a majority of the
    /// masters agrees on the master of each shard, or all have answered.
    pub(super) async fn ask(&self, patience: Duration) -> Result<Masters, RegisterError> {
        let until = Instant::now() + patience;
        let (tell, mut told) = mpsc::unbounded_channel();
        let (mut asked, mut waiting) = (BTreeSet::new(), 0);
        let mut quorum = Quorum::default();
        let mut ask = |address: &Address, quorum: &mut Quorum, waiting: &mut usize| {
            if !asked.insert(address.clone()) {
                return;
            }
            *waiting += 1;
            quorum.silent.insert(address.clone());
            let (peer, question, tell) =
                (self.peer(address), Arc::clone(&self.question), tell.clone());
            // A task of its own, so that a member which is slower than the majority keeps its
            // connection.
            tokio::spawn(async move {
                let left = until.saturating_duration_since(Instant::now());
                let answer = peer.ask(&question, left).await;
                let view = view_in(answer, peer.address());
                // The receiver is gone where a majority has spoken.
                let _ = tell.send((peer.address().clone(), view));
            });
        };
        for address in self.seeds.iter().chain(&self.known()) {
            ask(address, &mut quorum, &mut waiting);
        }
        let mut failures = BTreeMap::new();
        while waiting > 0
            && let Some((address, view)) = told.recv().await
        {
            waiting -= 1;
            match view {
                Ok(view) => {
                    quorum.silent.remove(&address);
                    for address in view.addresses() {
                        ask(address, &mut quorum, &mut waiting);
                    }
                    quorum.views.insert(view.me.clone(), view);
                    if self.masters(&quorum).missing() == 0 {
                        break;
                    }
                }
                Err(why) => {
                    failures.insert(address, why);
                }
            }
        }
        self.forget_all_but(&quorum);
        let masters = self.masters(&quorum);
        if masters.each().is_empty() { Err(failure(&quorum, &failures)) } else { Ok(masters) }
    }

    fn masters(&self, quorum: &Quorum) -> Masters {
        let key = |shard| match shard {
            Shard::Partition(number) => partition_key(&self.namespace, number),
            Shard::Id => id_key(&self.namespace),
        };
        let unknown = quorum.unknown();
        Masters::by(|shard| quorum.owner_of(slot_of(&key(shard)), unknown).cloned())
    }

    /// The masters at the last question.
    fn known(&self) -> Vec<Address> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn peer(&self, address: &Address) -> Arc<Peer> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Peer::new(address.clone(), self.access.clone()));
        Arc::clone(peers.entry(address.clone()).or_insert_with(new))
    }

    /// Keeps the seeds, and the nodes that at least one view calls a master. Where there is no
    /// view, keeps all nodes.
    fn forget_all_but(&self, quorum: &Quorum) {
        let masters: BTreeSet<_> = quorum.views.values().flat_map(View::addresses).collect();
        if !masters.is_empty() {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.retain(|address, _| masters.contains(address) || self.seeds.contains(address));
        }
    }
}

/// The view that a member at this address has answered with.
fn view_in(answer: Result<Vec<Value>, Unanswered>, asked: &Address) -> Result<View, NoView> {
    View::read(answer?, asked).ok_or(NoView::Strange)
}

/// Why no master is known. An operator must act where there is no view, and no view will come until
/// an operator acts.
fn failure(quorum: &Quorum, failures: &BTreeMap<Address, NoView>) -> RegisterError {
    let each: Vec<_> = failures.iter().map(|(address, why)| format!("{address} {why}")).collect();
    let each = each.join("; ");
    if !quorum.views.is_empty() {
        return RegisterError::Unreachable(format!(
            "most of the cluster's masters do not agree on any master that holds the register ({} \
             answered; {each})",
            quorum.views.len()
        ));
    }
    let sentence = format!("no server of the cluster names its masters: {each}");
    if failures.values().all(NoView::needs_operator) {
        RegisterError::Unsuitable(sentence)
    } else {
        RegisterError::Unreachable(sentence)
    }
}

/// The slot of a key that is a hash tag and nothing more: CRC16 (XMODEM) of what stands between the
/// braces, modulo 16384 (Redis Cluster specification).
fn slot_of(tag: &str) -> u16 {
    let inner = tag.trim_start_matches('{').trim_end_matches('}');
    let crc = inner.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16384
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address { host: "host".to_owned(), port }
    }

    #[test]
    fn an_operator_is_called_only_where_waiting_cannot_help() {
        let error = |code: &str| {
            let error = redis::make_extension_error(code.to_owned(), Some("more".to_owned()));
            NoView::from(Unanswered::Error(error))
        };
        let silent = NoView::from(Unanswered::Silent("late".to_owned()));
        for (reasons, operator) in [
            (vec![error("NOAUTH")], true),
            (vec![error("NOPERM")], true),
            (vec![error("WHAT")], true),
            (vec![error("NOAUTH"), silent.clone()], false),
            (vec![silent], false),
        ] {
            let failures = (1..).zip(reasons).map(|(port, why)| (at(port), why)).collect();
            let error = failure(&Quorum::default(), &failures);
            assert_eq!(matches!(error, RegisterError::Unsuitable(_)), operator, "{error}");
        }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot_of("{123456789}"), 0x31c3);
        assert_eq!(slot_of("{foo}"), 12182);
        assert_eq!(slot_of("{}"), 0);
    }
}
