//! A counter: read, add one, write back what was read only if it is still that (compare and swap).
//!
//!     counter KEY [TIMES]        add one, so many times; print each number

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion, path::Path};
use tokio::time::{Instant, sleep};

/// The ids of so many increments stay in the object.
const KEPT: usize = 100;

type Failure = Box<dyn std::error::Error>;

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct State {
    value: usize,
    /// The ids of the latest increments, newest first.
    recent: Vec<String>,
}

/// Adds one and returns the new number. `object_store` does not tell how often it has tried, so each refusal may be
/// that of a retry whose first attempt has landed. The id of the increment is written beside the number: a later look
/// shows it. It also makes each body, and so each ETag, new.
async fn increment(store: &AmazonS3, key: &Path, timeout: Duration) -> Result<usize, Failure> {
    let mine = uuid::Uuid::new_v4().to_string();
    let deadline = Instant::now() + timeout;
    let mut first = None;
    while Instant::now() < deadline {
        let (mut state, mode) = read(store, key).await?;
        if let Some(later) = state.recent.iter().position(|id| *id == mine) {
            return Ok(state.value - later);
        }
        if state.value - *first.get_or_insert(state.value) >= KEPT {
            break;
        }
        state.value += 1;
        state.recent.insert(0, mine.clone());
        state.recent.truncate(KEPT);
        match store.put_opts(key, serde_json::to_vec(&state)?.into(), mode.into()).await {
            Ok(_) => return Ok(state.value),
            // Another was first; or nobody knows (timeouts, 5xx), and a look will tell.
            Err(
                Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. },
            ) => {}
            Err(Error::Generic { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        sleep(Duration::from_millis(10 + random)).await;
    }
    Err(format!("nobody can tell whether {key} was incremented (once at most)").into())
}

/// The object, and the condition of a write that replaces it.
async fn read(store: &AmazonS3, key: &Path) -> Result<(State, PutMode), Failure> {
    let got = match store.get(key).await {
        Ok(got) => got,
        Err(Error::NotFound { .. }) => return Ok((State::default(), PutMode::Create)),
        Err(error) => return Err(error.into()),
    };
    let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: None };
    Ok((serde_json::from_slice(&got.bytes().await?)?, PutMode::Update(version)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let bucket = std::env::var("BUCKET")?;
    let store =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_allow_http(true).build()?;
    let mut arguments = std::env::args().skip(1);
    let key = Path::from(arguments.next().ok_or("which key?")?);
    let times = arguments.next().map_or(Ok(1), |times| times.parse())?;
    for _ in 0..times {
        println!("{}", increment(&store, &key, Duration::from_secs(60)).await?);
    }
    Ok(())
}
