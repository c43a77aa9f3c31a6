//! A real Redis of the test's own, on a port that the kernel chose.
//!
//! On a machine without `redis-server` the tests that need one are skipped, and each says so: they
//! begin with `needs_redis!()`. With `IFMATCH_REQUIRE_REDIS=1`, as `make test` sets it, they fail
//! instead.

use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Whether the test that asks has to be skipped, for want of a Redis. Then that is said on standard
/// error, also where the output of tests is captured.
pub(crate) fn is_missing() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    let looked = || match run(&["--version".to_owned()]) {
        Ok(mut child) => child.wait().is_ok(),
        Err(Missing) => false,
    };
    if *THERE.get_or_init(looked) {
        return false;
    }
    let required = std::env::var_os(REQUIRE).is_some_and(|value| !value.is_empty());
    assert!(!required, "{MISSING}, and {REQUIRE} is set");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // If standard error is closed, the message cannot be shown.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {MISSING}");
    true
}

/// Ends the test that says it where there is no Redis.
macro_rules! needs_redis {
    () => {
        if redis_server::is_missing() {
            return;
        }
    };
}
pub(crate) use needs_redis;

/// A running `redis-server`, without persistence unless it is asked to `SAVE`. Killed when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one with these options more, and waits until it answers.
    pub(crate) async fn start(options: &[&str]) -> Self {
        Self::start_with(|port, directory| {
            let port = port.to_string();
            let directory = directory.to_str().expect("a directory's name in UTF-8");
            let fixed = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", directory];
            // A replica is to be there at once.
            let fixed = fixed.iter().chain(&["--repl-diskless-sync-delay", "0"]);
            fixed.chain(options).map(|word| (*word).to_owned()).collect()
        })
        .await
    }

    /// Starts one with the arguments that this makes of its port and its directory.
    pub(crate) async fn start_with(arguments: impl Fn(u16, &Path) -> Vec<String>) -> Self {
        for _ in 0..PORT_TRIES_MAX {
            let directory = tempfile::tempdir().expect("a directory for Redis");
            let port = free_port();
            let arguments = arguments(port, directory.path());
            let child = spawn(&arguments);
            let mut server = Self { child, port, directory, arguments };
            if server.answers().await {
                return server;
            }
            // Another process took the port in between.
        }
        panic!("redis-server did not start on any of {PORT_TRIES_MAX} free ports");
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection of its own, to look and to meddle.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        connect(self.port).await.expect("a connection to the test's Redis")
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("redis-server can be killed");
        self.child.wait().expect("redis-server was killed");
    }

    /// Stops it, so that it is silent but its connections live, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(told.expect("kill can be run").success(), "{signal}");
    }

    /// Starts it again after [`RedisServer::kill`], on the same port, with the data last saved.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.arguments);
        assert!(self.answers().await, "redis-server did not come back on port {}", self.port);
    }

    /// Forgets the data last saved.
    pub(crate) fn forget_saved(&self) {
        std::fs::remove_file(self.directory.path().join("dump.rdb")).expect("a dump was saved");
    }

    /// Waits until this server, and no other on its port, answers; `false` when it ended.
    async fn answers(&mut self) -> bool {
        let patience = Instant::now() + START_MAX;
        while Instant::now() < patience {
            if self.child.try_wait().expect("redis-server is our child").is_some() {
                return false;
            }
            if let Ok(mut connection) = connect(self.port).await {
                let info: redis::RedisResult<String> =
                    redis::cmd("INFO").arg("server").query_async(&mut connection).await;
                let own = format!("process_id:{}\r", self.child.id());
                if info.is_ok_and(|info| info.contains(&own)) {
                    return true;
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("redis-server did not answer within {START_MAX:?}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(arguments: &[String]) -> Child {
    run(arguments).unwrap_or_else(|Missing| panic!("{MISSING}"))
}

/// There is no such program.
struct Missing;

fn run(arguments: &[String]) -> Result<Child, Missing> {
    // Another server that is to do as well, such as Valkey's. Then it has to be there.
    let named = std::env::var_os("IFMATCH_TEST_REDIS_SERVER");
    let binary = named.clone().unwrap_or_else(|| "redis-server".into());
    match Command::new(&binary).args(arguments).stdout(Stdio::null()).spawn() {
        Ok(child) => Ok(child),
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Err(Missing),
        Err(error) => panic!("{} cannot be run: {error}", binary.display()),
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

async fn connect(port: u16) -> redis::RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    // The machine may be busy with other tests.
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(START_MAX));
    client.get_multiplexed_async_connection_with_config(&patient).await
}

const MISSING: &str = "there is no redis-server on this machine; scripts/setup e2e installs it";
const REQUIRE: &str = "IFMATCH_REQUIRE_REDIS";
const PORT_TRIES_MAX: usize = 5;
const START_MAX: Duration = Duration::from_secs(10);
