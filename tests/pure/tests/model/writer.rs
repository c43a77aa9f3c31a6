//! One attempt of a call, as `gate/write.rs` performs it: acquire, judge, arm, send, conclude. The
//! functions have the names of those they follow.

use std::time::Duration;

use pure_rooms::register::types::in_millis;
use pure_rooms::register::{
    Acquired, AnswerHeaders, ArmAnswer, ArmStep, Ask, Asker, CommitStep, DisarmStep, Ending,
    Expect, Grant, Millis, ReclaimAnswer, ReclaimStep, ReleaseStep, Resolution, ResolveStep,
    Settle, State, Token, View, WriteId, Writers,
};
use pure_rooms::s3::{Current, Preconditions};

use crate::properties;
use crate::register::Server;
use crate::safeguards::Safeguard;
use crate::store::settle;
use crate::world::{
    Author, CallSpec, Copy, GRACE, HORIZON, Held, LEASE, MARGIN, Object, Reply, SETTLE, Saw,
    Scenario, Standing, Step, Then, Tick, World, Writer, current, ticks,
};

/// How a question to the register fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Answered,
    /// The step is done and its answer lost.
    AnswerLost,
    /// The step is not done.
    NotReached,
}

/// What a writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Start {
        early: bool,
    },
    /// By a HEAD that shows this: what stands at the key, or something older.
    Early(usize),
    Ask(Way),
    /// The answer was lost, and the register's client asks again under the same nonce.
    AskAgain,
    GiveUp,
    Head(usize),
    /// The record is young and decides.
    Recall,
    HeadFails,
    Resolve(Way),
    Release(Way),
    Arm(Way),
    Check,
    Disarm(Way),
    Send,
    CannotSend,
    Answer,
    Refusal,
    LoseAnswer,
    Resend,
    /// A delete is answered with an error.
    Fail,
    LookAgain(usize),
    SendAgain,
    Renew,
    Reclaim(Way),
    HangUp,
    EarlyEnd(usize),
    Commit(Way),
    Reply,
    StandBy(Way),
    /// Learns which server is the master now.
    Switch,
}

impl CallSpec {
    fn is_unconditional(&self) -> bool {
        self.preconditions == Preconditions::NONE
    }

    fn expect(&self) -> Expect {
        match self.leaves {
            Some(_) if self.carries_id => Expect::CarriesId,
            Some(_) => Expect::SomeObject,
            None => Expect::Absent,
        }
    }
}

impl Scenario {
    /// May this call's write be sent again after it was answered with an error?
    fn may_be_repeated(&self, call: usize) -> bool {
        let spec = &self.calls[call];
        spec.leaves.is_none() && (self.writers == Writers::Exclusive || spec.is_unconditional())
    }
}

fn write_id(call: usize) -> WriteId {
    WriteId(format!("call{call}"))
}

impl World {
    /// What a writer may do now.
    pub(crate) fn moves(&self, scenario: &Scenario, index: usize) -> Vec<Move> {
        let writer = &self.writers[index];
        let mut moves = Vec::new();
        let replies_may_be_lost = self.faults.lost_replies > 0;
        let ways = |build: fn(Way) -> Move| {
            let lost = [build(Way::AnswerLost), build(Way::NotReached)];
            let lost = lost.into_iter().filter(move |_| replies_may_be_lost);
            std::iter::once(build(Way::Answered)).chain(lost)
        };
        let heads = 0..=self.replaced.len();
        match &writer.step {
            Step::Idle if self.may_start(writer) => {
                moves.push(Move::Start { early: false });
                let spec = &scenario.calls[writer.call];
                if scenario.early_look && writer.attempt == 1 && !spec.is_unconditional() {
                    moves.push(Move::Start { early: true });
                }
            }
            Step::Idle | Step::Done => {}
            Step::Early => moves.extend(heads.map(Move::Early)),
            Step::Acquire => {
                moves.extend([Move::Ask(Way::Answered), Move::GiveUp]);
                if replies_may_be_lost {
                    moves.extend([Move::Ask(Way::AnswerLost), Move::AskAgain]);
                }
            }
            Step::Head if self.is_told_by_record(scenario, writer) => moves.push(Move::Recall),
            Step::Head => {
                moves.extend(heads.map(Move::Head));
                if self.faults.lost_answers > 0 {
                    moves.push(Move::HeadFails);
                }
            }
            Step::Resolve(..) => moves.extend(ways(Move::Resolve)),
            Step::Release { .. } => moves.extend(ways(Move::Release)),
            Step::Arm(_) => moves.extend(ways(Move::Arm)),
            Step::Check => moves.push(Move::Check),
            Step::Disarm(_) => moves.extend(ways(Move::Disarm)),
            Step::Send => {
                moves.push(Move::Send);
                if self.faults.lost_answers > 0 {
                    moves.push(Move::CannotSend);
                }
            }
            Step::Sending { first_copy, not_renewed } => {
                self.moves_while_sending(scenario, index, *first_copy, *not_renewed, &mut moves);
                if *not_renewed {
                    moves.extend(ways(Move::Reclaim));
                }
            }
            Step::LookAgain { .. } => moves.extend(heads.map(Move::LookAgain)),
            Step::SendAgain { .. } => moves.push(Move::SendAgain),
            Step::EarlyEnd => moves.extend(heads.map(Move::EarlyEnd)),
            Step::Landed { told, committed, .. } => {
                if !told {
                    moves.push(Move::Reply);
                }
                if !committed {
                    moves.extend(ways(Move::Commit));
                }
            }
        }
        if writer.stands_by.as_ref().is_some_and(|standing| self.now < standing.until) {
            moves.extend(ways(Move::StandBy));
        }
        if writer.on_old_master {
            moves.push(Move::Switch);
        }
        moves
    }

