//! Clients that write, and try again as SDKs do.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::history::{Call, Told};
use super::process::Process;
use super::world::{Counter, TAG, Without, World};
use crate::backend::{Signing, StoreRequest};
use crate::body::Body;
use crate::gate::{Outcome, Reply, Write, X_IFMATCH_GENERATION, id_field};
use crate::http1::fields::Fields;
use crate::random;
use crate::register::{State, WriteId};
use crate::s3::documents::{SuccessBody, outcome_of_success_body};
use crate::s3::{ETag, Operation, Preconditions};

/// One of the clients that write at the same time.
pub(super) struct Client {
    world: Arc<World>,
    calls: usize,
    /// What its last success said of each key.
    generations: Vec<Option<String>>,
}

/// What is the same in every attempt of a call.
struct Request {
    call: usize,
    key: usize,
    operation: Operation,
    preconditions: Preconditions,
    upload: Option<String>,
    write_id: WriteId,
    carries_id: bool,
}

impl Client {
    pub(super) fn new(world: &Arc<World>, calls: usize) -> Self {
        let generations = vec![None; world.names.len()];
        Self { world: Arc::clone(world), calls, generations }
    }

    pub(super) async fn run(mut self) {
        let world = Arc::clone(&self.world);
        for _ in 0..self.calls {
            sleep(world.dice.up_to(Duration::from_millis(300))).await;
            let key = world.dice.index(world.names.len());
            let known = world.history().current(key).etag.clone();
            // Time enough for another to come between.
            sleep(world.dice.up_to(Duration::from_millis(60))).await;
            let Some(call) = self.choose(key, known.as_deref()).await else { continue };
            self.perform(call, true).await;
        }
    }

    /// What to do at a key that was seen like this.
    async fn choose(&self, key: usize, known: Option<&str>) -> Option<Call> {
        let dice = &self.world.dice;
        let if_known = known.map_or(Preconditions::IF_NONE_MATCH_ANY, |etag| {
            Preconditions::if_match(ETag::parse(etag.as_bytes()))
        });
        let generation = self.generations[key].as_deref();
        let (operation, preconditions) = match dice.below(16) {
            0..=1 => (Operation::PutObject, Preconditions::NONE),
            2..=3 => (Operation::PutObject, Preconditions::IF_NONE_MATCH_ANY),
            4..=7 => (Operation::PutObject, if_known),
            8 => (Operation::DeleteObject, Preconditions::NONE),
            9 if known.is_some() => (Operation::DeleteObject, if_known),
            9 => (Operation::DeleteObject, Preconditions::IF_MATCH_ANY),
            10 => (Operation::PutObject, Preconditions::if_generation_match(generation?)),
            11 => (Operation::DeleteObject, Preconditions::if_generation_match(generation?)),
            12 => (Operation::CopyObject, Preconditions::NONE),
            13 => (Operation::CopyObject, if_known),
            14 => (Operation::CompleteMultipartUpload, Preconditions::NONE),
            _ => (Operation::CompleteMultipartUpload, if_known),
        };
        let upload = match operation {
            Operation::CompleteMultipartUpload => Some(self.create_upload(key).await?),
            _ => None,
        };
        let content = match dice.below(8) {
            // Some write the same again, and of some each copy gets another ETag.
            0 => Some(format!("same-{}", dice.below(2))),
            1 => None,
            _ => Some(format!("c{}", self.world.history().calls.len())),
        };
        Some(Call { content, upload, ..Call::new(key, operation, preconditions) })
    }

    async fn create_upload(&self, key: usize) -> Option<String> {
        let world = &self.world;
        let process = world.some_process();
        let (send, receive) = oneshot::channel();
        let name = world.names[key].clone();
        let being = Arc::clone(&process.being);
        let unnoted = world.history().unnoted;
        tokio::spawn(being.does(async move {
            let request = request(name.path(), &[("uploads", "")], Fields::new());
            let created = process.gate.create_upload(&name, &request, &Body::empty()).await;
            let _ = send.send(created.ok());
        }));
        let answer = timeout(Duration::from_secs(3), receive).await.ok()?.ok()??;
        let upload = crate::s3::uploads::parse_upload_id(&answer.body)?;
        let mut history = world.history();
        let created = history.order();
        if history.unnoted == unnoted {
            history.uploads.get_mut(&upload)?.created = Some(created);
        }
        Some(upload)
    }

    /// Tries until the answer is a definite one; `retries` or gives up after the first.
    pub(super) async fn perform(&mut self, call: Call, retries: bool) -> Told {
        let world = Arc::clone(&self.world);
        let (key, preconditions) = (call.key, call.preconditions.clone());
        let (operation, upload) = (call.operation, call.upload.clone());
        world.count(Counter::Call);
        let call = world.history().begin(call);
        world.note(|| format!("call {call}: {operation:?} of key {key}, {preconditions:?}"));
        let invocation = world.dice.falls(800);
        let write_id = match &upload {
            Some(upload) => WriteId(format!("complete {upload} {preconditions:?}")),
            None if invocation => WriteId(format!("call {call}")),
            None => WriteId::alone(&random::id()),
        };
        let attempts = if !retries || write_id.is_alone() { 1 } else { 3 };
        let carries_id = world.write_ids && operation == Operation::PutObject;
        if carries_id {
            let id_field = id_field(&world.names[key], &write_id).unwrap();
            let id_field = id_field.to_str().unwrap().into();
            world.history().calls[call].id_field = Some(id_field);
        }
        let asked = Request { call, key, operation, preconditions, upload, write_id, carries_id };
        let asked = Arc::new(asked);
        let mut told = Told::Unknown;
        for attempt in 1..=attempts {
            told = self.attempt(&asked, attempt).await;
            if told != Told::Unknown {
                break;
            }
            let backoff = Duration::from_millis(50 << attempt);
            sleep(world.dice.up_to(backoff)).await;
        }
        world.note(|| format!("call {call} is told {told:?}"));
        world.count(match &told {
            Told::Success { .. } => Counter::Success,
            Told::ConditionFailed => Counter::ConditionFailed,
            Told::Refused => Counter::Refused,
            Told::Unknown => Counter::Unknown,
        });
        if let Told::Success { generation: Some(generation), .. } = &told {
            self.generations[key] = Some(generation.clone());
        }
        world.history().tell(call, &told);
        told
    }

