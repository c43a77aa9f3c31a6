//! The steps in Lua against the transitions: the same steps at the same times must give the same answers
//! and leave the same state behind.

#[path = "../../../tests/support/redis_server.rs"]
#[allow(dead_code, reason = "shared with tests/register*.rs, which use more of it")]
mod redis_server;

mod epochs;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};

use self::redis_server::{RedisServer, needs_redis};
use super::format::{self, keys_of};
use super::reply::Reply;
use super::scripts::Library;
use super::{Address, RedisRegister, RedisSettings, Topology};
use crate::register::fixture::ask;
use crate::register::record::{self, Armed, Doubt, Lease, Record, Slot};
use crate::register::types::{Entry, Epoch, Millis};
use crate::register::waiters::{Waiter, Waiters};
use crate::register::young::{Mark, YoungIndex};
use crate::register::{
    Acquired, AnswerHeaders, ArmAnswer, ArmStep, Ask, Asker, CommitStep, DisarmStep, Ending,
    EpochId, Expect, Generation, KeyRange, Observation, ReclaimAnswer, ReclaimStep, Register,
    RegisterError, ReleaseStep, ResolveStep, Settle, State, Terms, Token, Upload, UploadName,
    UploadStep, View, WriteId, Writers, YoungKey, YoungKeys,
};
use crate::s3::listing::{Change, Description, Position, VersionId, Written};
use crate::s3::{BucketName, Current, ETag, EmptySegments, ObjectKey, ObjectName, Preconditions};

/// In place of Redis's `TIME`: a clock that the test turns. Times to live count by Redis's own.
const TEST_CLOCK: &str = "local function clock() return tonumber(redis.call('GET', 'clock')) end\n\
                          YOUNG_TTL = '3600000'\n";