    fn moves_while_sending(
        &self,
        scenario: &Scenario,
        index: usize,
        first_copy: Option<Tick>,
        not_renewed: bool,
        moves: &mut Vec<Move>,
    ) {
        let Some(copy) = self.open_copy(index) else { return };
        let deadline = self.writers[index].held.as_ref().map_or(self.now, |held| held.deadline);
        if self.copies[copy].landed {
            moves.push(Move::Answer);
        } else if self.faults.refusals > 0 {
            moves.push(Move::Refusal);
        }
        if self.faults.lost_answers > 0 {
            moves.push(Move::LoseAnswer);
        }
        let long = scenario.calls[self.writers[index].call].class == Settle::Long;
        if self.faults.resends > 0 && first_copy.is_none() && !long {
            moves.push(Move::Resend);
        }
        if self.faults.errors > 0 && scenario.may_be_repeated(self.writers[index].call) {
            moves.push(Move::Fail);
        }
        if self.now < deadline && self.now + LEASE > deadline && !not_renewed {
            moves.push(Move::Renew);
        }
        if self.now >= deadline && !scenario.is_without(Safeguard::DeadlineClosesConnection) {
            moves.push(Move::HangUp);
        }
    }

    /// A client tries again when it was told nothing, or nothing definite.
    fn may_start(&self, writer: &Writer) -> bool {
        let call = &self.calls[writer.call];
        call.attempts + 1 == writer.attempt && matches!(call.told, None | Some(Reply::Unknown))
    }

    /// A writer takes a step.
    pub(crate) fn perform(&mut self, scenario: &Scenario, index: usize, step: Move) {
        self.writers[index].frozen = false;
        match step {
            Move::Start { early } => self.start(scenario, index, early),
            Move::Early(shown) => self.early_look(scenario, index, shown),
            Move::Ask(way) => self.acquire(scenario, index, way, false),
            Move::AskAgain => self.acquire(scenario, index, Way::AnswerLost, true),
            Move::GiveUp => self.give_up(scenario, index),
            Move::Head(shown) => self.judge_by_head(scenario, index, shown),
            Move::Recall => self.judge_by_record(scenario, index),
            Move::HeadFails => {
                self.faults.lost_answers -= 1;
                self.then_release(index, None, false, Then::Tell(Reply::Unknown));
            }
            Move::Resolve(way) => self.resolve(scenario, index, way),
            Move::Release(way) => self.release(scenario, index, way),
            Move::Arm(way) => self.arm(scenario, index, way),
            Move::Disarm(way) => self.disarm(scenario, index, way),
            Move::Check => self.check(scenario, index),
            Move::Send => self.send(index, false),
            Move::CannotSend => {
                self.faults.lost_answers -= 1;
                self.writers[index].step = Step::Disarm(Reply::Unknown);
            }
            Move::Answer => self.landed(scenario, index),
            Move::Refusal => self.refused_by_store(scenario, index),
            Move::LoseAnswer => {
                self.faults.lost_answers -= 1;
                self.doubt(scenario, index);
            }
            Move::Resend => self.resend(index),
            Move::Fail => self.fail(index),
            Move::LookAgain(shown) => self.look_again(scenario, index, shown),
            Move::SendAgain => self.send_again(index),
            Move::Renew => self.renew(scenario, index),
            Move::Reclaim(way) => self.reclaim(scenario, index, way),
            Move::HangUp => self.doubt(scenario, index),
            Move::EarlyEnd(shown) => self.early_end(scenario, index, shown),
            Move::Commit(way) => self.commit(scenario, index, way),
            Move::Reply => self.reply(scenario, index),
            Move::StandBy(way) => self.stand_by(scenario, index, way),
            Move::Switch => self.writers[index].on_old_master = false,
        }
    }

