//! The store that the simulated processes share. It ignores conditions, like the worst of them, and
//! what it has received it may do long after the connection has gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::fake::FakeStore;
use super::history::{Copy, Upload, current};
use super::process::Being;
use super::world::{Counter, LEASE, TAG, World};
use crate::backend::{Answer, Exchange, HeadError, HeadRequest, Sending, Store, StoreRequest};
use crate::http1::fields::Fields;
use crate::s3::{ObjectName, Operation, Seen};

/// A process's way to the store.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) world: Arc<World>,
    pub(super) being: Arc<Being>,
}

/// What the store is going to do with what it has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    Do,
    DoAndFallSilent,
    FallSilent,
    DoAndFail,
    Fail,
    FailAndDoLater,
    Refuse,
}

/// The connection is open as long as this lives.
struct Open {
    _end: oneshot::Sender<()>,
}

impl World {
    fn intent(&self) -> Intent {
        let faults = &self.faults;
        if self.rolls(faults.store_silent) {
            self.dice.one_of(&[Intent::DoAndFallSilent, Intent::FallSilent])
        } else if self.rolls(faults.store_fails) {
            self.dice.one_of(&[Intent::DoAndFail, Intent::Fail, Intent::FailAndDoLater])
        } else if self.rolls(faults.store_refuses) {
            Intent::Refuse
        } else {
            Intent::Do
        }
    }

    fn is_long(&self, copy: Copy) -> bool {
        let operation = self.history().calls[copy.call].operation;
        matches!(operation, Operation::CopyObject | Operation::CompleteMultipartUpload)
    }

    /// How long the store works on what it has received.
    fn work(&self, long: bool) -> Duration {
        if !self.rolls(self.faults.store_slow) {
            return self.dice.up_to(Duration::from_millis(15));
        }
        self.dice.up_to(if long { LEASE * 9 } else { LEASE * 3 })
    }

    fn number_of(&self, name: &ObjectName) -> usize {
        self.names.iter().position(|known| known == name).expect("a key of the simulation")
    }
}

impl Link {
    /// What the store does with a copy, as long as the connection is open and after it has ended.
    async fn receive(
        world: Arc<World>,
        copy: Copy,
        being: usize,
        end: oneshot::Receiver<()>,
    ) -> Exchange {
        let (long, intent) = (world.is_long(copy), world.intent());
        if long {
            world.pending_long().insert(copy.sent, being);
        }
        let work = world.work(long);
        let ended = tokio::select! {
            biased;
            () = sleep(work) => false,
            _ = end => true,
        };
        let answer = if ended {
            Self::lands_late(&world, copy, long).await;
            Exchange::Lost("too late".to_owned())
        } else {
            Self::acts(&world, copy, long, intent)
        };
        if intent != Intent::FailAndDoLater || ended {
            world.pending_long().remove(&copy.sent);
        }
        answer
    }

    fn acts(world: &Arc<World>, copy: Copy, long: bool, intent: Intent) -> Exchange {
        let lost = || Exchange::Lost("connection reset".to_owned());
        match intent {
            Intent::Do => Self::apply(world, copy),
            Intent::DoAndFallSilent => {
                Self::apply(world, copy);
                lost()
            }
            Intent::FallSilent => lost(),
            Intent::DoAndFail => {
                Self::apply(world, copy);
                FakeStore::answer(500, None)
            }
            Intent::Fail => FakeStore::answer(503, None),
            Intent::FailAndDoLater => {
                let world = Arc::clone(world);
                tokio::spawn(async move {
                    Self::lands_late(&world, copy, long).await;
                    world.pending_long().remove(&copy.sent);
                });
                FakeStore::answer(500, None)
            }
            Intent::Refuse => {
                world.history().calls[copy.call].refused_by_store = true;
                world.note(|| format!("call {} is refused by the store", copy.call));
                FakeStore::answer(403, None)
            }
        }
    }

    /// The connection has ended, but what was received may still be done.
    async fn lands_late(world: &Arc<World>, copy: Copy, long: bool) {
        if !world.rolls(world.faults.store_late) {
            return;
        }
        sleep(world.dice.up_to(world.lands_within(long))).await;
        world.count(Counter::LateLanding);
        world.note(|| format!("call {} lands after its connection has ended", copy.call));
        Self::apply(world, copy);
    }

    fn apply(world: &World, copy: Copy) -> Exchange {
        let mut history = world.history();
        let call = &history.calls[copy.call];
        let (key, operation) = (call.key, call.operation);
        if let Some(upload) = call.upload.clone() {
            let upload = history.uploads.get_mut(&upload).expect("it was created");
            if std::mem::replace(&mut upload.done, true) {
                return Self::document(404, "<Error><Code>NoSuchUpload</Code></Error>".to_owned());
            }
        }
        let etag = history.land(copy);
        drop(history);
        world.count(Counter::Landing);
        world.note(|| {
            format!("call {} lands at key {key} as {etag:?} (sent {})", copy.call, copy.sent)
        });
        let hides = world.rolls(world.faults.store_hides_etags);
        let etag = etag.filter(|_| !hides);
        match operation {
            Operation::DeleteObject => FakeStore::answer(204, None),
            Operation::CopyObject | Operation::CompleteMultipartUpload => {
                let etag = etag.unwrap_or_default();
                let root = if operation == Operation::CopyObject {
                    "CopyObjectResult"
                } else {
                    "CompleteMultipartUploadResult"
                };
                Self::document(200, format!("<{root}><ETag>{etag}</ETag></{root}>"))
            }
            _ => FakeStore::answer(200, etag.as_deref()),
        }
    }

