//! The store: an index of all objects, and files with their bytes.
//!
//! - [`index`] says which objects there are, in one ordered, transactional database. What one request
//!   changes becomes visible at once, or not at all.
//! - [`files`] has the bytes, in files that never change. A file is written before the index names
//!   it and removed after the index does not. A key is never a path.
//!
//! `s3s` speaks the protocol: XML, signatures, the framing of bodies. [`operations`] lists what is
//! answered here.

mod attributes;
mod body;
mod buckets;
mod checksums;
mod complete;
mod conditions;
mod content;
mod copy;
mod cors;
mod deletes;
mod described;
mod failure;
mod files;
mod find;
mod index;
mod listing;
mod multipart;
mod names;
mod objects;
mod operations;
mod reads;
mod records;
mod selection;
mod sized;
mod standing;
mod tags;
mod uploads;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::chaos::Chaos;
use super::parts::{Fsync, Options};
use crate::clock;
pub(super) use attributes::BareETag;
pub(super) use body::check_document;
pub(super) use cors::{Asked, Verdict};
use failure::Refused;
pub(super) use failure::{
    ERROR_FIELD, broken_off, converted, internal, not_implemented, with_elements,
};
use files::Files;
use find::Target;
use index::{Index, Read as _, Snapshot};
pub(super) use listing::OWNER;
pub(super) use operations::has as has_operation;
pub(super) use reads::Unread;
use tokio::task::spawn_blocking;

/// The names of the two parts of a store's directory.
const INDEX: &str = "index.redb";
const FILES: &str = "objects";

/// How many names of files the sweep has in memory, at most by the files of one directory more.
const SWEPT_AT_ONCE: usize = 100_000;

/// How much longer than `lag` a file stays that no row names: a reader needs time to open it.
const LAG_MARGIN: Duration = Duration::from_secs(5);

/// The store in one directory. No other process can open it meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Store {
    index: Arc<Index>,
    files: Arc<Files>,
    options: Options,
    chaos: Arc<Chaos>,
}

impl Store {
    /// Opens the store in a directory, which is created if missing. Returns why it cannot be.
    pub(super) fn open(dir: &Path, options: Options, chaos: Arc<Chaos>) -> Result<Self, String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| error.to_string())?;
        check_content(dir)?;
        // What readers are shown of the past has to be there.
        let lag = options.misbehaviour.lag;
        let linger = if lag.is_zero() { lag } else { lag + LAG_MARGIN };
        let files = Files::open(&dir.join(FILES), options.fsync, linger);
        let files = files.map_err(|error| error.to_string())?;
        let opened = Index::open(&dir.join(INDEX), options, Arc::clone(&files));
        let index = opened.map_err(|error| error.to_string())?;
        if options.fsync == Fsync::Always {
            // The names of the two parts have to be on the disk too.
            let synced = File::open(dir).and_then(|dir| dir.sync_all());
            synced.map_err(|error| error.to_string())?;
        }
        let store = Self { index: Arc::new(index), files, options, chaos };
        store.sweep().map_err(|error| error.to_string())?;
        Ok(store)
    }

    /// Removes files that no row names, while the store serves already: what a process leaves that is
    /// killed, or ends before it has removed what it was to remove.
    fn sweep(&self) -> io::Result<()> {
        let (files, index) = (Arc::clone(&self.files), self.index.now());
        let orphans = move || {
            // What no row names now has no row later either: each name is used once.
            let index = index?;
            files.sweep(SWEPT_AT_ONCE, |keep| index.each_file(keep))
        };
        let sweep = move || match orphans() {
            Ok(0) => {}
            Ok(files) => {
                tracing::info!(files, "the embedded store removed files without an object");
            }
            Err(error) => tracing::warn!(%error, "the embedded store could not be swept"),
        };
        std::thread::Builder::new().name("store-sweep".to_owned()).spawn(sweep).map(drop)
    }

    fn lags(&self) -> bool {
        !self.options.misbehaviour.lag.is_zero()
    }

    /// What a reader of a key is shown: what stands there, or what stood there `lag` ago. A replica that
    /// has shown that nothing stood there shows that again, for as long as it may lag.
    fn view(&self, target: &Target) -> Result<Arc<Snapshot>, Refused> {
        let now = self.index.now()?;
        if !self.lags() {
            return Ok(now);
        }
        let (replica, ago) = self.chaos.replica_of_a_read(target.names_version());
        let Some(mut past) = self.index.past(ago) else { return Ok(now) };
        let sequence = |index: &Snapshot| target.find(index).ok().map(|found| found.sequence);
        let mut shown = sequence(&past);
        let what = target.to_string();
        if shown.is_none() {
            self.chaos.missed(replica, what, ago);
        } else if let Some(age) = self.chaos.age_of_miss(replica, &what, target.names_version())
            && let Some(missed) = self.index.past(age)
            && sequence(&missed).is_none()
        {
            self.chaos.miss_was_cached();
            (past, shown) = (missed, None);
        }
        if shown != sequence(&now) {
            self.chaos.lagged();
        }
        Ok(past)
    }

    /// Reads what a listing shows: what stands there, or what stood there `lag` ago.
    async fn read_listing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Snapshot) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let store = self.clone();
        let reading = spawn_blocking(move || {
            let ago = || store.chaos.ago_of_a_listing();
            let Some(past) = store.lags().then(ago).and_then(|ago| store.index.past(ago)) else {
                return work(&*store.index.now()?);
            };
            let now = store.index.past(Duration::ZERO);
            if now.is_some_and(|now| !Arc::ptr_eq(&now, &past)) {
                store.chaos.listing_lagged();
            }
            work(&past)
        });
        reading.await.map_err(internal)?
    }

    /// The time of a write.
    fn now_of_write(&self) -> Now {
        if self.options.misbehaviour.clock_skew_s != 0 {
            self.chaos.date_skewed();
        }
        self.now()
    }

    /// The time by the store's own clock.
    fn now(&self) -> Now {
        let skew = self.options.misbehaviour.clock_skew_s.saturating_mul(1_000_000);
        Now { microseconds: clock::unix_microseconds().saturating_add_signed(skew) }
    }
}

/// A directory with other content is not taken over: it may be a store of an older version, whose
/// objects would be invisible. Names that begin with a dot are the proxy's.
fn check_content(dir: &Path) -> Result<(), String> {
    if dir.join(INDEX).exists() {
        return Ok(());
    }
    let mut entries = fs::read_dir(dir).map_err(|error| error.to_string())?;
    let foreign = entries.find_map(|entry| {
        let name = entry.ok()?.file_name().to_string_lossy().into_owned();
        // `lost+found` is in the root of a file system.
        let is_ours = name == FILES || name.starts_with(".ifmatch") || name == "lost+found";
        (!is_ours).then_some(name)
    });
    match foreign {
        Some(name) => Err(format!(
            "it has no {INDEX} but other content, such as {name:?}. A store of ifmatch 0.1.0 or \
             older kept objects as files, and is not read any more: copy its objects through that \
             version's S3 port, or choose an empty directory"
        )),
        None => Ok(()),
    }
}

/// A moment.
#[derive(Debug, Clone, Copy)]
struct Now {
    microseconds: u64,
}

impl Now {
    fn microseconds(self) -> u64 {
        self.microseconds
    }

    fn milliseconds(self) -> i64 {
        i64::try_from(self.microseconds / 1000).unwrap_or(i64::MAX)
    }
}