    fn server<'a>(&'a mut self, scenario: &'a Scenario, index: usize) -> Server<'a> {
        let now = Millis(self.now + self.clock_ahead);
        let old = self.old_master.as_mut().filter(|_| self.writers[index].on_old_master);
        let memory = match old {
            Some((memory, _)) => memory,
            None => &mut self.register,
        };
        Server { scenario, memory, now }
    }

    // === 2: the early look ===

    fn start(&mut self, scenario: &Scenario, index: usize, early: bool) {
        let (call, now) = (self.writers[index].call, self.now);
        self.calls[call].attempts += 1;
        self.watch_condition(scenario, call);
        let observed = self.server(scenario, index).observe();
        let satisfied = observed.satisfies(&scenario.calls[call].preconditions);
        let looked_at = early && !observed.leased && !satisfied;
        let young = !observed.young_for.is_zero();
        let writer = &mut self.writers[index];
        writer.arrived = now;
        writer.step = if looked_at && !young { Step::Early } else { Step::Acquire };
        if looked_at && young && observed.state.known().is_some() {
            self.tell(scenario, index, Reply::Refused);
        }
    }

    fn early_look(&mut self, scenario: &Scenario, index: usize, shown: usize) {
        let generation = self.server(scenario, index).observe().generation;
        let preconditions = &scenario.calls[self.writers[index].call].preconditions;
        let (seen, _) = self.head_shows(scenario, shown);
        if properties::holds(preconditions, &seen, generation.as_ref()) {
            self.writers[index].step = Step::Acquire;
        } else {
            self.tell(scenario, index, Reply::Refused);
        }
    }

    // === 4, 5: acquire ===

    fn ask(&self, scenario: &Scenario, index: usize) -> Ask {
        let writer = &self.writers[index];
        let spec = &scenario.calls[writer.call];
        Ask {
            asker: Asker(index.to_string()),
            nonce: format!("{index}-{}", writer.round),
            write_id: write_id(writer.call),
            settle: spec.class,
            age: ticks(self.now - writer.arrived),
            preconditions: spec.preconditions.clone(),
            expect: spec.expect(),
            upload: None,
            own_doubt: writer.own_doubt.clone(),
        }
    }

    fn acquire(&mut self, scenario: &Scenario, index: usize, way: Way, again: bool) {
        let ask = self.ask(scenario, index);
        let asked = *self.writers[index].asked.get_or_insert(self.now);
        let answer = self.server(scenario, index).acquire(&ask);
        if way == Way::AnswerLost {
            self.faults.lost_replies -= 1;
            if !again {
                self.tell(scenario, index, Reply::Unknown);
            }
            return;
        }
        match answer {
            Acquired::Ended(Ending::Landed { .. }) => self.tell(scenario, index, Reply::Success),
            Acquired::Ended(Ending::Refused { .. }) => self.tell(scenario, index, Reply::Refused),
            Acquired::Quarantine(_) | Acquired::Ended(Ending::Undetermined { .. }) => {
                self.tell(scenario, index, Reply::Unknown);
            }
            Acquired::Busy { .. } | Acquired::Young(_) => self.writers[index].asked = None,
            Acquired::Granted(grant) => self.granted(scenario, index, grant, asked),
        }
    }

    fn granted(&mut self, scenario: &Scenario, index: usize, grant: Grant, asked: Tick) {
        let saw = self.sees(scenario, index);
        let age = ticks(self.now - self.writers[index].arrived);
        let event = if grant.armed.is_some() { self.next_event() } else { 0 };
        if grant.armed.is_none() && grant.doubt.is_none() {
            properties::generation_is_seen(self, scenario, self.writers[index].on_old_master);
        }
        let writer = &mut self.writers[index];
        let spec = &scenario.calls[writer.call];
        writer.step = if grant.armed.is_some() {
            Step::Check
        } else if spec.is_unconditional() {
            Step::Arm(grant.state.clone())
        } else if scenario.is_without(Safeguard::HeadBeforeRefusal)
            && let Some(current) = grant.state.known()
            && !properties::holds(&spec.preconditions, &current, grant.generation.as_ref())
        {
            let learned = Some(grant.state.clone());
            Step::Release { learned, refused: false, then: Then::Tell(Reply::Refused) }
        } else {
            Step::Head
        };
        let after = |wait: Duration| self.now + in_millis(wait);
        writer.held = Some(Held {
            young_until: after(grant.young_for),
            pre_young_until: after(
                grant.doubt.as_ref().map_or(Duration::ZERO, |doubt| doubt.pre_young_for),
            ),
            token: grant.token,
            pre: grant.state,
            generation: grant.generation,
            armed: grant.armed,
            superseded: grant.superseded,
            seen_not_applied: false,
            doubt: grant.doubt,
            young_epoch: grant.epoch_age < ticks(HORIZON),
            outdated: age + ticks(1) > grant.epoch_age
                && !scenario.is_without(Safeguard::OlderThanEpoch),
            deadline: asked + LEASE,
            event,
            saw,
        });
    }

