//! The store: an object, and requests on their way to it. It ignores conditions, like the worst of
//! them. What was sent may be applied at any time while its connection lives and for `settle`
//! after, or never.

use pure_rooms::register::Settle;
use pure_rooms::s3::Shape;

use crate::properties;
use crate::world::{Author, Copy, LAG, Object, SETTLE, SETTLE_LONG, Scenario, Tick, World};

/// How long after its connection a request of this class may still be applied.
pub(crate) const fn settle(class: Settle) -> Tick {
    match class {
        Settle::Plain => SETTLE,
        Settle::Long => SETTLE_LONG,
    }
}

impl World {
    pub(crate) fn may_land(&self, scenario: &Scenario, copy: &Copy) -> bool {
        let class = scenario.calls[self.writers[copy.writer].call].class;
        !copy.landed && copy.ended.is_none_or(|ended| self.now < ended + settle(class))
    }

    /// The store applies a request.
    pub(crate) fn land(&mut self, scenario: &Scenario, index: usize) {
        let copy = self.copies[index].clone();
        let call = self.writers[copy.writer].call;
        properties::lands(self, scenario, &copy);
        let leaves = scenario.calls[call].leaves;
        // A delete of what is not there changes nothing.
        if leaves.is_some() || self.object.etag.is_some() {
            self.stands_now(scenario, leaves, copy.event, Author::Call(call));
        }
        self.calls[call].landed = true;
        self.copies[index].landed = true;
        if copy.ended.is_some() {
            self.copies.remove(index);
        }
    }

    /// A writer goes around the proxies.
    pub(crate) fn foreign_write(&mut self, scenario: &Scenario) {
        let etag = scenario.foreign[self.foreign];
        self.foreign += 1;
        let event = self.next_event();
        self.stands_now(scenario, etag, event, Author::Foreign);
    }

    fn stands_now(
        &mut self,
        scenario: &Scenario,
        etag: Option<&'static str>,
        event: u32,
        by: Author,
    ) {
        if let Author::Call(former) = self.object.by
            && self.object.by != by
        {
            self.calls[former].overwritten = true;
        }
        let replaced = std::mem::replace(&mut self.object, Object { etag, event, by });
        if scenario.lags {
            self.replaced.push((replaced, self.now));
        }
        for call in 0..self.calls.len() {
            self.watch_condition(scenario, call);
        }
    }

    /// Notes whether a call's condition fails at this moment. That of a generation may fail although
    /// nothing has changed: the register may have forgotten it.
    pub(crate) fn watch_condition(&mut self, scenario: &Scenario, call: usize) {
        let preconditions = &scenario.calls[call].preconditions;
        let fails = matches!(preconditions.shape(), Shape::GenerationMatch(_))
            || !properties::holds(preconditions, &self.head(), None);
        if self.calls[call].attempts > 0 && fails {
            self.calls[call].unsatisfied = true;
        }
        let deletes = scenario.calls[call].leaves.is_none() && preconditions.is_empty();
        if self.calls[call].attempts > 0 && deletes && self.object.etag.is_none() {
            self.calls[call].nothing_there = true;
        }
    }

    /// The writer's open connection ends; what it carried may still land for a while.
    pub(crate) fn hang_up(&mut self, writer: usize) {
        let now = self.now;
        for copy in &mut self.copies {
            if copy.writer == writer && copy.ended.is_none() {
                copy.ended = Some(now);
            }
        }
        self.copies.retain(|copy| !(copy.landed && copy.ended.is_some()));
    }

    /// The copy whose connection is open.
    pub(crate) fn open_copy(&self, writer: usize) -> Option<usize> {
        self.copies.iter().position(|copy| copy.writer == writer && copy.ended.is_none())
    }

    /// The store shows what was replaced for no longer than it lags.
    pub(crate) fn forget_what_was_replaced(&mut self) {
        self.replaced.retain(|(_, at)| self.now < at + LAG);
    }

    /// What can land no more is gone.
    pub(crate) fn drop_what_is_settled(&mut self, scenario: &Scenario) {
        let copies = std::mem::take(&mut self.copies);
        self.copies = copies
            .into_iter()
            .filter(|copy| copy.ended.is_none() || self.may_land(scenario, copy))
            .collect();
    }
}
