//! The rules of each step as single cases, then what must hold after any steps whatever. Names
//! such as F1 are the failure stories of docs/protocol.md#failure-stories.

use proptest::prelude::*;

use std::time::Duration;

use super::*;
use crate::register::fixture::ask;
use crate::register::types::{Asker, EpochId, in_millis};
use crate::register::waiters::{TURN, WAITER_KEPT};
use crate::s3::{ETag, Preconditions};

const LEASE: u64 = 100;
const GRACE: u64 = 50;
const SETTLE: u64 = 30;
const SETTLE_LONG: u64 = 300;
const HORIZON: u64 = 1000;
const START: u64 = 10_000;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn terms(writers: Writers) -> Terms {
    Terms {
        lease: ms(LEASE),
        grace: ms(GRACE),
        settle: ms(SETTLE),
        settle_long: ms(SETTLE_LONG),
        retry_horizon: ms(HORIZON),
        record_ttl: ms(10 * HORIZON),
        failover_lag: Duration::ZERO,
        lag: Duration::ZERO,
        spacing: Duration::ZERO,
        writers,
    }
}

fn present(etag: &str) -> State {
    State::Present(ETag::parse(etag.as_bytes()))
}

fn at_key(etag: &str) -> Current {
    Current::Present(ETag::parse(etag.as_bytes()))
}

fn refused(code: &str) -> Ending {
    Ending::Refused { code: code.to_owned() }
}

fn doubted(grant: &Grant) -> Option<&str> {
    grant.doubt.as_ref().map(|doubt| doubt.write_id.0.as_str())
}

/// The same for a write that must create.
fn ask_to_create(write: &str) -> Ask {
    Ask { preconditions: Preconditions::IF_NONE_MATCH_ANY, ..ask(write) }
}

/// One key of a register, and the time.
#[derive(Debug, Clone)]
struct Key {
    terms: Terms,
    epoch: Epoch,
    slot: Slot,
    now: Millis,
    epochs: u32,
}

impl Key {
    /// Its first epoch's quarantine is over.
    fn new(writers: Writers) -> Self {
        let terms = terms(writers);
        let epoch = Epoch::begin(EpochId("e0".to_owned()), &terms, Millis(START));
        let now = epoch.quarantine_until;
        Self { terms, epoch, slot: Slot::default(), now, epochs: 0 }
    }

    fn exclusive() -> Self {
        Self::new(Writers::Exclusive)
    }

    /// A key where this is believed.
    fn believing(state: State) -> Self {
        let mut key = Self::exclusive();
        key.slot.record.state = state;
        key
    }

    fn wait(&mut self, millis: u64) {
        self.now.0 += millis;
    }

    /// The register loses everything.
    fn begin_epoch(&mut self) {
        self.epochs += 1;
        let id = EpochId(format!("e{}", self.epochs));
        self.epoch = Epoch::begin(id, &self.terms, self.now);
        self.slot = Slot::default();
    }

    fn acquire(&mut self, ask: &Ask) -> Acquired {
        acquire(&mut self.epoch, &mut self.slot, ask, &self.terms, self.now)
    }