    /// What is remembered of the version that stands there now, as far as it can matter.
    fn sees(&self, scenario: &Scenario, index: usize) -> Saw {
        if scenario.calls[self.writers[index].call].is_unconditional() {
            return Saw::default();
        }
        let at = if scenario.foreign.is_empty() { 0 } else { self.events };
        Saw { version: self.object.event, at }
    }

    /// `lease_wait` is over.
    fn give_up(&mut self, scenario: &Scenario, index: usize) {
        let ask = self.ask(scenario, index);
        let mut peek = self.clone();
        let before = peek.server(scenario, index).memory.slot.clone();
        let leased = before.lease.as_ref().map(|lease| lease.write_id.clone());
        let doubted = before.record.doubt.as_ref().map(|doubt| doubt.write_id.clone());
        let holder = match peek.server(scenario, index).acquire(&ask) {
            Acquired::Busy { write_id, .. } => write_id,
            // The key may be kept for a process that has waited longer.
            Acquired::Granted(_) => leased.or(doubted),
            Acquired::Young(_) => return self.tell(scenario, index, Reply::Unknown),
            Acquired::Quarantine(_) | Acquired::Ended(_) => return,
        };
        let writer = &self.writers[index];
        let own = holder == Some(write_id(writer.call)) || writer.attempt >= 2;
        let own = own && !scenario.is_without(Safeguard::BusyByOwnIsUnknown);
        let unconditional = scenario.calls[writer.call].is_unconditional();
        let reply = if own || unconditional { Reply::Unknown } else { Reply::Conflict };
        self.tell(scenario, index, reply);
    }

    // === 6: judge ===

    fn held(&mut self, index: usize) -> &mut Held {
        self.writers[index].held.as_mut().expect("the step needs a lease")
    }

    /// Does the record decide, since a HEAD may show an older state?
    fn is_told_by_record(&self, scenario: &Scenario, writer: &Writer) -> bool {
        writer.held.as_ref().is_some_and(|held| {
            held.doubt.is_none()
                && self.now < held.young_until
                && !scenario.is_without(Safeguard::YoungRecordDecides)
        })
    }

    fn judge_by_record(&mut self, scenario: &Scenario, index: usize) {
        match self.held(index).pre.known() {
            Some(current) => self.judge(scenario, index, &current, None),
            None => self.then_release(index, None, false, Then::AskAgain),
        }
    }

    /// What a HEAD says, and the id of the write that left it, where it has left one.
    fn head_shows(&self, scenario: &Scenario, shown: usize) -> (Current, Option<WriteId>) {
        let object = self.shown(shown).unwrap_or(&self.object);
        (current(object.etag), id_on(scenario, object))
    }

    fn judge_by_head(&mut self, scenario: &Scenario, index: usize, shown: usize) {
        let (current, seen_id) = self.head_shows(scenario, shown);
        let version = self.shown(shown).map_or(0, |object| object.event);
        let saw = self.sees(scenario, index);
        let saw = if shown > 0 { Saw { version, ..saw } } else { saw };
        let now = self.now;
        let held = self.held(index);
        held.saw = saw;
        if held.doubt.is_some() {
            let view =
                if now >= held.young_until || scenario.is_without(Safeguard::DoubtWaitsForLag) {
                    View::Current
                } else if now >= held.pre_young_until {
                    View::SinceDoubt
                } else {
                    View::Older
                };
            self.writers[index].step = Step::Resolve(current, seen_id, view);
        } else {
            self.judge(scenario, index, &current, seen_id.as_ref());
        }
    }

    fn resolve(&mut self, scenario: &Scenario, index: usize, way: Way) {
        let Step::Resolve(current, seen_id, view) = self.writers[index].step.clone() else {
            return;
        };
        let held = self.held(index);
        let token = held.token.clone();
        let Some(doubted) = held.doubt.take() else { return };
        let own = doubted.write_id == write_id(self.writers[index].call);
        let mut resolution = Resolution::Nothing;
        if way != Way::NotReached {
            let step =
                ResolveStep { token: &token, head: &current, seen_id: seen_id.as_ref(), view };
            resolution = self.server(scenario, index).resolve(&step);
            if !matches!(resolution, Resolution::Nothing | Resolution::TooEarly) {
                properties::generation_is_seen(self, scenario, self.writers[index].on_old_master);
            }
        }
        if way != Way::Answered {
            self.faults.lost_replies -= 1;
            return self.tell(scenario, index, Reply::Unknown);
        }
        let nothing_proven = matches!(resolution, Resolution::TooEarly | Resolution::Nothing);
        if nothing_proven && view != View::Current {
            return self.then_release(index, None, false, Then::AskAgain);
        }
        if matches!(resolution, Resolution::Landed | Resolution::Undetermined) {
            self.held(index).generation = Some(doubted.generation);
        }
        let old = view != View::Current;
        if own && resolution != Resolution::DidNot {
            let landed = resolution == Resolution::Landed;
            let then = if landed { Then::AskAgain } else { Then::Tell(Reply::Unknown) };
            let learned = learned(scenario, &current).filter(|_| !old);
            return self.then_release(index, learned, false, then);
        }
        if old {
            return self.then_release(index, None, false, Then::AskAgain);
        }
        if own {
            self.writers[index].in_doubt = false;
        }
        self.judge(scenario, index, &current, seen_id.as_ref());
    }

