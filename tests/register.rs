//! One contract for every register, then what only Redis can do to us: restart, vanish, fall
//! silent, be the wrong server.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

#[path = "support/cluster_servers.rs"]
#[allow(dead_code, reason = "shared with the tests of Cluster, which use more of it")]
mod cluster_servers;
#[path = "support/redis_server.rs"]
#[allow(dead_code, reason = "shared with the tests of Sentinel and Cluster, which use more of it")]
mod redis_server;
#[path = "support/steps.rs"]
#[allow(dead_code, reason = "shared with the tests of Sentinel and Cluster, which use more of it")]
mod steps;
#[path = "support/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS")]
mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ifmatch::register::identity::{Identified as _, RegisterId};
use ifmatch::register::memory::MemoryRegister;
use ifmatch::register::record::{JOURNAL_ENTRIES_MAX, PIN_TTL};
use ifmatch::register::redis::{RedisRegister, RedisSettings, Topology};
use ifmatch::register::waiters::TURN_GRANTS;
use ifmatch::register::young::YOUNG_MAX;
use ifmatch::register::{
    Acquired, AnswerHeaders, ArmAnswer, ArmStep, Ask, Asker, CommitAnswer, CommitStep, DisarmStep,
    Ending, Expect, Grant, KeyRange, ReclaimAnswer, ReclaimStep, Register, RegisterError,
    ReleaseStep, Resolution, ResolveStep, Settle, State, Terms, Token, View, WriteId, Writers,
};
use ifmatch::s3::listing::{Change, Description, Position, Written};
use ifmatch::s3::{Current, ETag, Preconditions};
use ifmatch::secret::Secret;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::cluster_servers::ClusterServers;
use self::redis_server::{RedisServer, needs_redis};
use self::steps::{
    ask, ask_to_create, at, commit, granted, is_unreachable, key, object, present, settings_of,
    tell, until, write,
};
use self::wire::Wire;

/// Each is long beside what a loaded machine may take for one step.
const LEASE: Duration = Duration::from_millis(1600);
const GRACE: Duration = Duration::from_millis(100);
const SETTLE: Duration = Duration::from_millis(600);
/// Longer than an abandoned lease blocks its key.
const OVER: Duration = Duration::from_millis(2310);

fn terms() -> Terms {
    Terms {
        lease: LEASE,
        grace: GRACE,
        settle: SETTLE,
        settle_long: Duration::from_mins(1),
        retry_horizon: Duration::from_mins(1),
        record_ttl: Duration::from_mins(10),
        failover_lag: Duration::ZERO,
        lag: Duration::ZERO,
        spacing: Duration::ZERO,
        writers: Writers::Exclusive,
    }
}

fn at_key(etag: &str) -> Current {
    Current::Present(ETag::parse(etag.as_bytes()))
}

async fn arm(register: &dyn Register, token: &Token, pre: State) -> ArmAnswer {
    let step = ArmStep { token, pre, expect: Expect::SomeObject, age: Duration::ZERO };
    register.arm(&key(), step).await.unwrap()
}

async fn release(register: &dyn Register, token: &Token, refused: Option<&str>) -> bool {
    let step = ReleaseStep { token, learned: Some(present("learned")), refused };
    register.release(&key(), &step).await.unwrap()
}

/// Reclaims the lease of a write that created an object.
async fn reclaim(register: &dyn Register, token: &Token, nonce: &str) -> ReclaimAnswer {
    let step = ReclaimStep {
        token,
        nonce,
        write_id: &WriteId("reclaimed".to_owned()),
        settle: Settle::Plain,
        pre: &State::Absent,
        expect: &Expect::SomeObject,
    };
    register.reclaim(&key(), &step).await.unwrap()
}

// === the contract ===

type Case = for<'a> fn(&'a dyn Register) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        const CONTRACT: &[(&str, Case)] = &[$((stringify!($case), |r| Box::pin($case(r)))),*];
    };
}

contract![
    what_was_written_is_observed,
    a_busy_key_is_free_after_release,
    who_waits_for_a_key_gets_it_after_a_turn,
    asking_again_with_the_same_nonce_gets_the_same_grant,
    a_lease_that_was_not_renewed_is_over,
    a_lost_write_is_a_doubt_that_the_next_holder_resolves,
    a_late_commit_is_told_so_and_taints,
    a_repeated_commit_is_committed,
    a_retry_gets_its_own_answer_again,
    a_resent_write_keeps_its_key_quiet,
    a_write_that_was_not_applied_leaves_the_key_as_it_was,
    a_request_older_than_the_epoch_is_not_armed,
    names_and_etags_are_kept_byte_for_byte,
    a_lease_that_is_there_is_held_and_one_that_has_ended_is_not_reclaimed,
    a_line_without_room_makes_older_requests_unsafe,
    the_check_counts_the_leases,
];

async fn what_was_written_is_observed(register: &dyn Register) {
    let before = register.observe(&key()).await.unwrap();
    assert_eq!((before.state, before.generation, before.leased), (State::Unknown, None, false));
    let first = write(register, &key(), "a", "x").await;
    let second = write(register, &key(), "b", "x").await;
    assert_ne!(first, second, "the same bytes, another generation");
    let after = register.observe(&key()).await.unwrap();
    assert_eq!((after.state, after.generation, after.leased), (present("x"), Some(second), false));
    assert!(before.landed.is_none() && after.landed.is_some());
}

