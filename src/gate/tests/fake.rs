//! A store and a register that do as the test says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{Method, StatusCode};

use super::super::*;
use super::{GRACE, LEASE, SETTLE, SETTLE_LONG};
use crate::backend::headers::OBJECT_WRITE_ID;
use crate::backend::{Answer, Exchange, HeadError, HeadRequest, Sending, Signing};
use crate::http1::fields::Fields;
use crate::register::memory::MemoryRegister;
use crate::register::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, KeyRange, Observation,
    ReclaimAnswer, ReclaimStep, RegisterError, ReleaseStep, Resolution, ResolveStep, State, Status,
    Token, UploadStep, Writers, YoungKey, YoungKeys,
};
use crate::s3::{BucketName, Current, ETag, EmptySegments, ObjectKey, Seen};

pub(super) const IF_MATCH_WRONG: &[u8] = b"\"wrong\"";
pub(super) const RETRY_HORIZON: Duration = Duration::from_mins(10);

pub(super) fn status(reply: &Reply) -> u16 {
    match reply {
        Reply::Store(answer) => answer.status.as_u16(),
        Reply::Error(error, _) => error.status().as_u16(),
        Reply::Replayed(..) => 0,
    }
}

pub(super) fn is_error(reply: &Reply, code: &str) -> bool {
    matches!(reply, Reply::Error(error, _) if error.code() == code)
}

pub(super) fn is_replay(reply: &Reply, expected: &State) -> bool {
    matches!(reply, Reply::Replayed(state, ..) if state == expected)
}

pub(super) const TERMS: Terms = Terms {
    lease: LEASE,
    grace: GRACE,
    settle: SETTLE,
    settle_long: SETTLE_LONG,
    retry_horizon: RETRY_HORIZON,
    record_ttl: Duration::from_hours(1),
    failover_lag: Duration::ZERO,
    lag: Duration::ZERO,
    spacing: Duration::ZERO,
    writers: Writers::Exclusive,
};

/// A gate between a fake store and a register that can be cut off.
pub(super) struct Bench {
    pub(super) store: Arc<FakeStore>,
    pub(super) register: Arc<Fragile>,
    pub(super) gate: Gate,
    pub(super) name: ObjectName,
    /// Writes leave their ids on the object.
    pub(super) carries_ids: bool,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new(writers: Writers, lease_wait: Duration) -> Self {
        Self::with_terms(Terms { writers, ..TERMS }, lease_wait)
    }

    /// Before a store that shows what was replaced for so long.
    pub(super) async fn lagging(lag: Duration, lease_wait: Duration) -> Self {
        let bench = Self::with_terms(Terms { lag, ..TERMS }, lease_wait);
        bench.store.lags_by(lag);
        // Its register may have had a predecessor.
        tokio::time::sleep(lag).await;
        bench
    }