/// Says all that is known of a partition and one key of it.
const READ: &str = r"
local function read()
  local generations = epoch.n == epoch.last and epoch.reserved or epoch.n
  local out = {now, 'ok', epoch.id, epoch.since, epoch.quarantine_until, generations}
  local function add(...)
    for i = 1, select('#', ...) do
      out[#out + 1] = select(i, ...) or false
    end
  end
  add(lease and 1 or 0)
  if lease then
    add(lease.nonce, lease.expires, lease.quiet_until or 0, lease.tainted and 1 or 0,
      lease.write_id, lease.long and 1 or 0, lease.generation)
    if lease.generation then
      add(lease.pre, lease.expect)
    end
  end
  add(record.state, record.generation, record.last_nonce, record.landed_at or 0,
    record.doubt and 1 or 0)
  if record.doubt then
    add(record.doubt[1], record.doubt[2], record.doubt[3], record.doubt[4], record.doubt[5])
  end
  add(record.forgotten or 0, #record.uploads)
  for _, upload in ipairs(record.uploads) do
    add(upload[1], upload[2], upload[3], upload[4])
  end
  local waiters = epoch.waiters[key] or {first_since = 0, gone_before = 0}
  add(waiters.first_since, waiters.gone_before, #waiters)
  for _, waiter in ipairs(waiters) do
    add(waiter[1], waiter[2])
  end
  add(record.lines)
  local pos = record.from
  while pos <= #record.journal do
    local id, ending, at
    id, ending, at, pos = line_at(pos)
    add(id, epoch.id, told(ending))
    add(at)
  end
  return out
end
redis.register_function('read', function(KEYS, ARGV)
  local refused = begin(KEYS, ARGV)
  if refused then
    return refused
  end
  read_key()
  return read()
end)
";

/// A register with the test's clock, which can be read.
fn readable(settings: &RedisSettings, terms: &Terms) -> RedisRegister {
    let library = Library::new(terms, false, TEST_CLOCK, READ);
    RedisRegister::with_library(settings, terms, library, Arc::default()).unwrap()
}

/// What may happen next.
#[derive(Debug, Clone)]
enum Act {
    Observe,
    /// Asks with the generation it has been told last, and acquires with it.
    Pin,
    /// An upload is created: what is observed, then noted, in another epoch if `lost`.
    NoteUpload {
        upload: u8,
        lost: bool,
    },
    /// `again`: the answer was lost, so the writer asks with the nonce it had.
    Acquire {
        write_id: u8,
        long: bool,
        age: u64,
        preconditions: Preconditions,
        expect: Expect,
        upload: Option<u8>,
        again: bool,
        /// It knows the generation of its journal line.
        own: bool,
    },
    /// `lost`: the register began a new epoch just before.
    Reclaim {
        lost: bool,
        write_id: u8,
        long: bool,
        pre: State,
        expect: Expect,
        again: bool,
    },
    Arm {
        pre: State,
        expect: Expect,
        age: u64,
    },
    Renew,
    Commit {
        new: State,
        quiet: Option<u64>,
    },
    Disarm {
        pre: State,
        refused: Option<&'static str>,
    },
    Release {
        learned: Option<State>,
        refused: Option<&'static str>,
    },
    Resolve {
        head: Current,
        seen_id: Option<u8>,
        view: View,
    },
    /// Unconditional writes, acquire and commit: they fill the journal.
    Writes {
        from: u8,
        count: u8,
    },
    /// A write whose holder vanishes after it armed. The next one resolves it, or leaves it.
    Lose {
        pre: State,
        expect: Expect,
        then: Option<Current>,
    },
    /// Another writer comes while one has the key, waits so long, asks again and waits again; then
    /// the one commits, and both ask.
    Contend {
        waits: [u64; 2],
        /// How often the one gets the key again before.
        again: u8,
    },
    Wait(u64),
    Survey,
    /// What was written lately is listed.
    YoungKeys,
    ForgetRecord,
    Flush,
    ChangeReplid,
    SkipQuarantine,
    /// The library is lost, with all that it remembers.
    ForgetLibrary,
}

/// An act, the key it is about and the writer it is done by.
#[derive(Debug, Clone)]
struct Move {
    act: Act,
    key: usize,
    writer: usize,
}

fn etag() -> impl Strategy<Value = ETag> {
    prop::sample::select(vec!["one", "\"q\"", ""])
        .prop_map(|t| ETag::parse(format!("\"{t}\"").as_bytes()))
}

fn current() -> impl Strategy<Value = Current> {
    prop_oneof![Just(Current::Absent), etag().prop_map(Current::Present)]
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![4 => current().prop_map(State::from), 1 => Just(State::Unknown)]
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        Just(Expect::Absent),
        Just(Expect::SomeObject),
        Just(Expect::CarriesId),
        Just(Expect::Anything),
    ]
}

fn preconditions() -> impl Strategy<Value = Preconditions> {
    prop_oneof![
        2 => Just(Preconditions::NONE),
        1 => Just(Preconditions::IF_NONE_MATCH_ANY),
        2 => etag().prop_map(Preconditions::if_match),
        1 => Just(Preconditions::IF_MATCH_ANY),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let age = || prop::sample::select(vec![0, 10, 300, 5000]);
    let upload = || prop::option::weighted(0.4, 0..20_u8);
    let again = prop::bool::weighted(0.2);
    let asking = (age(), preconditions(), expect(), upload(), again, any::<bool>());
    let acquire = (0..4_u8, any::<bool>(), asking).prop_map(
        |(write_id, long, (age, preconditions, expect, upload, again, own))| Act::Acquire {
            write_id,
            long,
            age,
            preconditions,
            expect,
            upload,
            again,
            own,
        },
    );
    let note_upload = (0..20_u8, prop::bool::weighted(0.05))
        .prop_map(|(upload, lost)| Act::NoteUpload { upload, lost });
    let arm =
        (state(), expect(), age()).prop_map(|(pre, expect, age)| Act::Arm { pre, expect, age });
    let reclaim = (any::<bool>(), 0..4_u8, any::<bool>(), state(), expect(), any::<bool>())
        .prop_map(|(lost, write_id, long, pre, expect, again)| Act::Reclaim {
            lost,
            write_id,
            long,
            pre,
            expect,
            again,
        });
    let contended = || prop::sample::select(vec![0, 60, 99, 100, 199, 200, 201]);
    let quiet = prop::option::weighted(0.3, prop::sample::select(vec![1, 50, 500]));
    let wait = prop::sample::select(vec![1, 40, 99, 100, 101, 179, 180, 181, 449, 450, 1000, 1001]);
    prop_oneof![
        8 => Just(Act::Observe),
        4 => Just(Act::Pin),
        10 => note_upload,
        20 => acquire,
        12 => arm,
        5 => reclaim,
        4 => Just(Act::Renew),
        16 => (state(), quiet).prop_map(|(new, quiet)| Act::Commit { new, quiet }),
        5 => (state(), refused()).prop_map(|(pre, refused)| Act::Disarm { pre, refused }),
        8 => (prop::option::of(state()), refused())
            .prop_map(|(learned, refused)| Act::Release { learned, refused }),
        10 => (current(), prop::option::of(0..4_u8), view())
            .prop_map(|(head, seen_id, view)| Act::Resolve { head, seen_id, view }),
        8 => (4..40_u8, 1..20_u8).prop_map(|(from, count)| Act::Writes { from, count }),
        10 => (state(), expect(), prop::option::weighted(0.7, current()))
            .prop_map(|(pre, expect, then)| Act::Lose { pre, expect, then }),
        10 => ([contended(), contended()], prop::sample::select(vec![0, 0, 7, 8, 9]))
            .prop_map(|(waits, again)| Act::Contend { waits, again }),
        24 => wait.prop_map(Act::Wait),
        8 => Just(Act::Survey),
        8 => Just(Act::YoungKeys),
        2 => Just(Act::ForgetRecord),
        1 => Just(Act::Flush),
        2 => Just(Act::ChangeReplid),
        3 => Just(Act::SkipQuarantine),
        2 => Just(Act::ForgetLibrary),
    ]
}

fn view() -> impl Strategy<Value = View> {
    prop_oneof![4 => Just(View::Current), 1 => Just(View::SinceDoubt), 1 => Just(View::Older)]
}

fn write_id(number: u8) -> WriteId {
    match number {
        0 => WriteId::alone("write"),
        _ => WriteId(format!("write {number}.")),
    }
}

fn refused() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop_oneof![Just("NoSuchKey"), Just("")])
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (act(), prop::bool::weighted(0.15), 0..3_usize).prop_map(|(act, key, writer)| Move {
        act,
        key: usize::from(key),
        writer,
    });
    prop::collection::vec(one, 1..50)
}

fn terms(writers: Writers) -> Terms {
    let ms = Duration::from_millis;
    Terms {
        lease: ms(100),
        grace: ms(50),
        settle: ms(30),
        settle_long: ms(300),
        retry_horizon: ms(1000),
        record_ttl: Duration::from_hours(1),
        failover_lag: Duration::ZERO,
        lag: Duration::ZERO,
        spacing: Duration::ZERO,
        writers,
    }
}

fn upload_name(number: u8) -> UploadName {
    UploadName::of(&format!("upload {number}"))
}

fn named(key: &str) -> ObjectName {
    ObjectName {
        bucket: BucketName::parse("bucket").unwrap(),
        key: ObjectKey::parse(key, EmptySegments::Kept).unwrap(),
    }
}

/// Two keys of one partition.
fn two_keys() -> [ObjectName; 2] {
    let first = named("a/ключ");
    let home = format::partition_of(&first.to_string());
    let second = (0..).map(|i| named(&format!("{i}")));
    let mut second = second.filter(|name| format::partition_of(&name.to_string()) == home);
    [first, second.next().unwrap()]
}

/// A writer: the nonce it asked with last, and the last token it was given.
#[derive(Debug, Clone, Default)]
struct Writer {
    nonce: String,
    token: Option<Token>,
}

/// Redis on one side, the transitions on the other.
struct Pair<'a> {
    register: &'a RedisRegister,
    meddler: MultiplexedConnection,
    terms: Terms,
    names: [ObjectName; 2],
    now: Millis,
    /// `None` when the next step must begin one.
    epoch: Option<Epoch>,
    slots: [Slot; 2],
    writers: [Writer; 3],
    nonces: u32,
    /// The generations that leases were armed with.
    armed: HashMap<Token, Generation>,
    /// The server has another replication id than the stored one.
    is_renamed: bool,
    /// When the library last looked at the server, and whether that has got another id since then.
    seen: Option<Millis>,
    renamed_since: bool,
    /// The library has seen all leases of the epoch.
    counts_all: bool,
    /// What the transitions have left for listings.
    young: YoungIndex,
    /// What the commit that is under way says of its object.
    written: Option<Written>,
}

