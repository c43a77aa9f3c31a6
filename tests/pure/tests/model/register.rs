//! The register: the production transitions on one server's memory. Where a safeguard is taken out,
//! its effect is undone here on what the transition has left behind.

use pure_rooms::register::record::{self, Slot};
use pure_rooms::register::waiters::Waiters;
use pure_rooms::register::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, Ending, Generation,
    Millis, Observation, ReclaimAnswer, ReclaimStep, ReleaseStep, Resolution, ResolveStep, Terms,
    Token, WriteId, Writers,
};

use crate::safeguards::Safeguard;
use crate::world::{Memory, Scenario};

/// One server, as this scenario has it.
pub(crate) struct Server<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) memory: &'a mut Memory,
    pub(crate) now: Millis,
}

impl Server<'_> {
    fn without(&self, safeguard: Safeguard) -> bool {
        self.scenario.is_without(safeguard)
    }

    fn terms(&self, believing_without: Safeguard) -> Terms {
        let mut terms = self.scenario.terms();
        if self.without(believing_without) {
            terms.writers = Writers::Exclusive;
        }
        terms
    }

    pub(crate) fn observe(&self) -> Observation {
        let Memory { epoch, slot } = &*self.memory;
        record::observe(epoch, slot, &self.scenario.terms(), self.now)
    }

    pub(crate) fn acquire(&mut self, ask: &Ask) -> Acquired {
        let terms = self.terms(Safeguard::SharedBelievesNothing);
        let mut ask = ask.clone();
        if self.without(Safeguard::OlderThanEpoch) {
            ask.age = std::time::Duration::ZERO;
        }
        if self.without(Safeguard::GivenUpIsNotDoneAgain) {
            ask.own_doubt = self.undetermined(&ask.write_id);
        }
        let before = self.memory.slot.clone();
        if self.without(Safeguard::WriteIdStoredFirst)
            && let Some(lease) = &mut self.memory.slot.lease
            && lease.token.as_ref() != Some(&Token::new(&self.memory.epoch.id, &ask.nonce))
        {
            lease.write_id = WriteId("nobody's".to_owned());
        }
        if self.without(Safeguard::JournalFirst) {
            self.memory.slot.record.journal.clear();
        }
        let Memory { epoch, slot } = &mut *self.memory;
        let mut answer = record::acquire(epoch, slot, &ask, &terms, self.now);
        // No law depends on the order of waiting: the order is lost at every step.
        slot.waiters = Waiters::default();
        if self.without(Safeguard::JournalFirst) {
            let journal = before.record.journal.clone();
            self.memory.slot.record.journal.splice(0..0, journal);
        }
        if matches!(answer, Acquired::Young(_)) && self.without(Safeguard::YoungUnknownWaits) {
            let terms = Terms { lag: std::time::Duration::ZERO, ..terms };
            self.memory.slot = before.clone();
            let Memory { epoch, slot } = &mut *self.memory;
            answer = record::acquire(epoch, slot, &ask, &terms, self.now);
            slot.waiters = Waiters::default();
        }
        if !matches!(answer, Acquired::Granted(_)) {
            self.memory.slot = before;
            return answer;
        }
        if self.without(Safeguard::TakeoverLeavesDoubt)
            && let Acquired::Granted(grant) = &mut answer
        {
            grant.doubt = None;
            self.memory.slot.record.doubt = None;
        }
        self.buried(&before);
        self.armed();
        self.limit_journal();
        answer
    }

    pub(crate) fn arm(&mut self, mut step: ArmStep<'_>) -> ArmAnswer {
        if self.without(Safeguard::OlderThanEpoch) {
            step.age = std::time::Duration::ZERO;
        }
        let terms = self.scenario.terms();
        let before = self.memory.slot.clone();
        let Memory { epoch, slot } = &mut *self.memory;
        let answer = record::arm(epoch, slot, step, &terms, self.now);
        self.buried(&before);
        self.armed();
        self.limit_journal();
        answer
    }

    pub(crate) fn reclaim(&mut self, step: &ReclaimStep<'_>) -> ReclaimAnswer {
        let terms = self.scenario.terms();
        let Memory { epoch, slot } = &mut *self.memory;
        let answer = record::reclaim(epoch, slot, step, &terms, self.now);
        self.limit_journal();
        answer
    }

    pub(crate) fn renew(&mut self, token: &Token) -> bool {
        record::renew(&mut self.memory.slot, token, &self.scenario.terms(), self.now)
    }

    pub(crate) fn commit(&mut self, mut step: CommitStep<'_>) -> CommitAnswer {
        if self.without(Safeguard::Quiet) {
            step.quiet = None;
        }
        let terms = self.scenario.terms();
        let before = self.memory.slot.clone();
        let Memory { epoch, slot } = &mut *self.memory;
        let answer = record::commit(epoch, slot, &step, &terms, self.now);
        if answer != CommitAnswer::Committed {
            if self.without(Safeguard::LateCommitEndsNoLease) {
                self.memory.slot.lease = None;
            }
            if self.without(Safeguard::LateCommitWritesNoState) {
                self.memory.slot.lease = before.lease;
                self.memory.slot.record.state = step.new;
            }
        }
        self.limit_journal();
        answer
    }

    pub(crate) fn disarm(&mut self, mut step: DisarmStep<'_>) -> bool {
        if self.without(Safeguard::StoreRefusalsJournalled) {
            step.refused = None;
        }
        let terms = self.scenario.terms();
        let Memory { epoch, slot } = &mut *self.memory;
        let disarmed = record::disarm(epoch, slot, &step, &terms, self.now);
        self.limit_journal();
        disarmed
    }

    pub(crate) fn release(&mut self, mut step: ReleaseStep<'_>) -> bool {
        if self.without(Safeguard::RefusalsJournalled) {
            step.refused = None;
        }
        let terms = self.scenario.terms();
        let Memory { epoch, slot } = &mut *self.memory;
        let released = record::release(epoch, slot, &step, &terms, self.now);
        if !released
            && self.without(Safeguard::LateReleaseWritesNothing)
            && let Some(learned) = step.learned
        {
            self.memory.slot.record.state = learned;
        }
        self.limit_journal();
        released
    }

    pub(crate) fn resolve(&mut self, step: &ResolveStep<'_>) -> Resolution {
        let terms = self.terms(Safeguard::ChangedProvesNothingIfShared);
        let before = self.memory.slot.clone();
        let slot = &mut self.memory.slot;
        let resolution = record::resolve(slot, step, &terms, self.now);
        if resolution == Resolution::Undetermined {
            if self.without(Safeguard::UndeterminedBurnsGeneration) {
                self.memory.slot.record.generation = before.record.generation;
            }
            if self.without(Safeguard::UndeterminedJournalled) {
                self.memory.slot.record.journal = before.record.journal;
            }
        }
        self.limit_journal();
        resolution
    }

    /// The generation of a line with an unknown outcome.
    fn undetermined(&self, write_id: &WriteId) -> Option<Generation> {
        let lines = &self.memory.slot.record.journal;
        lines.iter().find_map(|line| match &line.ending {
            Ending::Undetermined { generation } if line.write_id == *write_id => {
                Some(generation.clone())
            }
            _ => None,
        })
    }

    // === what is undone ===

    /// A doubt was buried by an arming, perhaps.
    fn buried(&mut self, before: &Slot) {
        let record = &mut self.memory.slot.record;
        if self.scenario.is_without(Safeguard::BuriedDoubtJournalled) {
            record.journal.retain(|entry| {
                let undetermined = matches!(entry.ending, Ending::Undetermined { .. });
                !undetermined || before.record.journal.contains(entry)
            });
        }
        if self.scenario.is_without(Safeguard::BuriedDoubtBurnsGeneration) {
            record.generation.clone_from(&before.record.generation);
        }
    }

    /// A lease was armed, perhaps.
    fn armed(&mut self) {
        if self.scenario.is_without(Safeguard::ArmedBeforeSending)
            && let Some(lease) = &mut self.memory.slot.lease
        {
            lease.armed = None;
        }
    }

    /// As production's limit of 32 lines, only smaller.
    fn limit_journal(&mut self) {
        let record = &mut self.memory.slot.record;
        let surplus = record.journal.len().saturating_sub(self.scenario.journal_lines);
        let dropped = record.journal.drain(..surplus).map(|entry| entry.at).max();
        if !self.scenario.is_without(Safeguard::JournalKnowsItForgot) {
            record.forgotten = record.forgotten.max(dropped);
        }
    }
}

/// The generation that a holder without doubt may rely on.
pub(crate) fn generation(slot: &Slot) -> Option<&Generation> {
    slot.record.generation.as_ref().filter(|_| slot.record.doubt.is_none())
}