    pub(super) fn with_terms(terms: Terms, lease_wait: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lock_file = dir.path().join("lock");
        std::fs::write(&lock_file, "clean\n").unwrap();
        let memory = Arc::new(MemoryRegister::open(&lock_file, terms).unwrap());
        let register = Arc::new(Distant::new(memory, Cut::default()));
        let store = Arc::new(FakeStore::default());
        let settings = Settings {
            terms,
            margin: LEASE / 2,
            lease_wait,
            writes_per_key: 1000,
            write_timeout: Duration::from_mins(1),
            long_write_timeout: Duration::from_mins(10),
            definite_errors: vec!["NotImplemented".to_owned()],
        };
        let gate = Gate::new(Arc::clone(&register) as _, Arc::clone(&store) as _, settings);
        let name = ObjectName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse("key", EmptySegments::Kept).unwrap(),
        };
        Self { store, register, gate, name, carries_ids: false, _dir: dir }
    }

    /// The same, its writes leaving their ids on the object.
    pub(super) fn with_write_ids(writers: Writers, lease_wait: Duration) -> Self {
        Self { carries_ids: true, ..Self::new(writers, lease_wait) }
    }

    /// Another process's gate, before the same store.
    pub(super) fn another_process(&self) -> Gate {
        Gate::new(
            Arc::clone(&self.register) as _,
            Arc::clone(&self.store) as _,
            self.gate.settings.clone(),
        )
    }

    /// A write through another process's gate.
    pub(super) async fn rival(&self, preconditions: Preconditions) -> Reply {
        self.write_at(&self.another_process(), preconditions).await
    }

    /// A write that stands for itself, through this gate.
    pub(super) async fn write_at(&self, gate: &Gate, preconditions: Preconditions) -> Reply {
        // No retry of it can come. The journal has no line of it, and so never forgets one: a write
        // that waited meanwhile would be refused.
        let WriteId(id) = WriteId::alone(&random::id());
        self.perform_at(gate, Operation::PutObject, preconditions, &id, 1).await
    }

    /// A write that stands for itself.
    pub(super) async fn write(&self, preconditions: Preconditions) -> Reply {
        let id = random::id();
        self.attempt(preconditions, &id, 1).await
    }

    /// A copy onto the key, which the store may work on for long.
    pub(super) async fn copy(&self) -> Reply {
        let id = random::id();
        self.perform(Operation::CopyObject, Preconditions::NONE, &id, 1).await
    }

    /// One attempt of a named write, its landing recorded.
    pub(super) async fn attempt(
        &self,
        preconditions: Preconditions,
        id: &str,
        attempt: u32,
    ) -> Reply {
        self.perform(Operation::PutObject, preconditions, id, attempt).await
    }

    /// The same through another gate.
    pub(super) async fn attempt_at(
        &self,
        gate: &Gate,
        preconditions: Preconditions,
        id: &str,
        attempt: u32,
    ) -> Reply {
        self.perform_at(gate, Operation::PutObject, preconditions, id, attempt).await
    }

    async fn perform(
        &self,
        operation: Operation,
        preconditions: Preconditions,
        id: &str,
        attempt: u32,
    ) -> Reply {
        self.perform_at(&self.gate, operation, preconditions, id, attempt).await
    }

    /// A delete that stands for itself.
    pub(super) async fn delete(&self, preconditions: Preconditions) -> Reply {
        let id = random::id();
        self.perform(Operation::DeleteObject, preconditions, &id, 1).await
    }

    /// Creates an upload of the key, which the store will call by this name.
    pub(super) async fn create_upload(&self, upload_id: &str) -> StatusCode {
        *self.store.next_upload.lock().unwrap() = upload_id.to_owned();
        let request = self.request(&[("uploads", "")]);
        let created = self.gate.create_upload(&self.name, &request, &Body::empty()).await;
        created.map_or_else(|error| error.status(), |answer| answer.status)
    }

    /// Completes it.
    pub(super) async fn complete(&self, upload_id: &str, preconditions: Preconditions) -> Reply {
        let id = format!("complete {upload_id}");
        let operation = Operation::CompleteMultipartUpload;
        self.perform_at(&self.gate, operation, preconditions, &id, 1).await
    }

    fn request(&self, query: &[(&str, &str)]) -> StoreRequest {
        StoreRequest {
            signing: Signing::Anew,
            method: Method::PUT,
            path: self.name.path(),
            query: query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            headers: Fields::new(),
            sha256: None,
        }
    }

    async fn perform_at(
        &self,
        gate: &Gate,
        operation: Operation,
        preconditions: Preconditions,
        id: &str,
        attempt: u32,
    ) -> Reply {
        let upload_id = id.strip_prefix("complete ");
        let mut request = match upload_id {
            Some(upload_id) => self.request(&[("uploadId", upload_id)]),
            None => self.request(&[]),
        };
        if operation == Operation::DeleteObject {
            request.method = Method::DELETE;
        }
        let of_two_parts = ETag::parse(OF_TWO_PARTS.as_bytes());
        let write_id = WriteId(id.to_owned());
        let carries_id = self.carries_ids && operation == Operation::PutObject;
        if carries_id {
            let id_field = id_field(&self.name, &write_id).unwrap();
            request.headers.insert(OBJECT_WRITE_ID, id_field);
        }
        let outcome = gate
            .write(&Write {
                name: &self.name,
                operation,
                preconditions: &preconditions,
                request: &request,
                body: &Body::empty(),
                write_id,
                attempt,
                arrived: Instant::now(),
                head_headers: &Fields::new(),
                version_id: None,
                upload_id,
                etag: upload_id.is_some().then_some(&of_two_parts),
                carries_id,
                keep_alive: None,
            })
            .await;
        if let Some(commit) = outcome.commit {
            commit.record().await;
        }
        outcome.reply
    }

    pub(super) async fn early_look(&self, preconditions: &Preconditions) -> Option<Outcome> {
        self.gate.early_look(&self.name, preconditions, 1, &Fields::new()).await
    }
}