    fn judge(
        &mut self,
        scenario: &Scenario,
        index: usize,
        current: &Current,
        seen_id: Option<&WriteId>,
    ) {
        let by_head = !self.is_told_by_record(scenario, &self.writers[index]);
        if seen_id == Some(&write_id(self.writers[index].call)) {
            let learned = learned(scenario, current);
            return self.then_release(index, learned, false, Then::Tell(Reply::Success));
        }
        self.held(index).seen_not_applied = by_head;
        let writer = &self.writers[index];
        let Some(held) = &writer.held else { return };
        let foreign =
            scenario.writers == Writers::Shared && held.pre != State::from(current.clone());
        let generation = held.generation.as_ref().filter(|_| !foreign);
        let learned = learned(scenario, current);
        if properties::holds(&scenario.calls[writer.call].preconditions, current, generation) {
            let pre = learned.unwrap_or_else(|| held.pre.clone());
            self.writers[index].step = Step::Arm(pre);
            return;
        }
        let retry = writer.attempt >= 2;
        let young = writer.held.as_ref().is_some_and(|held| held.young_epoch);
        if retry && young && !scenario.is_without(Safeguard::YoungEpochRefusesNoRetry) {
            return self.then_release(index, learned, false, Then::Tell(Reply::Unknown));
        }
        self.then_release(index, learned, retry, Then::Tell(Reply::Refused));
    }

    fn then_release(&mut self, index: usize, learned: Option<State>, refused: bool, then: Then) {
        self.writers[index].step = Step::Release { learned, refused, then };
    }

    // === 7: arm and send ===

    fn arm(&mut self, scenario: &Scenario, index: usize, way: Way) {
        let Step::Arm(pre) = self.writers[index].step.clone() else { return };
        if self.held(index).outdated {
            return self.then_release(index, None, false, Then::Tell(Reply::Unknown));
        }
        let (asked, arrived) = (self.now, self.writers[index].arrived);
        let expect = scenario.calls[self.writers[index].call].expect();
        let token = self.held(index).token.clone();
        let mut answer = ArmAnswer::Lost;
        if way != Way::NotReached {
            let age = ticks(asked - arrived);
            let step = ArmStep { token: &token, pre: pre.clone(), expect, age };
            answer = self.server(scenario, index).arm(step);
        }
        if way != Way::Answered {
            self.faults.lost_replies -= 1;
            return self.tell(scenario, index, Reply::Unknown);
        }
        match answer {
            ArmAnswer::Armed(generation) => {
                let event = self.next_event();
                let held = self.held(index);
                held.pre = pre;
                held.armed = Some(generation);
                held.deadline = asked + LEASE;
                held.event = event;
                self.writers[index].step = Step::Check;
            }
            ArmAnswer::Lost => self.tell(scenario, index, Reply::Unknown),
            ArmAnswer::OlderThanEpoch => {
                self.then_release(index, None, false, Then::Tell(Reply::Unknown));
            }
        }
    }

    fn check(&mut self, scenario: &Scenario, index: usize) {
        let (now, deadline, outdated) =
            (self.now, self.held(index).deadline, self.held(index).outdated);
        let late = now + MARGIN >= deadline && !scenario.is_without(Safeguard::Margin);
        let too_late = late || outdated;
        let writer = &mut self.writers[index];
        writer.checked = now;
        writer.step = if too_late { Step::Disarm(Reply::Unknown) } else { Step::Send };
    }

    fn send(&mut self, index: usize, second: bool) {
        let held = self.held(index);
        let (event, saw) = (held.event, held.saw);
        self.copies.push(Copy { writer: index, second, event, saw, ended: None, landed: false });
        if !second {
            self.writers[index].step = Step::Sending { first_copy: None, not_renewed: false };
        }
    }

    /// A pooled connection was dead: once more.
    fn resend(&mut self, index: usize) {
        self.faults.resends -= 1;
        let now = self.now;
        self.hang_up(index);
        self.send(index, true);
        if let Step::Sending { first_copy, .. } = &mut self.writers[index].step {
            *first_copy = Some(now);
        }
    }

    // === a delete that was answered with an error: `gate/repeat.rs` ===