/// One process with a writer always ready, and another that asks in vain between any two of them.
async fn who_waits_for_a_key_gets_it_after_a_turn(register: &dyn Register) {
    let other = |write: &str| Ask { asker: Asker("other".to_owned()), ..ask(write) };
    let mut held = granted(register, &key(), &ask("0")).await.token;
    for number in 1_u64.. {
        let busy = register.acquire(&key(), &other("waits")).await.unwrap();
        assert!(matches!(busy, Acquired::Busy { .. }), "{busy:?}");
        let answer = commit(register, &key(), &held, present("x")).await;
        assert_eq!(answer, Ok(CommitAnswer::Committed));
        match register.acquire(&key(), &ask(&number.to_string())).await.unwrap() {
            Acquired::Granted(grant) => held = grant.token,
            Acquired::Busy { write_id, .. } => {
                // On a machine that is busy the other may be forgotten now and then.
                assert_eq!((write_id, number <= 10 * TURN_GRANTS), (None, true), "{number}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let held = granted(register, &key(), &other("waited")).await.token;
    let answer = commit(register, &key(), &held, present("y")).await;
    assert_eq!(answer, Ok(CommitAnswer::Committed));
    granted(register, &key(), &ask("nobody waits")).await;
}

async fn a_busy_key_is_free_after_release(register: &dyn Register) {
    let grant = granted(register, &key(), &ask_to_create("a")).await;
    assert_eq!(grant.armed, None);
    let busy = register.acquire(&key(), &ask_to_create("b")).await.unwrap();
    let Acquired::Busy { write_id, free_in } = busy else { panic!("not busy: {busy:?}") };
    assert_eq!(write_id, Some(WriteId("a".to_owned())));
    assert!(free_in <= LEASE && free_in > Duration::ZERO, "{free_in:?}");
    granted(register, &object("another"), &ask("c")).await;
    assert!(release(register, &grant.token, None).await);
    assert!(!release(register, &grant.token, None).await, "it is gone");
    assert_eq!(granted(register, &key(), &ask("b")).await.state, present("learned"));
}

async fn asking_again_with_the_same_nonce_gets_the_same_grant(register: &dyn Register) {
    for ask in [ask_to_create("a"), ask("b")] {
        let name = object(&ask.nonce);
        let first = granted(register, &name, &ask).await;
        let again = granted(register, &name, &ask).await;
        assert_eq!(Grant { epoch_age: first.epoch_age, ..again }, first);
    }
}

async fn a_lease_that_was_not_renewed_is_over(register: &dyn Register) {
    let token = granted(register, &key(), &ask_to_create("a")).await.token;
    sleep(LEASE / 2).await;
    assert_eq!(register.renew(&key(), &token).await, Ok(true));
    sleep(LEASE / 2 + LEASE / 4).await;
    let waiting = register.acquire(&key(), &ask("b")).await.unwrap();
    assert!(matches!(waiting, Acquired::Busy { .. }), "{waiting:?}");
    sleep(LEASE / 2).await;
    assert_eq!(register.renew(&key(), &token).await, Ok(false));
    assert_eq!(arm(register, &token, State::Absent).await, ArmAnswer::Lost);
    let grant = granted(register, &key(), &ask_to_create("b")).await;
    assert_eq!(grant.doubt, None, "it was never armed");
}

async fn a_lost_write_is_a_doubt_that_the_next_holder_resolves(register: &dyn Register) {
    let lost = granted(register, &key(), &ask_to_create("a")).await.token;
    let ArmAnswer::Armed(generation) = arm(register, &lost, State::Absent).await else {
        panic!("not armed")
    };
    assert!(!release(register, &lost, None).await, "an armed lease is never released");
    sleep(LEASE).await;
    assert!(register.observe(&key()).await.unwrap().leased);
    sleep(GRACE + 2 * SETTLE).await;
    assert!(!register.observe(&key()).await.unwrap().leased);
    let grant = granted(register, &key(), &ask_to_create("b")).await;
    assert_eq!((grant.state, grant.armed), (State::Unknown, None));
    assert_eq!(grant.doubt.map(|doubt| doubt.write_id), Some(WriteId("a".to_owned())));
    let step =
        ResolveStep { token: &grant.token, head: &at_key("x"), seen_id: None, view: View::Current };
    let resolution = register.resolve(&key(), &step).await;
    assert_eq!(resolution, Ok(Resolution::Landed));
    let landed =
        Ending::Landed { state: present("x"), generation, headers: AnswerHeaders::default() };
    let retry = Ask { nonce: "again".to_owned(), ..ask_to_create("a") };
    assert_eq!(register.acquire(&key(), &retry).await, Ok(Acquired::Ended(landed)));
}

async fn a_late_commit_is_told_so_and_taints(register: &dyn Register) {
    let late = granted(register, &key(), &ask("a")).await.token;
    sleep(OVER).await;
    let grant = granted(register, &key(), &ask("b")).await;
    let headers = commit(register, &key(), &late, present("x")).await;
    assert_eq!(headers, Ok(CommitAnswer::Overtaken));
    let own = commit(register, &key(), &grant.token, present("y")).await;
    assert_eq!(own, Ok(CommitAnswer::Committed));
    assert_eq!(register.observe(&key()).await.unwrap().state, State::Unknown);
    let stranger = Token("another epoch.nonce".to_owned());
    let headers = commit(register, &key(), &stranger, present("x")).await;
    assert_eq!(headers, Ok(CommitAnswer::EpochChanged));
}

async fn a_repeated_commit_is_committed(register: &dyn Register) {
    let token = granted(register, &key(), &ask("a")).await.token;
    for _ in 0..2 {
        let answer = commit(register, &key(), &token, present("x")).await;
        assert_eq!(answer, Ok(CommitAnswer::Committed));
    }
    let seen = register.observe(&key()).await.unwrap();
    assert_eq!((seen.state, seen.leased), (present("x"), false));
}

async fn a_retry_gets_its_own_answer_again(register: &dyn Register) {
    let generation = write(register, &key(), "a", "x").await;
    write(register, &key(), "b", "y").await;
    let token = granted(register, &key(), &ask_to_create("c")).await.token;
    assert!(release(register, &token, Some("NoSuchKey")).await);
    let retry = |write| Ask { nonce: "again".to_owned(), ..ask(write) };
    let landed =
        Ending::Landed { state: present("x"), generation, headers: AnswerHeaders::default() };
    assert_eq!(register.acquire(&key(), &retry("a")).await, Ok(Acquired::Ended(landed)));
    let refused = Ending::Refused { code: "NoSuchKey".to_owned() };
    assert_eq!(register.acquire(&key(), &retry("c")).await, Ok(Acquired::Ended(refused)));
}

async fn a_resent_write_keeps_its_key_quiet(register: &dyn Register) {
    let token = granted(register, &key(), &ask("a")).await.token;
    // Longer than a lease that has ended may keep its key on a clock that has just begun.
    let quiet = Duration::from_millis(900);
    let step = CommitStep {
        token: &token,
        generation: None,
        new: present("x"),
        quiet: Some(quiet),
        headers: &AnswerHeaders::default(),
        written: &Written::default(),
    };
    assert_eq!(register.commit(&key(), &step).await, Ok(CommitAnswer::Committed));
    let seen = register.observe(&key()).await.unwrap();
    assert_eq!((seen.state, seen.leased), (present("x"), true));
    let busy = register.acquire(&key(), &ask("b")).await.unwrap();
    assert!(matches!(busy, Acquired::Busy { .. }), "{busy:?}");
    sleep(quiet + Duration::from_millis(10)).await;
    let grant = granted(register, &key(), &ask_to_create("b")).await;
    assert_eq!((grant.state, grant.doubt), (State::Unknown, None));
}

async fn a_write_that_was_not_applied_leaves_the_key_as_it_was(register: &dyn Register) {
    let generation = write(register, &key(), "z", "z").await;
    let token = granted(register, &key(), &ask("a")).await.token;
    let step = DisarmStep { token: &token, pre: &present("z"), refused: None };
    assert_eq!(register.disarm(&key(), &step).await, Ok(true));
    assert_eq!(register.disarm(&key(), &step).await, Ok(false));
    let seen = register.observe(&key()).await.unwrap();
    assert_eq!((seen.state, seen.generation), (present("z"), Some(generation)));
}

async fn a_request_older_than_the_epoch_is_not_armed(register: &dyn Register) {
    let age = Duration::from_hours(1);
    let grant = granted(register, &key(), &Ask { age, ..ask("a") }).await;
    assert_eq!(grant.armed, None);
    let step = ArmStep { token: &grant.token, pre: State::Absent, expect: Expect::SomeObject, age };
    assert_eq!(register.arm(&key(), step).await, Ok(ArmAnswer::OlderThanEpoch));
}

async fn names_and_etags_are_kept_byte_for_byte(register: &dyn Register) {
    let etags = ["", "\"", "\" a \"", "é\u{1}\n", "A", "?"];
    for (i, name) in ["{x}", "é/ü\r\n", "*", "since", " ", "a'\"]]"].iter().enumerate() {
        let name = object(name);
        let etag = ETag::parse(format!("\"{}\"", etags[i]).as_bytes());
        let token = granted(register, &name, &ask("a")).await.token;
        let new = State::Present(etag.clone());
        let answer = commit(register, &name, &token, new.clone()).await;
        assert_eq!(answer, Ok(CommitAnswer::Committed));
        assert_eq!(register.observe(&name).await.unwrap().state, new);
        let preconditions = Preconditions::if_match(etag);
        let next = granted(register, &name, &Ask { preconditions, ..ask("b") }).await;
        assert!(next.armed.is_some(), "{name}: the condition holds");
    }
}

async fn a_lease_that_is_there_is_held_and_one_that_has_ended_is_not_reclaimed(
    register: &dyn Register,
) {
    let token = granted(register, &key(), &ask("a")).await.token;
    assert_eq!(reclaim(register, &token, "again").await, ReclaimAnswer::Held);
    commit(register, &key(), &token, present("x")).await.unwrap();
    assert_eq!(reclaim(register, &token, "again").await, ReclaimAnswer::TooLate);
}

async fn a_line_without_room_makes_older_requests_unsafe(register: &dyn Register) {
    write(register, &key(), "first", "x").await;
    let first_ended = Instant::now();
    sleep(Duration::from_millis(200)).await;
    for i in 1..JOURNAL_ENTRIES_MAX {
        write(register, &key(), &format!("{i}"), "x").await;
    }
    write(register, &key(), "one more", "x").await;
    let unsafe_age = first_ended.elapsed() + Duration::from_millis(100);
    let grant = granted(register, &key(), &Ask { age: unsafe_age, ..ask("b") }).await;
    assert_eq!(grant.armed, None);
    assert!(grant.epoch_age < unsafe_age, "{:?}", grant.epoch_age);
    let (pre, expect) = (State::Absent, Expect::SomeObject);
    let step = ArmStep { token: &grant.token, pre, expect, age: unsafe_age };
    assert_eq!(register.arm(&key(), step).await, Ok(ArmAnswer::OlderThanEpoch));
    assert!(matches!(arm(register, &grant.token, State::Absent).await, ArmAnswer::Armed(_)));
}

async fn the_check_counts_the_leases(register: &dyn Register) {
    let status = register.check().await.unwrap();
    assert_eq!((status.quarantine, status.leases), (Duration::ZERO, 0));
    let mut tokens = Vec::new();
    for i in 0..5 {
        let name = object(&i.to_string());
        tokens.push(granted(register, &name, &ask("a")).await.token);
    }
    assert_eq!(register.check().await.unwrap().leases, 5);
    sleep(OVER).await;
    assert_eq!(register.check().await.unwrap().leases, 0);
}

/// What a survey of Redis costs, it costs for what is active.
#[tokio::test]
async fn doubts_that_nobody_asks_about_leave_the_leases() {
    const WRITES: usize = 1500;
    needs_redis!();
    let lease = Duration::from_secs(4);
    let server = RedisServer::start(&[]).await;
    let terms = Terms { lease, ..terms() };
    let register = Arc::new(RedisRegister::connect(&settings(&server), &terms).unwrap());
    register.skip_quarantine().await.unwrap();
    let mut writing = JoinSet::new();
    for number in 0..WRITES {
        let register = Arc::clone(&register);
        writing.spawn(async move {
            granted(register.as_ref(), &object(&number.to_string()), &ask("lost")).await
        });
    }
    let granted_all = writing.join_all().await;
    assert!(granted_all.iter().all(|grant| grant.armed.is_some()));
    assert_eq!(register.check().await.unwrap().leases, WRITES, "all of them may still land");
    sleep(lease + GRACE + SETTLE).await;
    assert_eq!(register.check().await.unwrap().leases, 0);

    let mut connection = server.connection().await;
    let keys = of_all(&mut connection, "PTTL", "{test:*}bucket/*").await;
    assert_eq!(keys.len(), WRITES);
    let kept = terms.record_ttl.as_millis();
    for ttl in keys {
        let left = u128::try_from(ttl).expect("a lease is kept for ever");
        // It was to be kept for as long after the write could land no more, and a moment is gone.
        let longest = kept + terms.settle_long.as_millis() - SETTLE.as_millis();
        assert!(left > kept - 10_000 && left <= longest, "{left} ms");
    }

    let mut doubts = Vec::new();
    for number in 0..20 {
        let name = object(&number.to_string());
        assert!(register.observe(&name).await.unwrap().pending.is_some());
        let grant = granted(register.as_ref(), &name, &ask_to_create("next")).await;
        assert_eq!((grant.state, grant.armed), (State::Unknown, None));
        doubts.push(grant.doubt.expect("the doubt is in the record").write_id);
    }
    assert!(doubts.iter().all(|write_id| write_id.0 == "lost"), "{doubts:?}");
}

/// What a command says of every name of this pattern.
async fn of_all(connection: &mut MultiplexedConnection, command: &str, names: &str) -> Vec<i64> {
    let names: Vec<String> =
        redis::cmd("KEYS").arg(names).query_async(connection).await.expect("names");
    if names.is_empty() {
        return Vec::new();
    }
    let mut pipeline = redis::pipe();
    for name in names {
        pipeline.cmd(command).arg(name);
    }
    pipeline.query_async(connection).await.expect("numbers")
}

/// Reads leave little behind, and that goes by itself.
#[tokio::test]
async fn what_a_reader_was_told_is_kept_for_minutes_and_what_was_written_for_longer() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let terms = Terms { record_ttl: Duration::from_hours(24), ..terms() };
    let register = RedisRegister::connect(&settings(&server), &terms).unwrap();
    register.skip_quarantine().await.unwrap();
    let mut connection = server.connection().await;
    let ttl = async |connection: &mut MultiplexedConnection| {
        let [ttl] = of_all(connection, "PTTL", "{test:*}bucket/key").await[..] else {
            panic!("not one record")
        };
        Duration::from_millis(u64::try_from(ttl).unwrap())
    };
    register.observe(&key()).await.unwrap();
    assert!(of_all(&mut connection, "PTTL", "{test:*}bucket/*").await.is_empty());
    let pinned = register.pin(&key()).await.unwrap();
    assert!(ttl(&mut connection).await <= PIN_TTL);
    sleep(Duration::from_millis(50)).await;
    let before = ttl(&mut connection).await;
    assert_eq!(register.pin(&key()).await.unwrap(), pinned, "and is kept for as long again");
    assert!(ttl(&mut connection).await > before);
    write(&register, &key(), "a", "x").await;
    let written = ttl(&mut connection).await;
    assert!(written > PIN_TTL, "{written:?}");
    register.pin(&key()).await.unwrap();
    assert!(ttl(&mut connection).await > PIN_TTL, "a reader does not shorten it");
}

/// What is under way ends, and nothing new begins.
#[tokio::test]
async fn a_redis_out_of_memory_is_said_to_be_so() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let register = RedisRegister::connect(&settings(&server), &terms()).unwrap();
    register.skip_quarantine().await.unwrap();
    let under_way = granted(&register, &key(), &ask("a")).await.token;
    let judging = granted(&register, &object("judging"), &ask_to_create("b")).await.token;
    let mut connection = server.connection().await;
    tell(&mut connection, "CONFIG SET maxmemory 100kb").await;

    let refused = register.acquire(&object("other"), &ask("c")).await;
    let Err(RegisterError::Full(why)) = &refused else { panic!("{refused:?}") };
    assert!(why.contains("maxmemory"), "{why}");
    assert!(matches!(register.pin(&object("read")).await, Err(RegisterError::Full(_))));
    assert_eq!(register.observe(&key()).await.unwrap().state, State::Unknown);
    assert_eq!(register.renew(&key(), &under_way).await, Ok(true));
    let answer = commit(&register, &key(), &under_way, present("x")).await;
    assert_eq!(answer, Ok(CommitAnswer::Committed));
    let step = ReleaseStep { token: &judging, learned: None, refused: None };
    assert_eq!(register.release(&object("judging"), &step).await, Ok(true));
    assert_eq!(register.check().await.unwrap().leases, 0);

    tell(&mut connection, "CONFIG SET maxmemory 1gb").await;
    granted(&register, &object("other"), &ask("c")).await;
}

/// Not in the table, for it needs a register that has just begun.
async fn a_register_begins_with_a_quarantine_that_can_be_skipped(register: &dyn Register) {
    let quarantine = register.check().await.unwrap().quarantine;
    assert!(quarantine > SETTLE / 2 && quarantine <= LEASE + GRACE + SETTLE, "{quarantine:?}");
    let answer = register.acquire(&key(), &ask("a")).await.unwrap();
    let Acquired::Quarantine(left) = answer else { panic!("no quarantine: {answer:?}") };
    assert!(left <= quarantine);
    register.skip_quarantine().await.unwrap();
    assert_eq!(register.check().await.unwrap().quarantine, Duration::ZERO);
    granted(register, &key(), &ask("a")).await;
}

/// Not in the table, for it needs a register that has just begun, after one that granted `old`.
async fn a_living_holder_reclaims_what_a_register_that_has_just_begun_forgot(
    register: &dyn Register,
    old: &Token,
) {
    let quarantine = register.check().await.unwrap().quarantine;
    assert_eq!(register.renew(&key(), old).await, Ok(false));
    let answer = reclaim(register, old, "again").await;
    let ReclaimAnswer::Reclaimed { token, generation } = answer.clone() else {
        panic!("not reclaimed: {answer:?}")
    };
    assert_eq!(reclaim(register, old, "again").await, answer);
    assert_eq!(reclaim(register, &token, "third").await, ReclaimAnswer::Held);
    let other = Token("another epoch.nonce".to_owned());
    assert_eq!(reclaim(register, &other, "other").await, ReclaimAnswer::TooLate);

    // Until the quarantine is over, and a little longer.
    let over = Instant::now() + quarantine + SETTLE;
    while Instant::now() < over {
        assert_eq!(register.renew(&key(), &token).await, Ok(true));
        sleep(LEASE / 4).await;
    }
    let busy = register.acquire(&key(), &ask("b")).await.unwrap();
    let Acquired::Busy { write_id, .. } = busy else { panic!("not busy: {busy:?}") };
    assert_eq!(write_id, Some(WriteId("reclaimed".to_owned())));
    let answer = commit(register, &key(), &token, present("x")).await;
    assert_eq!(answer, Ok(CommitAnswer::Committed));
    let seen = register.observe(&key()).await.unwrap();
    assert_eq!((seen.state, seen.generation), (present("x"), Some(generation)));
    granted(register, &key(), &ask("b")).await;
    assert_eq!(reclaim(register, &other, "late").await, ReclaimAnswer::TooLate);
    let never_leased = ReclaimStep {
        token: &other,
        nonce: "late",
        write_id: &WriteId("late".to_owned()),
        settle: Settle::Plain,
        pre: &State::Absent,
        expect: &Expect::SomeObject,
    };
    let answer = register.reclaim(&object("another"), &never_leased).await;
    assert_eq!(answer, Ok(ReclaimAnswer::TooLate), "the quarantine has passed");
}

/// Long enough to write and list all keys on a loaded machine.
const LAG: Duration = Duration::from_secs(4);

fn over_a_store_that_lags() -> Terms {
    Terms { lag: LAG, ..terms() }
}

/// The young keys of a range: each with its ETag, or `-` where it was deleted.
async fn listed(
    register: &dyn Register,
    prefix: &str,
    position: &Position,
    limit: usize,
) -> (Vec<(String, String)>, Option<String>) {
    let bucket = object("any").bucket;
    let range = KeyRange { bucket: &bucket, prefix, position, limit };
    let young = register.young_keys(&range).await.unwrap();
    assert!(!young.incomplete && young.quarantine.is_zero(), "{young:?}");
    let etag = |state| match state {
        State::Present(etag) => etag.to_string(),
        State::Absent => "-".to_owned(),
        State::Unknown => "?".to_owned(),
    };
    let keys = young.keys.into_iter().map(|(key, young)| (key, etag(young.last.state)));
    (keys.collect(), young.horizon)
}

/// Keys of all partitions are found in order, with what was written last, until they are old.
async fn what_was_written_lately_is_listed(register: &dyn Register) {
    const KEYS: usize = 200;
    let named = |number: usize| format!("table/{number:03}");
    for number in 0..KEYS {
        let description =
            Some(Description { size_bytes: number as u64, modified_s: 9, is_standard: true });
        let grant = granted(register, &object(&named(number)), &ask("one")).await;
        let step = CommitStep {
            token: &grant.token,
            generation: None,
            new: present("one"),
            quiet: None,
            headers: &AnswerHeaders::default(),
            written: &Written { description, change: Change::Unnamed },
        };
        let committed = register.commit(&object(&named(number)), &step).await;
        assert_eq!(committed, Ok(CommitAnswer::Committed));
    }
    write(register, &object("other"), "a", "x").await;
    write(register, &object(&named(7)), "two", "two").await;
    let grant = granted(register, &object(&named(8)), &ask("delete")).await;
    commit(register, &object(&named(8)), &grant.token, State::Absent).await.unwrap();
    granted(register, &object(&named(9)), &ask("under way")).await;
    let written = Instant::now();

    let (all, horizon) = listed(register, "table/", &Position::First, 1000).await;
    assert_eq!((all.len(), horizon), (KEYS, None), "in time: {:?}", written.elapsed());
    for (number, (key, etag)) in all.iter().enumerate() {
        let expected = match number {
            7 => "\"two\"",
            8 => "-",
            _ => "\"one\"",
        };
        assert_eq!((key, etag.as_str()), (&named(number), expected));
    }
    let bucket = object("any").bucket;
    let range = KeyRange { bucket: &bucket, prefix: "", position: &Position::First, limit: 1000 };
    let known = register.young_keys(&range).await.unwrap().keys;
    for key in [&named(0), &named(7), &named(8), &named(9), "other"] {
        let (observed, lately) = register.observe_writes(&object(key)).await.unwrap();
        assert_eq!(lately.as_ref(), known.get(key), "{key}");
        assert!(lately.is_some() && !observed.before_young_for.is_zero(), "{key}");
    }
    let (observed, lately) = register.observe_writes(&object("never written")).await.unwrap();
    assert_eq!((observed.before_young_for, lately), (Duration::ZERO, None));
    let after = Position::After(named(KEYS - 2));
    let range = KeyRange { bucket: &bucket, prefix: "table/", position: &after, limit: 1000 };
    let last = register.young_keys(&range).await.unwrap();
    let description = last.keys[&named(KEYS - 1)].last.written.description;
    let expected = Description { size_bytes: KEYS as u64 - 1, modified_s: 9, is_standard: true };
    assert_eq!((last.keys.len(), description), (1, Some(expected)));
    let others = listed(register, "", &Position::AfterAll("o".to_owned()), 1000).await.0;
    assert_eq!(others.len(), KEYS);
    // Each part of a cluster's register has fewer keys than it is asked for.
    let (some, horizon) = listed(register, "table/", &Position::First, 50).await;
    let horizon = horizon.unwrap_or_else(|| named(KEYS - 1));
    assert!(some.len() >= 50 && some.last().unwrap().0 == horizon);
    assert_eq!(some, all[..some.len()], "nothing before the horizon is missing");

    sleep(LAG).await;
    assert_eq!(listed(register, "", &Position::First, 1000).await, (Vec::new(), None));
    let (observed, lately) = register.observe_writes(&object(&named(7))).await.unwrap();
    assert_eq!((observed.before_young_for, lately), (Duration::ZERO, None));
}

#[tokio::test(start_paused = true)]
async fn the_memory_register_lists_what_was_written_lately() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lock");
    let register = MemoryRegister::open(&file, over_a_store_that_lags()).unwrap();
    register.skip_quarantine().await.unwrap();
    sleep(LAG).await;
    what_was_written_lately_is_listed(&register).await;
}

#[tokio::test]
async fn the_redis_register_lists_what_was_written_lately() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let register = RedisRegister::connect(&settings(&server), &over_a_store_that_lags()).unwrap();
    register.skip_quarantine().await.unwrap();
    until_it_is_over(&register).await;
    what_was_written_lately_is_listed(&register).await;
    let left = of_all(&mut server.connection().await, "PTTL", "{test:*}~*").await;
    let most = i64::try_from(2 * LAG.as_millis()).unwrap();
    assert!(left.iter().all(|ms| (0..=most).contains(ms)), "they go by themselves: {left:?}");
}