/// The ETag that AWS gives what a complete leaves.
pub(super) const OF_TWO_PARTS: &str = "96e024ba2074fe77e8e965ba43a704be-2";

/// What goes wrong with one exchange.
pub(super) enum Fault {
    LostAfterLanding,
    /// Lands when its lease is over.
    LostAndLate,
    LostBeforeLanding,
    NotSent,
    /// Before it was read.
    DeadPooled,
    Status(u16),
    /// Answered 500, and done.
    FailedAfterLanding,
}

/// A store of one object. Ignores conditions, like the worst of them.
#[derive(Default)]
pub(super) struct FakeStore {
    etag: Mutex<Option<String>>,
    /// What is written on the object.
    id_field: Mutex<Option<Box<str>>>,
    faults: Mutex<VecDeque<Fault>>,
    takes: Mutex<Duration>,
    written: AtomicUsize,
    heads: AtomicUsize,
    working: AtomicUsize,
    overlaps: AtomicUsize,
    finished: AtomicUsize,
    begun: AtomicUsize,
    bucket_lost: AtomicBool,
    /// When a write whose connection has ended will land.
    late: Mutex<Option<(Instant, Option<Box<str>>)>>,
    pub(super) next_upload: Mutex<String>,
    /// When the object was last modified, and when every upload began.
    pub(super) dates_s: Mutex<(i64, i64)>,
    /// Its answers to completes say no ETag.
    pub(super) hides_etags: AtomicBool,
    /// What it writes has this ETag, and not a new one.
    pub(super) lands_as: Mutex<Option<String>>,
    /// Its HEADs do not see the newest landing.
    pub(super) lags: AtomicBool,
    /// For how long its HEADs show what was replaced, the oldest of it.
    lag: Mutex<Duration>,
    /// What was replaced, and when.
    replaced: Mutex<Vec<(Option<String>, Instant)>>,
    /// What stood there before it.
    before: Mutex<Option<String>>,
    /// What another writer writes as soon as the next write has landed.
    pub(super) then_foreign: Mutex<Option<String>>,
    /// How much was written when the last upload was created.
    created_at: AtomicUsize,
}

impl std::fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeStore")
    }
}

