//! The register behind Sentinels: only the master that most of them name is used.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

#[path = "support/redis_server.rs"]
#[allow(dead_code, reason = "shared with the tests of one Redis and of Cluster")]
mod redis_server;
#[path = "support/steps.rs"]
#[allow(dead_code, reason = "shared with the tests of one Redis and of Cluster")]
mod steps;
#[path = "support/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS")]
mod wire;

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use ifmatch::register::redis::{RedisRegister, RedisSettings, SentinelTopology, Topology};
use ifmatch::register::{Acquired, CommitAnswer, Register, RegisterError, State, Terms, Writers};
use ifmatch::secret::Secret;
use tokio::time::Instant;

use self::redis_server::{RedisServer, needs_redis};
use self::steps::{
    ask, ask_to_create, at, commit, granted, is_unreachable, key, present, settings_of, tell,
    until, watched, write,
};
use self::wire::Wire;

const LEASE: Duration = Duration::from_millis(800);
/// As long as what Sentinels say is believed.
const LAG: Duration = Duration::from_millis(400);
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

fn settings(sentinels: &[RedisServer], master: &str) -> RedisSettings {
    let ports: Vec<_> = sentinels.iter().map(RedisServer::port).collect();
    settings_at(&ports, master)
}

/// By the ports of the Sentinels.
fn settings_at(sentinels: &[u16], master: &str) -> RedisSettings {
    settings_of(Topology::Sentinels(SentinelTopology {
        sentinels: sentinels.iter().copied().map(at).collect(),
        master: master.to_owned(),
        username: None,
        password: None,
    }))
}

/// A Sentinel that calls the Redis on this port `main`.
async fn sentinel(master: u16, quorum: u8) -> RedisServer {
    sentinel_with(master, quorum, &[]).await
}

/// The same, with these options more.
async fn sentinel_with(master: u16, quorum: u8, options: &[String]) -> RedisServer {
    RedisServer::start_with(|port, directory| {
        let file = directory.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\n\
             sentinel monitor main 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds main 400\n\
             sentinel failover-timeout main 2000\n",
            directory.display()
        );
        fs::write(&file, text).unwrap();
        let words = [file.to_str().unwrap().to_owned(), "--sentinel".to_owned()];
        words.into_iter().chain(options.iter().cloned()).collect()
    })
    .await
}

/// A master, two replicas of it, and three Sentinels that know all of them.
struct Set {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
    /// Where the register and the servers reach the Sentinels.
    ports: Vec<u16>,
    wire: Wire,
}

impl Set {
    async fn start(wire: Wire) -> Self {
        let start = async |options: Vec<String>| {
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            RedisServer::start(&options).await
        };
        let servers = join_all((0..3).map(|_| wire.started(start))).await;
        let (servers, ports): (Vec<_>, Vec<_>) = servers.into_iter().unzip();
        let master = ports[0];
        for replica in &servers[1..] {
            tell(&mut replica.connection().await, &format!("REPLICAOF 127.0.0.1 {master}")).await;
        }
        let mut connection = servers[0].connection().await;
        until("two replicas are there", async || {
            let info: String =
                redis::cmd("INFO").arg("replication").query_async(&mut connection).await.unwrap();
            info.matches("state=online").count() == 2
        })
        .await;
        let start = async |options: Vec<String>| sentinel_with(master, 2, &options).await;
        let sentinels = join_all((0..3).map(|_| wire.started(start))).await;
        let (sentinels, ports): (Vec<_>, Vec<_>) = sentinels.into_iter().unzip();
        for sentinel in &sentinels {
            let mut connection = sentinel.connection().await;
            until("a Sentinel knows all of them", async || {
                let told: std::collections::HashMap<String, String> = redis::cmd("SENTINEL")
                    .arg("MASTER")
                    .arg("main")
                    .query_async(&mut connection)
                    .await
                    .unwrap();
                told["num-slaves"] == "2" && told["num-other-sentinels"] == "2"
            })
            .await;
        }
        Self { servers, sentinels, ports, wire }
    }

    fn settings(&self) -> RedisSettings {
        RedisSettings { tls: self.wire.tls(), ..settings_at(&self.ports, "main") }
    }
}