impl<'a> Pair<'a> {
    fn new(register: &'a RedisRegister, meddler: MultiplexedConnection, terms: Terms) -> Self {
        Self {
            register,
            meddler,
            terms,
            names: two_keys(),
            now: Millis(100_000),
            epoch: None,
            slots: Default::default(),
            writers: Default::default(),
            nonces: 0,
            armed: HashMap::new(),
            is_renamed: false,
            seen: None,
            renamed_since: false,
            counts_all: true,
            young: YoungIndex::default(),
            written: None,
        }
    }

    async fn meddle(&mut self, command: &str) {
        let mut words = command.split(' ');
        let mut meddling = cmd(words.next().unwrap());
        words.for_each(|word| {
            meddling.arg(word);
        });
        let _: Value = meddling.query_async(&mut self.meddler).await.unwrap();
    }

    /// A step looks at the server, if it has to or the last look is over.
    fn look(&mut self, has_to: bool) {
        let fresh = |seen: Millis| self.now < seen + format::SERVER_SEEN;
        if !has_to && self.epoch.is_some() && self.seen.is_some_and(fresh) {
            return;
        }
        // So late a look may miss a promotion.
        let late = self.seen.is_some_and(|seen| self.now > seen + self.terms.lease);
        if late && self.renamed_since {
            self.epoch = None;
        }
        (self.seen, self.renamed_since) = (Some(self.now), false);
    }

    /// Redis loses the library. An epoch goes on without it where the server is known to be the same.
    async fn forget_library(&mut self) {
        self.meddle("FUNCTION FLUSH").await;
        self.counts_all = false;
        (self.seen, self.renamed_since) = (None, false);
        for slot in &mut self.slots {
            slot.waiters = Waiters::default();
        }
        if self.is_renamed {
            self.epoch = None;
        }
        // The numbers that the library had reserved are not used by another.
        self.look(true);
        self.register.observe(&self.names[0]).await.unwrap();
        let (epoch, _) = self.begun().await;
        let own = self.epoch.as_mut().unwrap();
        assert!(epoch.generations >= own.generations);
        own.generations = epoch.generations;
    }

    /// A new epoch begins, since neither the library nor the server's id vouches for the old one.
    async fn forget_epoch(&mut self) {
        self.meddle("DEBUG CHANGE-REPL-ID").await;
        self.meddle("FUNCTION FLUSH").await;
        (self.epoch, self.seen, self.renamed_since) = (None, None, false);
    }

    /// Both clocks forward.
    async fn wait(&mut self, ms: u64) {
        self.now.0 += ms;
        self.meddle(&format!("SET clock {}", self.now.0)).await;
    }

    /// What Redis holds of both keys.
    async fn held(&mut self) -> (Epoch, [Slot; 2]) {
        let mut pipeline = redis::pipe();
        for name in &self.names {
            let keys = keys_of("test", name);
            pipeline.cmd("FCALL").arg("read").arg(2);
            pipeline.arg(keys.partition).arg(keys.key).arg("");
        }
        let values: [Value; 2] = pipeline.query_async(&mut self.meddler).await.unwrap();
        let [(epoch, first), (_, second)] =
            values.map(|value| read_slot(&mut Reply::read(value, "").unwrap()).unwrap());
        (epoch, [first, second])
    }