    /// One attempt at some process; a client that stops waiting has got no answer.
    async fn attempt(&self, asked: &Arc<Request>, attempt: u32) -> Told {
        let world = &self.world;
        let process = world.some_process();
        let (number, call) = (process.being.number, asked.call);
        world.note(|| format!("p{number}: call {call}, attempt {attempt}"));
        let (send, receive) = oneshot::channel();
        let being = Arc::clone(&process.being);
        let served = serve(process, Arc::clone(world), Arc::clone(asked), attempt, send);
        tokio::spawn(being.does(served));
        let patience = Duration::from_millis(world.dice.one_of(&[150, 1_000, 4_000, 20_000]));
        let Ok(Ok(reply)) = timeout(patience, receive).await else { return Told::Unknown };
        world.note(|| format!("p{number}: call {call} is answered {}", short(&reply)));
        if matches!(reply, Reply::Replayed(..)) {
            world.count(Counter::Replay);
        }
        if let Reply::Error(error, _) = &reply
            && world.without == Without::Recording
            && error.message().contains("could not record it")
        {
            return Told::Success { etag: None, generation: None };
        }
        understood(asked.operation, &reply)
    }
}

/// What a process does with a request, as the proxy does: it may look early, takes the body,
/// writes, replies and records.
async fn serve(
    process: Arc<Process>,
    world: Arc<World>,
    asked: Arc<Request>,
    attempt: u32,
    reply_to: oneshot::Sender<Reply>,
) {
    let Request { call, key, operation, preconditions, upload, write_id, carries_id } = &*asked;
    let arrived = Instant::now();
    world.history().arrives(*call, attempt);
    let name = &world.names[*key];
    if world.dice.falls(400) {
        let headers = Fields::new();
        let early = process.gate.early_look(name, preconditions, attempt, &headers).await;
        if let Some(Outcome { reply, .. }) = early {
            let _ = reply_to.send(reply);
            return;
        }
    }
    let slow_body = world.rolls(100);
    let longest = Duration::from_millis(if slow_body { 3_000 } else { 10 });
    sleep(world.dice.up_to(longest)).await;
    let mut headers = Fields::new();
    headers.insert(TAG, format!("{call}.{attempt}").parse().unwrap());
    let query: Vec<_> = upload.iter().map(|upload| ("uploadId", upload.as_str())).collect();
    let request = request(name.path(), &query, headers.clone());
    let write = Write {
        name,
        operation: *operation,
        preconditions,
        request: &request,
        body: &Body::empty(),
        write_id: write_id.clone(),
        attempt,
        arrived,
        head_headers: &headers,
        version_id: None,
        upload_id: upload.as_deref(),
        etag: None,
        carries_id: *carries_id,
        keep_alive: None,
    };
    let Outcome { reply, commit, .. } = process.gate.write(&write).await;
    let reply = async {
        world.delay().await;
        let _ = reply_to.send(reply);
    };
    let record = async {
        if let Some(commit) = commit {
            commit.record().await;
        }
    };
    futures_util::future::join(reply, record).await;
}

fn request(path: String, query: &[(&str, &str)], headers: Fields) -> StoreRequest {
    StoreRequest {
        signing: Signing::Anew,
        method: Method::PUT,
        path,
        query: query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        headers,
        sha256: None,
    }
}

/// What an SDK makes of a reply: what is worth trying again says nothing definite.
fn understood(operation: Operation, reply: &Reply) -> Told {
    match reply {
        Reply::Replayed(state, generation, _) => {
            let etag = match state {
                State::Present(etag) => Some(text(etag)),
                State::Absent | State::Unknown => None,
            };
            Told::Success {
                etag,
                generation: generation.as_ref().map(|generation| generation.0.clone()),
            }
        }
        Reply::Store(answer) if answer.status.is_success() => {
            let etag = match operation {
                Operation::CopyObject | Operation::CompleteMultipartUpload => {
                    match outcome_of_success_body(&answer.body) {
                        SuccessBody::Result { etag } => etag,
                        _ => None,
                    }
                }
                _ => answer.headers.get(http::header::ETAG).map(|v| ETag::parse(v.as_bytes())),
            };
            let generation = answer.headers.get(X_IFMATCH_GENERATION);
            let generation = generation.map(|value| value.to_str().unwrap().to_owned());
            Told::Success { etag: etag.as_ref().map(text), generation }
        }
        Reply::Store(answer) if answer.status.is_server_error() => Told::Unknown,
        Reply::Store(_) => Told::Refused,
        Reply::Error(error, _) if error.status().is_server_error() => Told::Unknown,
        Reply::Error(error, _) => match error.code() {
            "PreconditionFailed" | "NoSuchKey" => Told::ConditionFailed,
            _ => Told::Refused,
        },
    }
}

fn text(etag: &ETag) -> String {
    String::from_utf8(etag.as_bytes().to_vec()).unwrap()
}

fn short(reply: &Reply) -> String {
    match reply {
        Reply::Store(answer) => format!("{} by the store", answer.status),
        Reply::Error(error, _) => format!("{} {}", error.code(), error.message()),
        Reply::Replayed(state, ..) => format!("again, {state:?}"),
    }
}
