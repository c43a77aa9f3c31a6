//! What one write costs Redis: the CPU time of a real `redis-server` for the steps of a guarded PUT,
//! over the register that production runs. And what a store that lags costs it: memory for each young
//! key, CPU time for each page of a listing. `cargo bench --bench register`; another server by
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
    KeyRange, Register as _, Settle, State, Terms, WriteId, Writers,
};
use ifmatch::s3::listing::{Change, Description, Position, Written};
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
    /// How long the store lags.
    lag: Duration,
}

/// Longer than all that is written and listed.
const LAG: Duration = Duration::from_mins(5);

const CASES: [Case; 7] = [
    Case {
        name: "exclusive, 16 in flight",
        writers: Writers::Exclusive,
        ids: false,
        in_flight: 16,
        lag: Duration::ZERO,
    },
    Case {
        name: "exclusive, 16, with ids",
        writers: Writers::Exclusive,
        ids: true,
        in_flight: 16,
        lag: Duration::ZERO,
    },
    Case {
        name: "exclusive, 1 in flight",
        writers: Writers::Exclusive,
        ids: false,
        in_flight: 1,
        lag: Duration::ZERO,
    },
    Case {
        name: "shared, 16 in flight",
        writers: Writers::Shared,
        ids: false,
        in_flight: 16,
        lag: Duration::ZERO,
    },
    Case {
        name: "shared, 16, with ids",
        writers: Writers::Shared,
        ids: true,
        in_flight: 16,
        lag: Duration::ZERO,
    },
    Case {
        name: "shared, 1 in flight",
        writers: Writers::Shared,
        ids: false,
        in_flight: 1,
        lag: Duration::ZERO,
    },
    OVER_LAG,
];

const OVER_LAG: Case = Case {
    name: "exclusive, 16, over a lag",
    writers: Writers::Exclusive,
    ids: false,
    in_flight: 16,
    lag: LAG,
};

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
    runtime.block_on(measure_listings());
}

/// How many keys are young.
const YOUNG: usize = 60_000;
/// How many pages one number is measured over.
const PAGES: u32 = 1000;

/// Prints what young keys cost in memory, and pages of listings in CPU time.
async fn measure_listings() {
    let mut used = Vec::new();
    for lag in [Duration::ZERO, LAG] {
        let server = RedisServer::start(&[]).await;
        let case = Case { lag, ..OVER_LAG };
        let register = Arc::new(open(&server, case).await);
        let pid = process_of(&server).await;
        if !lag.is_zero() {
            print_pages(&register, pid, "nothing is young", "tables/").await;
        }
        let before = memory(&server).await;
        write_all(&register, case, YOUNG, YOUNG, &Preconditions::NONE).await;
        used.push(memory(&server).await - before);
        if lag.is_zero() {
            continue;
        }
        for (what, prefix) in [
            ("60,000 keys are young, none in range", "zzz/"),
            ("60,000 keys are young, 10 in range", "tables/part-0001"),
            ("60,000 keys are young, 1,000 in range", "tables/part-01"),
            ("60,000 keys are young, all in range", "tables/"),
        ] {
            print_pages(&register, pid, what, prefix).await;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let young = YOUNG as f64;
    println!(
        "{:.0} bytes of Redis for a young key more than for an old one",
        (used[1] - used[0]) / young
    );
}

async fn print_pages(register: &RedisRegister, pid: u32, what: &str, prefix: &str) {
    let bucket = BucketName::parse("warehouse").unwrap();
    let (position, mut found) = (Position::First, 0);
    // As for a page of 1,000 entries.
    let range = KeyRange { bucket: &bucket, prefix, position: &position, limit: 2000 };
    let before = cpu_time(pid);
    for _ in 0..PAGES {
        found = register.young_keys(&range).await.unwrap().keys.len();
    }
    let each = (cpu_time(pid) - before) / f64::from(PAGES);
    println!("{what:<40} {each:6.0} µs of Redis a page, which is given {found} of them");
}

/// The bytes that the server uses for its data.
async fn memory(server: &RedisServer) -> f64 {
    let info: String =
        redis::cmd("INFO").arg("memory").query_async(&mut server.connection().await).await.unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
    used.unwrap().trim().parse().unwrap()
}

/// A register whose quarantine is over.
async fn open(server: &RedisServer, case: Case) -> RedisRegister {
    let register = RedisRegister::connect(&settings(server), &terms(case)).unwrap();
    register.skip_quarantine().await.unwrap();
    if !case.lag.is_zero() {
        // That leaves the lag. Epochs that end themselves then begin long ago.
        end_quarantine(server).await;
    }
    register
}

/// Lets all epochs have begun, and their quarantines be over, for a long time.
async fn end_quarantine(server: &RedisServer) {
    let mut meddler = server.connection().await;
    let partitions: Vec<String> =
        redis::cmd("KEYS").arg("{ifmatch:*}").query_async(&mut meddler).await.unwrap();
    for partition in partitions {
        let line: String =
            redis::cmd("GET").arg(&partition).query_async(&mut meddler).await.unwrap();
        let mut words: Vec<_> = line.splitn(4, ' ').collect();
        (words[1], words[2]) = ("1", "1");
        let () = redis::cmd("SET")
            .arg(&partition)
            .arg(words.join(" "))
            .query_async(&mut meddler)
            .await
            .unwrap();
    }
}

/// Microseconds of Redis's CPU time for one write: all, and what the steps took by its own count.
async fn measure(case: Case) -> [f64; 2] {
    let server = RedisServer::start(&[]).await;
    let register = Arc::new(open(&server, case).await);
    let pid = process_of(&server).await;
    // Every key has an ETag before.
    write_all(&register, case, KEYS, KEYS, &Preconditions::NONE).await;
    let mut meddler = server.connection().await;
    let before = [cpu_time(pid), time_in_steps(&mut meddler).await];
    let right = Preconditions::if_match(ETag::parse(ETAG));
    write_all(&register, case, WRITES, KEYS, &right).await;
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

/// Writes so many times, to so many keys in turn.
async fn write_all(
    register: &Arc<RedisRegister>,
    case: Case,
    writes: usize,
    keys: usize,
    preconditions: &Preconditions,
) {
    let mut writers = JoinSet::new();
    for writer in 0..case.in_flight {
        let (register, preconditions) = (Arc::clone(register), preconditions.clone());
        writers.spawn(async move {
            for number in (writer..writes).step_by(case.in_flight) {
                write(&register, case, number % keys, &preconditions).await;
            }
        });
    }
    writers.join_all().await;
}

/// The steps of one guarded PUT; where others write too, the HEAD is left out.
async fn write(register: &RedisRegister, case: Case, number: usize, wanted: &Preconditions) {
    let name = ObjectName {
        bucket: BucketName::parse("warehouse").unwrap(),
        key: ObjectKey::parse(&format!("tables/part-{number:05}.parquet"), EmptySegments::Kept)
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
    let written = Written {
        description: Some(Description {
            size_bytes: 1 << 20,
            modified_s: 1_790_000_000,
            is_standard: true,
        }),
        change: Change::Unnamed,
    };
    let step = CommitStep {
        token: &grant.token,
        generation: Some(&generation),
        new: state,
        quiet: None,
        headers: &AnswerHeaders::default(),
        written: &written,
    };
    assert_eq!(register.commit(&name, &step).await, Ok(CommitAnswer::Committed));
}

fn terms(case: Case) -> Terms {
    Terms { writers: case.writers, lag: case.lag, ..Terms::default() }
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
