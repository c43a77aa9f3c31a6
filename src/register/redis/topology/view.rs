//! Views: how the members of a Redis Cluster see it, and what a majority of the masters agree on.

use std::collections::{BTreeMap, BTreeSet};

use redis::Value;

use crate::register::redis::settings::Address;

/// How one member sees the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// The id of the member whose view this is.
    pub(super) me: String,
    masters: Vec<Master>,
    replicas: Vec<Address>,
}

/// A master with slots, as one member sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Master {
    id: String,
    address: Option<Address>,
    /// First and last of each range.
    slots: Vec<(u16, u16)>,
    /// Marked as failed by most masters.
    failed: bool,
}

/// All views so far, from which a majority is counted.
#[derive(Debug, Default)]
pub(super) struct Quorum {
    /// Each view under the id of its member.
    pub(super) views: BTreeMap<String, View>,
    /// Members that were asked and have not answered.
    pub(super) silent: BTreeSet<Address>,
}

impl View {
    /// Reads the answers to `CLUSTER MYID`, `SLOTS` and `SHARDS` of the member at this address: the
    /// owner of each slot, and which nodes are healthy. (`SHARDS` alone does not tell which of a
    /// shard's masters owns its slots: after a failover there may be two.) `None` where the answers
    /// do not have that form.
    pub(super) fn read(answers: Vec<Value>, asked: &Address) -> Option<Self> {
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

    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
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

impl Quorum {
    /// The views of masters. A replica's view helps to find masters and has no vote.
    fn masters_views(&self) -> impl Iterator<Item = &View> {
        self.views.values().filter(|view| view.takes_itself_for_a_master())
    }

    /// How many silent nodes are in no view. Each may be a master and see another owner.
    pub(super) fn unknown(&self) -> usize {
        let known: BTreeSet<&Address> =
            self.masters_views().flat_map(|view| view.addresses().chain(&view.replicas)).collect();
        self.silent.iter().filter(|address| !known.contains(address)).count()
    }

    /// The address that more than half of all masters report as the owner of this slot. `unknown`
    /// nodes may be masters too.
    pub(super) fn owner_of(&self, slot: u16, unknown: usize) -> Option<&Address> {
        let all: BTreeSet<&str> = self
            .masters_views()
            .flat_map(|view| view.masters.iter().map(|master| master.id.as_str()))
            .collect();
        let mut votes: BTreeMap<&str, (usize, Option<&Address>)> = BTreeMap::new();
        for owner in self.masters_views().filter_map(|view| view.owner_of(slot)) {
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

/// The address of a member as another member reports it. An unknown endpoint means the host at
/// which that other member was asked (Redis: CLUSTER SLOTS).
fn address(endpoint: Value, port: Value, asked: &Address) -> Option<Address> {
    let host = match redis::from_redis_value::<Option<String>>(endpoint).ok()? {
        Some(host) if !matches!(host.as_str(), "" | "?") => host,
        _ => asked.host.clone(),
    };
    Some(Address { host, port: redis::from_redis_value(port).ok()? })
}

/// A map that comes as a flat list of names and values.
fn fields(map: Value) -> Option<BTreeMap<String, Value>> {
    let mut fields = BTreeMap::new();
    let mut list = list(map)?.into_iter();
    while let (Some(name), Some(value)) = (list.next(), list.next()) {
        fields.insert(redis::from_redis_value(name).ok()?, value);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address { host: "host".to_owned(), port }
    }

    /// A view of masters a, b, c… at ports 1, 2, 3…, each with a slot of its own number. But
    /// `owner` has slot 1 too, or has it instead of a.
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
            let quorum = Quorum { views: views.collect(), ..Quorum::default() };
            assert_eq!(quorum.owner_of(1, 0), owner.map(at).as_ref(), "{what}");
            assert_eq!(quorum.owner_of(9, 0), None, "{what}");
        }
    }

    #[test]
    fn a_master_that_is_silent_and_unknown_to_the_others_may_disagree() {
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
            let quorum = Quorum { views, silent };
            let found = quorum.owner_of(1, quorum.unknown());
            assert_eq!(found, owner.map(at).as_ref(), "{quorum:?}");
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
                // The failed node whose slots it took over.
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
}
