//! What one process leaves to the next, and how it ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::register::{AnswerHeaders, Expect, State, WriteId, Writers, fixture};
use crate::s3::{BucketName, EmptySegments, ObjectKey, Preconditions};

const SETTLE: Duration = Duration::from_secs(10);
const SETTLE_LONG: Duration = Duration::from_mins(5);
/// Longer than any lease of these tests keeps its key.
const OVER: Duration = Duration::from_mins(6);

fn terms() -> Terms {
    Terms {
        lease: Duration::from_secs(6),
        grace: Duration::from_secs(3),
        settle: SETTLE,
        settle_long: SETTLE_LONG,
        retry_horizon: Duration::from_mins(10),
        record_ttl: Duration::from_hours(1),
        failover_lag: Duration::ZERO,
        lag: Duration::ZERO,
        spacing: Duration::ZERO,
        writers: Writers::Exclusive,
    }
}

fn named(key: &str) -> ObjectName {
    ObjectName {
        bucket: BucketName::parse("bucket").unwrap(),
        key: ObjectKey::parse(key, EmptySegments::Kept).unwrap(),
    }
}

/// One place for a lock file, and the processes that follow each other there.
struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A place where the last process ended in good order.
    fn clean() -> Self {
        let fixture = Self::new();
        std::fs::write(fixture.path(), "clean\n").unwrap();
        fixture
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("lock")
    }

    fn open(&self) -> MemoryRegister {
        MemoryRegister::open(&self.path(), terms()).unwrap()
    }

    /// How long a process that starts now would grant nothing.
    async fn next_waits(&self) -> Duration {
        quarantine(&self.open()).await
    }
}

async fn quarantine(register: &MemoryRegister) -> Duration {
    register.check().await.unwrap().quarantine
}

fn ask(nonce: &str, settle: Settle) -> Ask {
    Ask { settle, ..fixture::ask(nonce) }
}

/// An unconditional write whose lease is armed.
async fn armed(register: &MemoryRegister, key: &str, settle: Settle) -> Token {
    match register.acquire(&named(key), &ask(&random::id(), settle)).await {
        Ok(Acquired::Granted(grant)) => grant.token,
        other => panic!("not granted: {other:?}"),
    }
}

async fn commit(register: &MemoryRegister, key: &str, token: &Token, quiet: Option<Duration>) {
    let step = CommitStep {
        token,
        generation: None,
        new: State::Absent,
        quiet,
        headers: &AnswerHeaders::default(),
        written: &Written::default(),
    };
    let answer = register.commit(&named(key), &step).await;
    assert_eq!(answer, Ok(CommitAnswer::Committed));
}

async fn disarm(register: &MemoryRegister, key: &str, token: &Token) {
    let step = DisarmStep { token, pre: &State::Absent, refused: None };
    assert_eq!(register.disarm(&named(key), &step).await, Ok(true));
}

async fn reclaim(register: &MemoryRegister, token: &Token) -> Result<ReclaimAnswer, RegisterError> {
    let step = ReclaimStep {
        token,
        nonce: "again",
        write_id: &WriteId("long".to_owned()),
        settle: Settle::Long,
        pre: &State::Absent,
        expect: &Expect::SomeObject,
    };
    register.reclaim(&named("long"), &step).await
}

// === the end ===

