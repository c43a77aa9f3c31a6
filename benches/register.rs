//! What one write costs Redis: the CPU time of a real `redis-server` for the steps of a guarded PUT,
//! over the register that production runs. `cargo bench --bench register`; another server by
//! `IFMATCH_TEST_REDIS_SERVER`, another number of rounds by `ROUNDS`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap ends the measurement")]
#![allow(clippy::print_stdout, reason = "it talks to a terminal")]

#[path = "../tests/support/redis_server.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "shared with tests, which use more of it"
)]
mod redis_server;
#[path = "../tests/support/steps.rs"]
#[allow(dead_code, reason = "shared with tests, which use more of it")]
mod steps;

use std::sync::Arc;
use std::time::Duration;

use ifmatch::register::redis::{RedisRegister, RedisSettings, Topology};
use ifmatch::register::{
    Acquired, AnswerHeaders, ArmAnswer, ArmStep, Ask, Asker, CommitAnswer, CommitStep, Expect,
    Register as _, Settle, State, Terms, WriteId, Writers,
};
use ifmatch::s3::{BucketName, ETag, EmptySegments, ObjectKey, ObjectName, Preconditions};
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use self::redis_server::RedisServer;
use self::steps::{at, settings_of};

/// How many keys are written in turn.
const KEYS: usize = 2000;
/// How many writes one number is measured over.
const WRITES: usize = 10_000;
const ETAG: &[u8] = b"\"9b2cf535f27731c974343645a3985328\"";

/// What is measured.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    writers: Writers,
    /// The writes have ids, so that the journals keep them.
    ids: bool,
    in_flight: usize,
}

const CASES: [Case; 6] = [
    Case {
        name: "exclusive, 16 in flight",
        writers: Writers::Exclusive,
        ids: false,
        in_flight: 16,
    },
    Case { name: "exclusive, 16, with ids", writers: Writers::Exclusive, ids: true, in_flight: 16 },
    Case { name: "exclusive, 1 in flight", writers: Writers::Exclusive, ids: false, in_flight: 1 },
    Case { name: "shared, 16 in flight", writers: Writers::Shared, ids: false, in_flight: 16 },
    Case { name: "shared, 16, with ids", writers: Writers::Shared, ids: true, in_flight: 16 },
    Case { name: "shared, 1 in flight", writers: Writers::Shared, ids: false, in_flight: 1 },
];

fn main() {
    if redis_server::is_missing() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rounds = std::env::var("ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    for case in CASES {
        let measured: Vec<[f64; 2]> =
            (0..rounds).map(|_| runtime.block_on(measure(case))).collect();
        let [[all, least], [steps, _]] = [0, 1].map(|which| {
            let mut sorted: Vec<f64> = measured.iter().map(|both| both[which]).collect();
            sorted.sort_by(f64::total_cmp);
            [sorted[rounds / 2], sorted[0]]
        });
        println!(
            "{:<24} {all:6.1} µs of Redis a write, {steps:5.1} of them in steps (medians of {rounds}; \
             least {least:.1})",
            case.name,
        );
    }
}

/// Microseconds of Redis's CPU time for one write: all, and what the steps took by its own count.
async fn measure(case: Case) -> [f64; 2] {
    let server = RedisServer::start(&[]).await;
    let register = Arc::new(RedisRegister::connect(&settings(&server), &terms(case)).unwrap());
    register.skip_quarantine().await.unwrap();
    let pid = process_of(&server).await;
    // Every key has an ETag before.
    write_all(&register, case, KEYS, Preconditions::NONE).await;
    let mut meddler = server.connection().await;
    let before = [cpu_time(pid), time_in_steps(&mut meddler).await];
    write_all(&register, case, WRITES, Preconditions::if_match(ETag::parse(ETAG))).await;
    let after = [cpu_time(pid), time_in_steps(&mut meddler).await];
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let writes = WRITES as f64;
    [0, 1].map(|which| (after[which] - before[which]) / writes)
}

