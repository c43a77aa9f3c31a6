//! The register in a Redis that is reached by TLS: one server, Sentinels, a cluster. Each setting is
//! shown twice: a handshake that succeeds with it, and one that fails.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

#[path = "support/cluster_servers.rs"]
#[allow(dead_code, reason = "shared with the tests of Cluster")]
mod cluster_servers;
#[path = "support/redis_server.rs"]
#[allow(dead_code, reason = "shared with the tests of one Redis and of Sentinel")]
mod redis_server;
#[path = "support/steps.rs"]
#[allow(dead_code, reason = "shared with the tests of one Redis and of Sentinel")]
mod steps;
#[path = "support/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of Sentinel and of Cluster")]
mod wire;

use std::cell::Cell;
use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use ifmatch::register::redis::{
    RedisRegister, RedisSettings, RedisTls, SentinelTopology, Topology,
};
use ifmatch::register::{Register, Terms, Writers};
use ifmatch::tls::{ClientFiles, Reload as _};

use self::cluster_servers::ClusterServers;
use self::redis_server::{RedisServer, free_port, needs_redis};
use self::steps::{at, key, present, settings_of, until, write};
use self::wire::{Wire, file, options, server, tls};

const TERMS: Terms = Terms {
    lease: Duration::from_secs(6),
    grace: Duration::from_millis(100),
    settle: Duration::from_secs(5),
    settle_long: Duration::from_mins(1),
    retry_horizon: Duration::from_mins(1),
    record_ttl: Duration::from_mins(10),
    failover_lag: Duration::from_secs(18),
    lag: Duration::ZERO,
    spacing: Duration::ZERO,
    writers: Writers::Exclusive,
};

fn named(name: &str) -> RedisTls {
    RedisTls { server_name: Some(name.to_owned()), ..tls("authority", None) }
}

fn single(port: u16, tls: Option<RedisTls>) -> RedisSettings {
    let topology = Topology::Single { address: at(port), never_promoted: false };
    RedisSettings { tls, ..settings_of(topology) }
}

async fn refusal(settings: &RedisSettings) -> String {
    let register = RedisRegister::connect(settings, &TERMS).unwrap();
    register.check().await.unwrap_err().to_string()
}

async fn works(settings: &RedisSettings) {
    let register = RedisRegister::connect(settings, &TERMS).unwrap();
    until("the register works", async || register.check().await.is_ok()).await;
    register.skip_quarantine().await.unwrap();
    write(&register, &key(), "a", "x").await;
    assert_eq!(register.observe(&key()).await.unwrap().state, present("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_and_one_of_another_authority_is_refused() {
    needs_redis!();
    let (_server, port) = server("server", "yes").await;
    works(&single(port, Some(tls("authority", Some("client"))))).await;
    let none = refusal(&single(port, Some(tls("authority", None)))).await;
    assert!(none.contains("asks for a client certificate"), "{none}");
    let other = refusal(&single(port, Some(tls("authority", Some("stranger"))))).await;
    assert!(other.contains("does not accept our client certificate"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_authority_of_ca_file_is_trusted() {
    needs_redis!();
    let (_server, port) = server("server", "no").await;
    works(&single(port, Some(tls("authority", None)))).await;
    let other = refusal(&single(port, Some(tls("other-authority", None)))).await;
    assert!(other.contains("not signed by an authority of ca_file"), "{other}");
    assert!(other.contains(&format!("rediss://127.0.0.1:{port}")), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_has_to_be_for_the_address_or_for_server_name() {
    needs_redis!();
    let (_server, port) = server("named", "no").await;
    works(&single(port, Some(named("redis.test")))).await;
    let by_address = refusal(&single(port, Some(tls("authority", None)))).await;
    assert!(by_address.contains("is for redis.test, not for 127.0.0.1"), "{by_address}");
    let other = refusal(&single(port, Some(named("other.test")))).await;
    assert!(other.contains("is for redis.test, not for other.test"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usual_mistakes_have_words_of_their_own() {
    needs_redis!();
    for (certificate, authority, words) in [
        ("bare", "bare", "openssl req -x509"),
        ("nameless", "authority", "names no host"),
        ("expired", "authority", "has expired"),
    ] {
        let (_server, port) = server(certificate, "no").await;
        let said = refusal(&single(port, Some(tls(authority, None)))).await;
        assert!(said.contains(words), "{certificate}: {said}");
    }
    let (server, port) = server("server", "no").await;
    let to_plain = refusal(&single(server.port(), Some(tls("authority", None)))).await;
    assert!(to_plain.contains("does not speak TLS"), "{to_plain}");
    let by_plain = refusal(&single(port, None)).await;
    assert!(by_plain.contains("rediss://"), "{by_plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_again_and_a_wrong_one_changes_nothing() {
    needs_redis!();
    let (_server, port) = server("server", "no").await;
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    fs::copy(file("other-authority.pem"), &ca_file).unwrap();
    let files = ClientFiles { ca_file: Some(ca_file.clone()), ..ClientFiles::default() };
    let settings = single(port, Some(RedisTls { files, server_name: None }));
    let register = RedisRegister::connect(&settings, &TERMS).unwrap();
    assert!(register.check().await.is_err());
    assert_eq!(register.reload(), Ok(false));
    fs::write(&ca_file, "nothing").unwrap();
    let fault = register.reload().unwrap_err().to_string();
    assert!(fault.contains("ca.pem holds no certificate"), "{fault}");
    fs::copy(file("authority.pem"), &ca_file).unwrap();
    assert_eq!(register.reload(), Ok(true));
    register.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_the_master_that_they_name_are_reached_by_tls() {
    needs_redis!();
    let (_master, master_port) = server("server", "yes").await;
    let sentinels = join_all((0..3).map(|_| async {
        let tls_port = Cell::new(0);
        let server = RedisServer::start_with(|port, directory| {
            tls_port.set(free_port());
            let file = directory.join("sentinel.conf");
            let monitored = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\ntls-replication yes\n\
                 sentinel monitor main 127.0.0.1 {master_port} 2\n",
                directory.display()
            );
            fs::write(&file, monitored).unwrap();
            let words = [file.to_str().unwrap().to_owned(), "--sentinel".to_owned()];
            words.into_iter().chain(options("server", "yes", tls_port.get())).collect()
        });
        (server.await, tls_port.get())
    }))
    .await;
    let by = |tls| RedisSettings {
        tls: Some(tls),
        ..settings_of(Topology::Sentinels(SentinelTopology {
            sentinels: sentinels.iter().map(|(_, port)| at(*port)).collect(),
            master: "main".to_owned(),
            username: None,
            password: None,
        }))
    };
    works(&by(tls("authority", Some("client")))).await;
    let other = refusal(&by(tls("other-authority", Some("client")))).await;
    assert!(other.contains("not signed by an authority of ca_file"), "{other}");
    let none = refusal(&by(tls("authority", None))).await;
    assert!(none.contains("asks for a client certificate"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_master_of_a_cluster_is_reached_by_tls() {
    needs_redis!();
    let cluster = ClusterServers::start(0, "1000", Wire::Tls).await;
    let by = |tls| RedisSettings {
        tls: Some(tls),
        ..settings_of(Topology::Cluster(vec![at(cluster.ports[0])]))
    };
    works(&by(tls("authority", Some("client")))).await;
    let other = refusal(&by(tls("other-authority", Some("client")))).await;
    assert!(other.contains("not signed by an authority of ca_file"), "{other}");
    let none = refusal(&by(tls("authority", None))).await;
    assert!(none.contains("asks for a client certificate"), "{none}");
}
