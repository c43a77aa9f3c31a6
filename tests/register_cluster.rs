//! The register in a Redis Cluster: each partition is with the master that most masters name.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

#[path = "support/cluster_servers.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS, which use other parts of it")]
mod cluster_servers;
#[path = "support/redis_server.rs"]
#[allow(dead_code, reason = "shared with the tests of one Redis and of Sentinel")]
mod redis_server;
#[path = "support/steps.rs"]
#[allow(dead_code, reason = "shared with the tests of one Redis and of Sentinel")]
mod steps;
#[path = "support/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS")]
mod wire;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use ifmatch::register::identity::{Identified, RegisterId};
use ifmatch::register::redis::{RedisRegister, RedisSettings, Topology};
use ifmatch::register::{
    Acquired, CommitAnswer, Generation, Register, RegisterError, State, Terms, Token, Writers,
};
use ifmatch::s3::ObjectName;
use ifmatch::secret::Secret;
use redis::aio::MultiplexedConnection;

use self::cluster_servers::ClusterServers;
use self::redis_server::{RedisServer, needs_redis};
use self::steps::{
    ask, ask_to_create, at, commit, granted, is_unreachable, object, present, settings_of, tell,
    until, watched, write,
};
use self::wire::Wire;

const LEASE: Duration = Duration::from_millis(1600);
/// Of the servers, in milliseconds.
const NODE_TIMEOUT: &str = "1000";
/// That, and as long as what they say is believed.
const LAG: Duration = Duration::from_millis(1800);
const SETTLE: Duration = Duration::from_secs(5);

fn terms() -> Terms {
    Terms {
        lease: LEASE,
        grace: Duration::from_millis(100),
        settle: SETTLE,
        settle_long: Duration::from_mins(1),
        retry_horizon: Duration::from_mins(1),
        record_ttl: Duration::from_mins(10),
        failover_lag: LAG,
        lag: Duration::ZERO,
        spacing: Duration::ZERO,
        writers: Writers::Exclusive,
    }
}

/// By the ports of some of its servers.
fn settings(seeds: &[u16], wire: Wire) -> RedisSettings {
    let topology = Topology::Cluster(seeds.iter().copied().map(at).collect());
    RedisSettings { tls: wire.tls(), ..settings_of(topology) }
}

/// A key in each partition that a register has written, and the slot of each.
struct Keys {
    names: Vec<ObjectName>,
    slots: Vec<u16>,
    generations: Vec<Generation>,
}

impl Keys {
    /// Writes keys until there is one in each partition.
    async fn write(register: &RedisRegister, connection: &mut MultiplexedConnection) -> Self {
        let mut found: BTreeMap<u64, (ObjectName, Generation)> = BTreeMap::new();
        for name in (0..2000).map(|number| object(&format!("key {number}"))) {
            if let Entry::Vacant(vacant) = found.entry(partition_of(&name.to_string())) {
                let generation = write(register, &name, "a", "x").await;
                vacant.insert((name, generation));
            }
        }
        assert_eq!(found.len(), 64, "each partition has one");
        let mut slots = Vec::new();
        for partition in found.keys() {
            let mut slot = redis::cmd("CLUSTER");
            slot.arg("KEYSLOT").arg(format!("{{test:{partition}}}"));
            slots.push(slot.query_async(connection).await.unwrap());
        }
        let (names, generations) = found.into_values().unzip();
        Self { names, slots, generations }
    }

    /// The keys whose slots are in the first, second or last third.
    fn at_master(&self, number: usize) -> Vec<usize> {
        let of = |slot: u16| match slot {
            0..=5460 => 0,
            5461..=10922 => 1,
            _ => 2,
        };
        (0..64).filter(|key| of(self.slots[*key]) == number).collect()
    }

    /// These are as they were written: their epoch goes on.
    async fn are_untouched(&self, register: &RedisRegister, keys: impl Iterator<Item = usize>) {
        for key in keys {
            let seen = register.observe(&self.names[key]).await.unwrap();
            let known = (seen.state, seen.generation.as_ref(), seen.quarantine);
            assert_eq!(known, (present("x"), Some(&self.generations[key]), Duration::ZERO));
        }
    }
}

/// As `format.rs` has it.
fn partition_of(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) % 64
}

/// This key's partition has a new master, which knows nothing and grants nothing yet.
async fn has_begun_anew(register: &RedisRegister, name: &ObjectName, old: &Token) {
    until("the new master answers", async || {
        register.observe(name).await.is_ok_and(|seen| seen.state == State::Unknown)
    })
    .await;
    let seen = register.observe(name).await.unwrap();
    let least = SETTLE.checked_sub(LAG).unwrap();
    assert!(seen.quarantine > least && seen.quarantine <= terms().quarantine(), "{seen:?}");
    assert!(!seen.leased && seen.generation.is_none(), "{seen:?}");
    assert_eq!(register.renew(name, old).await, Ok(false));
    let late = commit(register, name, old, present("late")).await;
    assert_eq!(late, Ok(CommitAnswer::EpochChanged));
    let answer = register.acquire(name, &ask("b")).await.unwrap();
    assert!(matches!(answer, Acquired::Quarantine(_)), "{answer:?}");
}

