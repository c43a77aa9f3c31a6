//! `ifmatch demo`: the lost update of two processes that read, wait and write back with If-Match,
//! first against a store that ignores conditions, then through the proxy in front of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep};

use super::failure::Failure;
use super::store::must_be_built;
use crate::backend::{Answer, Exchange, HttpStore, Sending, Signing, Store, StoreRequest};
use crate::body::Body;
use crate::config::{Backend, Endpoint};
use crate::http1::fields::Fields;
use crate::random;
use crate::secret::Secret;

const ACCESS_KEY: &str = "demo";
const COUNTER: &str = "/demo/counter";

/// Runs the demo with its own processes in its own directory, and removes them at the end.
pub(super) fn run() -> Result<(), Failure> {
    must_be_built()?;
    let dir = tempfile::tempdir()?;
    let secret = random::id();
    println!(
        "Two processes each add 1 to a counter: read it, wait until both have read, write it back \
         with\nIf-Match: <the ETag that was read>. A process that gets 412 reads again and retries.\n"
    );
    let store = Process::store(dir.path(), &secret, &["--ignore-conditions"])?;
    let proxy = Process::proxy(dir.path(), &secret, &store.address, None)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (alone, guarded) = runtime.block_on(async {
        let alone = play(&store.address, &secret).await?;
        let guarded = play(&proxy.address, &secret).await?;
        Ok::<_, Failure>((alone, guarded))
    })?;
    print_table(&alone, &guarded);
    if guarded.value == guarded.acknowledged {
        Ok(())
    } else {
        Err(Failure::Run("an update was lost through the proxy: this is a bug".to_owned()))
    }
}

/// The result of the two increments.
#[derive(Debug, Clone, Copy)]
struct Ending {
    acknowledged: u64,
    refused: u64,
    value: u64,
}

fn print_table(alone: &Ending, guarded: &Ending) {
    let verdict = |ending: &Ending| match ending.acknowledged.saturating_sub(ending.value) {
        0 => "nothing lost".to_owned(),
        1 => "1 UPDATE LOST".to_owned(),
        lost => format!("{lost} UPDATES LOST"),
    };
    let rows = [
        ("", "the store alone".to_owned(), "through ifmatch".to_owned()),
        ("writes acknowledged", alone.acknowledged.to_string(), guarded.acknowledged.to_string()),
        ("writes refused (412)", alone.refused.to_string(), guarded.refused.to_string()),
        ("counter in the end", alone.value.to_string(), guarded.value.to_string()),
        ("", verdict(alone), verdict(guarded)),
    ];
    for (name, alone, guarded) in rows {
        println!("  {name:<22}{alone:>16}{guarded:>18}");
    }
    println!();
}

async fn play(address: &str, secret: &str) -> Result<Ending, Failure> {
    let first = Client::new(address, secret).await?;
    let second = Client::new(address, secret).await?;
    first.create_bucket().await?;
    first.put("0", None).await?;
    let both_have_read = Arc::new(Barrier::new(2));
    let (a, b) = tokio::join!(
        first.increment(Arc::clone(&both_have_read)),
        second.increment(Arc::clone(&both_have_read))
    );
    let (refused_a, refused_b) = (a?, b?);
    let (value, _) = first.read().await?;
    Ok(Ending { acknowledged: 2, refused: refused_a + refused_b, value })
}

/// One of the two processes.
pub(super) struct Client {
    store: HttpStore,
}

impl Client {
    pub(super) async fn new(address: &str, secret: &str) -> Result<Self, Failure> {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let port = port.parse().map_err(|_| Failure::Run(format!("no port in {address}")))?;
        let backend = Backend {
            url: Endpoint { https: false, host: host.to_owned(), port },
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: Secret::new(secret),
            connect_timeout: PATIENCE,
            write_timeout: PATIENCE,
            long_write_timeout: PATIENCE,
            read_timeout: PATIENCE,
            ..Backend::default()
        };
        Ok(Self {
            store: HttpStore::new(&backend, PATIENCE, Arc::default(), Arc::default()).await?,
        })
    }

