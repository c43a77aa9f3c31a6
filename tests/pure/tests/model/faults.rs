//! What can go wrong, and how often within one run.

use std::time::Duration;

use pure_rooms::register::record::{self, Slot};
use pure_rooms::register::{Epoch, EpochId, Settle, Terms};

use crate::safeguards::Safeguard;
use crate::store::settle;
use crate::world::{FAILOVER_LAG, GRACE, LAG, Memory, SETTLE, Scenario, Step, Tick, World, ticks};

/// How often each fault may still happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A proxy dies.
    pub(crate) crashes: u8,
    /// A proxy freezes, or the register's clock is set forward: both use up the same tolerance.
    pub(crate) freezes: u8,
    /// Instead of a freeze, the register's clock may be set forward by `GRACE`.
    pub(crate) clock_jumps: u8,
    /// The register is asked and the question or the answer is lost.
    pub(crate) lost_replies: u8,
    /// The store does not answer: a cut, a timeout, a 5xx. Or it cannot be reached.
    pub(crate) lost_answers: u8,
    /// The store definitely refuses a write.
    pub(crate) refusals: u8,
    /// The store answers a delete with an error, whatever it does.
    pub(crate) errors: u8,
    /// A pooled connection is dead.
    pub(crate) resends: u8,
    /// The register forgets everything: restart, FLUSHALL, failover.
    pub(crate) losses: u8,
    /// A failover while the old master goes on for a while.
    pub(crate) split_brains: u8,
    /// The one process of an in-memory register dies with all its writes, and is started again.
    pub(crate) restarts: u8,
    /// A survey sets aside a lease that is over.
    pub(crate) surveys: u8,
    /// The key's record outlives its time, unless it holds what a retry or a doubt needs.
    pub(crate) evictions: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Crash(usize),
    Freeze(usize),
    ClockJump,
    Loss,
    /// A replica falls behind, or a file is written: what a later loss falls back on.
    Snapshot,
    SplitBrain,
    Restart,
    Eviction,
    Survey,
    Foreign,
}

impl World {
    /// The faults that may happen now.
    pub(crate) fn possible_faults(&self, scenario: &Scenario) -> Vec<Fault> {
        let left = &self.faults;
        let mut faults = Vec::new();
        for (index, writer) in self.writers.iter().enumerate() {
            let lives = writer.is_at_work() || writer.stands_by.is_some();
            if left.crashes > 0 && lives {
                faults.push(Fault::Crash(index));
            }
            let waits = matches!(writer.step, Step::Acquire);
            if left.freezes > 0 && writer.is_at_work() && !writer.frozen && !waits {
                faults.push(Fault::Freeze(index));
            }
        }
        let mut if_left = |left: u8, fault| {
            if left > 0 {
                faults.push(fault);
            }
        };
        if_left(left.clock_jumps, Fault::ClockJump);
        if_left(left.losses, Fault::Loss);
        if_left(left.split_brains, Fault::SplitBrain);
        if_left(left.restarts, Fault::Restart);
        if self.may_be_set_aside(scenario) {
            if_left(left.surveys, Fault::Survey);
        }
        if self.may_be_evicted(scenario) {
            if_left(left.evictions, Fault::Eviction);
        }
        let falls_back = scenario.is_without(Safeguard::EpochOfItsOwn)
            || scenario.is_without(Safeguard::NewEpochDistrusts);
        if falls_back && self.snapshot.is_none() {
            faults.push(Fault::Snapshot);
        }
        if self.foreign < scenario.foreign.len() {
            faults.push(Fault::Foreign);
        }
        faults
    }

    fn may_be_set_aside(&self, scenario: &Scenario) -> bool {
        let (now, slot) = (self.register_now(), &self.register.slot);
        slot.lease.is_some() && !record::is_leased(slot, &scenario.terms(), now)
    }

    fn may_be_evicted(&self, scenario: &Scenario) -> bool {
        let record = &self.register.slot.record;
        let empty = self.register.slot == Slot::default();
        let needed = !record.journal.is_empty() || record.doubt.is_some();
        !empty && (!needed || scenario.is_without(Safeguard::EvictionRefused))
    }

