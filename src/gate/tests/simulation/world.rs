//! All there is in one run: a register, a store, the processes between clients and both, and what
//! may go wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::HeaderName;
use tokio::time::{Instant, sleep};

use super::dice::Dice;
use super::history::History;
use super::process::Process;
use crate::gate::Settings;
use crate::register::memory::MemoryRegister;
use crate::register::{Terms, Writers};
use crate::s3::{BucketName, EmptySegments, ObjectKey, ObjectName};

pub(super) const LEASE: Duration = Duration::from_millis(600);
pub(super) const MARGIN: Duration = Duration::from_millis(300);
pub(super) const GRACE: Duration = Duration::from_millis(300);
pub(super) const SETTLE: Duration = Duration::from_millis(800);
pub(super) const SETTLE_LONG: Duration = Duration::from_secs(4);
/// Longer than the attempts of a call take, as the configuration's own is.
pub(super) const RETRY_HORIZON: Duration = Duration::from_mins(2);

/// By how much stores lag that do.
const LAGS: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(700), Duration::from_millis(2_500)];

/// Which attempt of which call a request belongs to.
pub(super) const TAG: HeaderName = HeaderName::from_static("x-simulation-call");

/// What may go wrong, each so often in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// The question or the answer is lost.
    pub(super) register_lost: u64,
    /// The question arrives when the asker has given up.
    pub(super) register_late: u64,
    pub(super) register_slow: u64,
    /// No answer.
    pub(super) store_silent: u64,
    /// A 5xx.
    pub(super) store_fails: u64,
    /// A 4xx.
    pub(super) store_refuses: u64,
    pub(super) store_unreachable: u64,
    pub(super) store_slow: u64,
    /// Of what was received before a connection ended: it is done all the same.
    pub(super) store_late: u64,
    pub(super) store_dead_pooled: u64,
    pub(super) store_hides_etags: u64,
    /// Of what happens to processes now and then: one dies,
    pub(super) kills: u64,
    /// one stands still,
    pub(super) freezes: u64,
    /// one does not reach the register for a while,
    pub(super) cuts: u64,
    /// the register forgets,
    pub(super) losses: u64,
    /// a writer goes around them.
    pub(super) foreign: u64,
}

/// What is taken out of the protocol, to see that the laws notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    Nothing,
    /// The store may take longer than the register was told.
    Settling,
    /// A register that has forgotten grants at once.
    Quarantine,
    /// Processes stand still for longer than is tolerated.
    Tolerance,
    /// The store lags by more than the register was told.
    Lag,
    /// A reader that is shown something new does not ask the register whether anybody was told of it.
    SecondLook,
    /// Clients are told of successes that could not be recorded.
    Recording,
}

/// What was worth counting, to see that the runs do not miss what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counter {
    Call,
    Success,
    Replay,
    ConditionFailed,
    Refused,
    Unknown,
    Landing,
    LateLanding,
    Resend,
    Kill,
    Freeze,
    Cut,
    Loss,
    Foreign,
    StaleHead,
    GuardedRead,
}

impl Counter {
    pub(super) const ALL: [Self; 16] = [
        Self::Call,
        Self::Success,
        Self::Replay,
        Self::ConditionFailed,
        Self::Refused,
        Self::Unknown,
        Self::Landing,
        Self::LateLanding,
        Self::Resend,
        Self::Kill,
        Self::Freeze,
        Self::Cut,
        Self::Loss,
        Self::Foreign,
        Self::StaleHead,
        Self::GuardedRead,
    ];
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) without: Without,
    pub(super) terms: Terms,
    pub(super) register: Arc<MemoryRegister>,
    pub(super) names: Vec<ObjectName>,
    /// Objects carry the id of the write that left them.
    pub(super) write_ids: bool,
    lease_wait: Duration,
    began: Instant,
    state: Mutex<State>,
    history: Mutex<History>,
    pending_long: Mutex<BTreeMap<u64, usize>>,
    /// The events, formatted only when they are to be read.
    story: Option<Mutex<Vec<String>>>,
    counters: Mutex<BTreeMap<Counter, usize>>,
}