    /// What Redis holds after a step that may have begun an epoch.
    async fn begun(&mut self) -> (Epoch, [Slot; 2]) {
        let (epoch, slots) = self.held().await;
        if self.epoch.is_none() {
            self.epoch = Some(Epoch::begin(epoch.id.clone(), &self.terms, self.now));
            self.slots = Default::default();
            self.young = YoungIndex::default();
            (self.is_renamed, self.counts_all) = (false, true);
        }
        (epoch, slots)
    }

    /// Runs a step on both sides and compares answers and states.
    async fn both<T: PartialEq + std::fmt::Debug>(
        &mut self,
        key: usize,
        scripted: impl AsyncFnOnce(&RedisRegister, &ObjectName) -> Result<T, RegisterError>,
        pure: impl FnOnce(&mut Epoch, &mut Slot, &Terms, Millis) -> T,
    ) -> T {
        self.look(false);
        let answer = scripted(self.register, &self.names[key]).await.unwrap();
        let (epoch, slots) = self.begun().await;
        let own = self.epoch.as_mut().unwrap();
        let before = Mark::where_it_lags(&self.slots[key], self.terms.lag);
        let expected = pure(own, &mut self.slots[key], &self.terms, self.now);
        assert_eq!(answer, expected);
        let at = (self.terms.lag, self.now);
        self.young.note_step(&self.names[key], before, &self.slots[key], self.written.as_ref(), at);
        assert_eq!((&epoch, &slots), (&*own, &self.slots));
        answer
    }

    async fn acquire(&mut self, key: usize, writer: usize, ask: Ask) {
        self.writers[writer].nonce.clone_from(&ask.nonce);
        let answer = self
            .both(
                key,
                async |register, name| register.acquire(name, &ask).await,
                |epoch, slot, terms, now| record::acquire(epoch, slot, &ask, terms, now),
            )
            .await;
        if let Acquired::Granted(grant) = answer {
            self.has_armed(&grant.token, grant.armed);
            self.writers[writer].token = Some(grant.token);
        }
    }

    /// By the token it had; where it had none, by an unknown one. Reclaimed, it is asked
    /// for again, and again after it has ended.
    async fn reclaim(&mut self, key: usize, writer: usize, ask: &Ask, pre: &State) {
        self.writers[writer].nonce.clone_from(&ask.nonce);
        let stranger = Token("another epoch.nonce".to_owned());
        let token = self.writers[writer].token.clone().unwrap_or(stranger);
        let Ask { nonce, write_id, settle, expect, .. } = ask;
        let step = ReclaimStep { token: &token, nonce, write_id, settle: *settle, pre, expect };
        let answer = self.reclaim_once(key, &step).await;
        let ReclaimAnswer::Reclaimed { token, generation } = answer else { return };
        self.has_armed(&token, Some(generation));
        self.reclaim_once(key, &step).await;
        if *settle == Settle::Long {
            self.commit(key, &token, State::Absent, None).await;
            self.reclaim_once(key, &step).await;
        }
        self.writers[writer].token = Some(token);
    }

    async fn reclaim_once(&mut self, key: usize, step: &ReclaimStep<'_>) -> ReclaimAnswer {
        self.both(
            key,
            async |register, name| register.reclaim(name, step).await,
            |epoch, slot, terms, now| record::reclaim(epoch, slot, step, terms, now),
        )
        .await
    }

    async fn commit(&mut self, key: usize, token: &Token, new: State, quiet: Option<u64>) {
        let armed = self.armed.get(token).cloned();
        let quiet = quiet.map(Duration::from_millis);
        let size_bytes = self.now.0;
        // Keys differ in whether their bucket keeps versions.
        let id = || VersionId::parse(&format!("v{size_bytes}")).unwrap();
        let change = match (key % 2, &new, size_bytes % 8) {
            (_, _, 0) => Change::Unknown,
            (0, ..) => Change::Unnamed,
            (_, State::Present(_), _) => Change::Put(id()),
            (_, State::Absent, _) => Change::Marker(id()),
            (_, State::Unknown, _) => Change::Gone(id()),
        };
        let description = size_bytes.is_multiple_of(2).then_some(Description {
            size_bytes,
            modified_s: 7,
            is_standard: true,
        });
        let written = Written { description, change };
        self.written = Some(written.clone());
        let step = CommitStep {
            token,
            generation: armed.as_ref(),
            new,
            quiet,
            headers: &AnswerHeaders::of([("x-amz-version-id", "v:1"), ("x-amz-delete-marker", "")]),
            written: &written,
        };
        self.both(
            key,
            async |register, name| register.commit(name, &step).await,
            |epoch, slot, terms, now| record::commit(epoch, slot, &step, terms, now),
        )
        .await;
        self.written = None;
    }

    fn ask(&mut self, writer: usize, write_id: u8, again: bool) -> Ask {
        self.nonces += 1;
        let fresh = format!("nonce-{}", self.nonces);
        let before = self.writers[writer].nonce.clone();
        Ask {
            asker: Asker(format!("asker {writer}")),
            nonce: if again && !before.is_empty() { before } else { fresh },
            write_id: self::write_id(write_id),
            ..ask("")
        }
    }

