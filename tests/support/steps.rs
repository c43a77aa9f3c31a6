//! What the tests of registers do with one.

use std::sync::Arc;
use std::time::Duration;

use ifmatch::register::redis::{Address, RedisRegister, RedisSettings, Topology};
use ifmatch::register::{
    Acquired, AnswerHeaders, Ask, Asker, CommitAnswer, CommitStep, Expect, Generation, Grant,
    Register, RegisterError, Settle, State, Terms, Token, WriteId,
};
use ifmatch::s3::{BucketName, ETag, EmptySegments, ObjectKey, ObjectName, Preconditions};
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

/// This port of this machine.
pub(crate) fn at(port: u16) -> Address {
    Address { host: "127.0.0.1".to_owned(), port }
}

/// How a register whose master may be replaced is reached there.
pub(crate) fn settings_of(topology: Topology) -> RedisSettings {
    RedisSettings {
        topology,
        database: 0,
        username: None,
        password: None,
        tls: None,
        namespace: "test".to_owned(),
        connections: 2,
        timeout: Duration::from_secs(1),
        clock_jump_max: Duration::from_millis(1500),
        failover_lag_is_stated: false,
    }
}

/// A register that is watched, as a proxy's is: one copy looks, the other is worked with.
pub(crate) fn watched(settings: &RedisSettings, terms: &Terms) -> Arc<RedisRegister> {
    let (watched, pause) = (RedisRegister::connect(settings, terms).unwrap(), terms.lease / 3);
    let register = Arc::new(watched.apart());
    tokio::spawn(async move { watched.keep_watch(pause, drop).await });
    register
}

pub(crate) fn object(key: &str) -> ObjectName {
    ObjectName {
        bucket: BucketName::parse("bucket").unwrap(),
        key: ObjectKey::parse(key, EmptySegments::Kept).unwrap(),
    }
}

pub(crate) fn key() -> ObjectName {
    object("key")
}

pub(crate) fn present(etag: &str) -> State {
    State::Present(ETag::parse(etag.as_bytes()))
}

pub(crate) fn ask(write: &str) -> Ask {
    Ask {
        asker: Asker("one".to_owned()),
        nonce: format!("nonce of {write}"),
        write_id: WriteId(write.to_owned()),
        settle: Settle::Plain,
        age: Duration::ZERO,
        preconditions: Preconditions::NONE,
        expect: Expect::SomeObject,
        upload: None,
        own_doubt: None,
    }
}

pub(crate) fn ask_to_create(write: &str) -> Ask {
    Ask { preconditions: Preconditions::IF_NONE_MATCH_ANY, ..ask(write) }
}

pub(crate) async fn granted(register: &dyn Register, name: &ObjectName, ask: &Ask) -> Grant {
    match register.acquire(name, ask).await {
        Ok(Acquired::Granted(grant)) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

pub(crate) async fn commit(
    register: &dyn Register,
    name: &ObjectName,
    token: &Token,
    new: State,
) -> Result<CommitAnswer, RegisterError> {
    register
        .commit(
            name,
            &CommitStep {
                token,
                generation: None,
                new,
                quiet: None,
                headers: &AnswerHeaders::default(),
                written: &ifmatch::s3::listing::Written::default(),
            },
        )
        .await
}

/// An unconditional write that lands; the generation it began.
pub(crate) async fn write(
    register: &dyn Register,
    name: &ObjectName,
    id: &str,
    etag: &str,
) -> Generation {
    let grant = granted(register, name, &ask(id)).await;
    let answer = commit(register, name, &grant.token, present(etag)).await;
    assert_eq!(answer, Ok(CommitAnswer::Committed));
    grant.armed.expect("an unconditional write is armed at once")
}

/// Gives a server a command.
pub(crate) async fn tell(connection: &mut MultiplexedConnection, command: &str) -> redis::Value {
    let mut words = command.split(' ');
    let mut headers = redis::cmd(words.next().unwrap());
    for word in words {
        headers.arg(word);
    }
    headers.query_async(connection).await.unwrap()
}

pub(crate) fn is_unreachable<T>(answer: &Result<T, RegisterError>) -> bool {
    matches!(answer, Err(RegisterError::Unreachable(_)))
}

/// Waits for something to happen.
pub(crate) async fn until(what: &str, mut happens: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !happens().await {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