#[tokio::test(start_paused = true)]
async fn a_good_end_leaves_nothing_to_wait_for() {
    let fixture = Fixture::clean();
    let register = fixture.open();
    let token = armed(&register, "a", Settle::Long).await;
    commit(&register, "a", &token, None).await;
    register.close().await.unwrap();
    drop(register);
    assert_eq!(fixture.next_waits().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_end_in_quarantine_is_no_good_end() {
    let fixture = Fixture::new();
    let register = fixture.open();
    tokio::time::sleep(SETTLE / 2).await;
    register.close().await.unwrap();
    drop(register);
    let next = fixture.open();
    assert_eq!(quarantine(&next).await, SETTLE);
    tokio::time::sleep(SETTLE).await;
    next.close().await.unwrap();
    drop(next);
    assert_eq!(fixture.next_waits().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_end_with_a_write_on_its_way_is_good_once_that_has_ended() {
    let fixture = Fixture::clean();
    let register = fixture.open();
    let token = armed(&register, "a", Settle::Plain).await;
    register.close().await.unwrap();
    let left = std::fs::read_to_string(fixture.path()).unwrap();
    commit(&register, "a", &token, None).await;
    register.close().await.unwrap();
    drop(register);
    assert_eq!((left.as_str(), fixture.next_waits().await), ("", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn after_the_end_nothing_is_granted_and_what_is_on_its_way_can_end() {
    let register = Fixture::clean().open();
    let closing = Err(RegisterError::Unreachable("closing".to_owned()));
    let creating =
        Ask { preconditions: Preconditions::IF_MATCH_ANY, ..ask("unarmed", Settle::Plain) };
    let unarmed = match register.acquire(&named("unarmed"), &creating).await {
        Ok(Acquired::Granted(grant)) => grant,
        other => panic!("not granted: {other:?}"),
    };
    assert_eq!(unarmed.armed, None);
    let token = armed(&register, "a", Settle::Plain).await;
    register.close().await.unwrap();

    assert_eq!(register.acquire(&named("b"), &ask("b", Settle::Plain)).await, closing.clone());
    let (pre, expect) = (State::Absent, Expect::Anything);
    let step = ArmStep { token: &unarmed.token, pre, expect, age: Duration::ZERO };
    let closing = Err(RegisterError::Unreachable("closing".to_owned()));
    assert_eq!(register.arm(&named("unarmed"), step).await, closing);
    let closing = Err(RegisterError::Unreachable("closing".to_owned()));
    assert_eq!(reclaim(&register, &token).await, closing);
    assert_eq!(register.renew(&named("a"), &token).await, Ok(true));
    commit(&register, "a", &token, None).await;
}

// === the crash ===

#[tokio::test(start_paused = true)]
async fn a_crash_makes_the_next_process_wait_as_long_as_what_was_on_its_way_may_take() {
    let fixture = Fixture::clean();
    drop(fixture.open());
    assert_eq!(fixture.next_waits().await, Duration::ZERO, "nothing was ever granted");

    let register = fixture.open();
    armed(&register, "a", Settle::Plain).await;
    drop(register);
    assert_eq!(fixture.next_waits().await, SETTLE);

    let fixture = Fixture::clean();
    let register = fixture.open();
    armed(&register, "a", Settle::Long).await;
    drop(register);
    assert_eq!(fixture.next_waits().await, SETTLE_LONG, "armed by acquire");

    let fixture = Fixture::clean();
    let register = fixture.open();
    let create = Ask { preconditions: Preconditions::IF_NONE_MATCH_ANY, ..ask("a", Settle::Long) };
    let Ok(Acquired::Granted(grant)) = register.acquire(&named("a"), &create).await else {
        panic!("not granted")
    };
    assert_eq!(std::fs::read_to_string(fixture.path()).unwrap(), "", "not armed yet");
    let (pre, expect) = (State::Absent, Expect::SomeObject);
    let step = ArmStep { token: &grant.token, pre, expect, age: Duration::ZERO };
    assert!(matches!(register.arm(&named("a"), step).await, Ok(ArmAnswer::Armed(_))));
    drop(register);
    assert_eq!(fixture.next_waits().await, SETTLE_LONG, "armed by arm");
}

#[tokio::test(start_paused = true)]
async fn the_mark_of_a_long_write_stays_until_the_last_one_has_ended() {
    let fixture = Fixture::clean();
    let register = fixture.open();
    let marked = || std::fs::read_to_string(fixture.path()).unwrap() == "long\n";
    let first = armed(&register, "a", Settle::Long).await;
    let second = armed(&register, "b", Settle::Long).await;
    let plain = armed(&register, "c", Settle::Plain).await;
    commit(&register, "a", &first, None).await;
    commit(&register, "c", &plain, None).await;
    assert!(marked());
    disarm(&register, "b", &second).await;
    assert!(!marked());

    let resent = armed(&register, "d", Settle::Long).await;
    commit(&register, "d", &resent, Some(SETTLE_LONG)).await;
    assert!(marked(), "its first copy may still land");
    let third = armed(&register, "a", Settle::Long).await;
    disarm(&register, "a", &third).await;
    assert!(marked());

    tokio::time::sleep(OVER).await;
    let next = armed(&register, "d", Settle::Plain).await;
    commit(&register, "d", &next, None).await;
    assert!(!marked(), "its time is over and another write has the key");

    armed(&register, "e", Settle::Long).await;
    tokio::time::sleep(OVER).await;
    let plain = armed(&register, "f", Settle::Plain).await;
    commit(&register, "f", &plain, None).await;
    assert!(marked(), "abandoned");
    drop(register);
    assert_eq!(fixture.next_waits().await, SETTLE_LONG);
}

#[tokio::test(start_paused = true)]
async fn a_second_crash_in_the_quarantine_of_a_long_write_does_not_shorten_it() {
    let fixture = Fixture::new();
    std::fs::write(fixture.path(), "long\n").unwrap();
    let register = fixture.open();
    let answer = register.acquire(&named("a"), &ask("a", Settle::Plain)).await;
    assert_eq!(answer, Ok(Acquired::Quarantine(SETTLE_LONG)));
    drop(register);
    let register = fixture.open();
    assert_eq!(quarantine(&register).await, SETTLE_LONG);
    tokio::time::sleep(SETTLE_LONG).await;
    armed(&register, "a", Settle::Plain).await;
    drop(register);
    assert_eq!(fixture.next_waits().await, SETTLE, "it was waited out");
}

#[tokio::test(start_paused = true)]
async fn a_reclaimed_long_write_is_marked_too() {
    let fixture = Fixture::new();
    let register = fixture.open();
    let forgotten = Token("an epoch before.nonce".to_owned());
    let answer = reclaim(&register, &forgotten).await;
    assert!(matches!(answer, Ok(ReclaimAnswer::Reclaimed { .. })), "{answer:?}");
    drop(register);
    assert_eq!(fixture.next_waits().await, SETTLE_LONG);
}

// === the file ===

#[test]
fn a_lock_file_that_is_a_symbolic_link_is_refused() {
    let fixture = Fixture::new();
    for target in ["somewhere else", "nowhere"] {
        let target = fixture.directory.path().join(target);
        if target.ends_with("somewhere else") {
            std::fs::write(&target, "precious").unwrap();
        }
        let _ = std::fs::remove_file(fixture.path());
        std::os::unix::fs::symlink(&target, fixture.path()).unwrap();
        let refused = MemoryRegister::open(&fixture.path(), terms());
        let Err(RegisterError::Unsuitable(sentence)) = refused else {
            panic!("not refused: {refused:?}")
        };
        assert!(sentence.contains("symbolic link"), "{sentence}");
    }
    let kept = std::fs::read_to_string(fixture.directory.path().join("somewhere else")).unwrap();
    assert_eq!(kept, "precious");
    assert!(!Path::new(&fixture.directory.path().join("nowhere")).exists());
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_file_says_how_long_to_wait() {
    for (text, waits) in [
        (&b"clean\n"[..], Duration::ZERO),
        (b"", SETTLE),
        (b"clean", SETTLE),
        (b"\xff\xfe", SETTLE),
        (b"long\n", SETTLE_LONG),
        (b"clean\nlong\n", SETTLE_LONG),
    ] {
        let fixture = Fixture::new();
        std::fs::write(fixture.path(), text).unwrap();
        assert_eq!(fixture.next_waits().await, waits, "{text:?}");
    }
}

// === forgetting ===

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_handed_back_and_leased_keys_are_kept_while_they_are() {
    let register = Fixture::clean().open();
    let token = armed(&register, "leased", Settle::Long).await;
    armed(&register, "abandoned", Settle::Long).await;
    for i in 0..3 {
        let key = i.to_string();
        let token = armed(&register, &key, Settle::Plain).await;
        commit(&register, &key, &token, None).await;
    }
    {
        let mut inner = register.lock();
        let later = |halves: u32| START + terms().record_ttl / 2 * halves;
        assert_eq!(inner.turn(&terms(), BYTES_MAX, later(1)).len(), 0, "nothing was old yet");
        let renewed = inner.older.get_mut(&named("leased")).unwrap().lease.as_mut();
        renewed.unwrap().expires = later(2);
        let forgotten = inner.turn(&terms(), BYTES_MAX, later(2));
        assert_eq!(forgotten.len(), 4, "nothing of it is dropped under the lock");
        assert_eq!(inner.recent.keys().collect::<Vec<_>>(), [&named("leased")]);
        assert_eq!(inner.long_armed, 1);
    }
    commit(&register, "leased", &token, None).await;
    assert_eq!(register.lock().long_armed, 0);
}

#[tokio::test]
async fn its_id_stays_in_the_lock_file_beside_what_the_next_process_waits_for() {
    let fixture = Fixture::clean();
    let register = fixture.open();
    assert_eq!(register.name().await.unwrap(), None);
    let id = RegisterId::new();
    assert_eq!(register.name_if_nameless(&id).await.unwrap(), id);
    assert_eq!(register.name_if_nameless(&RegisterId::new()).await.unwrap(), id);
    drop(register);
    assert_eq!(fixture.next_waits().await, Duration::ZERO, "it had no write on its way");

    let register = fixture.open();
    assert_eq!(register.name().await.unwrap(), Some(id.clone()));
    armed(&register, "key", Settle::Long).await;
    drop(register);
    assert_eq!(fixture.next_waits().await, SETTLE_LONG);
    assert_eq!(fixture.open().name().await.unwrap(), Some(id));
}

/// How an earlier attempt ended may have been forgotten for want of room.
#[tokio::test(start_paused = true)]
async fn a_full_register_forgets_and_is_not_asked_by_older_requests() {
    let fixture = Fixture::clean();
    let register = MemoryRegister::open_within(&fixture.path(), terms(), 100_000).unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    for number in 0..1000 {
        let key = number.to_string();
        let token = armed(&register, &key, Settle::Plain).await;
        commit(&register, &key, &token, None).await;
    }
    let kept = {
        let inner = register.lock();
        inner.recent.len() + inner.older.len()
    };
    assert!(kept < 500, "{kept} of 1000");
    for (age_s, arms) in [(1, false), (0, true)] {
        let age = Duration::from_secs(age_s);
        let older = Ask { age, ..ask(&age_s.to_string(), Settle::Plain) };
        let Ok(Acquired::Granted(grant)) = register.acquire(&named("next"), &older).await else {
            panic!("not granted")
        };
        assert_eq!(grant.armed.is_some(), arms, "{age_s} s old");
        let step = ReleaseStep { token: &grant.token, learned: None, refused: None };
        assert_eq!(register.release(&named("next"), &step).await, Ok(!arms));
    }
}

/// Its record would decide, since the store may show an older state: without it nothing does.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_forgotten_while_it_was_young_is_young() {
    const LAG: Duration = Duration::from_mins(1);
    let fixture = Fixture::clean();
    let terms = Terms { lag: LAG, ..terms() };
    let register = MemoryRegister::open_within(&fixture.path(), terms, 100_000).unwrap();
    tokio::time::sleep(LAG).await;
    for number in 0..1000 {
        let key = number.to_string();
        let token = armed(&register, &key, Settle::Plain).await;
        commit(&register, &key, &token, None).await;
    }
    let create = Ask { preconditions: Preconditions::IF_NONE_MATCH_ANY, ..ask("a", Settle::Plain) };
    let answer = register.acquire(&named("0"), &create).await;
    assert_eq!(answer, Ok(Acquired::Young(LAG)));
    assert_eq!(register.observe(&named("0")).await.unwrap().young_for, LAG);
    tokio::time::sleep(LAG).await;
    assert_eq!(register.observe(&named("0")).await.unwrap().young_for, Duration::ZERO);
    let answer = register.acquire(&named("0"), &create).await;
    assert!(matches!(answer, Ok(Acquired::Granted(_))), "{answer:?}");
}

/// The process before may have written a moment ago, and its records are gone.
#[tokio::test(start_paused = true)]
async fn a_process_that_starts_grants_nothing_before_the_store_shows_what_was_written() {
    const LAG: Duration = Duration::from_mins(1);
    for (lag, spacing) in [(LAG, Duration::ZERO), (Duration::ZERO, LAG)] {
        let fixture = Fixture::clean();
        let terms = Terms { lag, spacing, ..terms() };
        let register = MemoryRegister::open_within(&fixture.path(), terms, 100_000).unwrap();
        for _ in 0..2 {
            let answer = register.acquire(&named("a"), &ask("a", Settle::Plain)).await;
            let Ok(Acquired::Quarantine(left)) = answer else { panic!("{answer:?}") };
            assert!(left.abs_diff(LAG) < Duration::from_millis(3), "{left:?}");
            // An operator knows that no proxy was running, and not what it wrote before.
            register.skip_quarantine().await.unwrap();
        }
    }
}

// === a slow disk ===

#[tokio::test]
async fn a_lock_file_that_is_synced_slowly_makes_no_request_outdated() {
    const TAKES: Duration = Duration::from_millis(20);
    let register = Fixture::clean().open();
    register.lock().lock_file.sync_takes = TAKES;
    let arrived = tokio::time::Instant::now();
    match register.acquire(&named("a"), &ask("nonce", Settle::Long)).await {
        Ok(Acquired::Granted(grant)) => {
            assert!(arrived.elapsed() >= TAKES);
            assert!(grant.epoch_age >= TAKES, "remembers for {:?}", grant.epoch_age);
        }
        other => panic!("not granted: {other:?}"),
    }
}