    /// Acquires, and it is granted.
    fn grant(&mut self, ask: &Ask) -> Grant {
        match self.acquire(ask) {
            Acquired::Granted(grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    fn arm(&mut self, token: &Token, pre: State, expect: Expect) -> ArmAnswer {
        let step = ArmStep { token, pre, expect, age: Duration::ZERO };
        arm(&mut self.epoch, &mut self.slot, step, &self.terms, self.now)
    }

    /// Reclaims a plain write that created an object, under a nonce.
    fn reclaim(&mut self, token: &Token, nonce: &str) -> ReclaimAnswer {
        let step = ReclaimStep {
            token,
            nonce,
            write_id: &WriteId("reclaimed".to_owned()),
            settle: Settle::Plain,
            pre: &State::Absent,
            expect: &Expect::SomeObject,
        };
        reclaim(&mut self.epoch, &mut self.slot, &step, &self.terms, self.now)
    }

    fn renew(&mut self, token: &Token) -> bool {
        renew(&mut self.slot, token, &self.terms, self.now)
    }

    fn commit(&mut self, token: &Token, new: State, quiet: Option<u64>) -> CommitAnswer {
        let step = CommitStep {
            token,
            generation: None,
            new,
            quiet: quiet.map(ms),
            headers: &AnswerHeaders::default(),
            written: &crate::s3::listing::Written::default(),
        };
        commit(&mut self.epoch, &mut self.slot, &step, &self.terms, self.now)
    }

    /// As its holder does, which knows the generation that it was armed with.
    fn commit_known(&mut self, token: &Token, generation: &Generation) -> CommitAnswer {
        let (generation, new) = (Some(generation), present("x"));
        let step = CommitStep {
            token,
            generation,
            new,
            quiet: None,
            headers: &AnswerHeaders::default(),
            written: &crate::s3::listing::Written::default(),
        };
        commit(&mut self.epoch, &mut self.slot, &step, &self.terms, self.now)
    }

    fn set_aside(&mut self) -> bool {
        set_aside(&mut self.slot, &self.terms, self.now)
    }

    fn disarm(&mut self, token: &Token, pre: &State) -> bool {
        self.disarm_refused(token, pre, None)
    }

    fn disarm_refused(&mut self, token: &Token, pre: &State, refused: Option<&str>) -> bool {
        let step = DisarmStep { token, pre, refused };
        disarm(&mut self.epoch, &mut self.slot, &step, &self.terms, self.now)
    }

    fn release(&mut self, token: &Token, learned: Option<State>, refused: bool) -> bool {
        let refused = refused.then_some("PreconditionFailed");
        let step = ReleaseStep { token, learned, refused };
        release(&mut self.epoch, &mut self.slot, &step, &self.terms, self.now)
    }

    fn resolve(&mut self, token: &Token, head: &Current) -> Resolution {
        let step = ResolveStep { token, head, seen_id: None, view: View::Current };
        resolve(&mut self.slot, &step, &self.terms, self.now)
    }

    fn resolve_by_id(&mut self, token: &Token, head: &Current, seen_id: &str) -> Resolution {
        let seen_id = WriteId(seen_id.to_owned());
        let step = ResolveStep { token, head, seen_id: Some(&seen_id), view: View::Current };
        resolve(&mut self.slot, &step, &self.terms, self.now)
    }

    /// What is observed of a key without a lease and without a doubt.
    fn seen(&self, state: State, generation: Option<Generation>) -> Observation {
        let epoch = self.epoch.id.clone();
        let quarantine = self.now.until(self.epoch.quarantine_until);
        Observation {
            state,
            generation,
            pending: None,
            epoch,
            quarantine,
            leased: false,
            young_for: Duration::ZERO,
            before: None,
            before_young_for: Duration::ZERO,
            landed: self.slot.record.last_landing().map(|landing| landing.until(self.now)),
        }
    }

    /// An upload is created: how the key stands now is remembered.
    fn create_upload(&mut self, upload: &str) {
        let before = self.observe();
        assert!(self.note_upload(upload, &before));
    }

    fn note_upload(&mut self, upload: &str, before: &Observation) -> bool {
        let step = UploadStep { name: &UploadName::of(upload), before };
        note_upload(&self.epoch, &mut self.slot, &step, self.now)
    }

    fn pin(&mut self) -> Generation {
        pin(&mut self.epoch, &mut self.slot, &self.terms, self.now).generation.unwrap()
    }

    fn observe(&self) -> Observation {
        observe(&self.epoch, &self.slot, &self.terms, self.now)
    }

    /// A whole write that lands; the generation it began.
    fn write(&mut self, write: &str, etag: &str) -> Generation {
        let grant = self.grant(&ask(write));
        assert_eq!(self.commit(&grant.token, present(etag), None), CommitAnswer::Committed);
        grant.armed.expect("an unconditional write is armed at once")
    }

    /// A write whose holder knew `pre`, expected `expect`, armed and vanished; its time is over.
    fn lose(&mut self, write: &str, pre: State, expect: Expect) -> Generation {
        let token = self.grant(&ask_to_create(write)).token;
        let ArmAnswer::Armed(generation) = self.arm(&token, pre, expect) else {
            panic!("not armed")
        };
        self.wait(LEASE + GRACE + SETTLE);
        generation
    }
}

// === acquire ===

#[test]
fn nothing_is_granted_in_quarantine() {
    let mut key = Key::exclusive();
    key.begin_epoch();
    key.wait(LEASE + GRACE + SETTLE - 1);
    assert_eq!(key.acquire(&ask("a")), Acquired::Quarantine(ms(1)));
    key.wait(1);
    assert_eq!(key.grant(&ask("a")).epoch_age, ms(LEASE + GRACE + SETTLE));
}

#[test]
fn a_free_key_is_kept_for_the_writer_that_has_waited_a_turn() {
    let from = |asker: &str, write: &str| Ask { asker: Asker(asker.to_owned()), ..ask(write) };
    let turn = in_millis(TURN);
    let mut key = Key::exclusive();
    let token = key.grant(&from("one", "a")).token;
    for _ in 0..2 {
        key.acquire(&from("two", "b"));
        key.wait(turn / 2);
    }
    assert_eq!(key.commit(&token, present("x"), None), CommitAnswer::Committed);
    let free_in = WAITER_KEPT.saturating_sub(TURN / 2);
    let kept = Acquired::Busy { write_id: None, free_in };
    assert_eq!(key.acquire(&from("one", "c")), kept);
    let mut gone = key.clone();
    let token = key.grant(&from("two", "b")).token;
    assert_eq!(key.commit(&token, present("y"), None), CommitAnswer::Committed);
    key.grant(&from("two", "d"));

    gone.wait(in_millis(free_in));
    gone.grant(&from("one", "c"));
}

#[test]
fn a_key_in_doubt_that_is_kept_for_another_names_the_write_in_doubt() {
    let from = |asker: &str, write: &str| Ask { asker: Asker(asker.to_owned()), ..ask(write) };
    let mut key = Key::exclusive();
    key.grant(&from("one", "a"));
    key.wait(LEASE + GRACE + SETTLE - 1);
    key.acquire(&from("two", "b"));
    let turn = in_millis(TURN);
    key.wait(turn / 2);
    key.slot.waiters.join(&Asker("two".to_owned()), key.now);
    key.wait(turn / 2);
    let Acquired::Busy { write_id, .. } =
        key.acquire(&Ask { nonce: "again".to_owned(), ..from("one", "a") })
    else {
        panic!("granted")
    };
    assert_eq!(write_id, Some(WriteId("a".to_owned())));
}

#[test]
fn a_lease_blocks_others_and_says_for_how_long() {
    let mut key = Key::exclusive();
    key.grant(&ask_to_create("a"));
    key.wait(40);
    let write_id = WriteId("a".to_owned());
    assert_eq!(
        key.acquire(&ask("b")),
        Acquired::Busy { write_id: Some(write_id), free_in: ms(LEASE - 40) },
        "unarmed: its expiry"
    );
    for (settle, settle_ms) in [(Settle::Plain, SETTLE), (Settle::Long, SETTLE_LONG)] {
        let mut key = Key::exclusive();
        key.grant(&Ask { settle, ..ask("a") });
        key.wait(40);
        let write_id = Some(WriteId("a".to_owned()));
        let free_in = ms(LEASE - 40 + GRACE + settle_ms);
        assert_eq!(key.acquire(&ask("b")), Acquired::Busy { write_id, free_in }, "{settle:?}");
        key.wait(LEASE - 40 + GRACE + settle_ms - 1);
        assert!(key.observe().leased);
        assert!(matches!(key.acquire(&ask("b")), Acquired::Busy { .. }));
        key.wait(1);
        assert!(!key.observe().leased);
        key.grant(&ask("b"));
    }
}

#[test]
fn an_unarmed_lease_that_is_over_leaves_no_doubt() {
    let mut key = Key::believing(present("x"));
    key.grant(&ask_to_create("a"));
    key.wait(LEASE);
    let grant = key.grant(&ask_to_create("b"));
    assert_eq!((grant.state, grant.doubt), (present("x"), None));
}

#[test]
fn an_armed_lease_that_is_over_is_a_doubt_and_the_state_unknown() {
    let mut key = Key::believing(State::Absent);
    key.grant(&ask_to_create("a"));
    key.wait(LEASE + GRACE + SETTLE);
    let grant = key.grant(&ask_to_create("b"));
    assert_eq!(doubted(&grant), Some("a"));
    assert_eq!((grant.state, grant.armed), (State::Unknown, None));
}

#[test]
fn asked_again_with_the_same_nonce_the_answer_is_the_same() {
    let mut doubtful = Key::exclusive();
    doubtful.lose("z", State::Absent, Expect::SomeObject);
    for key in [Key::believing(State::Absent), Key::believing(present("x")), doubtful] {
        for ask in [ask("a"), ask_to_create("a")] {
            let mut key = key.clone();
            let first = key.grant(&ask);
            let after = key.slot.clone();
            assert_eq!(key.grant(&ask), first);
            assert_eq!(key.slot, after);
        }
    }
}

#[test]
fn a_lease_is_armed_at_once_only_where_nothing_needs_to_be_looked_up() {
    let if_match = |etag: &str| Preconditions::if_match(ETag::parse(etag.as_bytes()));
    for (writers, believed, preconditions, armed) in [
        (Writers::Exclusive, State::Absent, Preconditions::IF_NONE_MATCH_ANY, true),
        (Writers::Exclusive, present("x"), if_match("x"), true),
        (Writers::Exclusive, present("x"), Preconditions::IF_MATCH_ANY, true),
        (Writers::Exclusive, present("x"), if_match("y"), false),
        (Writers::Exclusive, State::Absent, if_match("x"), false),
        (Writers::Exclusive, State::Absent, Preconditions::IF_MATCH_ANY, false),
        (Writers::Exclusive, present("x"), Preconditions::IF_NONE_MATCH_ANY, false),
        (Writers::Exclusive, State::Unknown, Preconditions::IF_NONE_MATCH_ANY, false),
        (Writers::Exclusive, State::Unknown, Preconditions::IF_MATCH_ANY, false),
        (Writers::Exclusive, State::Unknown, Preconditions::NONE, true),
        (Writers::Shared, State::Absent, Preconditions::IF_NONE_MATCH_ANY, false),
        (Writers::Shared, present("x"), if_match("x"), false),
        (Writers::Shared, State::Unknown, Preconditions::NONE, true),
    ] {
        let mut key = Key::new(writers);
        key.slot.record.state = believed.clone();
        let grant = key.grant(&Ask { preconditions: preconditions.clone(), ..ask("a") });
        assert_eq!(grant.armed.is_some(), armed, "{writers:?}, {believed:?}, {preconditions:?}");
        assert_eq!(grant.state, believed);
    }
}

#[test]
fn a_doubt_keeps_a_conditional_write_from_being_armed_at_once() {
    let mut key = Key::exclusive();
    key.lose("a", State::Absent, Expect::SomeObject);
    let token = key.grant(&ask_to_create("b")).token;
    assert!(key.release(&token, Some(State::Absent), false));
    let grant = key.grant(&ask_to_create("c"));
    assert_eq!(doubted(&grant), Some("a"));
    assert_eq!((grant.state, grant.armed), (State::Absent, None));
}

// === the journal ===

#[test]
fn a_retry_finds_its_own_landing_although_others_wrote_since() {
    // F13
    let mut key = Key::exclusive();
    let generation = key.write("a", "x");
    key.write("b", "y");
    let landed =
        Ending::Landed { state: present("x"), generation, headers: AnswerHeaders::default() };
    assert_eq!(key.acquire(&ask("a")), Acquired::Ended(landed));
}

#[test]
fn the_journal_is_read_before_the_lease_is_waited_for() {
    let mut key = Key::exclusive();
    key.write("a", "x");
    key.grant(&ask("b"));
    assert!(matches!(key.acquire(&ask("a")), Acquired::Ended(Ending::Landed { .. })));
}

#[test]
fn the_journal_forgets_after_the_retry_horizon() {
    let mut key = Key::exclusive();
    key.write("a", "x");
    key.wait(HORIZON);
    assert!(matches!(key.acquire(&ask("a")), Acquired::Ended(_)));
    key.wait(1);
    assert!(matches!(key.acquire(&ask("a")), Acquired::Granted(_)));
}

#[test]
fn the_journal_keeps_the_newest_lines() {
    let mut key = Key::exclusive();
    for i in 0..=JOURNAL_ENTRIES_MAX {
        key.write(&format!("write {i}"), "x");
    }
    assert_eq!(key.slot.record.journal.len(), JOURNAL_ENTRIES_MAX);
    assert!(matches!(key.acquire(&ask("write 1")), Acquired::Ended(_)));
    key.grant(&ask("write 0"));
}

#[test]
fn a_line_dropped_before_its_time_is_remembered_as_forgotten() {
    let mut key = Key::exclusive();
    let fill = |key: &mut Key, name: &str, count: usize| {
        for i in 0..count {
            key.write(&format!("{name} {i}"), "x");
        }
    };
    fill(&mut key, "early", 2);
    let early = key.now;
    key.wait(300);
    fill(&mut key, "late", JOURNAL_ENTRIES_MAX - 2);
    assert_eq!(key.slot.record.forgotten, None, "there was room");
    key.write("one more", "x");
    assert_eq!(key.slot.record.forgotten, Some(early));

    let grant = key.grant(&Ask { age: ms(301), ..ask_to_create("a") });
    assert_eq!(grant.epoch_age, ms(300), "how far back the key is remembered");
    let step = |age| {
        let (pre, expect) = (State::Absent, Expect::Anything);
        ArmStep { token: &grant.token, pre, expect, age: ms(age) }
    };
    let Key { epoch, slot, terms, now, .. } = &mut key;
    assert_eq!(arm(epoch, slot, step(301), terms, *now), ArmAnswer::OlderThanEpoch);
    assert!(matches!(arm(epoch, slot, step(300), terms, *now), ArmAnswer::Armed(_)));
}

#[test]
fn a_line_dropped_after_its_time_is_not_missed() {
    let mut key = Key::exclusive();
    for i in 0..JOURNAL_ENTRIES_MAX {
        key.write(&format!("write {i}"), "x");
    }
    key.wait(HORIZON + 1);
    key.write("one more", "x");
    assert_eq!(key.slot.record.forgotten, None);
    assert_eq!(key.slot.record.journal.len(), 1);
}

#[test]
fn a_request_older_than_a_dropped_line_is_not_armed_at_once() {
    let mut key = Key::exclusive();
    for i in 0..=JOURNAL_ENTRIES_MAX {
        key.write(&format!("write {i}"), "x");
    }
    key.wait(10);
    assert_eq!(key.clone().grant(&Ask { age: ms(11), ..ask("a") }).armed, None);
    assert!(key.grant(&Ask { age: ms(10), ..ask("a") }).armed.is_some());
}

#[test]
fn a_refused_retry_keeps_its_first_attempt_out() {
    // F14
    let mut key = Key::believing(present("x"));
    let token = key.grant(&ask_to_create("a")).token;
    assert!(key.release(&token, Some(present("x")), true));
    let zombie = Ask { nonce: "first".to_owned(), ..ask_to_create("a") };
    assert_eq!(key.acquire(&zombie), Acquired::Ended(refused("PreconditionFailed")));
}

#[test]
fn an_undetermined_write_is_done_again_only_without_condition() {
    let mut key = Key::new(Writers::Shared);
    let lost = key.lose("a", State::Absent, Expect::SomeObject);
    let token = key.grant(&ask_to_create("b")).token;
    assert_eq!(key.resolve(&token, &at_key("x")), Resolution::Undetermined);
    assert!(key.release(&token, None, false));
    let retry = |ask: Ask| Ask { nonce: "again".to_owned(), ..ask };
    let ended = Acquired::Ended(Ending::Undetermined { generation: lost });
    assert_eq!(key.acquire(&retry(ask_to_create("a"))), ended);
    assert!(key.grant(&retry(ask("a"))).armed.is_some());
}

#[test]
fn an_undetermined_write_is_done_again_by_itself_and_by_the_next_writer() {
    let mut key = Key::exclusive();
    let lost = key.lose("a", State::Absent, Expect::SomeObject);
    key.write("b", "x");
    key.wait(10);
    let retry = Ask { nonce: "again".to_owned(), ..ask("a") };
    let came_before = Ask { age: ms(11), ..retry.clone() };
    let ended = Acquired::Ended(Ending::Undetermined { generation: lost.clone() });
    assert_eq!(key.acquire(&came_before), ended);
    let another = Some(Generation("e0.9".to_owned()));
    assert_eq!(key.acquire(&Ask { own_doubt: another, ..came_before.clone() }), ended);
    let itself = Ask { own_doubt: Some(lost), ..came_before };
    assert!(key.clone().grant(&itself).armed.is_some());
    assert!(key.grant(&Ask { age: ms(10), ..retry }).armed.is_some());
}

#[test]
fn a_superseded_attempt_is_told_so_with_its_grant() {
    let mut key = Key::exclusive();
    let lost = key.lose("a", State::Absent, Expect::SomeObject);
    let retry = Ask { nonce: "again".to_owned(), age: ms(1), ..ask("a") };
    let mut itself = key.clone();
    assert!(!itself.grant(&Ask { own_doubt: Some(lost), ..retry.clone() }).superseded);
    assert!(key.grant(&retry).superseded);
    assert!(key.grant(&retry).superseded, "asked again");
}

// === arm and renew ===

#[test]
fn arming_begins_a_generation_and_prolongs_the_lease() {
    let mut key = Key::believing(present("x"));
    let token = key.grant(&ask_to_create("a")).token;
    key.wait(LEASE - 1);
    let armed = key.arm(&token, present("x"), Expect::Absent);
    assert_eq!(armed, ArmAnswer::Armed(Generation("e0.1".to_owned())));
    assert_eq!(key.observe().state, State::Unknown, "the write may land from now on");
    key.wait(LEASE - 1);
    assert!(key.renew(&token));
    assert_eq!(key.slot.lease.as_ref().unwrap().expires, key.now + ms(LEASE));
}

#[test]
fn a_lease_that_is_over_or_of_another_holder_is_neither_armed_nor_renewed() {
    let mut key = Key::exclusive();
    let token = key.grant(&ask_to_create("a")).token;
    let other = Token::new(&key.epoch.id, "b");
    assert!(!key.renew(&other));
    assert_eq!(key.arm(&other, State::Absent, Expect::Anything), ArmAnswer::Lost);
    key.wait(LEASE);
    let before = key.slot.clone();
    assert!(!key.renew(&token));
    assert_eq!(key.arm(&token, State::Absent, Expect::Anything), ArmAnswer::Lost);
    assert_eq!(key.slot, before);
}

#[test]
fn a_request_older_than_the_epoch_is_not_armed() {
    // F14: another attempt of it may have been answered before the journal was lost.
    let mut key = Key::exclusive();
    let age = key.epoch.since.until(key.now);
    let older = age + ms(1);
    let mut at_once = key.clone();
    assert_eq!(at_once.grant(&Ask { age: older, ..ask("a") }).armed, None);
    assert!(key.clone().grant(&Ask { age, ..ask("a") }).armed.is_some());

    let token = key.grant(&ask_to_create("a")).token;
    let step = |age| ArmStep { token: &token, pre: State::Absent, expect: Expect::Anything, age };
    let Key { epoch, slot, terms, now, .. } = &mut key;
    assert_eq!(arm(epoch, slot, step(older), terms, *now), ArmAnswer::OlderThanEpoch);
    assert!(matches!(arm(epoch, slot, step(age), terms, *now), ArmAnswer::Armed(_)));
}

#[test]
fn arming_over_a_doubt_buries_it_and_its_generation_counts() {
    let mut key = Key::exclusive();
    let lost = key.lose("a", State::Absent, Expect::SomeObject);
    let grant = key.grant(&ask("b"));
    assert!(grant.armed.is_some());
    assert_eq!((grant.doubt, grant.generation), (None, Some(lost.clone())));
    let retry = Ask { nonce: "again".to_owned(), ..ask_to_create("a") };
    let ended = Acquired::Ended(Ending::Undetermined { generation: lost });
    assert_eq!(key.acquire(&retry), ended);
}

// === commit ===

#[test]
fn a_commit_records_what_landed_and_ends_the_lease() {
    let mut key = Key::exclusive();
    let generation = key.write("a", "x");
    assert_eq!(key.observe(), key.seen(present("x"), Some(generation)));
}

#[test]
fn a_commit_may_come_after_expiry_while_no_holder_came_between() {
    let mut key = Key::exclusive();
    let token = key.grant(&ask("a")).token;
    key.wait(10 * SETTLE_LONG);
    assert_eq!(key.commit(&token, present("x"), None), CommitAnswer::Committed);
    assert_eq!(key.observe().state, present("x"));
}

#[test]
fn a_repeated_commit_is_committed_and_changes_nothing() {
    let mut key = Key::exclusive();
    let token = key.grant(&ask("a")).token;
    key.commit(&token, present("x"), None);
    key.grant(&ask("b"));
    let before = key.slot.clone();
    assert_eq!(key.commit(&token, present("x"), None), CommitAnswer::Committed);
    assert_eq!(key.slot, before);
}

#[test]
fn a_commit_that_was_overtaken_taints_the_present_lease() {
    // F6
    let mut key = Key::exclusive();
    let late = key.grant(&ask("a")).token;
    key.wait(LEASE + GRACE + SETTLE);
    let grant = key.grant(&ask("b"));
    assert_eq!(key.commit(&late, present("x"), None), CommitAnswer::Overtaken);
    assert!(key.renew(&grant.token), "the present holder keeps its lease");
    assert_eq!(key.commit(&grant.token, present("y"), None), CommitAnswer::Committed);
    assert_eq!(key.observe().state, State::Unknown, "which of the two landed last?");
    assert_eq!(key.observe().generation, grant.armed);
}

#[test]
fn a_tainted_lease_ends_unknown_and_with_a_new_generation_however_it_ends() {
    let overtaken = || {
        let mut key = Key::exclusive();
        let generation = key.write("z", "z");
        let late = key.grant(&ask("a")).token;
        key.wait(LEASE + GRACE + SETTLE);
        let token = key.grant(&ask_to_create("b")).token;
        assert_eq!(key.commit(&late, present("x"), None), CommitAnswer::Overtaken);
        (key, token, generation)
    };
    let (mut released, token, before) = overtaken();
    let at_taint = released.observe().generation;
    assert!(released.release(&token, Some(present("z")), false));
    let (mut disarmed, token, _) = overtaken();
    disarmed.arm(&token, present("z"), Expect::SomeObject);
    assert!(disarmed.disarm(&token, &present("z")));
    for key in [released, disarmed] {
        let seen = key.observe();
        assert_eq!(seen.state, State::Unknown);
        assert!(seen.generation != Some(before.clone()) && seen.generation != at_taint);
    }
}

#[test]
fn a_late_commit_without_successor_makes_the_state_unknown() {
    let mut key = Key::believing(State::Absent);
    let token = key.grant(&ask("a")).token;
    assert!(key.disarm(&token, &State::Absent));
    assert_eq!(key.commit(&token, present("x"), None), CommitAnswer::Overtaken);
    assert_eq!(key.observe().state, State::Unknown);
    assert!(key.observe().generation.is_some());
}

#[test]
fn after_a_resend_the_key_stays_quiet_and_then_its_state_is_unknown() {
    // F1
    let mut key = Key::exclusive();
    let token = key.grant(&ask("a")).token;
    assert_eq!(key.commit(&token, present("x"), Some(70)), CommitAnswer::Committed);
    let generation = key.observe().generation;
    assert_eq!((key.observe().state, key.observe().leased), (present("x"), true));
    let write_id = Some(WriteId("a".to_owned()));
    assert_eq!(key.acquire(&ask("b")), Acquired::Busy { write_id, free_in: ms(70) });
    assert!(!key.renew(&token) && !key.release(&token, None, false), "it has no holder");
    key.wait(70);
    let grant = key.grant(&ask_to_create("b"));
    assert_eq!((grant.state, grant.armed), (State::Unknown, None));
    assert_eq!((grant.doubt, grant.generation), (None, generation), "that it landed is settled");
    assert!(matches!(key.acquire(&ask("a")), Acquired::Ended(Ending::Landed { .. })));
}

// === disarm and release ===

#[test]
fn disarming_brings_back_the_state_and_keeps_the_generation() {
    let mut key = Key::exclusive();
    let generation = key.write("z", "z");
    let token = key.grant(&ask("a")).token;
    assert!(key.disarm(&token, &present("z")));
    assert_eq!(key.observe(), key.seen(present("z"), Some(generation)));
    assert!(!key.disarm(&token, &present("z")), "it is gone");
    let unarmed = key.grant(&ask_to_create("b")).token;
    assert!(!key.disarm(&unarmed, &State::Absent), "it is not armed");
}

#[test]
fn a_retry_that_the_store_refused_is_written_down() {
    for code in [None, Some("AccessDenied")] {
        let mut key = Key::exclusive();
        let token = key.grant(&ask("a")).token;
        assert!(key.disarm_refused(&token, &present("z"), code));
        // F14: Its first attempt, on its way still, must not land after that.
        let zombie = key.acquire(&ask("a"));
        let ended = code.map(|code| Acquired::Ended(refused(code)));
        assert_eq!(
            Some(&zombie).filter(|zombie| matches!(zombie, Acquired::Ended(_))),
            ended.as_ref()
        );
    }
}

#[test]
fn a_state_that_others_made_begins_a_generation() {
    let mut key = Key::exclusive();
    let generations: Vec<_> = ["z", "z", "foreign", "foreign"]
        .into_iter()
        .map(|found| {
            let token = key.grant(&ask_to_create("m")).token;
            assert!(key.release(&token, Some(present(found)), false));
            key.slot.record.generation.clone()
        })
        .collect();
    assert_eq!(generations[0], generations[1]);
    assert_ne!(generations[1], generations[2], "overturned");
    assert_eq!(generations[2], generations[3]);
}

#[test]
fn a_release_keeps_what_was_learned() {
    let z = present("z");
    for (believed, learned) in [(State::Unknown, Some(State::Absent)), (z.clone(), None)] {
        let state = learned.clone().unwrap_or_else(|| believed.clone());
        let mut key = Key::believing(believed);
        let token = key.grant(&ask_to_create("a")).token;
        assert!(key.release(&token, learned, false));
        assert_eq!(key.observe(), key.seen(state, None));
    }
}

#[test]
fn an_armed_lease_is_never_released() {
    let mut key = Key::exclusive();
    let token = key.grant(&ask("a")).token;
    let before = key.slot.clone();
    assert!(!key.release(&token, Some(State::Absent), true));
    assert_eq!(key.slot, before);
}

// === the doubt ===

#[test]
fn a_head_settles_a_doubt_as_far_as_it_can_tell() {
    use Resolution::{DidNot, Landed, Undetermined};
    for (pre, expect, head, exclusive) in [
        (State::Absent, Expect::SomeObject, at_key("y"), Landed),
        (State::Absent, Expect::SomeObject, Current::Absent, DidNot),
        (State::Absent, Expect::Anything, Current::Absent, Undetermined),
        (State::Absent, Expect::Absent, Current::Absent, Undetermined),
        (present("y"), Expect::SomeObject, at_key("x"), Landed),
        (present("y"), Expect::Absent, Current::Absent, Landed),
        (present("y"), Expect::Absent, at_key("y"), DidNot),
        (present("y"), Expect::SomeObject, at_key("y"), Undetermined), // F7: equal bytes
        (present("y"), Expect::Anything, at_key("y"), Undetermined),
        (State::Unknown, Expect::SomeObject, at_key("x"), Undetermined),
        (State::Unknown, Expect::Absent, at_key("y"), Undetermined),
    ] {
        for writers in [Writers::Exclusive, Writers::Shared] {
            let mut key = Key::new(writers);
            let before = key.write("z", "z");
            let lost = key.lose("a", pre.clone(), expect.clone());
            let token = key.grant(&ask_to_create("b")).token;
            let what = format!("{writers:?}: {pre:?}, {expect:?}, {head:?}");
            let expected = if writers == Writers::Shared { Undetermined } else { exclusive };
            assert_eq!(key.resolve(&token, &head), expected, "{what}");
            let seen = key.observe();
            // Where others write, it need not be what the generation names.
            let state = match writers {
                Writers::Exclusive => State::from(head.clone()),
                Writers::Shared => State::Unknown,
            };
            assert_eq!(seen.state, state, "{what}");
            let generation = if expected == DidNot { before } else { lost };
            assert_eq!(seen.generation, Some(generation), "{what}");
            assert_eq!(key.resolve(&token, &head), Resolution::Nothing, "{what}: twice");
        }
    }
}

#[test]
fn a_crash_between_landing_and_commit_is_found_by_the_retry() {
    // F12
    let mut key = Key::believing(State::Absent);
    let generation = key.lose("a", State::Absent, Expect::SomeObject);
    let token = key.grant(&ask_to_create("b")).token;
    assert_eq!(key.resolve(&token, &at_key("x")), Resolution::Landed);
    key.release(&token, None, false);
    let landed =
        Ending::Landed { state: present("x"), generation, headers: AnswerHeaders::default() };
    let retry = Ask { nonce: "again".to_owned(), ..ask_to_create("a") };
    assert_eq!(key.acquire(&retry), Acquired::Ended(landed));
}

#[test]
fn a_write_that_did_not_land_leaves_no_line_so_that_its_retry_is_a_new_write() {
    let mut key = Key::believing(State::Absent);
    key.lose("a", State::Absent, Expect::SomeObject);
    let retry = Ask { nonce: "again".to_owned(), ..ask_to_create("a") };
    let token = key.grant(&retry).token;
    assert_eq!(key.resolve(&token, &Current::Absent), Resolution::DidNot);
    assert!(matches!(key.arm(&token, State::Absent, Expect::SomeObject), ArmAnswer::Armed(_)));
}

#[test]
fn an_id_on_the_object_decides_where_the_write_would_have_left_one() {
    use Resolution::{DidNot, Landed, Undetermined};
    for (pre, expect, head, seen_id, expected) in [
        (present("y"), Expect::CarriesId, at_key("x"), "a", Landed),
        (present("x"), Expect::CarriesId, at_key("x"), "a", Landed), // F7: equal bytes
        (State::Unknown, Expect::CarriesId, at_key("x"), "a", Landed),
        (present("x"), Expect::CarriesId, at_key("x"), "b", DidNot),
        (State::Unknown, Expect::CarriesId, at_key("x"), "b", DidNot),
        // A writer that goes around the proxies has written another write's object there.
        (present("y"), Expect::CarriesId, at_key("x"), "b", Undetermined),
        (State::Absent, Expect::CarriesId, at_key("x"), "b", Undetermined),
        // A copy takes its source's metadata along.
        (present("x"), Expect::SomeObject, at_key("x"), "a", Undetermined),
        (present("x"), Expect::SomeObject, at_key("x"), "b", Undetermined),
    ] {
        for writers in [Writers::Exclusive, Writers::Shared] {
            let mut key = Key::new(writers);
            key.lose("a", pre.clone(), expect.clone());
            let token = key.grant(&ask_to_create("c")).token;
            let what = format!("{writers:?}: {pre:?}, {expect:?}, {head:?}, {seen_id}");
            assert_eq!(key.resolve_by_id(&token, &head, seen_id), expected, "{what}");
        }
    }
    // Where none is to be seen, all is as it would be without them.
    for (writers, expected) in [(Writers::Exclusive, Landed), (Writers::Shared, Undetermined)] {
        let mut key = Key::new(writers);
        key.lose("a", State::Absent, Expect::CarriesId);
        let token = key.grant(&ask_to_create("c")).token;
        assert_eq!(key.resolve(&token, &at_key("x")), expected);
    }
}

#[test]
fn only_the_holder_resolves() {
    let mut key = Key::exclusive();
    key.lose("a", State::Absent, Expect::SomeObject);
    key.grant(&ask_to_create("b"));
    let before = key.slot.clone();
    let stranger = Token::new(&key.epoch.id, "a");
    assert_eq!(key.resolve(&stranger, &at_key("x")), Resolution::Nothing);
    assert_eq!(key.slot, before);
}

// === epochs ===

#[test]
fn a_token_of_another_epoch_does_nothing_even_with_the_same_nonce() {
    // F5
    let mut key = Key::exclusive();
    let old = key.grant(&ask_to_create("a")).token;
    key.begin_epoch();
    key.wait(LEASE + GRACE + SETTLE);
    key.grant(&ask_to_create("a"));
    let before = key.slot.clone();
    assert!(!key.release(&old, Some(State::Absent), false));
    assert!(!key.renew(&old));
    assert_eq!(key.arm(&old, State::Absent, Expect::Anything), ArmAnswer::Lost);
    assert!(!key.disarm(&old, &State::Absent));
    assert_eq!(key.slot, before);
    assert_eq!(key.commit(&old, present("x"), None), CommitAnswer::EpochChanged);
    assert!(key.slot.lease.as_ref().unwrap().tainted);
}

#[test]
fn an_armed_lease_that_the_register_forgot_is_reclaimed_while_nothing_is_granted() {
    let mut key = Key::exclusive();
    let old = key.grant(&ask("a")).token;
    key.begin_epoch();
    key.wait(LEASE + GRACE + SETTLE - 1);
    let answer = key.reclaim(&old, "again");
    let token = Token::new(&key.epoch.id, "again");
    let generation = Generation("e1.1".to_owned());
    assert_eq!(
        answer,
        ReclaimAnswer::Reclaimed { token: token.clone(), generation: generation.clone() }
    );

    // The quarantine is over, the lease is not.
    key.wait(1);
    let write_id = WriteId("reclaimed".to_owned());
    let free_in = ms(LEASE + GRACE + SETTLE - 1);
    let busy = Acquired::Busy { write_id: Some(write_id.clone()), free_in };
    assert_eq!(key.acquire(&ask("b")), busy);
    assert_eq!(key.observe().state, State::Unknown);
    let mut lost = key.clone();
    assert!(key.renew(&token));
    assert_eq!(key.commit(&token, present("x"), None), CommitAnswer::Committed);
    assert_eq!(key.observe().generation, Some(generation.clone()));
    let landed =
        Ending::Landed { state: present("x"), generation, headers: AnswerHeaders::default() };
    assert_eq!(
        key.acquire(&Ask { write_id: write_id.clone(), ..ask("c") }),
        Acquired::Ended(landed)
    );

    lost.wait(LEASE + GRACE + SETTLE - 1);
    let next = lost.grant(&ask_to_create("b"));
    assert_eq!(next.doubt.map(|doubt| doubt.write_id), Some(write_id));
    assert_eq!(lost.resolve(&next.token, &at_key("x")), Resolution::Landed, "pre was kept");
}

#[test]
fn a_lease_that_is_there_is_held_and_not_prolonged() {
    let mut key = Key::exclusive();
    let token = key.grant(&ask("a")).token;
    key.wait(LEASE / 2);
    let before = key.slot.clone();
    assert_eq!(key.reclaim(&token, "again"), ReclaimAnswer::Held);
    assert_eq!(key.slot, before);
}

#[test]
fn reclaimed_again_with_the_same_nonce_the_answer_is_the_same() {
    let mut key = Key::exclusive();
    let old = key.grant(&ask("a")).token;
    key.begin_epoch();
    let first = key.reclaim(&old, "again");
    let before = key.slot.clone();
    key.wait(LEASE + GRACE + SETTLE);
    assert!(matches!(first, ReclaimAnswer::Reclaimed { .. }));
    assert_eq!(key.reclaim(&old, "again"), first, "though the quarantine has passed");
    assert_eq!(key.reclaim(&Token::new(&key.epoch.id, "again"), "third"), ReclaimAnswer::Held);
    assert_eq!(key.slot, before);
}

#[test]
fn a_lease_that_is_over_is_not_reclaimed() {
    let mut begun = Key::exclusive();
    let old = begun.grant(&ask("a")).token;
    begun.begin_epoch();

    let mut after_quarantine = begun.clone();
    after_quarantine.wait(LEASE + GRACE + SETTLE);
    let mut somebody_elses = begun.clone();
    let other = Token("e0.other".to_owned());
    somebody_elses.reclaim(&other, "other");
    let mut ended = begun.clone();
    ended.reclaim(&old, "again");
    assert_eq!(
        ended.commit(&Token::new(&ended.epoch.id, "again"), present("x"), None),
        CommitAnswer::Committed
    );
    for (what, mut key) in [
        ("after the quarantine", after_quarantine),
        ("somebody else's", somebody_elses),
        ("a repetition that came late", ended.clone()),
    ] {
        let before = key.slot.clone();
        assert_eq!(key.reclaim(&old, "again"), ReclaimAnswer::TooLate, "{what}");
        assert_eq!(key.slot, before, "{what}");
    }
    let of_this_epoch = Token::new(&ended.epoch.id, "again");
    assert_eq!(ended.reclaim(&of_this_epoch, "third"), ReclaimAnswer::TooLate);

    let mut unarmed = Key::exclusive();
    let token = unarmed.grant(&ask_to_create("a")).token;
    assert_eq!(unarmed.reclaim(&token, "again"), ReclaimAnswer::TooLate, "never armed");
}

#[test]
fn a_new_epoch_knows_nothing() {
    let mut key = Key::exclusive();
    key.write("a", "x");
    key.begin_epoch();
    assert_eq!(key.observe(), key.seen(State::Unknown, None));
    key.wait(LEASE + GRACE + SETTLE);
    assert!(matches!(key.acquire(&ask("a")), Acquired::Granted(_)), "the journal is lost too");
}

// === generations ===

fn ask_by_generation(write: &str, Generation(generation): &Generation) -> Ask {
    Ask { preconditions: Preconditions::if_generation_match(generation.as_str()), ..ask(write) }
}

#[test]
fn a_generation_that_was_named_holds_until_something_is_written() {
    let mut key = Key::exclusive();
    let first = key.write("a", "x");
    assert_eq!(key.pin(), first);
    assert!(key.grant(&ask_by_generation("b", &first)).armed.is_some());
    let mut key = Key::exclusive();
    let first = key.write("a", "x");
    key.write("b", "x");
    let grant = key.grant(&ask_by_generation("c", &first));
    assert_eq!(grant.armed, None, "the same bytes again are another generation");
}

#[test]
fn a_key_without_a_record_is_given_a_generation_that_it_never_had() {
    let mut key = Key::exclusive();
    let before = key.pin();
    assert_eq!(key.pin(), before, "asked again it is the same");
    key.slot.record = Record::UNKNOWN;
    assert_ne!(key.pin(), before);
    let grant = key.grant(&ask_by_generation("a", &before));
    assert_eq!(grant.armed, None);
}

// === multipart uploads ===

/// A complete of this upload that must replace what is believed to be there.
fn ask_to_complete(write: &str, upload: &str, etag: &str) -> Ask {
    Ask {
        preconditions: Preconditions::if_match(ETag::parse(etag.as_bytes())),
        settle: Settle::Long,
        upload: Some(UploadName::of(upload)),
        ..ask(write)
    }
}

fn is_untouched(grant: &Grant) -> Option<bool> {
    let upload = grant.upload.as_ref()?;
    Some(upload.is_untouched(grant.generation.as_ref()))
}

#[test]
fn a_complete_goes_ahead_where_nothing_changed_since_its_upload_was_created() {
    let mut key = Key::exclusive();
    key.write("a", "x");
    key.create_upload("u");
    let grant = key.grant(&ask_to_complete("c", "u", "x"));
    assert!(grant.armed.is_some());
    assert_eq!(is_untouched(&grant), Some(true));
}

#[test]
fn equal_bytes_written_since_the_upload_was_created_are_a_change() {
    let mut key = Key::exclusive();
    key.write("a", "x");
    key.create_upload("u");
    key.write("b", "x");
    let grant = key.grant(&ask_to_complete("c", "u", "x"));
    assert_eq!(grant.armed, None, "a HEAD must find out, and the write be refused");
    assert_eq!(is_untouched(&grant), Some(false));
}

#[test]
fn a_write_under_way_while_the_upload_was_created_came_first() {
    let mut key = Key::exclusive();
    let token = key.grant(&ask("a")).token;
    key.create_upload("u");
    key.commit(&token, present("x"), None);
    assert_eq!(is_untouched(&key.grant(&ask_to_complete("c", "u", "x"))), Some(true));
}

#[test]
fn a_write_in_doubt_while_the_upload_was_created_came_first_if_it_landed() {
    let mut key = Key::exclusive();
    key.write("z", "z");
    key.grant(&ask("a"));
    key.wait(LEASE + GRACE + SETTLE);
    let token = key.grant(&ask_to_create("b")).token;
    assert!(key.release(&token, None, false));
    key.create_upload("u");
    let grant = key.grant(&ask_to_complete("c", "u", "x"));
    assert_eq!(grant.armed, None, "the doubt comes first");
    let (upload, doubt) = (grant.upload.unwrap(), grant.doubt.unwrap());
    assert!(upload.is_untouched(Some(&doubt.generation)), "it landed");
    assert!(upload.is_untouched(grant.generation.as_ref()), "it did not");
}

#[test]
fn an_upload_that_is_not_known_is_not_taken_for_untouched() {
    let mut key = Key::exclusive();
    key.write("a", "x");
    let grant = key.grant(&ask_to_complete("c", "u", "x"));
    assert_eq!((grant.armed, grant.upload), (None, None));
}

#[test]
fn what_was_observed_in_another_epoch_is_not_noted() {
    let mut key = Key::exclusive();
    key.write("a", "x");
    let before = key.observe();
    key.begin_epoch();
    assert!(!key.note_upload("u", &before));
    assert_eq!(key.slot.record.uploads, []);
}

#[test]
fn the_newest_uploads_are_kept_and_none_too_long() {
    let mut key = Key::exclusive();
    for number in 0..=UPLOADS_MAX {
        key.create_upload(&format!("{number}"));
    }
    let kept =
        |key: &Key| key.slot.record.uploads.iter().map(|u| u.name.clone()).collect::<Vec<_>>();
    assert_eq!(kept(&key).len(), UPLOADS_MAX);
    assert_eq!(kept(&key)[0], UploadName::of("1"), "the oldest had to go");
    key.create_upload("1");
    assert_eq!(kept(&key).len(), UPLOADS_MAX, "the same again is the same");
    key.wait(in_millis(UPLOAD_TTL) + 1);
    key.create_upload("late");
    assert_eq!(kept(&key), [UploadName::of("late")]);
}

// === whatever happens ===

/// What one of three writers may do next.
#[derive(Debug, Clone)]
enum Act {
    Acquire { write: u8, conditional: bool, again: bool },
    Arm,
    Renew,
    Commit { quiet: bool },
    Disarm,
    Release { refused: bool },
    Resolve { changed: bool },
    Reclaim,
    Wait(u64),
    BeginEpoch,
}

fn act() -> impl Strategy<Value = Act> {
    let waits =
        vec![1, LEASE - 1, LEASE, LEASE + GRACE, LEASE + GRACE + SETTLE, HORIZON, HORIZON + 1];
    let flag = any::<bool>;
    prop_oneof![
        8 => (0..24_u8, flag(), prop::bool::weighted(0.2))
            .prop_map(|(write, conditional, again)| Act::Acquire { write, conditional, again }),
        4 => Just(Act::Arm),
        2 => Just(Act::Renew),
        6 => prop::bool::weighted(0.2).prop_map(|quiet| Act::Commit { quiet }),
        1 => Just(Act::Disarm),
        2 => flag().prop_map(|refused| Act::Release { refused }),
        2 => flag().prop_map(|changed| Act::Resolve { changed }),
        5 => prop::sample::select(waits).prop_map(Act::Wait),
        3 => Just(Act::Reclaim),
        1 => Just(Act::BeginEpoch),
    ]
}

/// What a writer knows on its own: it goes by its own clock, started before it asked.
#[derive(Debug, Clone, Default)]
struct Writer {
    ask: Option<(Ask, Millis)>,
    token: Option<Token>,
    /// It takes the key for its own until then.
    holds_until: Millis,
    /// What it sent may land until then; zero when nothing was sent, or it was settled.
    lands_until: Millis,
}

#[derive(Debug)]
struct World {
    key: Key,
    writers: [Writer; 3],
    asked: u32,
    begun: Vec<Generation>,
    counted: Vec<Generation>,
}

impl World {
    fn armed(&mut self, who: usize, generation: Generation, since: Millis) {
        assert!(!self.begun.contains(&generation), "{generation} was begun twice");
        self.begun.push(generation);
        let writer = &mut self.writers[who];
        writer.holds_until = since + ms(LEASE);
        writer.lands_until = since + ms(LEASE + GRACE + SETTLE);
    }

    fn acquire(&mut self, who: usize, write: u8, conditional: bool, again: bool) {
        self.asked += 1;
        let fresh = Ask {
            nonce: format!("nonce {}", self.asked),
            preconditions: if conditional {
                Preconditions::IF_NONE_MATCH_ANY
            } else {
                Preconditions::NONE
            },
            ..ask(&format!("write {write}"))
        };
        let before = self.writers[who].ask.take().filter(|_| again);
        let (ask, since) = before.unwrap_or((fresh, self.key.now));
        let answer = self.key.acquire(&ask);
        self.writers[who].ask = Some((ask, since));
        let Acquired::Granted(grant) = answer else { return };
        let new = self.writers[who].token.replace(grant.token.clone()) != Some(grant.token);
        if new {
            let now = self.key.now;
            let pending = self.writers.iter().position(|writer| now < writer.lands_until);
            assert_eq!(pending, None, "{who} was granted while that one's write may land");
            self.writers[who].lands_until = Millis(0);
        }
        self.writers[who].holds_until = since + ms(LEASE);
        if let Some(generation) = grant.armed.filter(|_| new) {
            self.armed(who, generation, since);
        }
    }

    /// Reclaims as a holder may: what it sent may still land, and by its own clock no process can have
    /// taken the lease over.
    fn reclaim(&mut self, who: usize, token: &Token) {
        let now = self.key.now;
        if now >= self.writers[who].lands_until {
            return;
        }
        self.asked += 1;
        let nonce = format!("nonce {}", self.asked);
        if let ReclaimAnswer::Reclaimed { token, generation } = self.key.reclaim(token, &nonce) {
            self.writers[who].token = Some(token);
            self.armed(who, generation, now);
        }
    }

    fn act(&mut self, who: usize, act: &Act) {
        let Some(token) = self.writers[who].token.clone() else { return };
        let key = &mut self.key;
        let done = match act {
            Act::Arm => {
                let now = key.now;
                if let ArmAnswer::Armed(generation) =
                    key.arm(&token, State::Absent, Expect::SomeObject)
                {
                    self.armed(who, generation, now);
                }
                false
            }
            // By its own clock it may hold nothing any more: then it asks for nothing either.
            Act::Renew => {
                if key.now < self.writers[who].holds_until && key.renew(&token) {
                    let writer = &mut self.writers[who];
                    writer.holds_until = key.now + ms(LEASE);
                    if writer.lands_until > Millis(0) {
                        writer.lands_until = key.now + ms(LEASE + GRACE + SETTLE);
                    }
                }
                false
            }
            Act::Commit { quiet } => {
                let quiet = quiet.then_some(LEASE);
                let answer = key.commit(&token, present("x"), quiet);
                if answer == CommitAnswer::Committed {
                    let after = key.slot.clone();
                    assert_eq!(key.commit(&token, present("x"), quiet), CommitAnswer::Committed);
                    assert_eq!(key.slot, after, "a repeated commit changed something");
                }
                answer == CommitAnswer::Committed
            }
            Act::Disarm => key.disarm(&token, &State::Absent),
            Act::Release { refused } => {
                let armed = key.slot.lease.as_ref().is_some_and(|lease| lease.armed.is_some());
                let released = key.release(&token, None, *refused);
                assert!(!(armed && released), "an armed lease was released");
                released
            }
            Act::Resolve { changed } => {
                let head = if *changed { at_key("x") } else { Current::Absent };
                key.resolve(&token, &head);
                false
            }
            Act::Reclaim => {
                self.reclaim(who, &token);
                false
            }
            Act::Acquire { .. } | Act::Wait(_) | Act::BeginEpoch => false,
        };
        if done {
            let writer = &mut self.writers[who];
            (writer.holds_until, writer.lands_until) = (Millis(0), Millis(0));
        }
    }

    fn play(&mut self, who: usize, act: &Act) {
        match act {
            Act::Acquire { write, conditional, again } => {
                self.acquire(who, *write, *conditional, *again);
            }
            Act::Wait(millis) => self.key.wait(*millis),
            Act::BeginEpoch => self.key.begin_epoch(),
            act => self.act(who, act),
        }
        self.check();
    }

    fn check(&mut self) {
        let now = self.key.now;
        let holders = self.writers.iter().filter(|writer| now < writer.holds_until).count();
        assert!(holders <= 1, "{holders} hold the key");
        let record = &self.key.slot.record;
        assert!(record.journal.len() <= JOURNAL_ENTRIES_MAX);
        let Some(generation) = &record.generation else { return };
        if self.counted.last() != Some(generation) {
            assert!(!self.counted.contains(generation), "{generation} came back");
            self.counted.push(generation.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_the_promises_hold(
        exclusive in any::<bool>(),
        acts in prop::collection::vec((0..3_usize, act()), 1..80),
    ) {
        let writers = if exclusive { Writers::Exclusive } else { Writers::Shared };
        let mut world = World {
            key: Key::new(writers),
            writers: <[Writer; 3]>::default(),
            asked: 0,
            begun: Vec::new(),
            counted: Vec::new(),
        };
        for (who, act) in &acts {
            world.play(*who, act);
        }
    }
}

// === what is over ===

#[test]
fn a_lease_that_is_over_is_set_aside_and_its_doubt_is_kept() {
    let mut key = Key::exclusive();
    assert!(!key.set_aside(), "there is none");
    key.grant(&ask_to_create("unarmed"));
    let before = key.slot.record.clone();
    key.wait(LEASE - 1);
    assert!(!key.set_aside(), "it keeps others out");
    key.wait(1);
    assert!(key.set_aside());
    assert_eq!((&key.slot.lease, &key.slot.record), (&None, &before));

    let lost = key.lose("a", State::Absent, Expect::SomeObject);
    let mut asked = key.clone();
    assert!(key.set_aside() && !key.set_aside());
    assert_eq!((key.slot.lease.clone(), key.observe().pending), (None, Some(lost)));
    // The next process finds the same as without this step.
    let next = ask_to_create("b");
    assert_eq!(key.grant(&next), asked.grant(&next));
    assert_eq!(key.slot, asked.slot);
}

#[test]
fn a_landing_whose_lease_was_set_aside_is_recorded_unless_another_came_between() {
    let mut key = Key::exclusive();
    let grant = key.grant(&ask("a"));
    let (token, generation) = (grant.token, grant.armed.unwrap());
    key.wait(LEASE + GRACE + SETTLE);
    assert!(key.set_aside());
    let mut unnamed = key.clone();
    assert_eq!(unnamed.commit(&token, present("x"), None), CommitAnswer::Overtaken);
    let mut buried = key.clone();
    buried.write("b", "y");
    assert_eq!(buried.commit_known(&token, &generation), CommitAnswer::Overtaken);
    let mut held = key.clone();
    held.grant(&ask_to_create("b"));
    assert_eq!(held.commit_known(&token, &generation), CommitAnswer::Overtaken);

    for _ in 0..2 {
        assert_eq!(key.commit_known(&token, &generation), CommitAnswer::Committed);
        let seen = key.observe();
        assert_eq!((seen.state, seen.generation.as_ref()), (State::Unknown, Some(&generation)));
        assert_eq!(key.slot.record.doubt, None);
    }
    let landed =
        Ending::Landed { state: present("x"), generation, headers: AnswerHeaders::default() };
    let retry = Ask { nonce: "again".to_owned(), ..ask("a") };
    assert_eq!(key.acquire(&retry), Acquired::Ended(landed));
}