#[tokio::test]
async fn the_redis_register_lists_what_was_written_lately_in_a_cluster() {
    needs_redis!();
    let cluster = ClusterServers::start(0, "1000", Wire::Plain).await;
    let failover_lag = Duration::from_secs(1) + LEASE / 2;
    let terms = Terms { failover_lag, ..over_a_store_that_lags() };
    let topology = Topology::Cluster(vec![at(cluster.servers[0].port())]);
    let settings = RedisSettings { topology, ..settings(&cluster.servers[0]) };
    let register = RedisRegister::connect(&settings, &terms).unwrap();
    register.skip_quarantine().await.unwrap();
    until_it_is_over(&register).await;
    what_was_written_lately_is_listed(&register).await;
}

/// Waits for the end of the quarantine.
async fn until_it_is_over(register: &dyn Register) {
    until("the quarantine ends", async || {
        register.check().await.unwrap().quarantine == Duration::ZERO
    })
    .await;
}

/// More keys than a set takes are not remembered, and the register says so.
#[tokio::test]
async fn more_young_keys_than_there_is_room_for_are_told() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let register = RedisRegister::connect(&settings(&server), &over_a_store_that_lags()).unwrap();
    register.skip_quarantine().await.unwrap();
    until_it_is_over(&register).await;
    write(&register, &key(), "a", "x").await;
    let mut meddler = server.connection().await;
    let sets: Vec<String> =
        redis::cmd("KEYS").arg("{test:*}~*").query_async(&mut meddler).await.unwrap();
    for first in (0..YOUNG_MAX).step_by(YOUNG_MAX / 16) {
        let mut filling = redis::cmd("ZADD");
        filling.arg(&sets[0]);
        for number in first..first + YOUNG_MAX / 16 {
            filling.arg(0).arg(format!("bucket/filler/{number}\x000 e - - A"));
        }
        let _: i64 = filling.query_async(&mut meddler).await.unwrap();
    }
    let bucket = key().bucket;
    let first = Position::First;
    let range = KeyRange { bucket: &bucket, prefix: "key", position: &first, limit: 9 };
    assert!(!register.young_keys(&range).await.unwrap().incomplete);
    write(&register, &key(), "b", "y").await;
    let full = register.young_keys(&range).await.unwrap();
    // Unless the next stretch of time has begun in between, whose set is empty.
    let has_moved = full.keys.get("key").is_some_and(|young| young.last.state == present("y"));
    assert!(full.incomplete || has_moved, "{full:?}");
    // What was written before is not taken for it.
    let (_, lately) = register.observe_writes(&key()).await.unwrap();
    assert!(lately.is_none_or(|young| has_moved && young.last.state == present("y")));
}

