//! The id of a register in a real Redis: what it outlives, and what it does not.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

#[path = "support/redis_server.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod redis_server;
#[path = "support/steps.rs"]
#[allow(dead_code, reason = "shared with the other tests of registers, which use more of it")]
mod steps;

use std::time::Duration;

use ifmatch::register::identity::{Identified, RegisterId};
use ifmatch::register::redis::{RedisRegister, RedisSettings, Topology};
use ifmatch::register::{Register, RegisterError, Terms};
use redis::aio::MultiplexedConnection;

use self::redis_server::{RedisServer, needs_redis};
use self::steps::{at, settings_of};

fn register_in(server: &RedisServer, namespace: &str) -> RedisRegister {
    let settings = RedisSettings {
        namespace: namespace.to_owned(),
        connections: 1,
        timeout: Duration::from_secs(10),
        clock_jump_max: Duration::from_secs(3),
        ..settings_of(Topology::Single { address: at(server.port()), never_promoted: false })
    };
    let terms = Terms { record_ttl: Duration::from_hours(1), ..Terms::default() };
    RedisRegister::connect(&settings, &terms).unwrap()
}

async fn tell(connection: &mut MultiplexedConnection, command: &[&str]) {
    let mut words = redis::cmd(command[0]);
    let () = words.arg(&command[1..]).query_async(connection).await.unwrap();
}

#[tokio::test]
async fn a_register_s_id_outlives_epochs_and_restarts_and_goes_with_its_memory() {
    needs_redis!();
    let mut server = RedisServer::start(&[]).await;
    let register = register_in(&server, "a");
    assert_eq!(register.name().await, Ok(None));
    let id = RegisterId::new();
    assert_eq!(register.name_if_nameless(&id).await.unwrap(), id);
    let another = register_in(&server, "a");
    assert_eq!(another.name_if_nameless(&RegisterId::new()).await.unwrap(), id, "it has one");
    assert_eq!(register_in(&server, "b").name().await, Ok(None), "a register of its own");

    tell(&mut server.connection().await, &["SAVE"]).await;
    server.kill();
    server.start_again().await;
    let restarted = register_in(&server, "a");
    assert!(restarted.check().await.unwrap().quarantine > Duration::ZERO, "a new epoch");
    assert_eq!(restarted.name().await, Ok(Some(id)));

    tell(&mut server.connection().await, &["FLUSHALL"]).await;
    assert_eq!(restarted.name().await, Ok(None));
}

#[tokio::test]
async fn what_is_no_id_is_not_taken_for_one() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    tell(&mut server.connection().await, &["SET", "{a:id}", "somebody's"]).await;
    let register = register_in(&server, "a");
    for answer in [register.name().await.map(drop), named(&register).await] {
        let Err(RegisterError::Unsuitable(why)) = answer else { panic!("{answer:?}") };
        assert!(why.contains("{a:id}") && why.contains("register.namespace"), "{why}");
    }
}

async fn named(register: &RedisRegister) -> Result<(), RegisterError> {
    register.name_if_nameless(&RegisterId::new()).await.map(drop)
}
