//! The masters of a cluster, as most of them see it.
//!
//! Each master is asked directly how it sees the cluster (`CLUSTER SLOTS`, `SHARDS`). A partition's master is
//! who more than half of all masters say owns its slot and is well; who is asked and says nothing, and
//! whom nobody knows, may be a master. A master that was replaced while
//! it was frozen, or cut off, goes on taking itself for one: it is outvoted. One that most have given
//! up (`fail`) is left before another has its place, since those very masters have to vote for that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Pipeline, RedisConnectionInfo, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::masters::{Masters, Part};
use super::peer::{Unanswered, Voter};
use crate::register::RegisterError;
use crate::register::redis::format::{id_key, partition_key};
use crate::register::redis::settings::Address;

/// A cluster, and those of it that are asked.
#[derive(Debug)]
pub(super) struct Cluster {
    seeds: Vec<Address>,
    namespace: String,
    login: RedisConnectionInfo,
    question: Arc<Pipeline>,
    voters: Mutex<BTreeMap<Address, Arc<Voter>>>,
}

/// How one member sees the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    /// Whose view it is.
    me: String,
    masters: Vec<Master>,
    replicas: Vec<Address>,
}

/// A master with slots, as somebody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Master {
    id: String,
    address: Option<Address>,
    /// First and last of each range.
    slots: Vec<(u16, u16)>,
    /// Given up by most masters.
    failed: bool,
}

/// All views so far.
#[derive(Debug, Default)]
struct Election {
    /// By whose they are.
    views: BTreeMap<String, View>,
    /// Who was asked and has said nothing.
    silent: BTreeSet<Address>,
}

/// A word of a member: its view, or why there is none and whether an operator must act.
type Word = Result<View, (String, bool)>;

impl Cluster {
    /// `login` is to database 0, the only one there is.
    pub(super) fn new(seeds: &[Address], login: RedisConnectionInfo, namespace: &str) -> Self {
        let mut question = Pipeline::new();
        question.ignore_errors();
        question.cmd("CLUSTER").arg("MYID");
        question.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("SHARDS");
        Self {
            seeds: seeds.to_vec(),
            namespace: namespace.to_owned(),
            login,
            question: Arc::new(question),
            voters: Mutex::default(),
        }
    }

    /// Asks the seeds and everybody who is a master as far as was heard, and waits until most masters
    /// agree on the master of each partition, or all have answered.
    pub(super) async fn ask(&self, patience: Duration) -> Result<Masters, RegisterError> {
        let until = Instant::now() + patience;
        let (tell, mut told) = mpsc::unbounded_channel();
        let (mut asked, mut waiting) = (BTreeSet::new(), 0);
        let mut election = Election::default();
        let mut ask = |address: &Address, election: &mut Election, waiting: &mut usize| {
            if !asked.insert(address.clone()) {
                return;
            }
            *waiting += 1;
            election.silent.insert(address.clone());
            let (voter, question, tell) =
                (self.voter(address), Arc::clone(&self.question), tell.clone());
            // On its own, so that one which is slower than the majority keeps its connection.
            tokio::spawn(async move {
                let left = until.saturating_duration_since(Instant::now());
                let word = word_of(voter.ask(&question, left).await, voter.address());
                // Nobody listens any more where most have spoken.
                let _ = tell.send((voter.address().clone(), word));
            });
        };
        for address in self.seeds.iter().chain(&self.known()) {
            ask(address, &mut election, &mut waiting);
        }
        let mut failures = BTreeMap::new();
        while waiting > 0
            && let Some((address, word)) = told.recv().await
        {
            waiting -= 1;
            match word {
                Ok(view) => {
                    election.silent.remove(&address);
                    for address in view.addresses() {
                        ask(address, &mut election, &mut waiting);
                    }
                    election.views.insert(view.me.clone(), view);
                    if self.masters(&election).missing() == 0 {
                        break;
                    }
                }
                Err(why) => {
                    failures.insert(address, why);
                }
            }
        }
        self.forget_all_but(&election);
        let masters = self.masters(&election);
        if masters.each().is_empty() { Err(failure(&election, &failures)) } else { Ok(masters) }
    }

    fn masters(&self, election: &Election) -> Masters {
        let key = |part| match part {
            Part::Partition(number) => partition_key(&self.namespace, number),
            Part::Id => id_key(&self.namespace),
        };
        let unknown = election.unknown();
        Masters::by(|part| election.owner_of(slot_of(&key(part)), unknown).cloned())
    }