#[tokio::test(start_paused = true)]
async fn the_memory_register_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| MemoryRegister::open(&directory.path().join(name), terms()).unwrap();
    a_register_begins_with_a_quarantine_that_can_be_skipped(&open("quarantine")).await;
    let ended = open("reclaim");
    ended.skip_quarantine().await.unwrap();
    let old = granted(&ended, &key(), &ask("a")).await.token;
    drop(ended);
    a_living_holder_reclaims_what_a_register_that_has_just_begun_forgot(&open("reclaim"), &old)
        .await;
    for (name, case) in CONTRACT {
        println!("{name}");
        let register = open(name);
        register.skip_quarantine().await.unwrap();
        case(&register).await;
    }
}

#[tokio::test]
async fn the_memory_register_is_one_process_alone_and_waits_only_after_a_bad_end() {
    let directory = tempfile::tempdir().unwrap();
    let open = || MemoryRegister::open(&directory.path().join("lock"), terms());
    // A server that another test is just starting holds what this process has open, until it runs.
    let opened = async || {
        let began = Instant::now();
        loop {
            match open() {
                Ok(register) => return register,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(5), "{error}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let first = open().unwrap();
    assert!(matches!(open(), Err(RegisterError::Unsuitable(_))), "it is locked");
    drop(first);
    let after_crash = opened().await;
    assert!(after_crash.check().await.unwrap().quarantine > Duration::ZERO);
    sleep(SETTLE).await;
    after_crash.close().await.unwrap();
    drop(after_crash);
    let after_good_end = opened().await;
    granted(&after_good_end, &key(), &ask("a")).await;
    after_good_end.close().await.unwrap();
    drop(after_good_end);
    let write_on_its_way = opened().await;
    assert!(write_on_its_way.check().await.unwrap().quarantine > Duration::ZERO);
}

#[tokio::test]
async fn the_redis_register_keeps_the_contract() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let fresh = register_in(&server, "quarantine");
    a_register_begins_with_a_quarantine_that_can_be_skipped(&fresh).await;
    keeps_the_contract(|name| register_in(&server, name)).await;
}

#[tokio::test]
async fn the_redis_register_keeps_the_contract_in_a_cluster() {
    needs_redis!();
    let cluster = ClusterServers::start(0, "1000", Wire::Plain).await;
    // The cluster's timeout and half a lease.
    let terms = Terms { failover_lag: Duration::from_secs(1) + LEASE / 2, ..terms() };
    keeps_the_contract(|name| {
        let topology = Topology::Cluster(vec![at(cluster.servers[0].port())]);
        let namespace = name.to_owned();
        let settings = RedisSettings { topology, namespace, ..settings(&cluster.servers[0]) };
        RedisRegister::connect(&settings, &terms).unwrap()
    })
    .await;
}

async fn keeps_the_contract(open: impl Fn(&str) -> RedisRegister) {
    let mut cases = JoinSet::new();
    for (name, case) in CONTRACT {
        let register = open(name);
        cases.spawn(async move {
            register.skip_quarantine().await.unwrap();
            let outcome = tokio::spawn(async move { case(&register).await }).await;
            outcome.err().map(|_| *name)
        });
    }
    let failed: Vec<&str> = cases.join_all().await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:?}");
}

// === what only Redis does ===

fn settings(server: &RedisServer) -> RedisSettings {
    let topology = Topology::Single { address: at(server.port()), never_promoted: false };
    RedisSettings { timeout: Duration::from_secs(10), ..settings_of(topology) }
}

fn register_in(server: &RedisServer, namespace: &str) -> RedisRegister {
    let settings = RedisSettings { namespace: namespace.to_owned(), ..settings(server) };
    RedisRegister::connect(&settings, &terms()).unwrap()
}

/// The sentence by which a register refuses this server.
async fn refusal(settings: &RedisSettings, terms: &Terms) -> String {
    let register = RedisRegister::connect(settings, terms).unwrap();
    let checked = register.check().await;
    let Err(RegisterError::Unsuitable(sentence)) = checked else {
        panic!("not refused: {checked:?}")
    };
    assert_eq!(
        register.acquire(&key(), &ask("a")).await,
        Err(RegisterError::Unsuitable(sentence.clone())),
        "steps are refused as the check is"
    );
    sentence
}

#[tokio::test]
async fn a_restart_begins_a_new_epoch_with_a_quarantine_with_and_without_data() {
    needs_redis!();
    for data_kept in [true, false] {
        let mut server = RedisServer::start(&[]).await;
        let register = register_in(&server, "test");
        register.skip_quarantine().await.unwrap();
        write(&register, &key(), "a", "x").await;
        let old = granted(&register, &key(), &ask_to_create("b")).await.token;
        tell(&mut server.connection().await, "SAVE").await;
        server.kill();
        if !data_kept {
            server.forget_saved();
        }
        server.start_again().await;

        let seen = register.observe(&key()).await.unwrap();
        assert_eq!((seen.state, seen.generation), (State::Unknown, None), "kept: {data_kept}");
        assert!(!seen.leased);
        assert_eq!(register.renew(&key(), &old).await, Ok(false));
        let answer = register.acquire(&key(), &ask("a")).await.unwrap();
        assert!(matches!(answer, Acquired::Quarantine(_)), "kept: {data_kept}: {answer:?}");
        let late = commit(&register, &key(), &old, present("y")).await;
        assert_eq!(late, Ok(CommitAnswer::EpochChanged));
    }
}

#[tokio::test]
async fn a_living_holder_reclaims_its_lease_after_a_flush_and_after_a_restart() {
    needs_redis!();
    for flushed in [true, false] {
        let mut server = RedisServer::start(&[]).await;
        let register = register_in(&server, "test");
        register.skip_quarantine().await.unwrap();
        let old = granted(&register, &key(), &ask("a")).await.token;
        let meddler = &mut server.connection().await;
        if flushed {
            tell(meddler, "FLUSHALL").await;
        } else {
            server.kill();
            server.start_again().await;
        }
        a_living_holder_reclaims_what_a_register_that_has_just_begun_forgot(&register, &old).await;
    }
}

#[tokio::test]
async fn a_lost_memory_begins_a_new_epoch_everywhere_once_a_connection_is_made_anew() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let register = register_in(&server, "test");
    register.check().await.unwrap();
    let mut meddler = server.connection().await;
    tell(&mut meddler, "FLUSHALL").await;
    tell(&mut meddler, "CLIENT KILL TYPE normal SKIPME yes").await;
    // One step on one key is enough.
    register.observe(&key()).await.unwrap();
    let begun: Vec<String> =
        redis::cmd("KEYS").arg("{test:*}").query_async(&mut meddler).await.unwrap();
    assert_eq!(begun.len(), 64);
}