/// The old master granted a lease; now another server is the master. Nothing of the lease is left, and
/// nothing is granted before it is over everywhere.
async fn a_new_master_begins_anew(register: &RedisRegister, old: &ifmatch::register::Token) {
    until("the new master answers", async || {
        let seen = register.observe(&key()).await;
        seen.is_ok_and(|seen| seen.state == State::Unknown && !seen.leased)
    })
    .await;
    let quarantine = register.check().await.unwrap().quarantine;
    assert!(quarantine <= terms().quarantine(), "{quarantine:?}");
    assert!(quarantine + Duration::from_secs(2) > SETTLE, "{quarantine:?}");
    assert_eq!(register.renew(&key(), old).await, Ok(false));
    let late = commit(register, &key(), old, present("late")).await;
    assert_eq!(late, Ok(CommitAnswer::EpochChanged));
    let answer = register.acquire(&key(), &ask("b")).await.unwrap();
    assert!(matches!(answer, Acquired::Quarantine(_)), "{answer:?}");
    register.skip_quarantine().await.unwrap();
    write(register, &key(), "c", "y").await;
}

#[tokio::test]
async fn a_killed_master_is_replaced_and_what_it_granted_is_over() {
    needs_redis!();
    a_master_is_killed(Wire::Plain).await;
}

#[tokio::test]
async fn a_killed_master_is_replaced_by_tls_and_what_it_granted_is_over() {
    needs_redis!();
    a_master_is_killed(Wire::Tls).await;
}

async fn a_master_is_killed(wire: Wire) {
    let mut set = Set::start(wire).await;
    let register = watched(&set.settings(), &terms());
    register.skip_quarantine().await.unwrap();
    write(&*register, &key(), "a", "x").await;
    let old = granted(&*register, &key(), &ask_to_create("b")).await.token;
    set.servers[0].kill();
    assert!(is_unreachable(&register.renew(&key(), &old).await));
    a_new_master_begins_anew(&register, &old).await;
}

#[tokio::test]
async fn a_master_that_hands_over_is_left_for_the_new_one() {
    needs_redis!();
    a_master_hands_over(Wire::Plain).await;
}

#[tokio::test]
async fn a_master_that_hands_over_by_tls_is_left_for_the_new_one() {
    needs_redis!();
    a_master_hands_over(Wire::Tls).await;
}

async fn a_master_hands_over(wire: Wire) {
    let set = Set::start(wire).await;
    let register = watched(&set.settings(), &terms());
    register.skip_quarantine().await.unwrap();
    write(&*register, &key(), "a", "x").await;
    let old = granted(&*register, &key(), &ask_to_create("b")).await.token;
    tell(&mut set.sentinels[0].connection().await, "SENTINEL FAILOVER main").await;
    // It is told seconds later to be a replica, and is a master until then.
    a_new_master_begins_anew(&register, &old).await;
}

/// Three Sentinels that never heard of each other, and two masters. No failover is needed to show
/// what follows from what they say.
#[tokio::test]
async fn a_master_that_most_sentinels_have_left_is_not_used_although_it_lives() {
    needs_redis!();
    let (old, new) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let sentinels = join_all((0..3).map(|_| sentinel(old.port(), 1))).await;
    let register = watched(&settings(&sentinels, "main"), &terms());
    register.skip_quarantine().await.unwrap();
    let lease = granted(&*register, &key(), &ask_to_create("a")).await.token;
    for sentinel in &sentinels[1..] {
        tell(&mut sentinel.connection().await, "SENTINEL REMOVE main").await;
    }
    until("no step goes to a master that only one names", async || {
        register.observe(&key()).await.is_err()
    })
    .await;
    for sentinel in &sentinels[1..] {
        let monitor = format!("SENTINEL MONITOR main 127.0.0.1 {} 1", new.port());
        tell(&mut sentinel.connection().await, &monitor).await;
    }
    let named = Instant::now();
    until("the new master is used", async || register.renew(&key(), &lease).await == Ok(false))
        .await;
    assert!(named.elapsed() < 4 * LEASE, "{:?}", named.elapsed());
    let dbsize: usize =
        redis::cmd("DBSIZE").query_async(&mut new.connection().await).await.unwrap();
    assert!(dbsize >= 64, "an epoch has begun in each partition");
}