    fn document(status: u16, document: String) -> Exchange {
        let (status, headers) = (StatusCode::from_u16(status).unwrap(), Fields::new());
        Exchange::Answered(Answer { status, headers, body: document.into() })
    }

    async fn create_upload(&self, key: usize) -> Exchange {
        self.world.delay().await;
        let lost = self.world.rolls(self.world.faults.store_silent);
        let id = {
            let mut history = self.world.history();
            let id = format!("u{}", history.uploads.len() + 1);
            let (created, epochs) = (None, history.epochs);
            let upload = Upload { key, created, epochs, initiated: Instant::now(), done: false };
            history.uploads.insert(id.clone(), upload);
            id
        };
        self.world.delay().await;
        if lost {
            return Exchange::Lost("connection reset".to_owned());
        }
        let root = "InitiateMultipartUploadResult";
        Self::document(200, format!("<{root}><UploadId>{id}</UploadId></{root}>"))
    }

    /// Sends one copy of a call and waits for what comes of it.
    async fn send(&self, copy: Copy, sending: Sending<'_>) -> Exchange {
        let World { dice, faults, .. } = &*self.world;
        self.world.delay().await;
        if self.world.rolls(faults.store_unreachable) {
            return Exchange::NotSent("connection refused".to_owned());
        }
        self.world.delay().await;
        let (open, end) = oneshot::channel();
        let open = Open { _end: open };
        let being = self.being.number;
        self.world.note(|| format!("p{being}: call {} is sent ({})", copy.call, copy.sent));
        let work = Self::receive(Arc::clone(&self.world), copy, being, end);
        let work = tokio::spawn(work);
        if !sending.fresh && self.world.rolls(faults.store_dead_pooled) {
            self.world.count(Counter::Resend);
            return Exchange::DeadPooled(Instant::now(), "closed".to_owned());
        }
        let answer = timeout_at(sending.deadline, work).await;
        drop(open);
        sleep(dice.up_to(Duration::from_millis(3))).await;
        match answer {
            Ok(answer) => answer.expect("the store does not panic"),
            Err(_) => Exchange::Lost("the store took too long".to_owned()),
        }
    }
}

#[async_trait]
impl Store for Link {
    async fn exchange(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange {
        let Some((call, attempt)) = tag_of(&request.headers) else {
            let key = self.world.names.iter().position(|name| name.path() == request.path);
            return self.create_upload(key.expect("a key of the simulation")).await;
        };
        let copy = self.world.history().send(call, attempt);
        self.send(copy, sending).await
    }

    async fn head(&self, request: HeadRequest<'_>) -> Result<Seen, HeadError> {
        let world = &self.world;
        world.delay().await;
        if world.rolls(world.faults.store_unreachable) {
            return Err(HeadError::Unavailable("connection refused".to_owned()));
        }
        let key = world.number_of(request.name);
        let version = {
            let mut history = world.history();
            if let Some(attempt) = tag_of(request.headers) {
                history.looked.insert(attempt, Instant::now());
            }
            let visible = history.visible(key, world.lags_by());
            let shown = world.dice.index(visible.len());
            if shown + 1 < visible.len() {
                world.count(Counter::StaleHead);
            }
            visible[shown].clone()
        };
        world.delay().await;
        Ok(Seen {
            last_modified_s: version.etag.as_ref().map(|_| world.seconds(version.at)),
            id_field: version.id_field,
            ..Seen::from(current(version.etag.as_deref()))
        })
    }

    async fn initiated_s(&self, _: &ObjectName, upload_id: &str) -> Result<Option<i64>, HeadError> {
        self.world.delay().await;
        let history = self.world.history();
        let upload = history.uploads.get(upload_id).filter(|upload| !upload.done);
        Ok(upload.map(|upload| self.world.seconds(upload.initiated)))
    }

    async fn has_upload(&self, name: &ObjectName, upload_id: &str) -> Result<bool, HeadError> {
        self.world.delay().await;
        let key = self.world.number_of(name);
        let history = self.world.history();
        Ok(history.uploads.get(upload_id).is_some_and(|upload| upload.key == key && !upload.done))
    }

    async fn has_bucket(&self, _: &str) -> Result<bool, HeadError> {
        Ok(true)
    }
}

/// Which attempt of which call a request or a question belongs to.
fn tag_of(headers: &Fields) -> Option<(usize, u32)> {
    let (call, attempt) = headers.get(TAG)?.to_str().ok()?.split_once('.')?;
    Some((call.parse().ok()?, attempt.parse().ok()?))
}