impl FakeStore {
    pub(super) fn next(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    pub(super) fn takes(&self, duration: Duration) {
        *self.takes.lock().unwrap() = duration;
    }

    pub(super) fn put_around(&self, etag: &str) {
        self.replace(Some(etag.to_owned()));
        *self.id_field.lock().unwrap() = None;
    }

    pub(super) fn remove_around(&self) {
        self.replace(None);
    }

    fn replace(&self, etag: Option<String>) {
        let replaced = std::mem::replace(&mut *self.etag.lock().unwrap(), etag);
        self.replaced.lock().unwrap().push((replaced, Instant::now()));
    }

    /// What a HEAD shows: what stands there, or something older, and which of both.
    fn shown(&self, newest: Option<String>) -> (Option<String>, bool) {
        let lag = *self.lag.lock().unwrap();
        let replaced = self.replaced.lock().unwrap();
        let old = replaced.iter().find(|(_, at)| at.elapsed() < lag);
        old.map_or((newest, false), |(etag, _)| (etag.clone(), true))
    }

    /// It lags by so much from now on.
    pub(super) fn lags_by(&self, lag: Duration) {
        *self.lag.lock().unwrap() = lag;
    }

    pub(super) fn lose_bucket(&self) {
        self.bucket_lost.store(true, Ordering::Relaxed);
    }

    pub(super) fn etag(&self) -> Option<String> {
        let late = self.late.lock().unwrap().take_if(|(at, _)| *at <= Instant::now());
        if let Some((_, id_field)) = late {
            self.land();
            *self.id_field.lock().unwrap() = id_field;
        }
        self.etag.lock().unwrap().clone()
    }

    pub(super) fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn heads(&self) -> usize {
        self.heads.load(Ordering::Relaxed)
    }

    /// How often two writes were at work at once.
    pub(super) fn overlaps(&self) -> usize {
        self.overlaps.load(Ordering::Relaxed)
    }

    /// How many exchanges were begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// How many exchanges were dropped before they ended.
    pub(super) fn abandoned(&self) -> usize {
        self.begun() - self.finished.load(Ordering::Relaxed)
    }

    fn land(&self) -> String {
        let number = self.written.fetch_add(1, Ordering::Relaxed) + 1;
        let etag = self.lands_as.lock().unwrap().clone().unwrap_or_else(|| format!("e{number}"));
        *self.before.lock().unwrap() = self.etag.lock().unwrap().clone();
        self.put_around(&etag);
        if let Some(foreign) = self.then_foreign.lock().unwrap().take() {
            self.put_around(&foreign);
        }
        etag
    }

    /// The answer to a request that was done.
    fn done(&self, request: &StoreRequest) -> Exchange {
        if request.method == Method::DELETE {
            self.written.fetch_add(1, Ordering::Relaxed);
            self.remove_around();
            if let Some(foreign) = self.then_foreign.lock().unwrap().take() {
                self.put_around(&foreign);
            }
            return Self::answer(204, None);
        }
        let document = match request.query.first().map(|(name, _)| name.as_str()) {
            Some("uploads") => {
                self.created_at.store(self.written(), Ordering::Relaxed);
                format!(
                    "<InitiateMultipartUploadResult><UploadId>{}</UploadId>\
                     </InitiateMultipartUploadResult>",
                    self.next_upload.lock().unwrap()
                )
            }
            Some("uploadId") => {
                let etag = self.land();
                let etag = if self.hides_etags.load(Ordering::Relaxed) { "" } else { &etag };
                format!(
                    "<CompleteMultipartUploadResult><ETag>{etag}</ETag>\
                     </CompleteMultipartUploadResult>"
                )
            }
            _ => return Self::answer(200, Some(&self.land())),
        };
        let (status, headers) = (StatusCode::OK, Fields::new());
        Exchange::Answered(Answer { status, headers, body: document.into() })
    }

    fn exchange_with_fault(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange {
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => self.done(request),
            Some(Fault::LostAfterLanding) => {
                self.land();
                Exchange::Lost("cut".to_owned())
            }
            Some(Fault::LostAndLate) => {
                let late = (Instant::now() + LEASE * 2, id_of(request));
                *self.late.lock().unwrap() = Some(late);
                Exchange::Lost("cut".to_owned())
            }
            Some(Fault::LostBeforeLanding) => Exchange::Lost("cut".to_owned()),
            Some(Fault::NotSent) => Exchange::NotSent("refused".to_owned()),
            // A fresh connection is not a pooled one.
            Some(Fault::DeadPooled) if sending.fresh => self.done(request),
            Some(Fault::DeadPooled) => Exchange::DeadPooled(Instant::now(), "closed".to_owned()),
            Some(Fault::Status(status)) => Self::answer(status, None),
            Some(Fault::FailedAfterLanding) => {
                self.done(request);
                Self::answer(500, None)
            }
        }
    }

    pub(super) fn answer(status: u16, etag: Option<&str>) -> Exchange {
        let mut headers = Fields::new();
        if let Some(etag) = etag {
            headers.insert(http::header::ETAG, format!("\"{etag}\"").parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let body = match status {
            StatusCode::FORBIDDEN => "<Error><Code>AccessDenied</Code></Error>",
            _ => "",
        };
        Exchange::Answered(Answer { status, headers, body: body.into() })
    }
}

fn id_of(request: &StoreRequest) -> Option<Box<str>> {
    request.headers.get(OBJECT_WRITE_ID).map(|value| value.to_str().unwrap().into())
}

#[async_trait]
impl Store for FakeStore {
    async fn exchange(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange {
        self.begun.fetch_add(1, Ordering::Relaxed);
        if self.working.fetch_add(1, Ordering::Relaxed) > 0 {
            self.overlaps.fetch_add(1, Ordering::Relaxed);
        }
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.working.fetch_sub(1, Ordering::Relaxed);
        self.finished.fetch_add(1, Ordering::Relaxed);
        let id_field = id_of(request);
        let before = self.written();
        let exchange = self.exchange_with_fault(request, sending);
        if self.written() > before {
            *self.id_field.lock().unwrap() = id_field;
        }
        exchange
    }

    async fn head(&self, _: HeadRequest<'_>) -> Result<Seen, HeadError> {
        self.heads.fetch_add(1, Ordering::Relaxed);
        let newest = self.etag();
        let lags = self.lags.load(Ordering::Relaxed);
        let etag = if lags { self.before.lock().unwrap().clone() } else { newest };
        let (etag, is_old) = self.shown(etag);
        // What is replaced carries no id here.
        let id_field = self.id_field.lock().unwrap().clone().filter(|_| !is_old);
        Ok(match etag {
            Some(etag) => Seen {
                current: Current::Present(ETag::parse(etag.as_bytes())),
                id_field,
                last_modified_s: Some(self.dates_s.lock().unwrap().0),
                size_bytes: None,
                generation: None,
            },
            None => Seen::ABSENT,
        })
    }

    async fn has_upload(&self, _: &ObjectName, upload_id: &str) -> Result<bool, HeadError> {
        // One of them goes with its complete, as all do at a real store.
        let written = self.written();
        Ok(match upload_id {
            "gone" => false,
            "once" => written == 0,
            // Garage: an upload goes when its key is written meanwhile.
            "dropped" => written == self.created_at.load(Ordering::Relaxed),
            _ => true,
        })
    }

    async fn initiated_s(&self, _: &ObjectName, _: &str) -> Result<Option<i64>, HeadError> {
        Ok(Some(self.dates_s.lock().unwrap().1))
    }

    async fn has_bucket(&self, _: &str) -> Result<bool, HeadError> {
        Ok(!self.bucket_lost.load(Ordering::Relaxed))
    }
}

/// What becomes of a question to the register.
pub(super) enum Fate {
    /// It gets there.
    Arrives,
    /// It never does.
    Lost(&'static str),
    /// It does, so much later, when the asker has given up.
    Late(Duration),
}

/// The way to the register and back.
#[async_trait]
pub(super) trait Line: Send + Sync + std::fmt::Debug + 'static {
    /// What becomes of a question.
    async fn there(&self, step: Step) -> Fate;

    /// What becomes of its answer.
    async fn back(&self, _: Step) -> Result<(), RegisterError> {
        Ok(())
    }
}

/// The steps of the protocol, and what else a register is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Observe,
    Pin,
    Acquire,
    Arm,
    Renew,
    Commit,
    Disarm,
    Release,
    Resolve,
    Reclaim,
    NoteUpload,
    Manage,
}

/// The in-memory register at the other end of a line.
#[derive(Debug)]
pub(super) struct Distant<L> {
    inner: Arc<MemoryRegister>,
    line: L,
}

/// A connection that the test cuts.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Nothing is answered.
    silent: AtomicBool,
    lose_commits: AtomicBool,
    /// Releases and disarms are not answered.
    lose_endings: AtomicBool,
    /// Reclaims are done, and not answered.
    lose_reclaims: AtomicBool,
}

pub(super) type Fragile = Distant<Cut>;

impl Fragile {
    pub(super) fn cut_off(&self, cut_off: bool) {
        self.line.silent.store(cut_off, Ordering::Relaxed);
    }

    pub(super) fn lose_commits(&self, lose: bool) {
        self.line.lose_commits.store(lose, Ordering::Relaxed);
    }

    pub(super) fn lose_endings(&self, lose: bool) {
        self.line.lose_endings.store(lose, Ordering::Relaxed);
    }

    pub(super) fn lose_answers_to_reclaims(&self, lose: bool) {
        self.line.lose_reclaims.store(lose, Ordering::Relaxed);
    }

    /// Loses all that it knew, and begins with a quarantine.
    pub(super) fn forget(&self) {
        self.inner.forget(TERMS.settle);
    }
}

#[async_trait]
impl Line for Cut {
    async fn there(&self, step: Step) -> Fate {
        let lost = match step {
            Step::Commit => self.lose_commits.load(Ordering::Relaxed),
            Step::Disarm | Step::Release => self.lose_endings.load(Ordering::Relaxed),
            _ => false,
        };
        if lost {
            Fate::Lost("lost by the test")
        } else if self.silent.load(Ordering::Relaxed) {
            Fate::Lost("cut off by the test")
        } else {
            Fate::Arrives
        }
    }

    async fn back(&self, step: Step) -> Result<(), RegisterError> {
        if step == Step::Reclaim && self.lose_reclaims.load(Ordering::Relaxed) {
            return Err(RegisterError::Unreachable("lost by the test".to_owned()));
        }
        Ok(())
    }
}

impl<L: Line> Distant<L> {
    pub(super) fn new(inner: Arc<MemoryRegister>, line: L) -> Self {
        Self { inner, line }
    }

    /// Asks over the line. The question owns what it says: it may arrive after its asker is gone.
    async fn ask<T: Send + 'static>(
        &self,
        step: Step,
        question: impl Future<Output = Result<T, RegisterError>> + Send + 'static,
    ) -> Result<T, RegisterError> {
        match self.line.there(step).await {
            Fate::Arrives => {
                let answer = question.await?;
                self.line.back(step).await?;
                Ok(answer)
            }
            Fate::Lost(why) => Err(RegisterError::Unreachable(why.to_owned())),
            Fate::Late(by) => {
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    question.await
                });
                Err(RegisterError::Unreachable("no answer in time".to_owned()))
            }
        }
    }
}

