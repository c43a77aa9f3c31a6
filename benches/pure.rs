//! The pure parts of one small write, each on its own: what a PUT of 4 KiB costs before any
//! system call.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use http::{HeaderName, HeaderValue, Method};
use ifmatch::http1::fields::Fields;
use ifmatch::metrics::Metrics;
use ifmatch::metrics::labels::{
    Connecting, ErrorCode, OperationClass, OperationName, Outcome, RefusedBy, Step, StepResult,
    StoreRequestClass, Verdict,
};
use ifmatch::register::record::{Acquired, Ask, CommitAnswer, CommitStep, Slot, acquire, commit};
use ifmatch::register::{
    AnswerHeaders, Asker, Epoch, EpochId, Expect, Millis, Settle, State, Terms, Token, WriteId,
    Writers,
};
use ifmatch::s3::listing::Written;
use ifmatch::s3::{
    Current, Dialect, ETag, Naming, Operation, Precondition, Preconditions, Query, RequestHead,
    Seen, Target, classify,
};
use ifmatch::secret::Secret;
use ifmatch::sigv4::{
    Accepted, BodyCheck, BodyPromise, Credential, EffectiveRequest, Outgoing, SigningKeys, Wanted,
    authenticate, sign,
};
use sha2::{Digest, Sha256};

/// 20251120T120000Z: when the request was signed, and when it is judged.
const NOW: i64 = 1_763_640_000;
const REGION: &str = "us-east-1";
const ACCEPTED: Accepted<'_> =
    Accepted { region: Some(REGION), version_2: false, host_bucket: None };
const PATH: &str = "/warehouse/tables/orders/_delta_log/00000000000000000042.json";
const HOST: &str = "s3.internal.example.com:9000";
const ETAG: &str = "\"9b2cf535f27731c974343645a3985328\"";
const BODY_BYTES: usize = 4 << 10;

/// What boto3 sends along with a conditional PUT, but for what [`sign`] adds.
const HEADERS: [(&str, &str); 9] = [
    ("host", HOST),
    ("accept-encoding", "identity"),
    ("amz-sdk-invocation-id", "fd1a4ed5-8f2c-4a5e-9f7b-1c6c06d2b3aa"),
    ("amz-sdk-request", "attempt=1; max=5"),
    ("content-length", "4096"),
    ("content-type", "application/json"),
    ("if-match", ETAG),
    (
        "user-agent",
        "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.12 md/arch#x86_64 lang/python#3.11.2 \
         md/pyimpl#CPython m/Z,b,D,e cfg/retry-mode#standard Botocore/1.44.5",
    ),
    ("x-amz-sdk-checksum-algorithm", "CRC32"),
];

/// A signed PUT and all that is needed to judge it.
struct Put {
    headers: Fields,
    body: Bytes,
    clients: HashMap<String, Credential>,
    keys: SigningKeys,
    naming: Naming,
    query: Query,
}

