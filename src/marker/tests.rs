//! Two names that must agree, each of which may be lost.

use std::sync::Mutex;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::backend::{HeadError, HeadRequest};
use crate::gate::Settings;
use crate::http1::fields::Fields;
use crate::register::memory::MemoryRegister;
use crate::register::{Acquired, AnswerHeaders, Ask, Expect, Terms, Writers, fixture};
use crate::s3::{BucketName, Current, ETag, EmptySegments, ObjectKey, Seen};

const LEASE: Duration = Duration::from_secs(6);

/// A store with one key, and a register's name, both for a test to tamper with.
#[derive(Debug, Default)]
struct World {
    object: Mutex<Option<Bytes>>,
    bucket_is_lost: Mutex<bool>,
    is_read_only: Mutex<bool>,
    /// How many times a proxy tried to write the object.
    puts: Mutex<u32>,
    id: Mutex<Option<RegisterId>>,
}

impl World {
    fn named(&self) -> Option<RegisterId> {
        self.object.lock().unwrap().as_ref().map(|text| id_of(text).unwrap())
    }

    fn mark(&self, id: Option<&RegisterId>) {
        let text = id.map(|id| Bytes::from(format!("{FIRST_LINE}{id}\n\n{EXPLANATION}")));
        *self.object.lock().unwrap() = text;
    }

    fn name_register(&self, id: Option<&RegisterId>) {
        *self.id.lock().unwrap() = id.cloned();
    }
}

#[async_trait]
impl Store for World {
    async fn exchange(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange {
        let lost = *self.bucket_is_lost.lock().unwrap();
        let is_put = request.method == Method::PUT;
        *self.puts.lock().unwrap() += u32::from(is_put);
        let (status, body) = if is_put && *self.is_read_only.lock().unwrap() {
            let error = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
            (StatusCode::FORBIDDEN, Bytes::from(error))
        } else if is_put {
            *self.object.lock().unwrap() = Some(sending.body.to_bytes().await.unwrap());
            (StatusCode::OK, Bytes::new())
        } else if lost {
            let error = "<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>";
            (StatusCode::NOT_FOUND, Bytes::from(error))
        } else {
            match self.object.lock().unwrap().clone() {
                Some(text) => (StatusCode::OK, text),
                None => (StatusCode::NOT_FOUND, Bytes::new()),
            }
        };
        let mut headers = Fields::new();
        headers.insert(header::ETAG, HeaderValue::from_static("\"e\""));
        Exchange::Answered(Answer { status, headers, body })
    }

    async fn head(&self, _: HeadRequest<'_>) -> Result<Seen, HeadError> {
        let is_there = self.object.lock().unwrap().is_some();
        let current =
            if is_there { Current::Present(ETag::parse(b"\"e\"")) } else { Current::Absent };
        Ok(Seen { current, ..Seen::ABSENT })
    }

    async fn has_upload(&self, _: &ObjectName, _: &str) -> Result<bool, HeadError> {
        Ok(false)
    }

    async fn initiated_s(&self, _: &ObjectName, _: &str) -> Result<Option<i64>, HeadError> {
        Ok(None)
    }

    async fn has_bucket(&self, _: &str) -> Result<bool, HeadError> {
        Ok(true)
    }
}

#[async_trait]
impl Identified for World {
    async fn name(&self) -> Result<Option<RegisterId>, RegisterError> {
        Ok(self.id.lock().unwrap().clone())
    }

    async fn name_if_nameless(&self, id: &RegisterId) -> Result<RegisterId, RegisterError> {
        Ok(self.id.lock().unwrap().get_or_insert_with(|| id.clone()).clone())
    }
}

/// A fleet's world, and what its proxies are made of.
struct Fleet {
    world: Arc<World>,
    register: Arc<MemoryRegister>,
    _directory: tempfile::TempDir,
}

impl Fleet {
    /// One whose register grants leases at once, or after a quarantine of `LEASE`.
    fn new(quarantine: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lock_file = directory.path().join("lock");
        std::fs::write(&lock_file, "clean\n").unwrap();
        let register = Arc::new(MemoryRegister::open(&lock_file, terms()).unwrap());
        if quarantine {
            register.forget(LEASE);
        }
        Self { world: Arc::default(), register, _directory: directory }
    }

    fn marker(&self) -> Marker {
        let (register, store) = (Arc::clone(&self.register) as _, Arc::clone(&self.world) as _);
        let settings = Settings {
            terms: terms(),
            margin: LEASE / 2,
            lease_wait: LEASE,
            writes_per_key: 10,
            write_timeout: LEASE,
            long_write_timeout: LEASE,
            definite_errors: Vec::new(),
        };
        let gate = Gate::new(Arc::clone(&register), Arc::clone(&store), settings);
        let identified = Arc::clone(&self.world) as _;
        Marker::new(name("marker"), register, identified, store, gate)
    }

