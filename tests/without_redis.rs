//! A machine without `redis-server`: tests that need one are skipped, and say so, or fail where
//! `IFMATCH_REQUIRE_REDIS` wants them to run.

#[path = "support/redis_server.rs"]
#[allow(dead_code, reason = "shared with the tests of registers, which use all of it")]
mod redis_server;

use std::process::{Command, Output};

use self::redis_server::{RedisServer, needs_redis};

#[tokio::test]
async fn one_that_needs_redis() {
    needs_redis!();
    RedisServer::start(&[]).await.connection().await;
}

/// The test above, in a process that finds no program.
fn without_redis(required: &str) -> Output {
    let mut test = Command::new(std::env::current_exe().expect("this test's own binary"));
    test.args(["--exact", "one_that_needs_redis"]);
    test.env("PATH", "").env_remove("IFMATCH_TEST_REDIS_SERVER");
    test.env("IFMATCH_REQUIRE_REDIS", required).output().expect("this test's own binary runs")
}

#[test]
fn it_is_skipped_with_a_sentence() {
    let output = without_redis("");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("there is no redis-server on this machine"), "{said}");
    assert!(said.starts_with("skipped: "), "{said}");
}

#[test]
fn it_fails_where_redis_is_required() {
    let output = without_redis("1");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{output:?}");
    assert!(said.contains("there is no redis-server on this machine"), "{said}");
}