#[tokio::test]
async fn a_slot_that_moves_begins_anew_and_the_others_go_on() {
    needs_redis!();
    a_slot_moves(Wire::Plain).await;
}

#[tokio::test]
async fn a_slot_that_moves_by_tls_begins_anew_and_the_others_go_on() {
    needs_redis!();
    a_slot_moves(Wire::Tls).await;
}

async fn a_slot_moves(wire: Wire) {
    let cluster = ClusterServers::start(0, NODE_TIMEOUT, wire).await;
    // One seed is enough to find them all.
    let register = watched(&settings(&cluster.ports[1..2], wire), &terms());
    register.skip_quarantine().await.unwrap();
    let mut connection = cluster.servers[0].connection().await;
    let keys = Keys::write(&register, &mut connection).await;
    for master in 0..3 {
        assert!(keys.at_master(master).len() > 10, "each has its part");
    }
    let [moving, staying, ..] = keys.at_master(0)[..] else { panic!("it has some") };
    let lease_of =
        async |key: usize| granted(&*register, &keys.names[key], &ask_to_create("b")).await.token;
    let old = lease_of(moving).await;
    let elsewhere = lease_of(keys.at_master(2)[0]).await;
    let unwritten = (0..2000).map(|number| object(&format!("none {number}"))).find(|name| {
        partition_of(&name.to_string()) == partition_of(&keys.names[moving].to_string())
    });
    let unwritten = unwritten.unwrap();

    let name = &keys.names[moving];
    cluster
        .move_slot(keys.slots[moving], 0, 2, async |stage| {
            if stage == "marked" {
                assert_eq!(register.renew(name, &old).await, Ok(true), "it is where it was");
                let torn = register.observe(&unwritten).await;
                assert!(is_unreachable(&torn), "there is half of it: {torn:?}");
            } else {
                let gone = register.renew(name, &old).await;
                assert!(
                    is_unreachable(&gone),
                    "it is at a server that must not be asked yet: {gone:?}"
                );
            }
            assert!(register.renew(&keys.names[keys.at_master(2)[0]], &elsewhere).await.unwrap());
            assert!(register.observe(&keys.names[staying]).await.is_ok());
        })
        .await;
    has_begun_anew(&register, name, &old).await;
    keys.are_untouched(&register, (0..64).filter(|key| *key != moving)).await;
    until("all is well", async || register.check().await.is_ok()).await;
    register.skip_quarantine().await.unwrap();
    write(&*register, name, "c", "y").await;
}

#[tokio::test]
async fn a_master_that_froze_is_replaced_and_not_asked_when_it_wakes() {
    needs_redis!();
    a_master_freezes(Wire::Plain).await;
}

#[tokio::test]
async fn a_master_that_froze_is_replaced_by_tls_and_not_asked_when_it_wakes() {
    needs_redis!();
    a_master_freezes(Wire::Tls).await;
}

async fn a_master_freezes(wire: Wire) {
    let cluster = ClusterServers::start(1, NODE_TIMEOUT, wire).await;
    let register = watched(&settings(&cluster.ports[1..3], wire), &terms());
    register.skip_quarantine().await.unwrap();
    let mut connection = cluster.servers[1].connection().await;
    let keys = Keys::write(&register, &mut connection).await;
    let name = &keys.names[keys.at_master(0)[0]];
    let old = granted(&*register, name, &ask_to_create("b")).await.token;

    cluster.servers[0].freeze(true);
    let silent = register.renew(name, &old).await;
    assert!(is_unreachable(&silent), "{silent:?}");
    // While it is missing the others take no orders either (CLUSTERDOWN).
    has_begun_anew(&register, name, &old).await;
    let others = (0..64).filter(|key| !keys.at_master(0).contains(key));
    until("all is well", async || register.check().await.is_ok()).await;
    keys.are_untouched(&register, others).await;

    register.skip_quarantine().await.unwrap();
    let generation = write(&*register, name, "c", "y").await;
    cluster.servers[0].freeze(false);
    until("it has become a replica", async || {
        // Whatever it takes itself for, it is not asked.
        let seen = register.observe(name).await.unwrap();
        assert_eq!((seen.state, seen.generation.as_ref()), (present("y"), Some(&generation)));
        let info: String = redis::cmd("INFO")
            .arg("replication")
            .query_async(&mut cluster.servers[0].connection().await)
            .await
            .unwrap();
        info.contains("role:slave")
    })
    .await;
}