#[tokio::test]
async fn redis_down_is_told_at_once_and_redis_back_is_noticed_at_once() {
    needs_redis!();
    let mut server = RedisServer::start(&[]).await;
    let register = register_in(&server, "test");
    register.skip_quarantine().await.unwrap();
    let token = granted(&register, &key(), &ask_to_create("a")).await.token;
    server.kill();
    let began = Instant::now();
    for _ in 0..3 {
        assert!(is_unreachable(&register.observe(&key()).await));
        assert!(is_unreachable(&register.acquire(&key(), &ask("b")).await));
        assert!(is_unreachable(&register.renew(&key(), &token).await));
        assert!(is_unreachable(&register.check().await));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    server.start_again().await;
    assert_eq!(register.renew(&key(), &token).await, Ok(false), "answered, though lost");
    assert!(register.check().await.is_ok());
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_fails_no_step() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let register = register_in(&server, "test");
    register.skip_quarantine().await.unwrap();
    let mut meddler = server.connection().await;
    for i in 0..4 {
        let name = object(&i.to_string());
        let token = granted(&register, &name, &ask_to_create("a")).await.token;
        tell(&mut meddler, "CLIENT KILL TYPE normal SKIPME yes").await;
        // The kernel tells the connection's task.
        sleep(Duration::from_millis(50)).await;
        assert_eq!(register.renew(&name, &token).await, Ok(true));
    }
}

#[tokio::test]
async fn a_silent_redis_costs_no_more_than_the_time_limit_and_no_step_runs_twice() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let timeout = Duration::from_millis(300);
    let hasty = RedisSettings { timeout, ..settings(&server) };
    let register = RedisRegister::connect(&hasty, &terms()).unwrap();
    register.skip_quarantine().await.unwrap();
    let token = granted(&register, &key(), &ask_to_create("a")).await.token;
    let mut meddler = server.connection().await;
    tell(&mut meddler, "CLIENT PAUSE 700 ALL").await;
    let began = Instant::now();
    let step =
        ArmStep { token: &token, pre: State::Absent, expect: Expect::Anything, age: timeout };
    let armed = register.arm(&key(), step).await;
    assert!(is_unreachable(&armed), "{armed:?}");
    let other = object("other");
    assert!(is_unreachable(&register.acquire(&other, &ask("a")).await));
    let took = began.elapsed();
    assert!(took >= 2 * timeout && took < 3 * timeout, "{took:?}");

    sleep(Duration::from_millis(300)).await;
    // What was asked in the pause may have been done after it, once: the first generation of its
    // partition, and no second one.
    for (name, ask) in [(key(), ask_to_create("a")), (other, ask("a"))] {
        let grant = granted(&register, &name, &ask).await;
        let begun = grant.armed.map(|generation| generation.0);
        assert!(begun.as_ref().is_none_or(|begun| begun.ends_with(".1")), "{begun:?}");
    }
}