    async fn proxy(&self) -> Result<Proxy, MarkerError> {
        let watch = self.marker().begin().await?;
        let register = watch.guard(Arc::clone(&self.register) as _);
        let task = tokio::spawn(watch.keep(LEASE / 3));
        Ok(Proxy { register, task })
    }
}

/// A proxy's register and the watch over it.
struct Proxy {
    register: Arc<dyn Register>,
    task: JoinHandle<()>,
}

impl Proxy {
    async fn asks(&self) -> Result<Acquired, RegisterError> {
        self.register.acquire(&name(&random::id()), &ask(Preconditions::NONE)).await
    }

    async fn is_granted(&self) -> bool {
        matches!(self.asks().await, Ok(Acquired::Granted(_)))
    }

    async fn is_disowned(&self) -> bool {
        matches!(self.asks().await, Err(RegisterError::Disowned(_)))
    }

    /// Looks on until leases are granted, or are not, for so long at most.
    async fn wait_granted(&self, granted: bool, patience: Duration) {
        let wait = async {
            while self.is_granted().await != granted {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(patience, wait).await.expect("it has changed by now");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn name(key: &str) -> ObjectName {
    ObjectName {
        bucket: BucketName::parse("bucket").unwrap(),
        key: ObjectKey::parse(key, EmptySegments::Kept).unwrap(),
    }
}

fn ask(preconditions: Preconditions) -> Ask {
    Ask { nonce: random::id(), preconditions, ..fixture::ask(&random::id()) }
}

fn terms() -> Terms {
    Terms {
        lease: LEASE,
        grace: Duration::from_secs(3),
        settle: Duration::from_secs(10),
        settle_long: Duration::from_mins(5),
        retry_horizon: Duration::from_mins(10),
        record_ttl: Duration::from_hours(1),
        failover_lag: Duration::ZERO,
        lag: Duration::ZERO,
        spacing: Duration::ZERO,
        writers: Writers::Shared,
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_proxy_names_the_register_and_writes_the_marker_once_it_may() {
    let fleet = Fleet::new(true);
    let first = fleet.proxy().await.unwrap();
    assert!(first.is_disowned().await, "not before the marker stands");
    sleep(LEASE / 2).await;
    assert_eq!(fleet.world.named(), None, "the marker is written as every object is");
    first.wait_granted(true, LEASE).await;
    let id = fleet.world.id.lock().unwrap().clone();
    assert!(id.is_some() && fleet.world.named() == id);
    let second = fleet.proxy().await.unwrap();
    assert!(second.is_granted().await, "nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_with_another_register_is_refused_and_an_operator_can_adopt_one_that_forgot() {
    let fleet = Fleet::new(false);
    let (id, other) = (RegisterId::new(), RegisterId::new());
    fleet.world.mark(Some(&id));
    fleet.world.name_register(Some(&other));
    let Err(refused) = fleet.proxy().await else { panic!("two registers") };
    let headers = refused.to_string();
    assert!(headers.contains(id.as_str()) && headers.contains(other.as_str()), "{headers}");
    assert!(matches!(fleet.marker().adopt().await, Err(MarkerError::OtherRegister { .. })));

    fleet.world.name_register(None);
    let Err(refused) = fleet.proxy().await else { panic!("which register is it?") };
    assert!(refused.to_string().contains("ifmatch register adopt"), "{refused}");
    assert_eq!(*fleet.world.id.lock().unwrap(), None, "nothing is decided");
    assert_eq!(fleet.marker().adopt().await.unwrap(), (id.clone(), true));
    assert!(fleet.proxy().await.unwrap().is_granted().await);
    assert_eq!(fleet.marker().adopt().await.unwrap(), (id, false));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_marker_is_told_from_a_marker_that_is_not_there() {
    let fleet = Fleet::new(false);
    *fleet.world.bucket_is_lost.lock().unwrap() = true;
    assert!(matches!(fleet.proxy().await, Err(MarkerError::NoBucket(_))));
    *fleet.world.bucket_is_lost.lock().unwrap() = false;
    assert!(matches!(fleet.marker().adopt().await, Err(MarkerError::Unmarked(_))));
    *fleet.world.object.lock().unwrap() = Some(Bytes::from_static(b"ifmatch register x\n"));
    assert!(matches!(fleet.proxy().await, Err(MarkerError::NoMarker(_))));
}

#[tokio::test(start_paused = true)]
async fn a_running_proxy_puts_back_whichever_of_the_two_is_lost() {
    let fleet = Fleet::new(false);
    let proxy = fleet.proxy().await.unwrap();
    proxy.wait_granted(true, LEASE).await;
    let id = fleet.world.named();
    fleet.world.name_register(None);
    sleep(LEASE).await;
    assert_eq!(*fleet.world.id.lock().unwrap(), id);

    fleet.world.mark(None);
    let watched = async {
        while fleet.world.named().is_none() {
            assert!(proxy.is_granted().await, "no other register is named there");
            sleep(LEASE / 2).await;
        }
    };
    timeout(LOOK_EVERY + LEASE, watched).await.unwrap();
    assert_eq!(fleet.world.named(), id);

    // While no proxy runs, a deleted marker is written again by the next one.
    drop(proxy);
    fleet.world.mark(None);
    fleet.proxy().await.unwrap().wait_granted(true, LEASE).await;
    assert_eq!(fleet.world.named(), id);
}

#[tokio::test(start_paused = true)]
async fn a_running_proxy_stops_writing_while_the_marker_or_the_register_has_another_name() {
    let fleet = Fleet::new(false);
    let proxy = fleet.proxy().await.unwrap();
    proxy.wait_granted(true, LEASE).await;
    let id = fleet.world.named().unwrap();
    let other = RegisterId::new();

    fleet.world.mark(Some(&other));
    proxy.wait_granted(false, LOOK_EVERY + LEASE).await;
    assert!(proxy.is_disowned().await);
    fleet.world.mark(Some(&id));
    proxy.wait_granted(true, WHILE_OTHER_REGISTER + LEASE).await;

    // A new epoch may mean that another register answers: the marker is looked at then.
    fleet.world.mark(Some(&other));
    fleet.register.forget(Duration::ZERO);
    proxy.wait_granted(false, LEASE).await;
    fleet.world.mark(Some(&id));
    proxy.wait_granted(true, WHILE_OTHER_REGISTER + LEASE).await;

    fleet.world.name_register(Some(&other));
    proxy.wait_granted(false, LEASE).await;
    assert!(proxy.is_disowned().await);
    fleet.world.name_register(Some(&id));
    proxy.wait_granted(true, LEASE).await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_whose_register_is_another_one_now_writes_no_marker() {
    let fleet = Fleet::new(false);
    let proxy = fleet.proxy().await.unwrap();
    proxy.wait_granted(true, LEASE).await;
    let id = fleet.world.named().unwrap();
    fleet.world.name_register(Some(&RegisterId::new()));
    proxy.wait_granted(false, LEASE).await;
    fleet.world.mark(None);
    sleep(LOOK_EVERY * 2).await;
    assert_eq!(fleet.world.named(), None, "whose register that is, is not for it to say");
    fleet.world.name_register(Some(&id));
    sleep(WHILE_OTHER_REGISTER + LEASE).await;
    assert_eq!(fleet.world.named(), Some(id));
    assert!(proxy.is_granted().await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_marker_is_not_asked_all_the_time() {
    let fleet = Fleet::new(false);
    *fleet.world.is_read_only.lock().unwrap() = true;
    let proxy = fleet.proxy().await.unwrap();
    sleep(LOOK_EVERY).await;
    assert!(proxy.is_disowned().await);
    let asked = *fleet.world.puts.lock().unwrap();
    assert!((2..10).contains(&asked), "{asked} times within a minute");
    *fleet.world.is_read_only.lock().unwrap() = false;
    proxy.wait_granted(true, WHILE_OTHER_REGISTER + LEASE).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_before_may_end_but_nothing_more_is_sent() {
    use crate::register::{ArmAnswer, ArmStep, CommitAnswer, CommitStep, ReleaseStep, State};

    let fleet = Fleet::new(false);
    let proxy = fleet.proxy().await.unwrap();
    proxy.wait_granted(true, LEASE).await;
    let key = name("held");
    let granted = |acquired| match acquired {
        Ok(Acquired::Granted(grant)) => grant,
        other => panic!("{other:?}"),
    };
    let sending = granted(proxy.register.acquire(&key, &ask(Preconditions::NONE)).await);
    let other = name("judging");
    let judging =
        granted(proxy.register.acquire(&other, &ask(Preconditions::IF_NONE_MATCH_ANY)).await);
    fleet.world.name_register(Some(&RegisterId::new()));
    proxy.wait_granted(false, LEASE).await;
    assert!(proxy.register.renew(&key, &sending.token).await.unwrap());
    let new = State::Present(ETag::parse(b"\"e\""));
    let commit = CommitStep {
        token: &sending.token,
        generation: None,
        new,
        quiet: None,
        headers: &AnswerHeaders::default(),
        written: &crate::s3::listing::Written::default(),
    };
    assert_eq!(proxy.register.commit(&key, &commit).await, Ok(CommitAnswer::Committed));
    let token = &judging.token;
    let step =
        ArmStep { token, pre: State::Absent, expect: Expect::SomeObject, age: Duration::ZERO };
    let armed: Result<ArmAnswer, RegisterError> = proxy.register.arm(&other, step).await;
    assert!(matches!(armed, Err(RegisterError::Disowned(_))));
    let release = ReleaseStep { token, learned: None, refused: None };
    assert!(proxy.register.release(&other, &release).await.unwrap());
}