    pub(crate) fn suffer(&mut self, scenario: &Scenario, fault: Fault) {
        match fault {
            Fault::Crash(writer) => {
                self.faults.crashes -= 1;
                self.die(writer);
            }
            Fault::Freeze(writer) => {
                self.faults.freezes -= 1;
                self.writers[writer].frozen = true;
            }
            Fault::ClockJump => {
                self.faults.clock_jumps -= 1;
                self.clock_ahead += GRACE;
            }
            Fault::Loss => {
                self.faults.losses -= 1;
                self.begin_epoch(scenario, 0);
            }
            Fault::Snapshot => self.snapshot = Some(Box::new(self.register.clone())),
            Fault::SplitBrain => self.split_brain(scenario),
            Fault::Restart => self.restart(scenario),
            Fault::Eviction => self.evict(scenario),
            Fault::Survey => {
                self.faults.surveys -= 1;
                let (now, slot) = (self.register_now(), &mut self.register.slot);
                record::set_aside(slot, &scenario.terms(), now);
            }
            Fault::Foreign => self.foreign_write(scenario),
        }
    }

    fn die(&mut self, index: usize) {
        self.hang_up(index);
        let writer = &mut self.writers[index];
        writer.step = Step::Done;
        writer.held = None;
        writer.stands_by = None;
        writer.frozen = false;
    }

    /// The register has forgotten, and begins anew.
    fn begin_epoch(&mut self, scenario: &Scenario, lag: Tick) {
        if scenario.is_without(Safeguard::EpochOfItsOwn) {
            if let Some(snapshot) = self.snapshot.take() {
                self.register = *snapshot;
            }
            return;
        }
        let now = self.register_now();
        let id = EpochId(format!("e{}", self.epochs));
        self.epochs += 1;
        let terms = Terms { failover_lag: ticks(lag), ..scenario.terms() };
        let mut epoch = Epoch::begin(id, &terms, now);
        if scenario.is_without(Safeguard::Quarantine) {
            epoch.quarantine_until = now;
        }
        if scenario.is_without(Safeguard::QuarantineCoversLag) {
            let shorter = Terms { lag: Duration::ZERO, ..terms };
            epoch.quarantine_until = now + shorter.quarantine();
        }
        let mut slot = Slot::default();
        if scenario.is_without(Safeguard::NewEpochDistrusts)
            && let Some(snapshot) = self.snapshot.take()
        {
            slot.record.state = snapshot.slot.record.state;
        }
        self.register = Memory { epoch, slot };
    }

    fn split_brain(&mut self, scenario: &Scenario) {
        self.faults.split_brains -= 1;
        let old = self.register.clone();
        let covered = !scenario.is_without(Safeguard::QuarantineCoversFailover);
        self.begin_epoch(scenario, if covered { FAILOVER_LAG } else { 0 });
        self.old_master = Some((old, self.now + FAILOVER_LAG));
        for writer in &mut self.writers {
            writer.on_old_master = writer.is_at_work();
        }
    }

    /// The lock file of the in-memory register tells the next process how long to wait.
    fn restart(&mut self, scenario: &Scenario) {
        self.faults.restarts -= 1;
        let long = self
            .register
            .slot
            .lease
            .as_ref()
            .is_some_and(|lease| lease.armed.is_some() && lease.settle == Settle::Long);
        for writer in 0..self.writers.len() {
            if self.writers[writer].is_at_work() || self.writers[writer].stands_by.is_some() {
                self.die(writer);
            }
        }
        self.begin_epoch(scenario, 0);
        let wait = if long { settle(Settle::Long) } else { SETTLE };
        let wait = wait + if scenario.lags { LAG } else { 0 };
        if !scenario.is_without(Safeguard::Quarantine) {
            self.register.epoch.quarantine_until = self.register_now() + ticks(wait);
        }
    }

    fn evict(&mut self, scenario: &Scenario) {
        self.faults.evictions -= 1;
        let evicted = Slot::default();
        if scenario.is_without(Safeguard::EvictionRefused) {
            self.register.slot = evicted;
        } else {
            self.register.slot.record = evicted.record;
        }
    }

    /// The old master stops when its time is over.
    pub(crate) fn stop_old_master(&mut self) {
        if self.old_master.as_ref().is_some_and(|(_, stops)| self.now >= *stops) {
            self.old_master = None;
            for writer in &mut self.writers {
                writer.on_old_master = false;
            }
        }
    }
}
