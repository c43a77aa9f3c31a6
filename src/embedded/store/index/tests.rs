//! The index on a disk that fails on purpose.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend, TableDefinition};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::*;
use crate::embedded::parts::Fsync;
use crate::embedded::store::records::{Bucket, Content, Object, Part, Version};

/// How many operations on the file succeed before one fails; negative when it has failed.
#[derive(Debug, Clone, Default)]
struct Countdown(Arc<AtomicI64>);

impl Countdown {
    fn of(operations: i64) -> Self {
        Self(Arc::new(AtomicI64::new(operations)))
    }

    fn has_run_out(&self) -> bool {
        self.0.load(Ordering::SeqCst) < 0
    }

    fn step(&self) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(io::Error::new(ErrorKind::StorageFull, "the disk is full on purpose"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FailingFile(FileBackend, Countdown);

impl StorageBackend for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.1.step()?;
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.step()?;
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.step()?;
        self.0.set_len(len)
    }

    /// No power is cut here, so it does not wait for the disk.
    fn sync_data(&self) -> io::Result<()> {
        self.1.step()
    }

    /// Where it fails, a part is written.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let failed = self.1.step();
        let written = if failed.is_err() { data.len() / 2 } else { data.len() };
        self.0.write(offset, &data[..written])?;
        failed
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }
}