    fn fail(&mut self, index: usize) {
        self.faults.errors -= 1;
        let Step::Sending { first_copy, .. } = self.writers[index].step else { return };
        self.hang_up(index);
        self.writers[index].step = Step::LookAgain { first_copy, answered: self.now };
    }

    fn look_again(&mut self, scenario: &Scenario, index: usize, shown: usize) {
        let Step::LookAgain { first_copy, answered } = self.writers[index].step else { return };
        let now = self.now;
        let (deadline, pre) = (self.held(index).deadline, self.held(index).pre.clone());
        let (seen, _) = self.head_shows(scenario, shown);
        let young =
            now < self.held(index).young_until && !scenario.is_without(Safeguard::GoneWaitsForLag);
        if seen == Current::Absent && !young && now < deadline {
            // The object is gone, and no other write removed it: the only copy has landed.
            let exclusive = scenario.writers == Writers::Exclusive;
            let landed = exclusive && first_copy.is_none() && matches!(pre, State::Present(_));
            let quiet = (!landed).then(|| SETTLE.saturating_sub(now - answered));
            let quiet = quiet.filter(|_| !scenario.is_without(Safeguard::QuietAfterGone));
            let new = State::Absent;
            self.writers[index].step = Step::Landed { new, quiet, told: false, committed: false };
        } else if first_copy.is_none() && now + MARGIN < deadline {
            self.writers[index].checked = now;
            self.writers[index].step = Step::SendAgain { first_copy: answered };
        } else {
            self.writers[index].step = Step::Sending { first_copy, not_renewed: false };
            self.doubt(scenario, index);
        }
    }

    fn send_again(&mut self, index: usize) {
        let Step::SendAgain { first_copy } = self.writers[index].step else { return };
        self.send(index, true);
        let first_copy = Some(first_copy);
        self.writers[index].step = Step::Sending { first_copy, not_renewed: false };
    }

    fn renew(&mut self, scenario: &Scenario, index: usize) {
        let asked = self.now;
        let token = self.held(index).token.clone();
        if self.server(scenario, index).renew(&token) {
            self.held(index).deadline = asked + LEASE;
        } else if let Step::Sending { not_renewed, .. } = &mut self.writers[index].step {
            *not_renewed = true;
        }
    }

    /// The register has forgotten the lease: a living holder puts it back, or hangs up.
    fn reclaim(&mut self, scenario: &Scenario, index: usize, way: Way) {
        let asked = self.now;
        let held = self.held(index);
        let (token, pre) = (held.token.clone(), held.pre.clone());
        let answer = self.put_back(scenario, index, &token, &pre, way);
        if way != Way::Answered {
            self.faults.lost_replies -= 1;
            return;
        }
        match answer {
            Some(ReclaimAnswer::Reclaimed { token, generation }) => {
                let held = self.held(index);
                held.token = token;
                held.armed = Some(generation);
                held.deadline = asked + LEASE;
                if let Step::Sending { not_renewed, .. } = &mut self.writers[index].step {
                    *not_renewed = false;
                }
            }
            Some(ReclaimAnswer::Held | ReclaimAnswer::TooLate) | None => {
                self.doubt(scenario, index);
            }
        }
    }

    fn put_back(
        &mut self,
        scenario: &Scenario,
        index: usize,
        token: &Token,
        pre: &State,
        way: Way,
    ) -> Option<ReclaimAnswer> {
        if scenario.is_without(Safeguard::Reclaim) || way == Way::NotReached {
            return None;
        }
        let call = self.writers[index].call;
        let spec = &scenario.calls[call];
        let nonce = format!("{index}-back-{}", self.epochs);
        let step = ReclaimStep {
            token,
            nonce: &nonce,
            write_id: &write_id(call),
            settle: spec.class,
            pre,
            expect: &spec.expect(),
        };
        Some(self.server(scenario, index).reclaim(&step))
    }

    // === 8: conclude ===

    fn doubt(&mut self, scenario: &Scenario, index: usize) {
        let Step::Sending { first_copy, .. } = self.writers[index].step else { return };
        self.hang_up(index);
        let now = self.now;
        let long = scenario.calls[self.writers[index].call].class == Settle::Long;
        let held = self.held(index).clone();
        let writer = &mut self.writers[index];
        writer.in_doubt = true;
        let superseded =
            held.superseded && !scenario.is_without(Safeguard::SupersededIsNotItsOwnRetry);
        writer.own_doubt = held.armed.clone().filter(|_| !superseded);
        if scenario.is_without(Safeguard::LostAnswerIsDoubt) {
            writer.step = Step::Disarm(Reply::Unknown);
            return;
        }
        if long {
            let until = held.deadline + GRACE + settle(Settle::Long);
            writer.stands_by = Some(Standing { token: held.token, pre: held.pre, until });
        }
        let one_copy = first_copy.is_none() || scenario.is_without(Safeguard::EarlyEndOfOneCopy);
        let anew = held.seen_not_applied || scenario.is_without(Safeguard::EarlyEndByANewId);
        let by_id = scenario.calls[writer.call].carries_id && anew;
        let proves = believes_changes(scenario) || by_id;
        if scenario.early_end && one_copy && proves && now < held.deadline {
            writer.step = Step::EarlyEnd;
        } else {
            self.ask_anew(scenario, index);
        }
    }