#[tokio::test]
async fn what_sentinels_said_is_believed_for_half_a_lease_and_no_longer() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let sentinels = join_all((0..3).map(|_| sentinel(server.port(), 1))).await;
    let register = watched(&settings(&sentinels, "main"), &terms());
    register.skip_quarantine().await.unwrap();
    let lease = granted(&*register, &key(), &ask_to_create("a")).await.token;
    for frozen in &sentinels[..2] {
        frozen.freeze(true);
    }
    let mut connection = server.connection().await;
    // Every call begins before the silence counts as long, or is refused without reaching Redis.
    let silent = Instant::now();
    while silent.elapsed() < LAG {
        let _ = register.observe(&key()).await;
    }
    tell(&mut connection, "CONFIG RESETSTAT").await;
    for _ in 0..3 {
        let refused = register.renew(&key(), &lease).await;
        assert!(is_unreachable(&refused), "{refused:?}");
        assert!(is_unreachable(&register.check().await));
    }
    let info: String =
        redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    assert!(!info.contains("cmdstat_fcall"), "the master was asked all the same: {info}");
    for frozen in &sentinels[..2] {
        frozen.freeze(false);
    }
    until("they are believed again", async || register.check().await.is_ok()).await;
    assert_eq!(register.renew(&key(), &lease).await, Ok(false), "answered, though too late");
}

/// The error of a first look.
async fn refusal(settings: &RedisSettings) -> RegisterError {
    RedisRegister::connect(settings, &terms()).unwrap().check().await.unwrap_err()
}

#[tokio::test]
async fn sentinels_that_cannot_say_who_is_the_master_are_refused_with_a_sentence() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let mut sentinels = join_all((0..3).map(|_| sentinel(server.port(), 1))).await;
    for sentinel in &sentinels {
        tell(&mut sentinel.connection().await, "ACL SETUSER default >hunter2").await;
    }
    let with = |password: Option<&str>, master: &str| {
        let mut settings = settings(&sentinels, master);
        if let Topology::Sentinels(sentinels) = &mut settings.topology {
            sentinels.password = password.map(Secret::new);
        }
        settings
    };
    let unsuitable = |error: RegisterError| match error {
        RegisterError::Unsuitable(sentence) => sentence,
        error => panic!("an operator must act: {error}"),
    };
    RedisRegister::connect(&with(Some("hunter2"), "main"), &terms())
        .unwrap()
        .check()
        .await
        .unwrap();
    for wrong in [None, Some("hunter3")] {
        let sentence = unsuitable(refusal(&with(wrong, "main")).await);
        assert!(sentence.contains("Set register.sentinel_username"), "{sentence}");
        assert!(!sentence.contains("hunter"), "{sentence}");
    }
    let sentence = unsuitable(refusal(&with(Some("hunter2"), "mian")).await);
    assert!(sentence.contains("does not know a master \"mian\""), "{sentence}");

    let mut servers = settings(&[], "main");
    servers.topology = Topology::Sentinels(SentinelTopology {
        sentinels: vec![at(server.port())],
        master: "main".to_owned(),
        username: None,
        password: None,
    });
    let sentence = unsuitable(refusal(&servers).await);
    assert!(sentence.contains("that is no Sentinel"), "{sentence}");

    let all = with(Some("hunter2"), "main");
    for sentinel in &mut sentinels[1..] {
        sentinel.kill();
    }
    let error = refusal(&all).await;
    let RegisterError::Unreachable(sentence) = error else { panic!("it may pass: {error}") };
    assert!(sentence.contains("is named by most of its 3 Sentinels"), "{sentence}");
    assert!(sentence.contains("does not answer"), "{sentence}");

    let hasty = Terms { failover_lag: LAG / 2, ..terms() };
    let refused = RedisRegister::connect(&all, &hasty);
    assert!(matches!(refused, Err(RegisterError::Unsuitable(why)) if why.contains("failover_lag")));
}