/// It has all slots, and is a cluster, but alone.
#[tokio::test]
async fn a_server_that_the_others_know_nothing_of_is_not_asked() {
    needs_redis!();
    let loner = cluster_servers::server(NODE_TIMEOUT, Wire::Plain).await;
    let mut at_loner = loner.redis.connection().await;
    tell(&mut at_loner, "CLUSTER ADDSLOTSRANGE 0 16383").await;
    until("it serves", async || {
        redis::cmd("GET").arg("any").query_async::<redis::Value>(&mut at_loner).await.is_ok()
    })
    .await;
    let cluster = ClusterServers::start(0, NODE_TIMEOUT, Wire::Plain).await;
    let seeds = [&[loner.port], &cluster.ports[..]].concat();
    let register = watched(&settings(&seeds, Wire::Plain), &terms());
    register.skip_quarantine().await.unwrap();
    let keys = Keys::write(&register, &mut at_loner).await;
    keys.are_untouched(&register, 0..64).await;
    assert_eq!(register.name().await, Ok(None));
    let id = RegisterId::new();
    assert_eq!(register.name_if_nameless(&id).await, Ok(id.clone()));
    assert_eq!(register.apart().name().await, Ok(Some(id)), "its id is kept too");
    let held: usize = redis::cmd("DBSIZE").query_async(&mut at_loner).await.unwrap();
    assert_eq!(held, 0, "nothing of the register is there");
}

#[tokio::test]
async fn a_cluster_that_has_lost_a_part_of_its_slots_grants_nothing() {
    needs_redis!();
    let mut cluster = ClusterServers::start(0, NODE_TIMEOUT, Wire::Plain).await;
    let settings = settings(&cluster.ports, Wire::Plain);
    let register = watched(&settings, &terms());
    register.skip_quarantine().await.unwrap();
    let mut connection = cluster.servers[0].connection().await;
    let keys = Keys::write(&register, &mut connection).await;
    cluster.servers[2].kill();
    let name = &keys.names[keys.at_master(0)[0]];
    until("Redis says CLUSTERDOWN", async || {
        let answer = register.acquire(name, &ask_to_create("b")).await;
        matches!(answer, Err(RegisterError::Unreachable(why)) if why.contains("CLUSTERDOWN"))
    })
    .await;
    assert!(is_unreachable(&register.check().await));
    cluster.servers[2].start_again().await;
    until("it is back", async || register.observe(name).await.is_ok()).await;
    keys.are_untouched(&register, keys.at_master(0).into_iter()).await;
}

#[tokio::test]
async fn servers_that_are_no_cluster_or_too_slow_a_one_are_refused_with_a_sentence() {
    needs_redis!();
    let refusal = async |settings: &RedisSettings, terms: &Terms| {
        let error = RedisRegister::connect(settings, terms).unwrap().check().await.unwrap_err();
        let RegisterError::Unsuitable(sentence) = error else { panic!("{error}") };
        sentence
    };
    let alone = RedisServer::start(&[]).await;
    let sentence = refusal(&settings(&[alone.port()], Wire::Plain), &terms()).await;
    assert!(sentence.contains("write redis:// in register.url"), "{sentence}");

    let cluster = ClusterServers::start(0, NODE_TIMEOUT, Wire::Plain).await;
    let all = settings(&cluster.ports, Wire::Plain);
    let hasty = Terms { failover_lag: LAG.mul_f64(0.99), ..terms() };
    let sentence = refusal(&all, &hasty).await;
    assert!(sentence.contains("register.failover_lag, for all proxies, to 1.8 s"), "{sentence}");

    for server in &cluster.servers {
        let user = "ACL SETUSER blind on >hunter2 ~* +@all -config";
        tell(&mut server.connection().await, user).await;
    }
    let blind = RedisSettings {
        username: Some("blind".to_owned()),
        password: Some(Secret::new("hunter2")),
        ..all.clone()
    };
    let sentence = refusal(&blind, &hasty).await;
    assert!(sentence.contains("CONFIG GET is refused"), "{sentence}");
    let stated = RedisSettings { failover_lag_is_stated: true, ..blind.clone() };
    RedisRegister::connect(&stated, &hasty).unwrap().check().await.unwrap();
    let wrong = RedisSettings { password: Some(Secret::new("hunter3")), ..blind };
    let sentence = refusal(&wrong, &terms()).await;
    assert!(sentence.contains("refuses the user name or the password"), "{sentence}");

    let no_server = settings(&[1], Wire::Plain);
    let checked = RedisRegister::connect(&no_server, &terms()).unwrap().check().await;
    assert!(is_unreachable(&checked), "{checked:?}");
}