#[async_trait]
impl<L: Line> Register for Distant<L> {
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let name = name.clone();
        self.ask(Step::Observe, async move { inner.observe(&name).await }).await
    }

    async fn observe_writes(
        &self,
        name: &ObjectName,
    ) -> Result<(Observation, Option<YoungKey>), RegisterError> {
        let inner = Arc::clone(&self.inner);
        let name = name.clone();
        self.ask(Step::Observe, async move { inner.observe_writes(&name).await }).await
    }

    async fn pin(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let name = name.clone();
        self.ask(Step::Pin, async move { inner.pin(&name).await }).await
    }

    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, ask) = (name.clone(), ask.clone());
        self.ask(Step::Acquire, async move { inner.acquire(&name, &ask).await }).await
    }

    async fn arm(&self, name: &ObjectName, step: ArmStep<'_>) -> Result<ArmAnswer, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, token) = (name.clone(), step.token.clone());
        let ArmStep { pre, expect, age, .. } = step;
        self.ask(Step::Arm, async move {
            let step = ArmStep { token: &token, pre, expect, age };
            inner.arm(&name, step).await
        })
        .await
    }

    async fn renew(&self, name: &ObjectName, token: &Token) -> Result<bool, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, token) = (name.clone(), token.clone());
        self.ask(Step::Renew, async move { inner.renew(&name, &token).await }).await
    }

    async fn commit(
        &self,
        name: &ObjectName,
        step: &CommitStep<'_>,
    ) -> Result<CommitAnswer, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, token) = (name.clone(), step.token.clone());
        let (new, quiet, generation) = (step.new.clone(), step.quiet, step.generation.cloned());
        let headers = step.headers.clone();
        self.ask(Step::Commit, async move {
            let generation = generation.as_ref();
            inner
                .commit(
                    &name,
                    &CommitStep {
                        token: &token,
                        generation,
                        new,
                        quiet,
                        headers: &headers,
                        written: &crate::s3::listing::Written::default(),
                    },
                )
                .await
        })
        .await
    }

    async fn disarm(
        &self,
        name: &ObjectName,
        step: &DisarmStep<'_>,
    ) -> Result<bool, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, token) = (name.clone(), step.token.clone());
        let (pre, refused) = (step.pre.clone(), step.refused.map(str::to_owned));
        self.ask(Step::Disarm, async move {
            inner
                .disarm(
                    &name,
                    &DisarmStep { token: &token, pre: &pre, refused: refused.as_deref() },
                )
                .await
        })
        .await
    }

    async fn release(
        &self,
        name: &ObjectName,
        step: &ReleaseStep<'_>,
    ) -> Result<bool, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, token) = (name.clone(), step.token.clone());
        let (learned, refused) = (step.learned.clone(), step.refused.map(str::to_owned));
        self.ask(Step::Release, async move {
            inner
                .release(
                    &name,
                    &ReleaseStep { token: &token, learned, refused: refused.as_deref() },
                )
                .await
        })
        .await
    }

    async fn resolve(
        &self,
        name: &ObjectName,
        step: &ResolveStep<'_>,
    ) -> Result<Resolution, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, token, head) = (name.clone(), step.token.clone(), step.head.clone());
        let (seen_id, view) = (step.seen_id.cloned(), step.view);
        self.ask(Step::Resolve, async move {
            let seen_id = seen_id.as_ref();
            inner.resolve(&name, &ResolveStep { token: &token, head: &head, seen_id, view }).await
        })
        .await
    }

    async fn reclaim(
        &self,
        name: &ObjectName,
        step: &ReclaimStep<'_>,
    ) -> Result<ReclaimAnswer, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, token) = (name.clone(), step.token.clone());
        let (nonce, write_id) = (step.nonce.to_owned(), step.write_id.clone());
        let (settle, pre, expect) = (step.settle, step.pre.clone(), step.expect.clone());
        self.ask(Step::Reclaim, async move {
            let step = ReclaimStep {
                token: &token,
                nonce: &nonce,
                write_id: &write_id,
                settle,
                pre: &pre,
                expect: &expect,
            };
            inner.reclaim(&name, &step).await
        })
        .await
    }

    async fn note_upload(
        &self,
        name: &ObjectName,
        step: &UploadStep<'_>,
    ) -> Result<bool, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (name, upload, before) = (name.clone(), step.name.clone(), step.before.clone());
        self.ask(Step::NoteUpload, async move {
            inner.note_upload(&name, &UploadStep { name: &upload, before: &before }).await
        })
        .await
    }

    async fn young_keys(&self, range: &KeyRange<'_>) -> Result<YoungKeys, RegisterError> {
        let inner = Arc::clone(&self.inner);
        let (bucket, prefix) = (range.bucket.clone(), range.prefix.to_owned());
        let (position, limit) = (range.position.clone(), range.limit);
        self.ask(Step::Manage, async move {
            let range = KeyRange { bucket: &bucket, prefix: &prefix, position: &position, limit };
            inner.young_keys(&range).await
        })
        .await
    }

    async fn check(&self) -> Result<Status, RegisterError> {
        let inner = Arc::clone(&self.inner);
        self.ask(Step::Manage, async move { inner.check().await }).await
    }

    async fn skip_quarantine(&self) -> Result<(), RegisterError> {
        let inner = Arc::clone(&self.inner);
        self.ask(Step::Manage, async move { inner.skip_quarantine().await }).await
    }

    async fn close(&self) -> Result<(), RegisterError> {
        let inner = Arc::clone(&self.inner);
        self.ask(Step::Manage, async move { inner.close().await }).await
    }
}
