//! When an epoch goes on and when a new one begins, on real servers: docs/protocol.md#epochs.

use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};
use tokio::time::{Instant, sleep};

use super::redis_server::{RedisServer, needs_redis};
use super::*;
use crate::register::redis::scripts::CLOCK;
use crate::register::{CommitAnswer, Token};

/// A server, the register there, and a lease that this register has granted.
struct Granted {
    server: RedisServer,
    meddler: MultiplexedConnection,
    register: RedisRegister,
    token: Token,
}

const SERVER: [&str; 4] = ["--enable-debug-command", "yes", "--repl-backlog-ttl", "1"];

impl Granted {
    async fn new() -> Self {
        let server = RedisServer::start(&SERVER).await;
        let register = of_version(&server, "");
        register.skip_quarantine().await.unwrap();
        let token = acquire(&register, "first").await;
        Self { meddler: server.connection().await, server, register, token }
    }

    async fn tell(&mut self, command: &str) -> Value {
        tell(&mut self.meddler, command).await
    }

    /// Is the lease still there, and its epoch? A new epoch would have dropped it.
    async fn goes_on(&self) -> bool {
        self.register.renew(&named("key"), &self.token).await.unwrap()
    }

    /// Asserts that a new epoch has begun: without the lease, and with a quarantine.
    async fn is_over(&self, what: &str) {
        assert!(!self.goes_on().await, "{what}");
        let answer = self.register.acquire(&named("key"), &ask("next")).await;
        assert!(matches!(answer, Ok(Acquired::Quarantine(_))), "{what}: {answer:?}");
    }
}

/// Leases and quarantines that no test outlasts.
fn long_terms() -> Terms {
    Terms { lease: Duration::from_mins(10), ..terms(Writers::Exclusive) }
}

/// The register as another version sees it.
fn of_version(server: &RedisServer, version: &str) -> RedisRegister {
    let topology = Topology::Single {
        address: Address { host: "127.0.0.1".to_owned(), port: server.port() },
        never_promoted: true,
    };
    let settings = RedisSettings { topology, ..settings(server, 0) };
    let library = Library::new(&long_terms(), false, CLOCK, version);
    RedisRegister::with_library(&settings, &long_terms(), library, Arc::default()).unwrap()
}

async fn acquire(register: &RedisRegister, write: &str) -> Token {
    match register.acquire(&named("key"), &ask(write)).await.unwrap() {
        Acquired::Granted(grant) => grant.token,
        answer => panic!("{write}: {answer:?}"),
    }
}

async fn tell(meddler: &mut MultiplexedConnection, command: &str) -> Value {
    let mut words = command.split(' ');
    let mut telling = cmd(words.next().unwrap());
    words.for_each(|word| {
        telling.arg(word);
    });
    telling.query_async(meddler).await.unwrap()
}

