//! A lock without expiry: the object is there for as long as the lock is held.
//!
//!     lock KEY COMMAND...        run a command under the lock; LOCK_WAIT: seconds to wait for it (60)
//!
//! `object_store` has no conditional delete. The release empties the object with a condition instead, and an empty
//! object is a free lock: not so for the locks in the other languages, which are not to use the same key.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion, path::Path,
};
use tokio::time::{Instant, sleep};

type Failure = Box<dyn std::error::Error>;

struct Lock {
    store: AmazonS3,
    key: Path,
    id: String,
}

impl Lock {
    async fn acquire(&self, timeout: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + timeout;
        loop {
            let (owner, mode) = self.read().await?;
            if owner == self.id {
                return Ok(()); // by this attempt, or by one whose answer was lost
            }
            if owner.is_empty() && self.write(self.id.clone(), mode).await? {
                return Ok(());
            }
            if Instant::now() > deadline {
                self.release().await?;
                return Err(format!("{} is locked by {owner}", self.key).into());
            }
            pause().await;
        }
    }

    async fn release(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let (owner, mode) = self.read().await?;
            if owner != self.id || self.write(String::new(), mode).await? {
                return Ok(());
            }
            pause().await;
        }
        Err(format!("{} could not be released", self.key).into())
    }

    /// Whether it was written. If not, another was first, or nobody knows, and a look will tell.
    async fn write(&self, body: String, mode: PutMode) -> Result<bool, Failure> {
        match self.store.put_opts(&self.key, PutPayload::from(body), mode.into()).await {
            Ok(_) => Ok(true),
            Err(
                Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. },
            ) => Ok(false),
            Err(Error::Generic { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Who holds it, and the condition of a write that replaces what was read.
    async fn read(&self) -> Result<(String, PutMode), Failure> {
        let got = match self.store.get(&self.key).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok((String::new(), PutMode::Create)),
            Err(error) => return Err(error.into()),
        };
        let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: None };
        Ok((String::from_utf8(got.bytes().await?.to_vec())?, PutMode::Update(version)))
    }
}

async fn pause() {
    let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
    sleep(Duration::from_millis(50 + random)).await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let bucket = std::env::var("BUCKET")?;
    let store =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_allow_http(true).build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, command, rest @ ..] = arguments.as_slice() else {
        return Err("usage: lock KEY COMMAND...".into());
    };
    let id = format!("{}/{}", std::process::id(), uuid::Uuid::new_v4());
    let lock = Lock { store, key: Path::from(key.as_str()), id };
    let wait = std::env::var("LOCK_WAIT").map_or(Ok(60), |wait| wait.parse())?;
    lock.acquire(Duration::from_secs(wait)).await?;
    let ended =
        tokio::process::Command::new(command).args(rest).env("LOCK_OWNER", &lock.id).status().await;
    lock.release().await?;
    std::process::exit(ended?.code().unwrap_or(1));
}