    /// The generation of a line with an unknown outcome.
    fn line_of(&self, key: usize, write_id: &WriteId) -> Option<Generation> {
        let journal = &self.slots[key].record.journal;
        journal.iter().find_map(|line| match &line.ending {
            Ending::Undetermined { generation } if line.write_id == *write_id => {
                Some(generation.clone())
            }
            _ => None,
        })
    }

    fn has_armed(&mut self, token: &Token, generation: Option<Generation>) {
        if let Some(generation) = generation {
            self.armed.insert(token.clone(), generation);
        }
    }

    /// What is over is not counted, and waiters that have gone are forgotten.
    async fn survey(&mut self) {
        self.look(true);
        let status = self.register.check().await.unwrap();
        self.begun().await;
        for slot in &mut self.slots {
            if slot.waiters.waiting.iter().all(|waiter| waiter.until <= self.now) {
                slot.waiters = Waiters::default();
            }
        }
        let leased = |slot: &&Slot| record::is_leased(slot, &self.terms, self.now);
        let leases = self.slots.iter().filter(leased).count();
        assert!(status.leases == leases || !self.counts_all && status.leases < leases);
        self.is_renamed = false;
        let (epoch, slots) = self.held().await;
        assert_eq!((Some(&epoch), &slots), (self.epoch.as_ref(), &self.slots));
    }

    /// The young keys on both sides. A survey before has all partitions known to the library.
    async fn young_keys(&mut self) {
        self.survey().await;
        let bucket = &self.names[0].bucket;
        let range = KeyRange { bucket, prefix: "", position: &Position::First, limit: 9 };
        let found = self.register.young_keys(&range).await.unwrap();
        if found.quarantine.is_zero() {
            assert_eq!(found, self.young.range(&range, self.terms.lag, self.now));
        }
        let until = self.epoch.as_ref().unwrap().quarantine_until;
        // Other partitions may have a longer one.
        assert!(self.terms.lag.is_zero() || found.quarantine >= self.now.until(until));
    }

    async fn observe(&mut self, key: usize) -> Observation {
        self.both(
            key,
            async |register, name| register.observe(name).await,
            |epoch, slot, terms, now| record::observe(epoch, slot, terms, now),
        )
        .await
    }

    /// What is observed, and what was written lately, on both sides.
    async fn observe_writes(&mut self, key: usize) {
        let observed = self.observe(key).await;
        let (name, landing) = (&self.names[key], self.slots[key].record.landed_at);
        let expected = self.young.of(name, landing, self.terms.lag, self.now);
        assert_eq!(self.register.observe_writes(name).await.unwrap(), (observed, expected));
    }

    async fn pin(&mut self, key: usize, writer: usize) {
        let pinned =
            self.both(key, async |register, name| register.pin(name).await, record::pin).await;
        let Generation(generation) = pinned.generation.unwrap();
        let preconditions = Preconditions::if_generation_match(generation);
        let ask = self.ask(writer, 3, false);
        self.acquire(key, writer, Ask { preconditions, ..ask }).await;
    }

    async fn note_upload(&mut self, key: usize, upload: u8, lost: bool) {
        let before = self.observe(key).await;
        if lost {
            self.forget_epoch().await;
        }
        let step = UploadStep { name: &upload_name(upload), before: &before };
        self.both(
            key,
            async |register, name| register.note_upload(name, &step).await,
            |epoch, slot, _, now| record::note_upload(epoch, slot, &step, now),
        )
        .await;
    }

    async fn play(&mut self, Move { act, key, writer }: Move) {
        match act {
            Act::Wait(ms) => self.wait(ms).await,
            Act::Flush => {
                self.meddle("FLUSHALL").await;
                self.wait(0).await;
                self.epoch = None;
                self.young = YoungIndex::default();
            }
            Act::ChangeReplid => {
                self.meddle("DEBUG CHANGE-REPL-ID").await;
                (self.is_renamed, self.renamed_since) = (true, true);
            }
            Act::ForgetLibrary => self.forget_library().await,
            // As when its time to live is over, which no lease lives to see.
            Act::ForgetRecord if self.slots[key].lease.is_some() => {}
            Act::ForgetRecord => {
                let key_of = keys_of("test", &self.names[key]).key;
                self.meddle(&format!("DEL {key_of}")).await;
                self.slots[key].record = Record::UNKNOWN;
            }
            Act::Survey => self.survey().await,
            Act::YoungKeys => self.young_keys().await,
            Act::SkipQuarantine => self.skip_quarantine(key).await,
            Act::NoteUpload { upload, lost } => self.note_upload(key, upload, lost).await,
            Act::Acquire { write_id, long, age, preconditions, expect, upload, again, own } => {
                let settle = if long { Settle::Long } else { Settle::Plain };
                let age = Duration::from_millis(age);
                let ask = self.ask(writer, write_id, again);
                let upload = upload.map(upload_name);
                let own_doubt = self.line_of(key, &ask.write_id).filter(|_| own);
                let ask = Ask { settle, age, preconditions, expect, upload, own_doubt, ..ask };
                self.acquire(key, writer, ask).await;
            }
            Act::Writes { from, count } => {
                for write_id in from..from + count {
                    let ask = self.ask(writer, write_id, false);
                    self.acquire(key, writer, ask).await;
                    if let Some(token) = self.writers[writer].token.clone() {
                        self.commit(key, &token, State::Absent, None).await;
                    }
                }
            }
            Act::Reclaim { lost, write_id, long, pre, expect, again } => {
                if lost {
                    self.forget_epoch().await;
                }
                let settle = if long { Settle::Long } else { Settle::Plain };
                let ask = self.ask(writer, write_id, again);
                self.reclaim(key, writer, &Ask { settle, expect, ..ask }, &pre).await;
            }
            Act::Contend { waits, again } => self.contend(key, writer, waits, again).await,
            Act::Lose { pre, expect, then } => self.lose(key, writer, pre, expect, then).await,
            Act::Observe => {
                self.observe_writes(key).await;
            }
            Act::Pin => self.pin(key, writer).await,
            act => {
                if let Some(token) = self.writers[writer].token.clone() {
                    self.play_with(act, key, &token).await;
                }
            }
        }
    }