/// Waits until a server's INFO says this.
async fn until_said(meddler: &mut MultiplexedConnection, what: &str) {
    let began = Instant::now();
    loop {
        let info: String = redis::from_redis_value(tell(meddler, "INFO everything").await).unwrap();
        if info.lines().any(|line| line.trim_end() == what) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Makes it a replica of another, and waits until it has all that the other has.
async fn follow(meddler: &mut MultiplexedConnection, master: &RedisServer) {
    tell(meddler, &format!("REPLICAOF 127.0.0.1 {}", master.port())).await;
    until_said(meddler, "master_link_status:up").await;
    let of_master = async |field: &str| {
        let info = tell(&mut master.connection().await, "INFO replication").await;
        let info: String = redis::from_redis_value(info).unwrap();
        let found = info.lines().find_map(|line| line.strip_prefix(field).map(str::to_owned));
        found.unwrap()
    };
    let offset = of_master("master_repl_offset:").await;
    until_said(meddler, &format!("slave_repl_offset:{}", offset.trim_end())).await;
}

#[tokio::test]
async fn an_epoch_goes_on_while_nothing_is_lost() {
    needs_redis!();
    let mut kept = Granted::new().await;
    let dump: Vec<u8> = cmd("FUNCTION").arg("DUMP").query_async(&mut kept.meddler).await.unwrap();
    for harmless in ["SCRIPT FLUSH", "FUNCTION FLUSH", "DEBUG RELOAD", "CLIENT KILL TYPE normal"] {
        kept.tell(harmless).await;
        assert!(kept.goes_on().await, "{harmless}");
    }
    let mut restore = cmd("FUNCTION");
    restore.arg("RESTORE").arg(dump).arg("REPLACE");
    let _: Value = restore.query_async(&mut kept.meddler).await.unwrap();
    assert!(kept.goes_on().await, "the library was replaced");
    let committed = CommitStep {
        token: &kept.token,
        generation: None,
        new: State::Absent,
        quiet: None,
        headers: &AnswerHeaders::default(),
        written: &Written::default(),
    };
    let answer = kept.register.commit(&named("key"), &committed).await;
    assert_eq!(answer, Ok(CommitAnswer::Committed));
}

#[tokio::test]
async fn an_epoch_is_over_where_something_may_be_lost() {
    needs_redis!();
    let partition = format!("DEL {}", keys_of("test", &named("key")).partition);
    for (what, commands) in [
        ("all", &["FLUSHALL"][..]),
        ("the partition", &[partition.as_str()][..]),
        ("both vouchers", &["DEBUG CHANGE-REPL-ID", "FUNCTION FLUSH"][..]),
    ] {
        let mut lost = Granted::new().await;
        for command in commands {
            lost.tell(command).await;
        }
        lost.is_over(what).await;
    }
}

#[tokio::test]
async fn what_an_earlier_format_left_of_a_key_counts_as_nothing() {
    needs_redis!();
    let mut kept = Granted::new().await;
    // Format 4: a record began with its epoch's name and the length of what follows.
    let former = [&[b'e'; 32][..], b"\0\0\0\x05\xa1A\xc0\xc0\xd9", b"\0\0"].concat();
    for (number, left) in [former.as_slice(), b"\xd9\x20half", b"\xc1", b""].into_iter().enumerate()
    {
        let name = named(&format!("key {number}"));
        let key = keys_of("test", &name).key;
        let set = cmd("SET").arg(key).arg(left).query_async(&mut kept.meddler).await;
        let _: Value = set.unwrap();
        let seen = kept.register.observe(&name).await.unwrap();
        assert_eq!((seen.state, seen.generation), (State::Unknown, None), "{number}");
        let answer = kept.register.acquire(&name, &ask(&format!("write {number}"))).await;
        assert!(matches!(answer, Ok(Acquired::Granted(_))), "{number}: {answer:?}");
    }
}

#[tokio::test]
async fn replicas_that_come_and_go_end_no_epoch() {
    needs_redis!();
    let mut kept = Granted::new().await;
    let replica = RedisServer::start(&SERVER).await;
    let mut other = replica.connection().await;
    let replid = async |kept: &mut Granted| {
        let info: String = redis::from_redis_value(kept.tell("INFO replication").await).unwrap();
        info.lines().find(|line| line.starts_with("master_replid:")).unwrap().to_owned()
    };
    let alone = replid(&mut kept).await;
    follow(&mut other, &kept.server).await;
    let first = replid(&mut kept).await;
    assert_ne!(alone, first, "the server has no other name, so this shows nothing");
    assert!(kept.goes_on().await, "the first replica came");

    tell(&mut other, "REPLICAOF NO ONE").await;
    until_said(&mut kept.meddler, "repl_backlog_active:0").await;
    assert_ne!(
        first,
        replid(&mut kept).await,
        "the server has no other name, so this shows nothing"
    );
    assert!(kept.goes_on().await, "the backlog is gone");

    // A survey has written the new name down, by which the epoch is known without the library too.
    kept.register.check().await.unwrap();
    kept.tell("FUNCTION FLUSH").await;
    assert!(kept.goes_on().await, "the library is gone");
}

#[tokio::test]
async fn a_replica_that_is_promoted_begins_an_epoch() {
    needs_redis!();
    let kept = Granted::new().await;
    let replica = RedisServer::start(&SERVER).await;
    let mut other = replica.connection().await;
    follow(&mut other, &kept.server).await;
    tell(&mut other, "REPLICAOF NO ONE").await;
    let promoted = Granted { register: of_version(&replica, ""), ..kept };
    assert!(!promoted.goes_on().await);
}

/// A master is demoted, and promoted again. What was granted elsewhere need not have reached it.
#[tokio::test]
async fn a_master_that_returns_begins_an_epoch_whatever_it_kept() {
    needs_redis!();
    for synced in ["not at all", "in part", "as a whole"] {
        let mut kept = Granted::new().await;
        let replica = RedisServer::start(&SERVER).await;
        let mut other = replica.connection().await;
        follow(&mut other, &kept.server).await;
        tell(&mut other, "REPLICAOF NO ONE").await;
        assert!(kept.goes_on().await, "no one has told it");
        match synced {
            "not at all" => {
                replica.freeze(true);
                kept.tell(&format!("REPLICAOF 127.0.0.1 {}", replica.port())).await;
            }
            "in part" => {
                // Both have the same history again.
                follow(&mut other, &kept.server).await;
                tell(&mut other, "REPLICAOF NO ONE").await;
                follow(&mut kept.meddler, &replica).await;
                until_said(&mut other, "sync_partial_ok:1").await;
            }
            _ => {
                follow(&mut kept.meddler, &replica).await;
                until_said(&mut other, "sync_full:1").await;
            }
        }
        kept.tell("REPLICAOF NO ONE").await;
        // So long after its last look the library looks again.
        sleep(format::SERVER_SEEN).await;
        kept.is_over(&format!("synced {synced}")).await;
    }
}

#[tokio::test]
async fn two_versions_share_one_epoch() {
    needs_redis!();
    let kept = Granted::new().await;
    let newer = of_version(&kept.server, "-- a newer one\n");
    let busy = newer.acquire(&named("key"), &ask("second")).await.unwrap();
    assert!(matches!(busy, Acquired::Busy { .. }), "{busy:?}");
    assert!(kept.goes_on().await);

    // None of their generations has the other's name.
    let mut names = Vec::new();
    for round in 0..2 * format::GENERATIONS {
        for (version, register) in [("older", &kept.register), ("newer", &newer)] {
            let name = two_keys()[0].clone();
            let asked = ask(&format!("{version} {round}"));
            let Acquired::Granted(grant) = register.acquire(&name, &asked).await.unwrap() else {
                panic!("not granted")
            };
            names.extend(grant.armed.clone());
            let step = DisarmStep { token: &grant.token, pre: &State::Absent, refused: None };
            assert_eq!(register.disarm(&name, &step).await, Ok(true));
        }
    }
    let all = names.len();
    names.sort_by(|one, other| one.0.cmp(&other.0));
    names.dedup();
    assert_eq!((names.len(), all), (all, 4 * format::GENERATIONS as usize));
    assert!(kept.goes_on().await, "both are asked in turn");

    // An operator's word reaches both.
    let mut meddler = kept.server.connection().await;
    tell(&mut meddler, "FLUSHALL").await;
    assert!(matches!(newer.acquire(&named("key"), &ask("a")).await, Ok(Acquired::Quarantine(_))));
    kept.register.skip_quarantine().await.unwrap();
    acquire(&newer, "b").await;
}

/// What is stored for stores that lag stays where it is until another state lands.
#[tokio::test]
async fn a_landing_has_its_place_in_a_key() {
    const PLACE: &str = r"
redis.register_function('landing', function(KEYS, ARGV)
  begin(KEYS, ARGV)
  read_key()
  if ARGV[2] then
    record.landing = {now, 7, ARGV[2]}
    put_key()
  end
  return record.landing
end)
";
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let register = of_version(&server, PLACE);
    register.skip_quarantine().await.unwrap();
    let keys = keys_of("test", &named("key"));
    let mut meddler = server.connection().await;
    let mut landing = async |noted: Option<&str>| {
        let mut call = cmd("FCALL");
        call.arg("landing").arg(2).arg(&keys.partition).arg(&keys.key).arg("new").arg(noted);
        call.query_async::<Option<(u64, u64, String)>>(&mut meddler).await.unwrap()
    };
    assert_eq!(landing(None).await, None);
    let noted = landing(Some("yesterday")).await.unwrap();
    assert_eq!((noted.1, noted.2.as_str()), (7, "yesterday"));
    let token = acquire(&register, "a").await;
    assert_eq!(landing(None).await.as_ref(), Some(&noted));
    let step = DisarmStep { token: &token, pre: &State::Absent, refused: None };
    register.disarm(&named("key"), &step).await.unwrap();
    assert_eq!(landing(None).await, Some(noted));
    let token = acquire(&register, "b").await;
    let step = CommitStep {
        token: &token,
        generation: None,
        new: State::Absent,
        quiet: None,
        headers: &AnswerHeaders::default(),
        written: &Written::default(),
    };
    assert_eq!(register.commit(&named("key"), &step).await, Ok(CommitAnswer::Committed));
    assert_eq!(landing(None).await, None);
}