/// The microseconds that the server's calls of steps took so far (Redis: INFO commandstats).
async fn time_in_steps(connection: &mut MultiplexedConnection) -> f64 {
    let info: String =
        redis::cmd("INFO").arg("commandstats").query_async(connection).await.unwrap();
    let of_steps = info.lines().filter(|line| {
        ["cmdstat_evalsha:", "cmdstat_fcall:"].iter().any(|name| line.starts_with(name))
    });
    let used = of_steps.map(|line| {
        let used = line.split(',').find_map(|field| field.strip_prefix("usec="));
        used.unwrap().parse::<f64>().unwrap()
    });
    used.sum()
}

async fn write_all(
    register: &Arc<RedisRegister>,
    case: Case,
    writes: usize,
    preconditions: Preconditions,
) {
    let mut writers = JoinSet::new();
    for writer in 0..case.in_flight {
        let (register, preconditions) = (Arc::clone(register), preconditions.clone());
        writers.spawn(async move {
            for number in (writer..writes).step_by(case.in_flight) {
                write(&register, case, number, &preconditions).await;
            }
        });
    }
    writers.join_all().await;
}

/// The steps of one guarded PUT; where others write too, the HEAD is left out.
async fn write(register: &RedisRegister, case: Case, number: usize, wanted: &Preconditions) {
    let name = ObjectName {
        bucket: BucketName::parse("warehouse").unwrap(),
        key: ObjectKey::parse(
            &format!("tables/part-{:05}.parquet", number % KEYS),
            EmptySegments::Kept,
        )
        .unwrap(),
    };
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let write_id = if case.ids { WriteId(nonce.clone()) } else { WriteId::alone(&nonce) };
    let ask = Ask {
        asker: Asker("bench".to_owned()),
        nonce,
        write_id,
        settle: Settle::Plain,
        age: Duration::ZERO,
        preconditions: wanted.clone(),
        expect: Expect::SomeObject,
        upload: None,
        own_doubt: None,
    };
    let answer = register.acquire(&name, &ask).await.unwrap();
    let Acquired::Granted(grant) = answer else { panic!("{answer:?}") };
    let state = State::Present(ETag::parse(ETAG));
    let generation = if let Some(generation) = grant.armed {
        generation
    } else {
        let step = ArmStep {
            token: &grant.token,
            pre: state.clone(),
            expect: Expect::SomeObject,
            age: Duration::ZERO,
        };
        let ArmAnswer::Armed(generation) = register.arm(&name, step).await.unwrap() else {
            panic!("not armed")
        };
        generation
    };
    let step = CommitStep {
        token: &grant.token,
        generation: Some(&generation),
        new: state,
        quiet: None,
        headers: &AnswerHeaders::default(),
    };
    assert_eq!(register.commit(&name, &step).await, Ok(CommitAnswer::Committed));
}

fn terms(case: Case) -> Terms {
    Terms { writers: case.writers, ..Terms::default() }
}

fn settings(server: &RedisServer) -> RedisSettings {
    let topology = Topology::Single { address: at(server.port()), never_promoted: false };
    RedisSettings {
        namespace: "ifmatch".to_owned(),
        connections: 1,
        timeout: Duration::from_secs(10),
        clock_jump_max: Duration::from_secs(5),
        ..settings_of(topology)
    }
}

async fn process_of(server: &RedisServer) -> u32 {
    let info: String =
        redis::cmd("INFO").arg("server").query_async(&mut server.connection().await).await.unwrap();
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:"));
    pid.unwrap().trim().parse().unwrap()
}

/// The microseconds of CPU time that all threads of a process have used (proc(5): schedstat).
fn cpu_time(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds = threads.map(|thread| {
        let used = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        used.split(' ').next().unwrap().parse::<f64>().unwrap()
    });
    nanoseconds.sum::<f64>() / 1000.0
}
