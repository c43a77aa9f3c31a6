//! Scenarios: the writers, their writes, and the faults that are explored.

use pure_rooms::register::{Settle, Writers};
use pure_rooms::s3::{ETag, Preconditions};

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
    errors: 0,
    resends: 0,
    losses: 0,
    split_brains: 0,
    restarts: 0,
    surveys: 0,
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
            lags: false,
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

    /// The store lags.
    pub(crate) fn lagging(self) -> Self {
        Self { lags: true, ..self }
    }

    /// A writer goes around the proxies.
    pub(crate) fn foreign(mut self, etags: &[Option<&'static str>]) -> Self {
        self.foreign = etags.to_vec();
        self
    }
}

impl CallSpec {
    const fn new(preconditions: Preconditions, leaves: Option<&'static str>) -> Self {
        Self { preconditions, leaves, class: Settle::Plain, attempts: 1, carries_id: false }
    }

    /// It leaves its id on the object.
    pub(crate) fn with_id(mut self) -> Self {
        self.carries_id = true;
        self
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
    CallSpec::new(Preconditions::NONE, Some(etag))
}

/// `If-Match`.
pub(crate) fn replace(old: &'static str, new: &'static str) -> CallSpec {
    CallSpec::new(Preconditions::if_match(ETag::parse(old.as_bytes())), Some(new))
}

/// `If-None-Match: *`.
pub(crate) fn create(etag: &'static str) -> CallSpec {
    CallSpec::new(Preconditions::IF_NONE_MATCH_ANY, Some(etag))
}

/// `DELETE` with `If-Match`.
pub(crate) fn delete_if(old: &'static str) -> CallSpec {
    CallSpec::new(Preconditions::if_match(ETag::parse(old.as_bytes())), None)
}

pub(crate) fn delete() -> CallSpec {
    CallSpec::new(Preconditions::NONE, None)
}

/// The faults of one kind, once or more often.
const fn crashes(crashes: u8) -> Faults {
    Faults { crashes, ..NONE }
}

const fn freezes(freezes: u8) -> Faults {
    Faults { freezes, ..NONE }
}

const fn lost_replies(lost_replies: u8) -> Faults {
    Faults { lost_replies, ..NONE }
}

const fn lost_answers(lost_answers: u8) -> Faults {
    Faults { lost_answers, ..NONE }
}

const fn losses(losses: u8) -> Faults {
    Faults { losses, ..NONE }
}

const CLOCK_JUMP: Faults = Faults { clock_jumps: 1, ..NONE };
const fn errors(errors: u8) -> Faults {
    Faults { errors, ..NONE }
}

const RESEND: Faults = Faults { resends: 1, ..NONE };
const SPLIT_BRAIN: Faults = Faults { split_brains: 1, ..NONE };
const RESTART: Faults = Faults { restarts: 1, ..NONE };
const EVICTION: Faults = Faults { evictions: 1, ..NONE };

const STATES_MAX: usize = 30_000_000;

/// The laws hold in every state of these scenarios.
fn hold(scenarios: Vec<Scenario>) {
    for scenario in scenarios {
        let found = explore(&scenario, STATES_MAX);
        if let Some(breach) = &found.breach {
            panic!("{}", trace::tell(&scenario, breach));
        }
        println!("{}: {} states, depth {}", scenario.name, found.states, found.depth);
    }
}

fn rivals() -> Vec<CallSpec> {
    vec![replace("e0", "e1"), replace("e0", "e2")]
}

/// One that tries twice, and one that goes on from what it may have left.
fn retry_and_next() -> Vec<CallSpec> {
    vec![replace("e0", "e1").twice(), replace("e1", "e2")]
}

fn in_a_row() -> Vec<CallSpec> {
    vec![replace("e0", "e1"), replace("e1", "e2")]
}

fn create_and_delete() -> Vec<CallSpec> {
    vec![create("e1").twice(), delete_if("e1")]
}

fn blind_and_next() -> Vec<CallSpec> {
    vec![put("e1"), replace("e1", "e2")]
}

#[test]
fn rivals_and_one_fault() {
    let every = |name, faults| Scenario::exclusive(name, rivals()).with(faults);
    hold(vec![
        every("rivals, a lost answer", lost_answers(1)),
        every("rivals, a lost reply", lost_replies(1)),
        every("rivals, a crash", crashes(1)),
        every("rivals, a freeze", freezes(1)),
        every("rivals, a clock jump", CLOCK_JUMP),
        every("rivals, a resend", RESEND),
        every("rivals, a restart", RESTART),
    ]);
}

#[test]
#[ignore = "a hundred thousand states: make model"]
fn rivals_and_a_split_brain() {
    hold(vec![Scenario::exclusive("rivals, a split brain", rivals()).with(SPLIT_BRAIN)]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn a_retry_and_one_fault() {
    let every = |name, faults| Scenario::exclusive(name, retry_and_next()).with(faults);
    hold(vec![
        every("retry, a lost answer", lost_answers(1)),
        every("retry, a lost reply", lost_replies(1)),
        every("retry, a crash", crashes(1)),
        every("retry, a loss", losses(1)),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn a_create_a_delete_and_one_fault() {
    let every = |name, faults| Scenario::exclusive(name, create_and_delete()).empty().with(faults);
    hold(vec![
        every("create, a lost answer", lost_answers(1)),
        every("create, a refusal", Faults { refusals: 1, ..NONE }),
        every("create, a resend", RESEND),
        every("create, an eviction", EVICTION),
    ]);
}

#[test]
fn a_blind_write_and_one_fault() {
    let every = |name, faults| Scenario::exclusive(name, blind_and_next()).with(faults);
    hold(vec![
        every("blind, a lost answer", lost_answers(1)),
        every("blind, a lost reply", lost_replies(1)),
        every("blind, a resend", RESEND),
        every("blind, a freeze", freezes(1)),
        every("blind, a loss", losses(1)),
    ]);
}

/// The doubt of an expired lease is moved into the record, whichever process comes next, and
/// however late its holder is.
#[test]
fn leases_that_are_over_are_set_aside() {
    let surveyed = |faults| Faults { surveys: 1, ..faults };
    let every = |name, calls, faults| Scenario::exclusive(name, calls).with(surveyed(faults));
    hold(vec![
        every("set aside, rivals, a crash", rivals(), crashes(1)),
        every("set aside, rivals, a freeze", rivals(), freezes(1)),
        every("set aside, rivals, a resend", rivals(), RESEND),
        every("set aside, blind, a lost answer", blind_and_next(), lost_answers(1)),
        every("set aside, blind, a freeze", blind_and_next(), freezes(1)),
        Scenario::shared("set aside, foreign, a crash", vec![replace("e0", "e1").twice()])
            .with(surveyed(crashes(1)))
            .foreign(&[Some("f1")]),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn leases_of_retries_are_set_aside() {
    let surveyed = |faults| Faults { surveys: 1, ..faults };
    let every = |name, faults| Scenario::exclusive(name, retry_and_next()).with(surveyed(faults));
    hold(vec![
        every("set aside, a retry, a lost answer", lost_answers(1)),
        every("set aside, a retry, a crash", crashes(1)),
        every("set aside, a retry, a freeze", freezes(1)),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn a_blind_write_given_up_and_tried_again() {
    let every =
        |name, faults| Scenario::exclusive(name, vec![put("e1").twice(), put("e2")]).with(faults);
    hold(vec![
        every("blind again, a lost answer", lost_answers(1)),
        every("blind again, a lost reply", lost_replies(1)),
        every("blind again, a crash", crashes(1)),
    ]);
}

#[test]
fn a_blind_delete_and_one_fault() {
    let calls = || vec![delete(), create("e1")];
    let every = |name, faults| Scenario::exclusive(name, calls()).with(faults);
    hold(vec![
        every("delete, a lost answer", lost_answers(1)),
        every("delete, a crash", crashes(1)),
        every("delete, a resend", RESEND),
    ]);
}

#[test]
fn a_delete_that_is_answered_with_an_error_is_done_again() {
    let every = |name, calls, faults| Scenario::exclusive(name, calls).with(faults);
    let blind = || vec![delete(), create("e1")];
    let conditional = || vec![delete_if("e0").twice(), create("e1")];
    hold(vec![
        every("delete, an error", blind(), errors(1)),
        every("delete, two errors", blind(), errors(2)),
        every("delete of nothing, two errors", blind(), errors(2)).empty(),
        every("delete, an error and a freeze", blind(), Faults { freezes: 1, ..errors(1) }),
        every(
            "delete, an error and a lost answer",
            blind(),
            Faults { lost_answers: 1, ..errors(1) },
        ),
        every("conditional delete, an error", conditional(), errors(1)),
        Scenario::shared("delete, an error, foreign", blind())
            .with(errors(1))
            .foreign(&[Some("f1")]),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn a_delete_that_is_answered_with_an_error_while_more_goes_wrong() {
    let every = |name, calls, faults| Scenario::exclusive(name, calls).with(faults);
    let blind = || vec![delete(), create("e1")];
    let retried = || vec![delete().twice(), create("e1")];
    hold(vec![
        every("delete again, two errors", retried(), errors(2)),
        every("delete again, an error and a crash", retried(), Faults { crashes: 1, ..errors(1) }),
        every("delete again, an error and a loss", retried(), Faults { losses: 1, ..errors(1) }),
        every("delete, two errors and a loss", blind(), Faults { losses: 1, ..errors(2) }),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn conditional_deletes_that_are_answered_with_errors() {
    let calls = vec![delete_if("e0").twice(), create("e1"), delete_if("e1")];
    let every = |name, calls, faults| Scenario::exclusive(name, calls).with(faults);
    hold(vec![every("conditional deletes, two errors", calls, errors(2))]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn equal_bytes() {
    let calls = || vec![replace("e0", "e0").twice(), replace("e0", "e1")];
    let every = |name, faults| Scenario::exclusive(name, calls()).with(faults);
    hold(vec![
        every("equal bytes, a lost answer", lost_answers(1)),
        every("equal bytes, a crash", crashes(1)),
    ]);
}

#[test]
fn writers_around_the_proxies() {
    let calls = || vec![replace("e0", "e1").twice()];
    let every = |name, faults| Scenario::shared(name, calls()).with(faults);
    hold(vec![
        every("foreign, a lost answer", lost_answers(1)).foreign(&[Some("f1"), Some("e0")]),
        every("foreign, a lost reply", lost_replies(1)).foreign(&[Some("f1")]),
        every("foreign, a crash", crashes(1)).foreign(&[Some("f1")]),
        every("foreign, a resend", RESEND).foreign(&[Some("f1")]),
    ]);
}

/// A HEAD may show what was replaced a short time ago.
#[test]
fn a_store_that_lags_and_one_fault() {
    let every = |name, calls, faults| Scenario {
        early_look: true,
        ..Scenario::exclusive(name, calls).with(faults).lagging()
    };
    hold(vec![
        every("lag, rivals", rivals(), NONE),
        every("lag, rivals, a lost answer", rivals(), lost_answers(1)),
        every("lag, rivals, a crash", rivals(), crashes(1)),
        every("lag, one after the other, a loss", in_a_row(), losses(1)),
        every("lag, rivals, a restart", rivals(), RESTART),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn a_store_that_lags_and_retries() {
    let every = |name, calls, faults| {
        let scenario = Scenario::exclusive(name, calls).with(faults).lagging();
        Scenario { early_end: true, early_look: true, ..scenario }
    };
    let deletes = || vec![create("e1"), delete_if("e1")];
    hold(vec![
        every("lag, a retry, a lost answer", retry_and_next(), lost_answers(1)),
        every("lag, a retry, a crash", retry_and_next(), crashes(1)),
        every("lag, a retry, a loss", retry_and_next(), losses(1)),
        every("lag, blind, a resend", blind_and_next(), RESEND),
        every("lag, rivals, a loss", rivals(), losses(1)),
        every("lag, blind, a lost answer", blind_and_next(), lost_answers(1)),
        every("lag, blind, a freeze", blind_and_next(), freezes(1)),
        every("lag, deletes, two errors", deletes(), errors(2)).empty(),
        every("lag, deletes, a lost answer", deletes(), lost_answers(1)).empty(),
    ]);
}

#[test]
fn ids_on_objects_where_others_write() {
    let calls = || vec![replace("e0", "e1").with_id().twice()];
    let every = |name, faults| {
        let scenario = Scenario::shared(name, calls()).with(faults);
        Scenario { early_end: true, ..scenario }
    };
    hold(vec![
        every("ids, a lost answer", lost_answers(1)).foreign(&[Some("f1"), Some("e0")]),
        every("ids, a crash", crashes(1)).foreign(&[Some("f1")]),
        every("ids, a resend", RESEND).foreign(&[Some("f1")]),
        every("ids, a loss", losses(1)).foreign(&[Some("f1")]),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn ids_on_objects_and_equal_bytes() {
    let calls = || vec![replace("e0", "e0").with_id().twice(), put("e0").with_id()];
    let every = |name, faults| {
        let scenario = Scenario::exclusive(name, calls()).with(faults);
        Scenario { early_end: true, ..scenario }
    };
    hold(vec![
        every("ids and equal bytes, a lost answer", lost_answers(1)),
        every("ids and equal bytes, a crash", crashes(1)),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn early_ends_and_early_looks() {
    let every = |name, faults| {
        let scenario = Scenario::exclusive(name, retry_and_next()).with(faults);
        Scenario { early_end: true, early_look: true, ..scenario }
    };
    hold(vec![
        every("early end, a lost answer", lost_answers(1)),
        every("early end, a freeze", Faults { lost_answers: 1, freezes: 1, ..NONE }),
    ]);
}

#[test]
#[ignore = "hundreds of thousands of states: make model"]
fn long_writes_and_a_register_that_forgets() {
    let calls = || vec![replace("e0", "e1").long(), put("e2")];
    let every = |name, faults| Scenario::exclusive(name, calls()).with(faults);
    hold(vec![
        every("long, a loss", Faults { losses: 1, lost_answers: 1, ..NONE }),
        every("long, a restart", RESTART),
    ]);
}