#[derive(Debug)]
struct State {
    /// Nothing goes wrong any more.
    calm: bool,
    quarantine_until: Instant,
    processes: Vec<Arc<Process>>,
    started: usize,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

/// What a run is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) without: Without,
    pub(super) told: bool,
}

impl World {
    pub(super) fn new(plan: Plan, lock_file: &std::path::Path) -> Arc<Self> {
        let dice = Dice::new(plan.seed);
        let writers = dice.one_of(&[Writers::Exclusive, Writers::Exclusive, Writers::Shared]);
        let faults = Faults::drawn(&dice, writers, plan.without);
        let lag = match (writers, plan.without) {
            (Writers::Shared, _) => Duration::ZERO,
            (Writers::Exclusive, Without::Lag | Without::SecondLook | Without::Recording) => {
                LAGS[1]
            }
            (Writers::Exclusive, _) => dice.one_of(&[Duration::ZERO, LAGS[0], LAGS[1], LAGS[2]]),
        };
        let terms = terms(writers, lag);
        std::fs::write(lock_file, "clean\n").unwrap();
        let register = Arc::new(MemoryRegister::open(lock_file, terms).unwrap());
        let keys = 1 + dice.index(3);
        let names = (0..keys).map(|key| ObjectName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse(&format!("key-{key}"), EmptySegments::Kept).unwrap(),
        });
        let state = State {
            calm: false,
            quarantine_until: Instant::now(),
            processes: Vec::new(),
            started: 0,
        };
        let lease_wait = Duration::from_millis(dice.one_of(&[300, 2_500, 6_000]));
        let write_ids = dice.index(3) == 0;
        let world = Arc::new(Self {
            faults,
            without: plan.without,
            terms,
            register,
            names: names.collect(),
            write_ids,
            lease_wait,
            began: Instant::now(),
            state: Mutex::new(state),
            history: Mutex::new(History::new(keys, writers == Writers::Shared)),
            pending_long: Mutex::default(),
            story: plan.told.then(Mutex::default),
            counters: Mutex::default(),
            dice,
        });
        world.note(|| {
            let faults = &world.faults;
            format!("{writers:?}, lag {lag:?}, lease_wait {lease_wait:?}, write ids {write_ids}, {faults:?}")
        });
        let processes = 1 + world.dice.index(4);
        let processes = (0..processes).map(|_| Process::start(&world)).collect();
        world.state().processes = processes;
        world
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    /// Long writes that may still land, and whose they are.
    pub(super) fn pending_long(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.pending_long.lock().unwrap()
    }

    pub(super) fn next_process(&self) -> usize {
        let mut state = self.state();
        state.started += 1;
        state.started
    }

    pub(super) fn processes(&self) -> Vec<Arc<Process>> {
        self.state().processes.clone()
    }

    pub(super) fn some_process(&self) -> Arc<Process> {
        let processes = self.processes();
        Arc::clone(&processes[self.dice.index(processes.len())])
    }

    /// Everything of a process is gone, and another takes its place.
    pub(super) fn replace(self: &Arc<Self>, dead: &Arc<Process>) {
        dead.being.die();
        let next = Process::start(self);
        let mut state = self.state();
        let place = state.processes.iter().position(|process| Arc::ptr_eq(process, dead));
        state.processes[place.expect("it was one of them")] = next;
    }

    /// Nothing goes wrong from now on.
    pub(super) fn calm_down(&self) {
        self.state().calm = true;
        for process in self.processes() {
            process.being.thaw();
            process.being.cut_off(false);
        }
    }

    /// The run is over: what refers to itself lets go.
    pub(super) fn end(&self) {
        self.state().processes.clear();
    }