#[tokio::test]
async fn a_library_that_redis_forgot_is_loaded_again_by_whoever_misses_it() {
    const WRITERS: usize = 8;
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let register = Arc::new(register_in(&server, "test"));
    register.skip_quarantine().await.unwrap();
    write(&*register, &key(), "a", "x").await;
    tell(&mut server.connection().await, "FUNCTION FLUSH").await;
    let mut writing = JoinSet::new();
    for number in 0..WRITERS {
        let register = Arc::clone(&register);
        writing.spawn(async move {
            write(&*register, &object(&number.to_string()), "b", "y").await;
        });
    }
    writing.join_all().await;
    tell(&mut server.connection().await, "FUNCTION FLUSH").await;
    register.check().await.unwrap();
}

#[test]
fn a_register_outlives_the_runtime_it_was_first_used_in() {
    needs_redis!();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = runtime();
    let server = first.block_on(RedisServer::start(&[]));
    let register = register_in(&server, "test");
    let token = first.block_on(async {
        register.skip_quarantine().await.unwrap();
        register.check().await.unwrap();
        granted(&register, &key(), &ask_to_create("a")).await.token
    });
    drop(first);
    let renewed = runtime().block_on(register.renew(&key(), &token));
    assert_eq!(renewed, Ok(true));
}