    /// Who was a master when last asked.
    fn known(&self) -> Vec<Address> {
        self.voters.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn voter(&self, address: &Address) -> Arc<Voter> {
        let mut voters = self.voters.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Voter::new(address.clone(), self.login.clone()));
        Arc::clone(voters.entry(address.clone()).or_insert_with(new))
    }

    /// Keeps those who are masters in anybody's eyes, as far as anybody has eyes.
    fn forget_all_but(&self, election: &Election) {
        let masters: BTreeSet<_> = election.views.values().flat_map(View::addresses).collect();
        if !masters.is_empty() {
            let mut voters = self.voters.lock().unwrap_or_else(PoisonError::into_inner);
            voters.retain(|address, _| masters.contains(address) || self.seeds.contains(address));
        }
    }
}

impl View {
    /// What stands in the answers to `CLUSTER MYID`, `SLOTS` and `SHARDS` of the member at this
    /// address: who owns what, and who is well. (`SHARDS` alone does not tell which of a shard's
    /// masters owns its slots: after a failover there may be two.) `None` where they are not of that
    /// form.
    fn read(answers: Vec<Value>, asked: &Address) -> Option<Self> {
        let [me, slots, shards] = <[Value; 3]>::try_from(answers).ok()?;
        let mut masters: BTreeMap<String, Master> = BTreeMap::new();
        for range in list(slots)? {
            let mut range = list(range)?.into_iter();
            let first = redis::from_redis_value(range.next()?).ok()?;
            let last = redis::from_redis_value(range.next()?).ok()?;
            let mut owner = list(range.next()?)?.into_iter();
            let address = address(owner.next()?, owner.next()?, asked);
            let id: String = redis::from_redis_value(owner.next()?).ok()?;
            let new = Master { id: id.clone(), address, slots: Vec::new(), failed: true };
            masters.entry(id).or_insert(new).slots.push((first, last));
        }
        let mut replicas = Vec::new();
        for shard in list(shards)? {
            for node in list(fields(shard)?.remove("nodes")?)? {
                let mut node = fields(node)?;
                let id: String = redis::from_redis_value(node.remove("id")?).ok()?;
                let health: String = redis::from_redis_value(node.remove("health")?).ok()?;
                if let Some(master) = masters.get_mut(&id) {
                    master.failed = health != "online";
                } else {
                    let port = node.remove("port").unwrap_or(Value::Nil);
                    replicas.extend(address(node.remove("endpoint")?, port, asked));
                }
            }
        }
        let me = redis::from_redis_value(me).ok()?;
        Some(Self { me, masters: masters.into_values().collect(), replicas })
    }

    fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.masters.iter().filter_map(|master| master.address.as_ref())
    }

    fn owner_of(&self, slot: u16) -> Option<&Master> {
        self.masters.iter().find(|master| {
            master.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
        })
    }

    fn takes_itself_for_a_master(&self) -> bool {
        self.masters.iter().any(|master| master.id == self.me)
    }
}

impl Election {
    /// The views of masters; that of a replica helps to find them and counts for nothing.
    fn voters(&self) -> impl Iterator<Item = &View> {
        self.views.values().filter(|view| view.takes_itself_for_a_master())
    }

    /// How many have said nothing whom nobody knows: each may be a master, and of another mind.
    fn unknown(&self) -> usize {
        let known: BTreeSet<&Address> =
            self.voters().flat_map(|view| view.addresses().chain(&view.replicas)).collect();
        self.silent.iter().filter(|address| !known.contains(address)).count()
    }