    async fn contend(&mut self, key: usize, writer: usize, waits: [u64; 2], again: u8) {
        let other = (writer + 1) % self.writers.len();
        let ask = self.ask(writer, 50, false);
        self.acquire(key, writer, ask).await;
        for (write_id, wait) in [51, 52].into_iter().zip(waits) {
            let ask = self.ask(other, write_id, false);
            self.acquire(key, other, ask).await;
            self.wait(wait).await;
        }
        for write_id in 0..again {
            self.commit_own(key, writer).await;
            let ask = self.ask(writer, 60 + write_id, false);
            self.acquire(key, writer, ask).await;
        }
        self.commit_own(key, writer).await;
        for (write_id, asker) in [(53, writer), (54, other)] {
            let ask = self.ask(asker, write_id, false);
            self.acquire(key, asker, ask).await;
        }
    }

    async fn commit_own(&mut self, key: usize, writer: usize) {
        if let Some(token) = self.writers[writer].token.clone() {
            self.commit(key, &token, State::Absent, None).await;
        }
    }

    async fn lose(
        &mut self,
        key: usize,
        writer: usize,
        pre: State,
        expect: Expect,
        then: Option<Current>,
    ) {
        let arm = Act::Arm { pre, expect, age: 0 };
        let next = match then {
            Some(head) => Act::Resolve { head, seen_id: None, view: View::Current },
            None => Act::Release { learned: Some(State::Absent), refused: None },
        };
        for (write_id, act) in [(40, arm), (41, next)] {
            let ask = self.ask(writer, write_id, false);
            let ask = Ask { preconditions: Preconditions::IF_NONE_MATCH_ANY, ..ask };
            self.acquire(key, writer, ask).await;
            if let Some(token) = self.writers[writer].token.clone() {
                self.play_with(act, key, &token).await;
            }
            self.wait(180).await;
        }
        let ask = self.ask(writer, 42, false);
        self.acquire(key, writer, Ask { preconditions: Preconditions::IF_NONE_MATCH_ANY, ..ask })
            .await;
    }

    /// The steps of a process that has, or had, a lease.
    async fn play_with(&mut self, act: Act, key: usize, token: &Token) {
        match act {
            Act::Arm { pre, expect, age } => {
                let step = || {
                    let (pre, expect) = (pre.clone(), expect.clone());
                    ArmStep { token, pre, expect, age: Duration::from_millis(age) }
                };
                let answer = self
                    .both(
                        key,
                        async |register, name| register.arm(name, step()).await,
                        |epoch, slot, terms, now| record::arm(epoch, slot, step(), terms, now),
                    )
                    .await;
                if let ArmAnswer::Armed(generation) = answer {
                    self.has_armed(token, Some(generation));
                }
            }
            Act::Renew => {
                self.both(
                    key,
                    async |register, name| register.renew(name, token).await,
                    |_, slot, terms, now| record::renew(slot, token, terms, now),
                )
                .await;
            }
            Act::Commit { new, quiet } => self.commit(key, token, new, quiet).await,
            Act::Disarm { pre, refused } => {
                let step = DisarmStep { token, pre: &pre, refused };
                self.both(
                    key,
                    async |register, name| register.disarm(name, &step).await,
                    |epoch, slot, terms, now| record::disarm(epoch, slot, &step, terms, now),
                )
                .await;
            }
            Act::Release { learned, refused } => {
                let step = ReleaseStep { token, learned, refused };
                self.both(
                    key,
                    async |register, name| register.release(name, &step).await,
                    |epoch, slot, terms, now| record::release(epoch, slot, &step, terms, now),
                )
                .await;
            }
            Act::Resolve { head, seen_id, view } => {
                let seen_id = seen_id.map(write_id);
                let step = ResolveStep { token, head: &head, seen_id: seen_id.as_ref(), view };
                self.both(
                    key,
                    async |register, name| register.resolve(name, &step).await,
                    |_, slot, terms, now| record::resolve(slot, &step, terms, now),
                )
                .await;
            }
            other => unreachable!("{other:?} needs no lease"),
        }
    }

    async fn skip_quarantine(&mut self, key: usize) {
        self.look(true);
        self.both(
            key,
            async |register, _| register.skip_quarantine().await,
            |epoch, _, terms, _| epoch.skip_quarantine(terms),
        )
        .await;
    }
}