#[tokio::test]
async fn a_redis_that_cannot_keep_the_promise_is_refused_with_a_sentence() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let mut meddler = server.connection().await;
    register_in(&server, "test").check().await.unwrap();

    let other = Terms { grace: Duration::from_secs(7), ..terms() };
    let sentence = refusal(&settings(&server), &other).await;
    assert!(sentence.contains("grace=100") && sentence.contains("grace=7000"), "{sentence}");
    let shared = Terms { writers: Writers::Shared, ..terms() };
    assert!(refusal(&settings(&server), &shared).await.contains("writers=exclusive"));

    // A later format's partitions, and what those before 5 left.
    let now: String =
        redis::cmd("GET").arg("{test:0}").query_async(&mut meddler).await.expect("a partition");
    let later = now.replace("format=5", "format=6");
    for partition in 0..64 {
        let mut set = redis::cmd("SET");
        set.arg(format!("{{test:{partition}}}")).arg(&later);
        let _: redis::Value = set.query_async(&mut meddler).await.unwrap();
    }
    assert!(refusal(&settings(&server), &terms()).await.contains("(format=6)"));
    tell(&mut meddler, "FLUSHALL").await;
    for partition in 0..64 {
        tell(&mut meddler, &format!("HSET {{test:{partition}}} terms format=4")).await;
    }
    let earlier = refusal(&settings(&server), &terms()).await;
    assert!(earlier.contains("(format=4)") && earlier.contains("another register.namespace"));
    let left: String = redis::cmd("TYPE").arg("{test:0}").query_async(&mut meddler).await.unwrap();
    assert_eq!(left, "hash", "what another version left was changed");
    tell(&mut meddler, "FLUSHALL").await;

    tell(&mut meddler, "CONFIG SET maxmemory 100mb maxmemory-policy allkeys-lru").await;
    assert!(refusal(&settings(&server), &terms()).await.contains("allkeys-lru"));
    tell(&mut meddler, "CONFIG SET maxmemory-policy noeviction").await;
    register_in(&server, "test").check().await.unwrap();

    let master = RedisServer::start(&[]).await;
    tell(&mut meddler, &format!("REPLICAOF 127.0.0.1 {}", master.port())).await;
    assert!(refusal(&settings(&server), &terms()).await.contains("it is a replica"));

    let clustered = RedisServer::start(&["--cluster-enabled", "yes"]).await;
    assert!(refusal(&settings(&clustered), &terms()).await.contains("redis+cluster://"));

    for namespace in ["", "a}b", "{a"] {
        let settings = RedisSettings { namespace: namespace.to_owned(), ..settings(&master) };
        let refused = RedisRegister::connect(&settings, &terms());
        assert!(matches!(refused, Err(RegisterError::Unsuitable(_))), "{namespace}");
    }
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_is_refused_at_the_next_step() {
    needs_redis!();
    let (server, master) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let register = register_in(&server, "test");
    register.skip_quarantine().await.unwrap();
    granted(&register, &key(), &ask("a")).await;
    let mut meddler = server.connection().await;
    tell(&mut meddler, &format!("REPLICAOF 127.0.0.1 {}", master.port())).await;
    for writable in [false, true] {
        let read_only = if writable { "no" } else { "yes" };
        tell(&mut meddler, &format!("CONFIG SET replica-read-only {read_only}")).await;
        // For so long a server that lets itself be written is not asked again what it is.
        sleep(Duration::from_millis(10)).await;
        let refused = register.acquire(&key(), &ask("b")).await;
        let Err(RegisterError::Unsuitable(sentence)) = refused else {
            panic!("writable: {writable}: {refused:?}")
        };
        assert!(sentence.contains("it is a replica"), "writable: {writable}: {sentence}");
    }
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    tell(&mut server.connection().await, "CONFIG SET requirepass hunter2").await;
    let with = |password: Option<&str>| RedisSettings {
        password: password.map(Secret::new),
        ..settings(&server)
    };
    for wrong in [None, Some("hunter3")] {
        let sentence = refusal(&with(wrong), &terms()).await;
        assert!(sentence.contains("refuses the user name or the password"), "{sentence}");
        assert!(!sentence.contains("hunter"), "{sentence}");
    }
    let register = RedisRegister::connect(&with(Some("hunter2")), &terms()).unwrap();
    register.check().await.unwrap();
    assert!(!format!("{register:?} {:?}", with(Some("hunter2"))).contains("hunter"));
}