    /// Become one's own retry.
    fn ask_anew(&mut self, scenario: &Scenario, index: usize) {
        let writer = &mut self.writers[index];
        writer.round += 1;
        writer.asked = None;
        writer.held = None;
        writer.step = Step::Acquire;
        if writer.round >= scenario.rounds {
            self.tell(scenario, index, Reply::Unknown);
        }
    }

    /// What has landed cannot land again: a HEAD under the lease that proves it ends the wait.
    fn early_end(&mut self, scenario: &Scenario, index: usize, shown: usize) {
        let (now, (current, seen_id)) = (self.now, self.head_shows(scenario, shown));
        let held = self.held(index);
        let in_time = now < held.deadline || scenario.is_without(Safeguard::EarlyEndUnderLease);
        let old = now < held.young_until && !scenario.is_without(Safeguard::EarlyEndWaitsForLag);
        let changed = !old && held.pre.known().is_some_and(|pre| pre != current);
        let anew = held.seen_not_applied || scenario.is_without(Safeguard::EarlyEndByANewId);
        let new = State::from(current);
        let own = anew && seen_id == Some(write_id(self.writers[index].call));
        if in_time && (own || (changed && believes_changes(scenario))) {
            self.writers[index].stands_by = None;
            let landed = Step::Landed { new, quiet: None, told: false, committed: false };
            self.writers[index].step = landed;
        } else if in_time && scenario.is_without(Safeguard::EarlyEndOnlyOnProof) {
            self.writers[index].step = Step::Disarm(Reply::Unknown);
        } else {
            self.ask_anew(scenario, index);
        }
    }

    fn refused_by_store(&mut self, scenario: &Scenario, index: usize) {
        self.faults.refusals -= 1;
        let Step::Sending { first_copy, .. } = self.writers[index].step else { return };
        let definite =
            first_copy.is_none() || scenario.is_without(Safeguard::RefusalAfterResendIsDoubt);
        if let Some(copy) = self.open_copy(index) {
            self.copies.remove(copy);
        }
        if definite {
            self.writers[index].step = Step::Disarm(Reply::StoreRefused);
        } else {
            self.doubt(scenario, index);
        }
    }

    fn landed(&mut self, scenario: &Scenario, index: usize) {
        let Step::Sending { first_copy, .. } = self.writers[index].step else { return };
        self.hang_up(index);
        let spec = &scenario.calls[self.writers[index].call];
        let new = State::from(current(spec.leaves));
        let waited = |last_byte: Tick| self.now - last_byte;
        let quiet = first_copy.map(|copy| settle(spec.class).saturating_sub(waited(copy)));
        let quiet = quiet.filter(|_| !scenario.is_without(Safeguard::QuietAfterError));
        self.writers[index].step = Step::Landed { new, quiet, told: false, committed: false };
    }

    fn commit(&mut self, scenario: &Scenario, index: usize, way: Way) {
        let Step::Landed { new, quiet, told, .. } = self.writers[index].step.clone() else {
            return;
        };
        let token = self.held(index).token.clone();
        if way != Way::NotReached {
            let armed = self.held(index).armed.clone();
            let (generation, quiet) = (armed.as_ref(), quiet.map(ticks));
            let step = CommitStep {
                token: &token,
                generation,
                new: new.clone(),
                quiet,
                headers: &AnswerHeaders::default(),
                written: &pure_rooms::s3::listing::Written::default(),
            };
            self.server(scenario, index).commit(step);
        }
        if way != Way::Answered {
            self.faults.lost_replies -= 1;
        }
        // A lost answer is asked for again; a register that is not reached is given up on.
        let committed = way != Way::AnswerLost;
        self.writers[index].step = if committed && told {
            Step::Done
        } else {
            Step::Landed { new, quiet, told, committed }
        };
        if committed && told {
            self.end(index);
        }
    }

    fn reply(&mut self, scenario: &Scenario, index: usize) {
        let before = self.writers[index].step.clone();
        self.tell_only(scenario, index, Reply::Success);
        if let Step::Landed { new, quiet, committed, .. } = before {
            self.writers[index].step = Step::Landed { new, quiet, told: true, committed };
            if committed {
                self.end(index);
            }
        }
    }

    fn end(&mut self, index: usize) {
        let writer = &mut self.writers[index];
        writer.step = Step::Done;
        writer.held = None;
        writer.asked = None;
    }