    /// Where most masters say that the owner of this slot is; there may be so many more of them.
    fn owner_of(&self, slot: u16, unknown: usize) -> Option<&Address> {
        let all: BTreeSet<&str> = self
            .voters()
            .flat_map(|view| view.masters.iter().map(|master| master.id.as_str()))
            .collect();
        let mut votes: BTreeMap<&str, (usize, Option<&Address>)> = BTreeMap::new();
        for owner in self.voters().filter_map(|view| view.owner_of(slot)) {
            if !owner.failed {
                let (count, address) = votes.entry(&owner.id).or_default();
                *count += 1;
                *address = address.or(owner.address.as_ref());
            }
        }
        let most = all.len().midpoint(unknown);
        votes.into_values().find(|(count, _)| *count > most).and_then(|(_, at)| at)
    }
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// Where a member is as another one announces it; an endpoint that is not known to it is at the host
/// where it was asked.
fn address(endpoint: Value, port: Value, asked: &Address) -> Option<Address> {
    let host = match redis::from_redis_value::<Option<String>>(endpoint).ok()? {
        Some(host) if !matches!(host.as_str(), "" | "?") => host,
        _ => asked.host.clone(),
    };
    Some(Address { host, port: redis::from_redis_value(port).ok()? })
}

/// The values of a map that comes as a list, by their names.
fn fields(map: Value) -> Option<BTreeMap<String, Value>> {
    let mut fields = BTreeMap::new();
    let mut list = list(map)?.into_iter();
    while let (Some(name), Some(value)) = (list.next(), list.next()) {
        fields.insert(redis::from_redis_value(name).ok()?, value);
    }
    Some(fields)
}

/// An answer as a word.
fn word_of(answer: Result<Vec<Value>, Unanswered>, asked: &Address) -> Word {
    match answer {
        Ok(answers) => View::read(answers, asked)
            .ok_or_else(|| ("answers what this version does not understand".to_owned(), true)),
        Err(refused) if refused.is_login() => Err((LOGIN.to_owned(), true)),
        Err(refused) if refused.is_permission() => Err((PERMISSION.to_owned(), true)),
        Err(Unanswered::Silent(why)) => Err((format!("does not answer ({why})"), false)),
        Err(refused) => {
            let said = refused.to_string();
            // It may be about to: LOADING.
            let passing = said.starts_with("LOADING") || said.starts_with("BUSY");
            let advice = "write redis:// in register.url if it is not part of a cluster";
            Err((format!("answers {said:?}: {advice}"), !passing))
        }
    }
}

/// Why no master is known. Where nobody has a view and everybody needs an operator, one must act.
fn failure(election: &Election, failures: &BTreeMap<Address, (String, bool)>) -> RegisterError {
    let each: Vec<_> =
        failures.iter().map(|(address, (why, _))| format!("{address} {why}")).collect();
    let each = each.join("; ");
    if !election.views.is_empty() {
        return RegisterError::Unreachable(format!(
            "most of the cluster's masters do not agree on any master that holds the register ({} \
             answered; {each})",
            election.views.len()
        ));
    }
    let sentence = format!("no server of the cluster says who is a master: {each}");
    if failures.values().all(|(_, operator)| *operator) {
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

const LOGIN: &str = "refuses the user name or the password. Set both in register.url, or the \
                     password in register.password";
const PERMISSION: &str =
    "does not let its user ask. Allow him +cluster|myid +cluster|slots +cluster|shards";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address { host: "host".to_owned(), port }
    }

    /// A view of masters a, b, c… at ports 1, 2, 3…, each with a slot of its number, but for `owner`,
    /// who has slot 1 too, or instead of a.
    fn view(me: &str, masters: &str) -> View {
        let masters = masters.split(' ').map(|master| {
            let failed = master.ends_with('!');
            let (id, slot) = master.trim_end_matches('!').split_once('=').unwrap();
            let slot: u16 = slot.parse().unwrap();
            let port = u16::from(id.as_bytes()[0] - b'a') + 1;
            Master { id: id.to_owned(), address: Some(at(port)), slots: vec![(slot, slot)], failed }
        });
        View { me: me.to_owned(), masters: masters.collect(), replicas: vec![at(99)] }
    }

    #[test]
    fn a_slot_is_where_more_than_half_of_all_masters_see_it() {
        let sees = "a=1 b=2 c=3";
        // d has a's place.
        let new = "d=1 b=2 c=3";
        for (views, owner, what) in [
            (vec![("a", sees), ("b", sees), ("c", sees)], Some(1), "all agree"),
            (vec![("a", sees), ("b", sees)], Some(1), "two of three"),
            (vec![("a", sees)], None, "one of three"),
            (vec![("a", sees), ("x", sees), ("y", sees)], None, "replicas do not count"),
            (vec![("a", sees), ("d", new), ("c", new)], None, "not yet three of four"),
            (vec![("b", new), ("d", new), ("c", new)], Some(4), "the old one is gone"),
            (vec![("a", sees), ("b", new), ("d", new), ("c", new)], Some(4), "it is outvoted"),
            (
                vec![("a", sees), ("b", "a=1! b=2 c=3"), ("c", "a=1! b=2 c=3")],
                None,
                "given up, and not replaced",
            ),
            (vec![("a", "a=1")], Some(1), "a cluster of one"),
        ] {
            let views = views.into_iter().map(|(me, sees)| (me.to_owned(), view(me, sees)));
            let election = Election { views: views.collect(), ..Election::default() };
            assert_eq!(election.owner_of(1, 0), owner.map(at).as_ref(), "{what}");
            assert_eq!(election.owner_of(9, 0), None, "{what}");
        }
    }

    #[test]
    fn who_says_nothing_and_is_known_to_nobody_may_be_of_another_mind() {
        let sees = "a=1 b=2 c=3";
        for (answered, silent, owner) in [
            (vec!["a", "b"], vec![3], Some(1)),
            (vec!["a", "b"], vec![99], Some(1)),
            (vec!["a", "b"], vec![50], None),
            (vec!["a", "b", "c"], vec![50, 51], Some(1)),
            (vec!["a", "b", "c"], vec![50, 51, 52], None),
        ] {
            let views = answered.iter().map(|me| ((*me).to_owned(), view(me, sees))).collect();
            let silent = silent.into_iter().map(at).collect();
            let election = Election { views, silent };
            let found = election.owner_of(1, election.unknown());
            assert_eq!(found, owner.map(at).as_ref(), "{election:?}");
        }
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn node(role: &str, id: &str, endpoint: Value, health: &str) -> Value {
        Value::Array(vec![
            text("id"),
            text(id),
            text("port"),
            Value::Int(7),
            text("ip"),
            text("10.0.0.1"),
            text("endpoint"),
            endpoint,
            text("role"),
            text(role),
            text("replication-offset"),
            Value::Int(1),
            text("health"),
            text(health),
        ])
    }

    fn shard(nodes: Vec<Value>) -> Value {
        let slots = Value::Array(vec![Value::Int(0), Value::Int(1)]);
        Value::Array(vec![text("slots"), slots, text("nodes"), Value::Array(nodes)])
    }

    fn range(first: i64, last: i64, endpoint: Value, id: &str) -> Value {
        let owner = Value::Array(vec![endpoint, Value::Int(7), text(id), Value::Array(vec![])]);
        let replica = Value::Array(vec![text("replica"), Value::Int(7), text("r")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), owner, replica])
    }

    #[test]
    fn what_a_cluster_says_of_itself_is_understood() {
        let slots = Value::Array(vec![
            range(0, 99, text("announced"), "a"),
            range(100, 199, Value::Nil, "b"),
            range(200, 200, text("announced"), "a"),
        ]);
        let shards = Value::Array(vec![
            shard(vec![
                // Whose place it has.
                node("master", "before a", text("old"), "fail"),
                node("replica", "r", text("replica"), "online"),
                node("master", "a", text("announced"), "online"),
            ]),
            shard(vec![node("master", "b", Value::Nil, "fail")]),
        ]);
        let view = View::read(vec![text("a"), slots.clone(), shards.clone()], &at(1)).unwrap();
        let found = |slot| {
            let owner = view.owner_of(slot)?;
            Some((owner.id.as_str(), owner.address.clone().unwrap().host, owner.failed))
        };
        assert_eq!(found(99), Some(("a", "announced".to_owned(), false)));
        assert_eq!(found(200), Some(("a", "announced".to_owned(), false)));
        assert_eq!(found(100), Some(("b", "host".to_owned(), true)), "where it was asked");
        assert_eq!(found(201), None);
        assert!(view.takes_itself_for_a_master());
        assert_eq!((view.masters.len(), view.replicas.len()), (2, 2));
        for strange in [
            vec![],
            vec![text("a"), slots],
            vec![text("a"), Value::Nil, shards.clone()],
            vec![text("a"), shards.clone(), shards],
        ] {
            assert_eq!(View::read(strange, &at(1)), None);
        }
    }

    #[test]
    fn an_operator_is_called_only_where_waiting_cannot_help() {
        let error = |code: &str| {
            let error = redis::make_extension_error(code.to_owned(), Some("more".to_owned()));
            word_of(Err(Unanswered::Error(error)), &at(1)).unwrap_err()
        };
        let silent = word_of(Err(Unanswered::Silent("late".to_owned())), &at(1)).unwrap_err();
        for (words, operator) in [
            (vec![error("NOAUTH")], true),
            (vec![error("NOPERM")], true),
            (vec![error("WHAT")], true),
            (vec![error("NOAUTH"), silent.clone()], false),
            (vec![silent], false),
        ] {
            let failures = (1..).zip(words).map(|(port, word)| (at(port), word)).collect();
            let error = failure(&Election::default(), &failures);
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