/// The rights that the error names are enough, and each step can be done with them.
#[tokio::test]
async fn the_rights_that_are_asked_for_are_enough() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let mut meddler = server.connection().await;
    tell(&mut meddler, "ACL SETUSER proxy on >hunter2 ~{test:* +ping").await;
    let settings = RedisSettings {
        username: Some("proxy".to_owned()),
        password: Some(Secret::new("hunter2")),
        ..settings(&server)
    };
    let sentence = refusal(&settings, &terms()).await;
    let (cluster, _) = sentence.split_once("; in a cluster").unwrap();
    let rights: Vec<&str> =
        cluster.split([' ', ';']).filter(|word| word.starts_with('+')).collect();
    assert!(rights.contains(&"+fcall"), "{sentence}");
    tell(&mut meddler, &format!("ACL SETUSER proxy {}", rights.join(" "))).await;
    let register = RedisRegister::connect(&settings, &terms()).unwrap();
    register.skip_quarantine().await.unwrap();
    write(&register, &key(), "a", "x").await;
    for _ in 0..2 {
        register.pin(&object("read")).await.unwrap();
    }
    let id = RegisterId::new();
    assert_eq!(register.name_if_nameless(&id).await, Ok(id));
    let over_lag = RedisSettings { namespace: "test:lag".to_owned(), ..settings };
    let register = RedisRegister::connect(&over_lag, &over_a_store_that_lags()).unwrap();
    register.skip_quarantine().await.unwrap();
    until_it_is_over(&register).await;
    write(&register, &key(), "a", "x").await;
    assert_eq!(listed(&register, "", &Position::First, 9).await.0.len(), 1);
}

#[tokio::test]
async fn many_writers_calls_travel_together_and_do_not_wait_for_each_other() {
    const WRITERS: usize = 64;
    /// A function's name has about 30 bytes, its epoch candidate 32, its keys and nonce more.
    const CALL_BYTES_MIN: usize = 150;
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let settings =
        RedisSettings { timeout: Duration::from_secs(30), connections: 2, ..settings(&server) };
    let register = Arc::new(RedisRegister::connect(&settings, &terms()).unwrap());
    register.skip_quarantine().await.unwrap();
    let mut meddler = server.connection().await;
    tell(&mut meddler, "CLIENT PAUSE 60000 WRITE").await;
    let mut writers = JoinSet::new();
    for id in 0..WRITERS {
        let register = Arc::clone(&register);
        writers.spawn(async move {
            let wanted = ask(&format!("{id}"));
            granted(&*register, &object(&format!("{id}")), &wanted).await;
        });
    }
    // Redis answers none of them, so all that it has received was sent without waiting.
    let everything_sent = async {
        while unread_bytes(&mut meddler).await < (WRITERS - 4) * CALL_BYTES_MIN {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), everything_sent)
        .await
        .expect("calls wait for each other");
    tell(&mut meddler, "CLIENT UNPAUSE").await;
    writers.join_all().await;
}

/// What Redis has received of all clients and not looked at.
async fn unread_bytes(meddler: &mut MultiplexedConnection) -> usize {
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(meddler).await.unwrap();
    let fields = list.split_ascii_whitespace();
    fields.filter_map(|field| field.strip_prefix("qbuf=")?.parse::<usize>().ok()).sum()
}

/// A master that does not notice its replacement would go on granting.
#[tokio::test]
async fn a_redis_with_replicas_is_used_only_if_it_stops_when_one_of_them_is_promoted() {
    const LAG: Duration = Duration::from_secs(22);
    needs_redis!();
    let (server, replica) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let (mut meddler, mut other) = (server.connection().await, replica.connection().await);
    let of = |never_promoted, failover_lag, namespace: &str| {
        let topology = Topology::Single { address: at(server.port()), never_promoted };
        let namespace = namespace.to_owned();
        let settings = RedisSettings { topology, namespace, ..settings(&server) };
        RedisRegister::connect(&settings, &Terms { failover_lag, ..terms() }).unwrap()
    };
    let alone = of(false, Duration::ZERO, "alone");
    let serving = alone.apart();
    serving.observe(&key()).await.unwrap();
    tokio::spawn(async move { alone.keep_watch(LEASE / 3, drop).await });
    tell(&mut other, &format!("REPLICAOF 127.0.0.1 {}", server.port())).await;

    // A proxy that used it before the replica came does not use it any more.
    let refused_with = async |register: &RedisRegister, advice: &str| {
        let began = Instant::now();
        loop {
            let seen = register.observe(&key()).await;
            if matches!(&seen, Err(RegisterError::Unsuitable(said)) if said.contains(advice)) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "{advice}: {seen:?}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    refused_with(&serving, "Set min-replicas-to-write to 1").await;
    of(true, Duration::ZERO, "for good").check().await.unwrap();
    tell(&mut meddler, "CONFIG SET min-replicas-to-write 1 min-replicas-max-lag 20").await;
    refused_with(&serving, "to 22 s or more").await;
    tell(&mut meddler, "ACL SETUSER blind on nopass ~* +@all -config").await;
    let settings = RedisSettings {
        username: Some("blind".to_owned()),
        password: Some(Secret::new("any")),
        ..settings(&server)
    };
    assert!(refusal(&settings, &terms()).await.contains("Allow +config|get"));

    // Before that the server takes no writes (NOREPLICAS).
    until("the replica is in step", async || {
        let headers = tell(&mut meddler, "INFO replication").await;
        let headers: String = redis::from_redis_value(headers).unwrap();
        headers.contains("min_slaves_good_slaves:1")
    })
    .await;
    let register = of(false, LAG, "guarded");
    let quarantine = register.check().await.unwrap().quarantine;
    assert!(quarantine > LAG && quarantine <= LEASE + GRACE + SETTLE + LAG, "{quarantine:?}");
    register.skip_quarantine().await.unwrap();
    let lease = granted(&register, &key(), &ask_to_create("a")).await.token;
    tell(&mut other, "REPLICAOF NO ONE").await;
    let promoted = Instant::now();
    while !is_unreachable(&register.renew(&key(), &lease).await) {
        assert!(promoted.elapsed() < LAG, "the old master goes on");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(is_unreachable(&register.acquire(&key(), &ask("b")).await));
}