    /// Adds 1 to the counter; returns how often the write was refused.
    async fn increment(&self, both_have_read: Arc<Barrier>) -> Result<u64, Failure> {
        for refused in 0.. {
            let (value, etag) = self.read().await?;
            if refused == 0 {
                both_have_read.wait().await;
            }
            let answer = self.put(&(value + 1).to_string(), Some(etag)).await?;
            if answer.status != StatusCode::PRECONDITION_FAILED {
                return Ok(refused);
            }
        }
        Err(Failure::Run("refused for ever".to_owned()))
    }

    async fn read(&self) -> Result<(u64, HeaderValue), Failure> {
        let answer = self.ask(Method::GET, COUNTER, "", Fields::new()).await?;
        let value = std::str::from_utf8(&answer.body).ok().and_then(|text| text.parse().ok());
        let etag = answer.headers.get(header::ETAG).cloned();
        value.zip(etag).ok_or_else(|| Failure::Run(format!("no counter: {}", answer.status)))
    }

    async fn put(&self, value: &str, if_match: Option<HeaderValue>) -> Result<Answer, Failure> {
        let mut headers = Fields::new();
        if let Some(etag) = if_match {
            headers.insert(header::IF_MATCH, etag);
        }
        self.ask(Method::PUT, COUNTER, value, headers).await
    }

    pub(super) async fn create_bucket(&self) -> Result<(), Failure> {
        self.ask(Method::PUT, "/demo", "", Fields::new()).await.map(drop)
    }

    /// Sends a request, and again while the answer is 503: a proxy that has just started waits for
    /// its quarantine.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        content: &str,
        headers: Fields,
    ) -> Result<Answer, Failure> {
        let request = StoreRequest {
            signing: Signing::Anew,
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers,
            sha256: Some(Sha256::digest(content).into()),
        };
        let body = Body::from(Bytes::copy_from_slice(content.as_bytes()));
        let end = Instant::now() + PATIENCE;
        loop {
            match self.store.exchange(&request, Sending::new(&body, end)).await {
                Exchange::Answered(answer)
                    if answer.status != StatusCode::SERVICE_UNAVAILABLE
                        || Instant::now() >= end =>
                {
                    return Ok(answer);
                }
                Exchange::Answered(_) => sleep(Duration::from_millis(50)).await,
                Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                    return Err(Failure::Run(why));
                }
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A process of this program, ended when dropped.
pub(super) struct Process {
    child: Child,
    pub(super) address: String,
}

impl Process {
    /// A store in this directory, with these flags.
    pub(super) fn store(dir: &Path, secret: &str, flags: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("store")
            .args(flags)
            .arg(dir.join("objects"))
            .env("IFMATCH_STORE_ACCESS_KEY_ID", ACCESS_KEY)
            .env("IFMATCH_STORE_SECRET_ACCESS_KEY", secret);
        Self::start(command)
    }

    /// A proxy in front of this store, with this configuration besides.
    pub(super) fn proxy(
        dir: &Path,
        secret: &str,
        store: &str,
        config: Option<&Path>,
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve");
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        command
            .args(["--listen", "127.0.0.1:0", "--backend-url"])
            .arg(format!("http://{store}"))
            .env("IFMATCH_REGISTER_LOCK_FILE", dir.join("register.lock"))
            // The store has only this client: no write of an earlier proxy can be on its way to it.
            .env("IFMATCH_REGISTER_SETTLE", "0s")
            .env("IFMATCH_BACKEND_ACCESS_KEY_ID", ACCESS_KEY)
            .env("IFMATCH_BACKEND_SECRET_ACCESS_KEY", secret)
            .env("IFMATCH_ACCESS_KEY_ID", ACCESS_KEY)
            .env("IFMATCH_SECRET_ACCESS_KEY", secret)
            .env("IFMATCH_LOG_LEVEL", "error")
            .env("IFMATCH_LOG_ACCESS", "off");
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| Failure::Run("no output".to_owned()))?;
        // Created first, so that the child is ended whatever happens next.
        let mut process = Self { child, address: String::new() };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        address
            .ok_or_else(|| Failure::Run(format!("a process did not start: {line:?}")))?
            .clone_into(&mut process.address);
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
