//! What is explored: who writes what, and what may go wrong.

use ifmatch::register::{Settle, Writers};
use ifmatch::s3::{Condition, ETag};

use crate::faults::Faults;
use crate::search::explore;
use crate::trace;
use crate::world::{CallSpec, Scenario};

/// No fault at all.
pub(crate) const NONE: Faults = Faults {
    crashes: 0,
    freezes: 0,
    clock_jumps: 0,
    lost_replies: 0,
    lost_answers: 0,
    refusals: 0,
    resends: 0,
    losses: 0,
    split_brains: 0,
    restarts: 0,
    evictions: 0,
};

impl Scenario {
    /// `e0` stands at the key, the register knows it, nothing goes wrong.
    pub(crate) fn new(name: &'static str, writers: Writers, calls: Vec<CallSpec>) -> Self {
        Self {
            name,
            writers,
            object: Some("e0"),
            known: true,
            calls,
            faults: NONE,
            foreign: Vec::new(),
            rounds: 2,
            early_end: false,
            early_look: false,
            refusals_need_journal: false,
            journal_lines: usize::MAX,
            without: None,
        }
    }

    pub(crate) fn exclusive(name: &'static str, calls: Vec<CallSpec>) -> Self {
        Self::new(name, Writers::Exclusive, calls)
    }

    pub(crate) fn shared(name: &'static str, calls: Vec<CallSpec>) -> Self {
        Self::new(name, Writers::Shared, calls)
    }

    pub(crate) fn with(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Nothing stands at the key.
    pub(crate) fn empty(mut self) -> Self {
        self.object = None;
        self
    }

    /// Somebody writes around the proxies.
    pub(crate) fn foreign(mut self, etags: &[Option<&'static str>]) -> Self {
        self.foreign = etags.to_vec();
        self
    }
}

impl CallSpec {
    const fn new(condition: Condition, leaves: Option<&'static str>) -> Self {
        Self { condition, leaves, class: Settle::Plain, attempts: 1 }
    }

    /// The client tries twice.
    pub(crate) fn twice(mut self) -> Self {
        self.attempts = 2;
        self
    }

    /// A complete or a copy.
    pub(crate) fn long(mut self) -> Self {
        self.class = Settle::Long;
        self
    }
}

/// Whatever stands there.
pub(crate) fn put(etag: &'static str) -> CallSpec {
    CallSpec::new(Condition::None, Some(etag))
}

/// `If-Match`.
pub(crate) fn replace(old: &'static str, new: &'static str) -> CallSpec {
    CallSpec::new(Condition::IfMatch(ETag::parse(old.as_bytes())), Some(new))
}

/// `If-None-Match: *`.
pub(crate) fn create(etag: &'static str) -> CallSpec {
    CallSpec::new(Condition::IfNoneMatchAny, Some(etag))
}

/// `DELETE` with `If-Match`.
pub(crate) fn delete_if(old: &'static str) -> CallSpec {
    CallSpec::new(Condition::IfMatch(ETag::parse(old.as_bytes())), None)
}

pub(crate) fn delete() -> CallSpec {
    CallSpec::new(Condition::None, None)
}

const EVERYDAY_STATES_MAX: usize = 400_000;

/// The laws hold in every state of this scenario.
fn holds(scenario: &Scenario, states_max: usize) {
    let found = explore(scenario, states_max);
    if let Some(breach) = &found.breach {
        panic!("{}", trace::tell(scenario, breach));
    }
    println!("{}: {} states, depth {}", scenario.name, found.states, found.depth);
}

/// All single faults, for two writers.
fn everyday() -> Vec<Scenario> {
    let rivals = || vec![replace("e0", "e1").twice(), replace("e0", "e2")];
    let one = |faults: Faults| faults;
    vec![
        Scenario::exclusive("one alone", vec![replace("e0", "e1")]),
        Scenario::exclusive("one alone, twice", vec![replace("e0", "e1").twice()]),
        Scenario::exclusive("two rivals once", vec![replace("e0", "e1"), replace("e0", "e2")]),
        Scenario::exclusive("two rivals, nothing", rivals()),
        Scenario::exclusive("two rivals, lost answers", rivals())
            .with(one(Faults { lost_answers: 1, ..NONE })),
        Scenario::exclusive("two rivals, lost replies", rivals())
            .with(Faults { lost_replies: 1, ..NONE }),
        Scenario::exclusive("two rivals, a crash", rivals()).with(Faults { crashes: 1, ..NONE }),
        Scenario::exclusive("two rivals, a freeze", rivals()).with(Faults { freezes: 1, ..NONE }),
        Scenario::exclusive("two rivals, a clock jump", rivals())
            .with(Faults { clock_jumps: 1, ..NONE }),
        Scenario::exclusive("two rivals, a resend", rivals()).with(Faults { resends: 1, ..NONE }),
        Scenario::exclusive("two rivals, a loss", rivals()).with(Faults { losses: 1, ..NONE }),
        Scenario::exclusive("two rivals, a split brain", rivals())
            .with(Faults { split_brains: 1, ..NONE }),
    ]
}

#[test]
fn the_laws_hold_in_the_everyday_bounds() {
    for scenario in everyday() {
        holds(&scenario, EVERYDAY_STATES_MAX);
    }
}
