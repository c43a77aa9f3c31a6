//! What may happen next, and what a state becomes when it does.

use crate::faults::Fault;
use crate::safeguards::Safeguard;
use crate::world::{GRACE, MARGIN, Scenario, Step, World};
use crate::writer::Move;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Time passes.
    Tick,
    /// A writer takes a step.
    Write(usize, Move),
    /// The store applies a copy.
    Land(usize),
    /// Something goes wrong.
    Suffer(Fault),
}

impl World {
    /// All that may happen next.
    pub(crate) fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        let mut actions = Vec::new();
        for index in 0..self.writers.len() {
            for step in self.moves(scenario, index) {
                actions.push(Action::Write(index, step));
            }
        }
        for (index, copy) in self.copies.iter().enumerate() {
            if self.may_land(scenario, copy) {
                actions.push(Action::Land(index));
            }
        }
        actions.extend(self.possible_faults(scenario).into_iter().map(Action::Suffer));
        if self.may_tick(scenario) {
            actions.push(Action::Tick);
        }
        actions
    }

    /// The state after an action.
    pub(crate) fn after(&self, scenario: &Scenario, action: Action) -> Self {
        let mut world = self.clone();
        match action {
            Action::Tick => world.tick(scenario),
            Action::Write(writer, step) => world.perform(scenario, writer, step),
            Action::Land(copy) => world.land(scenario, copy),
            Action::Suffer(fault) => world.suffer(scenario, fault),
        }
        world
    }

    fn tick(&mut self, scenario: &Scenario) {
        self.now += 1;
        self.stop_old_master();
        self.drop_what_is_settled(scenario);
        self.forget_what_was_replaced();
    }

    /// Time passes only when no process has to act before: a frozen one may act too late, by as much as
    /// the protocol tolerates where it promises anything about it.
    fn may_tick(&self, scenario: &Scenario) -> bool {
        let closes = !scenario.is_without(Safeguard::DeadlineClosesConnection);
        self.writers.iter().all(|writer| {
            let deadline = writer.held.as_ref().map_or(self.now, |held| held.deadline);
            let in_time = match (&writer.step, writer.frozen) {
                (Step::Idle | Step::Done | Step::Acquire, _) => true,
                (Step::Send | Step::SendAgain { .. }, true) => {
                    self.now < writer.checked + MARGIN + GRACE
                }
                (Step::Sending { .. }, _) if !closes => true,
                (Step::Sending { .. }, true) => self.now < deadline + GRACE,
                (Step::Sending { not_renewed, .. }, false) => self.now < deadline && !not_renewed,
                (_, frozen) => frozen,
            };
            in_time && !self.must_reclaim_now(scenario, writer)
        })
    }
}