fn read_slot(reply: &mut Reply) -> Result<(Epoch, Slot), RegisterError> {
    let id = reply.epoch()?;
    let epoch = Epoch {
        since: Millis(reply.number()?),
        quarantine_until: Millis(reply.number()?),
        generations: reply.number()?,
        id,
    };
    let token = |nonce: Option<WriteId>| nonce.map(|nonce| Token::new(&epoch.id, &nonce.0));
    let mut lease = None;
    if reply.number()? == 1 {
        let mut found = Lease {
            token: token(reply.write_id()?),
            expires: Millis(reply.number()?),
            quiet_until: Millis(reply.number()?),
            tainted: reply.number()? == 1,
            write_id: WriteId(reply.text()?),
            settle: if reply.number()? == 1 { Settle::Long } else { Settle::Plain },
            armed: None,
        };
        if let Some(generation) = reply.generation()? {
            found.armed = Some(read_armed(reply, |_| Ok(generation))?);
        }
        lease = Some(found);
    }
    let mut record = Record {
        state: reply.state()?,
        generation: reply.generation()?,
        last_token: token(reply.write_id()?),
        landed_at: Some(Millis(reply.number()?)).filter(|at| at.0 > 0),
        doubt: None,
        journal: Vec::new(),
        forgotten: None,
        uploads: Vec::new(),
    };
    if reply.number()? == 1 {
        let write_id = WriteId(reply.text()?);
        let armed = read_armed(reply, |reply| Ok(reply.generation()?.unwrap()))?;
        let landed_by = Millis(reply.number()?);
        record.doubt = Some(Doubt { write_id, armed, landed_by });
    }
    record.forgotten = Some(Millis(reply.number()?)).filter(|at| at.0 > 0);
    for _ in 0..reply.number()? {
        record.uploads.push(Upload {
            name: UploadName::from(reply.text()?),
            generation: reply.generation()?,
            pending: reply.generation()?,
            at: Millis(reply.number()?),
        });
    }
    let mut waiters = Waiters {
        first_since: Millis(reply.number()?),
        gone_before: reply.number()?,
        waiting: Vec::new(),
    };
    for _ in 0..reply.number()? {
        let (asker, until) = (Asker(reply.text()?), Millis(reply.number()?));
        waiters.waiting.push(Waiter { asker, until });
    }
    for _ in 0..reply.number()? {
        record.journal.push(Entry {
            write_id: WriteId(reply.text()?),
            ending: reply.ending()?,
            at: Millis(reply.number()?),
        });
    }
    Ok((epoch, Slot { record, lease, waiters }))
}

fn read_armed(
    reply: &mut Reply,
    generation: impl FnOnce(&mut Reply) -> Result<Generation, RegisterError>,
) -> Result<Armed, RegisterError> {
    let pre = reply.state()?;
    let expect = match reply.text()?.as_bytes() {
        b"object" => Expect::SomeObject,
        b"inscribed" => Expect::CarriesId,
        b"anything" => Expect::Anything,
        b"A" => Expect::Absent,
        text => panic!("no expectation: {text:?}"),
    };
    Ok(Armed { pre, expect, generation: generation(reply)? })
}

fn settings(server: &RedisServer, database: u32) -> RedisSettings {
    RedisSettings {
        topology: Topology::Single {
            address: Address { host: "127.0.0.1".to_owned(), port: server.port() },
            never_promoted: false,
        },
        database,
        username: None,
        password: None,
        tls: None,
        namespace: "test".to_owned(),
        connections: 1,
        timeout: Duration::from_secs(10),
        clock_jump_max: Duration::MAX,
        failover_lag_is_stated: false,
    }
}