    /// The register forgets.
    pub(super) fn forget(&self) {
        let long_enough = self.terms.quarantine();
        let quarantine =
            if self.without == Without::Quarantine { Duration::ZERO } else { long_enough };
        self.register.forget(quarantine);
        self.history().epochs += 1;
        self.state().quarantine_until = Instant::now() + long_enough;
    }

    pub(super) fn in_quarantine(&self) -> bool {
        Instant::now() < self.state().quarantine_until
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            terms: self.terms,
            margin: MARGIN,
            writes_per_key: 1000,
            lease_wait: self.lease_wait,
            write_timeout: Duration::from_millis(1_500),
            long_write_timeout: Duration::from_secs(5),
            definite_errors: vec!["NotImplemented".to_owned()],
        }
    }

    /// Does this go wrong now?
    pub(super) fn rolls(&self, permille: u64) -> bool {
        self.dice.falls(permille) && !self.state().calm
    }

    /// The way through a network.
    pub(super) async fn delay(&self) {
        sleep(self.dice.up_to(Duration::from_millis(4))).await;
    }

    /// How long after its connection has ended the store may still do what it was asked.
    pub(super) fn lands_within(&self, long: bool) -> Duration {
        let settle = if long { SETTLE_LONG } else { SETTLE };
        if self.without == Without::Settling { settle * 4 } else { settle }
    }

    /// For how long the store may show what was replaced.
    pub(super) fn lags_by(&self) -> Duration {
        if self.without == Without::Lag { self.terms.lag * 4 } else { self.terms.lag }
    }

    /// By the store's clock.
    pub(super) fn seconds(&self, moment: Instant) -> i64 {
        i64::try_from((moment - self.began).as_secs()).unwrap()
    }

    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            let at = self.began.elapsed().as_secs_f64();
            story.lock().unwrap().push(format!("{at:9.3} {}", what()));
        }
    }

    pub(super) fn story(&self) -> Vec<String> {
        self.story.as_ref().map_or_else(Vec::new, |story| story.lock().unwrap().clone())
    }

    pub(super) fn count(&self, counter: Counter) {
        *self.counters.lock().unwrap().entry(counter).or_default() += 1;
    }

    pub(super) fn counters(&self) -> BTreeMap<Counter, usize> {
        self.counters.lock().unwrap().clone()
    }
}

impl Faults {
    /// Each run has faults of its own: some do not happen, some often. What happens rarely beside
    /// everything else may happen first where nothing else does.
    fn drawn(dice: &Dice, writers: Writers, without: Without) -> Self {
        let some = |often: u64| dice.one_of(&[0, 0, often / 5, often]);
        let mut faults = Self {
            register_lost: some(80),
            register_late: some(40),
            register_slow: some(200),
            store_silent: some(250),
            store_fails: some(150),
            store_refuses: some(100),
            store_unreachable: some(60),
            store_slow: some(250),
            store_late: dice.one_of(&[300, 900]),
            store_dead_pooled: some(200),
            // Looked up after the landing, which is the race with other writers that stays open.
            store_hides_etags: if writers == Writers::Shared { 0 } else { some(100) },
            kills: some(400),
            freezes: some(400),
            cuts: some(300),
            losses: some(120),
            foreign: if writers == Writers::Shared { some(400) } else { 0 },
        };
        match without {
            Without::Nothing | Without::Lag => {}
            Without::Recording => (faults.cuts, faults.register_lost) = (900, 80),
            Without::Settling | Without::SecondLook => faults.store_silent = 250,
            Without::Quarantine => faults.losses = 300,
            Without::Tolerance => (faults.freezes, faults.store_slow) = (900, 250),
        }
        faults
    }
}

fn terms(writers: Writers, lag: Duration) -> Terms {
    Terms {
        lease: LEASE,
        grace: GRACE,
        settle: SETTLE,
        settle_long: SETTLE_LONG,
        retry_horizon: RETRY_HORIZON,
        record_ttl: Duration::from_hours(1),
        failover_lag: Duration::ZERO,
        lag,
        spacing: Duration::ZERO,
        writers,
    }
}