    /// The client is told, where it still waits for this attempt.
    fn tell_only(&mut self, scenario: &Scenario, index: usize, reply: Reply) {
        let writer = &self.writers[index];
        let in_doubt = writer.in_doubt && !scenario.is_without(Safeguard::DoubtIsRemembered);
        let reply = if in_doubt && reply != Reply::Success { Reply::Unknown } else { reply };
        let call = writer.call;
        if writer.attempt == self.calls[call].attempts {
            self.calls[call].told = Some(reply);
            properties::told(self, call, reply);
        }
    }

    fn tell(&mut self, scenario: &Scenario, index: usize, reply: Reply) {
        self.tell_only(scenario, index, reply);
        self.end(index);
    }

    // === giving the lease back ===

    fn release(&mut self, scenario: &Scenario, index: usize, way: Way) {
        let Step::Release { learned, refused, then } = self.writers[index].step.clone() else {
            return;
        };
        let token = self.held(index).token.clone();
        let mut released = false;
        if way != Way::NotReached {
            let step = ReleaseStep { token: &token, learned, refused: refused.then_some("") };
            released = self.server(scenario, index).release(step);
        }
        if way != Way::Answered {
            self.faults.lost_replies -= 1;
            released = false;
        }
        match then {
            Then::Tell(Reply::Refused)
                if refused
                    && !released
                    && !scenario.is_without(Safeguard::RefusalNeedsItsJournal) =>
            {
                self.tell(scenario, index, Reply::Unknown);
            }
            Then::Tell(reply) => self.tell(scenario, index, reply),
            Then::AskAgain => self.ask_anew(scenario, index),
        }
    }

    fn disarm(&mut self, scenario: &Scenario, index: usize, way: Way) {
        let Step::Disarm(reply) = self.writers[index].step else { return };
        let held = self.held(index);
        let (token, pre, young) = (held.token.clone(), held.pre.clone(), held.young_epoch);
        let retry = self.writers[index].attempt >= 2;
        let young = young && !scenario.is_without(Safeguard::YoungEpochRefusesNoRetry);
        let sent_again = retry && reply == Reply::StoreRefused;
        let refused = sent_again && !young;
        let mut disarmed = false;
        if way != Way::NotReached {
            let step = DisarmStep { token: &token, pre: &pre, refused: refused.then_some("") };
            disarmed = self.server(scenario, index).disarm(step);
        }
        if way != Way::Answered {
            self.faults.lost_replies -= 1;
            disarmed = false;
        }
        let told = disarmed || scenario.is_without(Safeguard::RefusalNeedsItsJournal);
        let reply = if sent_again && (young || !told) { Reply::Unknown } else { reply };
        self.tell(scenario, index, reply);
    }

    // === standing by for a long write in doubt: `gate/reclaim.rs` ===

    fn stand_by(&mut self, scenario: &Scenario, index: usize, way: Way) {
        let Some(standing) = self.writers[index].stands_by.clone() else { return };
        let answer = self.put_back(scenario, index, &standing.token, &standing.pre, way);
        if way != Way::Answered {
            self.faults.lost_replies -= 1;
            return;
        }
        match answer {
            Some(ReclaimAnswer::Reclaimed { token, .. }) => {
                if let Some(standing) = &mut self.writers[index].stands_by {
                    standing.token = token;
                }
            }
            Some(ReclaimAnswer::TooLate) => self.writers[index].stands_by = None,
            Some(ReclaimAnswer::Held) | None => {}
        }
    }

    /// A process that keeps reclaiming acts in every quarantine.
    pub(crate) fn must_reclaim_now(&self, scenario: &Scenario, writer: &Writer) -> bool {
        if scenario.is_without(Safeguard::Reclaim) {
            return false;
        }
        let epoch = &self.register.epoch;
        let over = self.register_now() + ticks(1) >= epoch.quarantine_until;
        let now = self.register_now() < epoch.quarantine_until;
        writer.stands_by.as_ref().is_some_and(|standing| {
            now && over && self.now < standing.until && !standing.token.is_of(&epoch.id)
        })
    }
}

/// The id of the write that left this, where it has left one.
fn id_on(scenario: &Scenario, object: &Object) -> Option<WriteId> {
    let Author::Call(call) = object.by else { return None };
    let spec = &scenario.calls[call];
    (spec.carries_id && spec.leaves.is_some()).then(|| write_id(call))
}

/// Is "changed, so it was ours" said?
fn believes_changes(scenario: &Scenario) -> bool {
    scenario.writers == Writers::Exclusive
        || scenario.is_without(Safeguard::ChangedProvesNothingIfShared)
}

/// What a HEAD under the lease tells the register: nothing where others write.
fn learned(scenario: &Scenario, current: &Current) -> Option<State> {
    (scenario.writers == Writers::Exclusive).then(|| State::from(current.clone()))
}