fn steps_do_what_the_transitions_do(terms: Terms) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(RedisServer::start(&["--enable-debug-command", "yes"]));
    let register = readable(&settings(&server, 0), &terms);
    let meddler = runtime.block_on(server.connection());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&moves(), |moves| {
        runtime.block_on(async {
            let mut pair = Pair::new(&register, meddler.clone(), terms);
            pair.meddle("FLUSHALL").await;
            pair.wait(0).await;
            pair.skip_quarantine(0).await;
            for one in moves {
                pair.play(one).await;
            }
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

const CASES: u32 = 80;

#[test]
fn steps_do_what_the_transitions_do_in_exclusive_mode() {
    needs_redis!();
    steps_do_what_the_transitions_do(terms(Writers::Exclusive));
}

#[test]
fn steps_do_what_the_transitions_do_where_others_write_too() {
    needs_redis!();
    steps_do_what_the_transitions_do(terms(Writers::Shared));
}

#[test]
fn steps_do_what_the_transitions_do_over_a_store_that_lags() {
    needs_redis!();
    let (lag, spacing) = (Duration::from_millis(250), Duration::from_millis(20));
    steps_do_what_the_transitions_do(Terms { lag, ..terms(Writers::Exclusive) });
    steps_do_what_the_transitions_do(Terms { lag, spacing, ..terms(Writers::Exclusive) });
}

/// Leases are counted by Redis's clock. Set an hour ahead it would end them all at once.
#[tokio::test]
async fn a_clock_that_jumps_ends_the_epoch_and_grants_nothing() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let settings = RedisSettings { clock_jump_max: Duration::from_mins(1), ..settings(&server, 0) };
    let terms = terms(Writers::Exclusive);
    let mut meddler = server.connection().await;
    let mut set_clock = async |now: u64| {
        let _: Value = cmd("SET").arg("clock").arg(now).query_async(&mut meddler).await.unwrap();
    };
    let hour = 3_600_000;
    set_clock(hour).await;
    let register = readable(&settings, &terms);
    let other = register.apart();
    let [first, second] = two_keys();
    for (now, what) in [(2 * hour, "ahead"), (hour, "back"), (hour + 59_000, "hardly")] {
        register.skip_quarantine().await.unwrap();
        let granted = register.acquire(&first, &ask(what)).await;
        assert!(matches!(granted, Ok(Acquired::Granted(_))), "{what}: {granted:?}");
        set_clock(now).await;
        let answer = other.acquire(&second, &ask(what)).await;
        if what == "hardly" {
            assert!(matches!(answer, Ok(Acquired::Granted(_))), "{answer:?}");
            continue;
        }
        // The answer by which it was seen is no answer; the step was asked for again.
        assert!(matches!(answer, Ok(Acquired::Quarantine(_))), "{what}: {answer:?}");
        // One that is not repeated is told.
        set_clock(now + hour).await;
        let token = Token::new(&EpochId("gone".to_owned()), what);
        let renewed = register.renew(&first, &token).await;
        let told =
            matches!(&renewed, Err(RegisterError::Unreachable(why)) if why.contains("jumped"));
        assert!(told, "{what}: {renewed:?}");
        set_clock(now).await;
        assert!(other.renew(&first, &token).await.is_err(), "{what}: and back");
    }
}

/// What the register noted before the clock was set back is not believed when its time comes again.
#[tokio::test]
async fn what_another_epoch_noted_is_not_listed() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let mut meddler = server.connection().await;
    let lag = Duration::from_millis(250);
    let terms = Terms { lag, ..terms(Writers::Exclusive) };
    let register = readable(&settings(&server, 0), &terms);
    let mut set_clock = async |at: u64| {
        let () = cmd("SET").arg("clock").arg(at).query_async(&mut meddler).await.unwrap();
    };
    let listed = async || {
        let bucket = named("key").bucket;
        let position = Position::First;
        let range = KeyRange { bucket: &bucket, prefix: "", position: &position, limit: 9 };
        register.young_keys(&range).await.unwrap()
    };
    let write = async |id: &str, new: State| {
        let Acquired::Granted(grant) = register.acquire(&named("key"), &ask(id)).await.unwrap()
        else {
            panic!("not granted")
        };
        let headers = AnswerHeaders::default();
        let (token, written) = (&grant.token, &Written::default());
        let step =
            CommitStep { token, generation: None, new, quiet: None, headers: &headers, written };
        register.commit(&named("key"), &step).await.unwrap();
    };
    set_clock(1_000_000).await;
    register.check().await.unwrap();
    set_clock(1_010_000).await;
    write("delete", State::Absent).await;
    assert_eq!(listed().await.keys["key"].last.state, State::Absent);

    set_clock(950_000).await;
    let mut forget = cmd("DEL");
    (0..format::PARTITIONS).for_each(|number| {
        forget.arg(format::partition_key("test", number));
    });
    let () = forget.query_async(&mut server.connection().await).await.unwrap();
    assert!(!listed().await.quarantine.is_zero());
    set_clock(980_000).await;
    let created = State::Present(ETag::parse(b"new"));
    write("create", created.clone()).await;
    assert_eq!(listed().await.keys["key"].last.state, created);
    set_clock(1_010_100).await;
    assert_eq!(listed().await, YoungKeys::default());
}

/// In one stretch of time, in the next, and when there were more writes than are remembered.
#[tokio::test]
async fn the_writes_before_the_last_are_remembered_as_far_as_there_is_room() {
    needs_redis!();
    let server = RedisServer::start(&[]).await;
    let mut meddler = server.connection().await;
    let terms = Terms { lag: Duration::from_secs(1), ..terms(Writers::Exclusive) };
    let register = readable(&settings(&server, 0), &terms);
    let mut set_clock = async |at: u64| {
        let () = cmd("SET").arg("clock").arg(at).query_async(&mut meddler).await.unwrap();
    };
    set_clock(1_000_000).await;
    register.check().await.unwrap();
    let began = 1_020_990;
    for count in 1..=20 {
        set_clock(began + count).await;
        let name = named("key");
        let id = format!("write-{count}");
        let Acquired::Granted(grant) = register.acquire(&name, &ask(&id)).await.unwrap() else {
            panic!("not granted")
        };
        let change = Change::Gone(VersionId::parse(&id).unwrap());
        let (token, headers) = (&grant.token, &AnswerHeaders::default());
        let written = &Written { description: None, change };
        let new = State::Unknown;
        let step = CommitStep { token, generation: None, new, quiet: None, headers, written };
        register.commit(&name, &step).await.unwrap();

        let (bucket, position) = (name.bucket, Position::First);
        let range = KeyRange { bucket: &bucket, prefix: "", position: &position, limit: 9 };
        let young = register.young_keys(&range).await.unwrap().keys.remove("key").unwrap();
        let times = [&young.last].into_iter().chain(&young.older);
        let times: Vec<_> = times.map(|write| write.landed_at.0 - began).collect();
        let oldest = count.saturating_sub(YoungKey::OLDER_MAX as u64).max(1);
        assert_eq!(times, (oldest..=count).rev().collect::<Vec<_>>());
        assert_eq!(young.is_cut, oldest > 1);
    }
}