/// A directory with an index and files.
struct Place {
    dir: TempDir,
    files: Arc<Files>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(&dir.path().join("objects"), Fsync::Never, Duration::ZERO);
        Self { files: files.unwrap(), dir }
    }

    fn index(&self, countdown: &Countdown) -> Arc<Index> {
        self.index_named("index", countdown, 0)
    }

    /// Without a cache each read reaches the file.
    fn index_named(&self, name: &str, countdown: &Countdown, cache_bytes: usize) -> Arc<Index> {
        let (path, countdown) = (self.dir.path().join(name), countdown.clone());
        let open: Opener = Box::new(move || {
            let mut opening = OpenOptions::new();
            let file = opening.read(true).write(true).create(true).truncate(false).open(&path)?;
            let backend = FailingFile(FileBackend::new(file.try_clone()?)?, countdown.clone());
            opening::open(backend, file, Fsync::Always, cache_bytes)
        });
        let index = Index::opened_by(open, Options::default(), Arc::clone(&self.files));
        Arc::new(index.unwrap())
    }

    /// The names of all files.
    fn files(&self) -> BTreeSet<String> {
        let directories = fs::read_dir(self.dir.path().join("objects")).unwrap();
        let files = directories.flat_map(|each| fs::read_dir(each.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn until_files(&self, wanted: &BTreeSet<String>) {
        let seen = async {
            while self.files() != *wanted {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let message = || format!("{:?} are not {wanted:?}", self.files());
        timeout(Duration::from_secs(20), seen).await.unwrap_or_else(|_| panic!("{}", message()));
    }

    /// Replaces the object at a key by one with a file of its own; returns the file's name.
    async fn put(&self, index: &Index, key: &str) -> Result<String, Broken> {
        let (_, file) = self.files.create().unwrap();
        let (name, key) = (file.name().to_owned(), key.to_owned());
        let written = index.write(move |tables| -> Result<_, Unwritten<Broken>> {
            let object =
                Object { content: Content::File(file.name().to_owned()), ..<_>::default() };
            let version = Version { id: None, modified_ms: 0, object: Some(object) };
            if let Some(replaced) = tables.latest("bucket", &key)? {
                tables.remove_version("bucket", &replaced)?;
            }
            tables.put_version("bucket", &Placed { key, sequence: 1, version })?;
            tables.keep(Some(file));
            Ok(())
        });
        written.await.map(|()| name)
    }
}

fn file_at(index: &Index, key: &str) -> Option<String> {
    let placed = index.now().unwrap().latest("bucket", key).unwrap()?;
    match placed.version.object?.content {
        Content::File(name) => Some(name),
        other => panic!("{other:?}"),
    }
}

/// Writes twelve times to three keys while one operation on the file fails; returns what each key was
/// told to have, and whether a later write of it has failed.
async fn write_while_it_fails(place: &Place, index: &Index) -> [(Option<String>, bool); 3] {
    let mut told = [(None, false), (None, false), (None, false)];
    for turn in 0..12 {
        let (file, is_doubtful) = &mut told[turn % 3];
        match place.put(index, ["a", "b", "c"][turn % 3]).await {
            Ok(name) => (*file, *is_doubtful) = (Some(name), false),
            Err(_) => *is_doubtful = true,
        }
    }
    told
}

/// At how many of the operations of a run one fails: at each would take minutes.
const FAILURES: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_once_costs_refused_writes_and_nothing_else() {
    let (place, mut there) = (Place::new(), BTreeSet::new());
    let operations = {
        let countdown = Countdown::of(i64::MAX);
        let index = place.index_named("counted", &countdown, 1 << 20);
        countdown.0.store(i64::MAX, Ordering::SeqCst);
        let told = write_while_it_fails(&place, &index).await;
        there.extend(told.into_iter().filter_map(|(file, _)| file));
        i64::MAX - countdown.0.load(Ordering::SeqCst)
    };
    let step = usize::try_from(operations).unwrap() / FAILURES;
    for fails_at in (0..operations).step_by(step) {
        let countdown = Countdown::of(i64::MAX);
        let index = place.index_named(&format!("index-{fails_at}"), &countdown, 1 << 20);
        countdown.0.store(fails_at, Ordering::SeqCst);
        let told = write_while_it_fails(&place, &index).await;
        assert!(countdown.has_run_out(), "{fails_at} of {operations}");
        countdown.0.store(i64::MAX, Ordering::SeqCst);
        let again = async {
            while place.put(&index, "again").await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), again).await.expect("it writes again");
        there.extend(file_at(&index, "again"));
        for (key, (told, is_doubtful)) in ["a", "b", "c"].into_iter().zip(told) {
            let file = file_at(&index, key);
            assert!(is_doubtful || file == told, "{fails_at}: {key} is {file:?}, not {told:?}");
            there.extend(file);
        }
        place.until_files(&there).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_finds_the_disk_failing_has_it_opened_again() {
    let (place, countdown) = (Place::new(), Countdown::of(i64::MAX));
    let index = place.index(&countdown);
    let written = index.write(|tables| -> Result<_, Unwritten<Broken>> {
        for number in 0..1000 {
            let version = Version { id: None, modified_ms: 0, object: Some(Object::default()) };
            let key = format!("{number}{}", "x".repeat(1000));
            tables.put_version("bucket", &Placed { key, sequence: 1, version })?;
        }
        Ok(())
    });
    written.await.unwrap();
    drop(index);
    let index = place.index(&countdown);
    countdown.0.store(0, Ordering::SeqCst);
    let read_all = || index.read(|index| index.each_file(|_| {}));
    assert!(read_all().await.is_err());
    let again = async {
        while read_all().await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), again).await.expect("it reads again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_fails_the_request_that_reads_it_and_no_other_of_its_transaction() {
    let place = Place::new();
    {
        let database = Database::create(place.dir.path().join("index")).unwrap();
        let transaction = database.begin_write().unwrap();
        let parts: TableDefinition<'_, (&str, u16), &[u8]> = TableDefinition::new("parts");
        let damaged: &[u8] = b"{\"modified_ms\": ";
        transaction.open_table(parts).unwrap().insert(("upload", 7), damaged).unwrap();
        transaction.commit().unwrap();
    }
    let index = place.index(&Countdown::of(i64::MAX));
    let before = place.put(&index, "key").await.unwrap();
    let (entered, is_in) = oneshot::channel();
    let (leave, may_leave) = mpsc::channel();
    let busy = index.write(move |_| -> Result<_, Unwritten<Broken>> {
        entered.send(()).unwrap();
        may_leave.recv().unwrap();
        Ok(())
    });
    let part = Part { modified_ms: 0, size: 0, etag: String::new(), file: None, checksum: None };
    let (_, file) = place.files.create().unwrap();
    let damaged = index.write(move |tables| -> Result<_, Unwritten<Broken>> {
        let placed = tables.latest("bucket", "key")?.expect("the key is there");
        tables.remove_version("bucket", &placed)?;
        tables.put_part("upload", 1, &part)?;
        tables.keep(Some(file));
        Ok(tables.parts_of("upload")?)
    });
    let other = index.write(|tables| -> Result<_, Unwritten<Broken>> {
        Ok(tables.put_bucket("bucket", &Bucket::default())?)
    });
    let release = async {
        is_in.await.unwrap();
        leave.send(()).unwrap();
    };
    // The first is in a transaction of its own; the others wait for it, and share one.
    let (busy, damaged, other, ()) = tokio::join!(busy, damaged, other, release);
    busy.unwrap();
    other.unwrap();
    assert!(matches!(damaged, Err(Broken::Row(_))), "{damaged:?}");
    let now = index.now().unwrap();
    assert!(now.bucket("bucket").unwrap().is_some());
    assert!(now.part("upload", 1).unwrap().is_none(), "its change is taken back");
    assert_eq!(file_at(&index, "key").as_ref(), Some(&before));
    place.until_files(&BTreeSet::from([before])).await;
}