impl Put {
    fn new() -> Self {
        let body: Bytes = (0..=250).cycle().take(BODY_BYTES).collect();
        let credential = Credential {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let keys = SigningKeys::default();
        let mut headers: Fields = HEADERS
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let sha256 = hex::encode(Sha256::digest(&body));
        sign_put(&mut headers, &sha256, &credential, &keys);
        let clients = HashMap::from([(credential.access_key_id.clone(), credential)]);
        Self { headers, body, clients, keys, naming: Naming::default(), query: Query::default() }
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead { method: &Method::PUT, path: PATH, query: &self.query, headers: &self.headers }
    }

    fn promise(&self) -> BodyPromise {
        let head = self.head();
        let request = EffectiveRequest::of(head).expect("one meaning");
        let authenticated = authenticate(&request, &self.clients, &self.keys, &ACCEPTED, NOW)
            .expect("the request was signed with this credential at this time");
        BodyPromise::from_head(&head, &authenticated).expect("a digest and a length")
    }
}

fn sign_put(headers: &mut Fields, sha256: &str, credential: &Credential, keys: &SigningKeys) {
    let request = Outgoing { method: &Method::PUT, path: PATH, query: &[], payload: sha256 };
    sign(&request, headers, credential, REGION, keys, NOW).expect("a host and plain texts");
}

fn rules(criterion: &mut Criterion) {
    let put = Put::new();
    criterion.bench_function("target and operation", |bencher| {
        bencher.iter(|| {
            let head = black_box(put.head());
            let target = Target::parse(head, &put.naming).expect("a bucket and a key");
            let operation = classify(head, &target);
            assert_eq!(operation, Operation::PutObject);
            target
        });
    });
    let seen = Seen::from(Current::Present(ETag::parse(ETAG.as_bytes())));
    criterion.bench_function("condition: parse and judge", |bencher| {
        bencher.iter(|| {
            let preconditions =
                Preconditions::of_write(black_box(put.head()), Operation::PutObject, Dialect::Aws)
                    .expect("one condition that a PUT may have");
            assert_eq!(preconditions.evaluate(&seen), Ok(()));
        });
    });
}

fn signatures(criterion: &mut Criterion) {
    let put = Put::new();
    criterion.bench_function("authenticate", |bencher| {
        bencher.iter(|| {
            let request = EffectiveRequest::of(black_box(put.head())).expect("one meaning");
            authenticate(&request, &put.clients, &put.keys, &ACCEPTED, NOW)
                .expect("the request was signed with this credential at this time")
        });
    });
    let credential = put.clients.values().next().expect("one client");
    let sha256 = hex::encode(Sha256::digest(&put.body));
    criterion.bench_function("sign towards the store", |bencher| {
        bencher.iter_batched_ref(
            || put.headers.clone(),
            |headers| sign_put(headers, &sha256, credential, &put.keys),
            BatchSize::SmallInput,
        );
    });
}

fn body(criterion: &mut Criterion) {
    let put = Put::new();
    let promise = put.promise();
    let mut group = criterion.benchmark_group("body");
    group.throughput(Throughput::Bytes(BODY_BYTES as u64));
    group.bench_function("check of 4 KiB", |bencher| {
        bencher.iter(|| {
            let mut check = BodyCheck::new(promise.clone(), Wanted { sha256: true, md5: false });
            let mut bytes = 0;
            check.feed(put.body.clone(), &mut |piece| bytes += piece.len()).expect("plain bytes");
            assert_eq!(bytes, BODY_BYTES);
            check.finish().expect("the body that was signed")
        });
    });
    group.finish();
}

/// One write's two steps on a key that is written again and again, its journal full.
fn register(criterion: &mut Criterion) {
    let terms = Terms { writers: Writers::Exclusive, ..Terms::default() };
    let etag = ETag::parse(ETAG.as_bytes());
    let mut epoch = Epoch::begin(EpochId("e".to_owned()), &terms, Millis(0));
    let mut slot = Slot::default();
    slot.record.state = State::Present(etag.clone());
    let mut now = Millis(0) + terms.quarantine();
    let mut number = 0_u64;
    criterion.bench_function("register: acquire and commit", |bencher| {
        bencher.iter(|| {
            number += 1;
            now = now + Duration::from_millis(1);
            let ask = Ask {
                asker: Asker("one".to_owned()),
                nonce: number.to_string(),
                write_id: WriteId(number.to_string()),
                settle: Settle::Plain,
                age: Duration::from_millis(1),
                preconditions: Preconditions::if_match(etag.clone()),
                expect: Expect::SomeObject,
                upload: None,
                own_doubt: None,
            };
            let token = granted(acquire(&mut epoch, &mut slot, &ask, &terms, now));
            let new = State::Present(etag.clone());
            let step = CommitStep {
                token: &token,
                generation: None,
                new,
                quiet: None,
                headers: &AnswerHeaders::default(),
                written: &Written::default(),
            };
            let committed = commit(&mut epoch, &mut slot, &step, &terms, now);
            assert_eq!(committed, CommitAnswer::Committed);
        });
    });
}

fn granted(answer: Acquired) -> Token {
    match answer {
        Acquired::Granted(grant) if grant.armed.is_some() => grant.token,
        other => panic!("nobody else writes this key: {other:?}"),
    }
}

/// Everything that one conditional PUT writes to the metrics.
fn counting(criterion: &mut Criterion) {
    let metrics = Metrics::default();
    let took = Duration::from_micros(740);
    let mut group = criterion.benchmark_group("metrics");
    group.bench_function("of one PUT", |bencher| {
        bencher.iter(|| {
            let took = black_box(took);
            drop((metrics.gate_waiting.hold(), metrics.gate_waiting.hold()));
            let lease = metrics.leases.hold();
            metrics.register_step.observe(Step::Acquire, StepResult::Ok, took);
            metrics.conditions.count(Precondition::IfMatch, Verdict::Held);
            let in_use = metrics.backend_in_use.hold();
            metrics.backend_connecting.count(Connecting::Reused);
            metrics.backend_up.set(1);
            metrics.backend_request.observe(StoreRequestClass::Write, took);
            metrics.gate_wait.observe(took);
            metrics.lease_held.observe(took);
            metrics.register_step.observe(Step::Commit, StepResult::Ok, took);
            let operation = black_box(Operation::PutObject);
            metrics.requests.count(OperationName(Some(operation)), Outcome::Ok);
            metrics.request_duration.observe(OperationClass::of(operation), took);
            metrics.request_bytes.add(4096);
            metrics.response_bytes.add(0);
            drop((lease, in_use));
        });
    });
    group.bench_function("of one refusal", |bencher| {
        bencher.iter(|| {
            let code = ErrorCode::spelled(black_box("PreconditionFailed"));
            metrics.refusals.count(RefusedBy::Gate, code);
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    rules(&mut criterion);
    signatures(&mut criterion);
    body(&mut criterion);
    register(&mut criterion);
    counting(&mut criterion);
    criterion.final_summary();
}
