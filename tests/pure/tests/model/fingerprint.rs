//! When two states are one: moments count from now and are forgotten when they can matter no
//! more; generations and events count by the order they stand in, not by their numbers.

use std::hash::{DefaultHasher, Hash, Hasher};

use pure_rooms::register::record::{Armed, Doubt, Lease};
use pure_rooms::register::types::Entry;
use pure_rooms::register::{Ending, Expect, Generation, Millis, Settle, Token};

use crate::store::settle;
use crate::world::{
    FIRST_GENERATION, GRACE, LAG, Memory, SETTLE_LONG, START, Step, Tick, World, ticks,
};

/// What tells a state from all others.
pub(crate) fn fingerprint(world: &World) -> u64 {
    let mut print = Print {
        hasher: DefaultHasher::new(),
        now: world.now,
        register_now: world.register_now().0,
        events: events(world),
        generations: Vec::new(),
        live_tokens: live_tokens(world),
    };
    print.world(world);
    print.hasher.finish()
}

struct Print<'a> {
    hasher: DefaultHasher,
    now: Tick,
    register_now: Tick,
    /// All events that can still be compared, in order.
    events: Vec<u32>,
    /// Generations in the order met.
    generations: Vec<&'a Generation>,
    live_tokens: Vec<&'a Token>,
}

/// Beyond this, a moment in the past is only past.
const LONG_AGO: Tick = SETTLE_LONG + 8;

fn events(world: &World) -> Vec<u32> {
    let mut events = vec![world.object.event];
    events.extend(world.replaced.iter().map(|(object, _)| object.event));
    events.extend(world.copies.iter().flat_map(|copy| [copy.event, copy.saw.version, copy.saw.at]));
    let held = world.writers.iter().filter_map(|writer| writer.held.as_ref());
    events.extend(held.flat_map(|held| [held.event, held.saw.version, held.saw.at]));
    events.extend(world.generation.iter().map(|(_, version)| *version));
    events.sort_unstable();
    events.dedup();
    events
}

fn live_tokens(world: &World) -> Vec<&Token> {
    let held = world.writers.iter().filter_map(|writer| writer.held.as_ref());
    let standing = world.writers.iter().filter_map(|writer| writer.stands_by.as_ref());
    held.map(|held| &held.token).chain(standing.map(|standing| &standing.token)).collect()
}

impl<'a> Print<'a> {
    fn put(&mut self, value: impl Hash) {
        value.hash(&mut self.hasher);
    }

    fn moment(&mut self, moment: Tick) {
        let ago = (self.now + LONG_AGO).saturating_sub(moment).min(2 * LONG_AGO);
        self.put(ago);
    }

    /// A moment of the register that matters only while it is to come.
    fn deadline(&mut self, moment: Millis) {
        self.put(moment.0.saturating_sub(self.register_now));
    }

    /// Until when a landing leaves the key young.
    fn young(&mut self, landing: Option<Millis>) {
        self.deadline(landing.map_or(Millis(0), |landing| landing + ticks(LAG)));
    }

    fn event(&mut self, event: u32) {
        let rank = self.events.binary_search(&event);
        self.put(rank.unwrap_or(usize::MAX));
    }

    fn generation(&mut self, generation: Option<&'a Generation>) {
        let rank = generation.map(|generation| {
            let known = self.generations.iter().position(|known| *known == generation);
            known.unwrap_or_else(|| {
                self.generations.push(generation);
                self.generations.len() - 1
            })
        });
        self.put(rank);
        // A condition may name the first one.
        self.put(generation.is_some_and(|generation| generation.0 == FIRST_GENERATION));
    }

    fn world(&mut self, world: &'a World) {
        self.memory(&world.register, world);
        if let Some((memory, stops)) = &world.old_master {
            self.put(1);
            self.memory(memory, world);
            self.moment(*stops);
        }
        if let Some(snapshot) = &world.snapshot {
            self.put(2);
            self.memory(snapshot, world);
        }
        self.put((world.object.etag, world.object.by, &world.faults, world.foreign));
        self.event(world.object.event);
        for (object, at) in &world.replaced {
            self.put((object.etag, object.by));
            self.event(object.event);
            self.moment(*at);
        }
        for call in &world.calls {
            self.put((call.attempts, call.told, call.landed, call.overwritten, call.unsatisfied));
            self.put(call.nothing_there);
        }
        self.copies(world);
        self.writers(world);
        self.put(world.generation.is_some());
        if let Some((generation, version)) = &world.generation {
            self.generation(Some(generation));
            self.event(*version);
        }
        self.put(world.broken.is_some());
    }

    fn copies(&mut self, world: &'a World) {
        for copy in &world.copies {
            self.put((copy.writer, copy.second, copy.landed, copy.ended.is_some()));
            self.moment(copy.ended.unwrap_or(START));
            self.event(copy.event);
            self.event(copy.saw.version);
            self.event(copy.saw.at);
        }
    }

    fn writers(&mut self, world: &'a World) {
        for writer in &world.writers {
            self.put((&writer.step, writer.frozen, writer.on_old_master));
            if !writer.is_at_work() && writer.stands_by.is_none() {
                continue;
            }
            self.put((writer.round, writer.in_doubt));
            self.generation(writer.own_doubt.as_ref());
            if writer.step == Step::Acquire {
                self.moment(writer.asked.unwrap_or(START));
            }
            if matches!(writer.step, Step::Send | Step::SendAgain { .. }) {
                self.moment(writer.checked);
            }
            let memory = &world.register;
            let since = memory.epoch.since.max(memory.slot.record.forgotten.unwrap_or_default());
            let arrived = writer.arrived + world.clock_ahead;
            self.put(since.0.cmp(&arrived));
            if world.faults.clock_jumps > 0 {
                self.put(since.0.saturating_sub(arrived));
            }
            let undetermined = |line: &&Entry| matches!(line.ending, Ending::Undetermined { .. });
            for line in memory.slot.record.journal.iter().filter(undetermined) {
                self.put(line.at.0 > arrived);
            }
            if let Some(held) = &writer.held {
                self.generation(held.armed.as_ref());
                self.put((&held.token, &held.pre));
                self.put((held.young_epoch, held.outdated, held.superseded, held.seen_not_applied));
                self.generation(held.generation.as_ref());
                self.put(held.young_until.saturating_sub(self.now));
                if let Some(doubt) = &held.doubt {
                    self.put(held.pre_young_until.saturating_sub(self.now));
                    self.put(&doubt.write_id);
                    self.generation(Some(&doubt.generation));
                }
                self.put((held.deadline + GRACE).saturating_sub(self.now));
                self.event(held.event);
                self.event(held.saw.version);
                self.event(held.saw.at);
            }
            if let Some(standing) = &writer.stands_by {
                self.put((&standing.token, &standing.pre));
                self.moment(standing.until);
            }
        }
    }

    fn memory(&mut self, memory: &'a Memory, world: &'a World) {
        let Memory { epoch, slot } = memory;
        let record = &slot.record;
        self.put((&epoch.id, epoch.since.0 > START - 1, world.epochs, record.forgotten.is_some()));
        self.deadline(epoch.quarantine_until);
        self.put(&record.state);
        self.generation(record.generation.as_ref());
        let last = record.last_token.as_ref().filter(|token| self.live_tokens.contains(token));
        self.put(last);
        if world.lags {
            self.young(record.landed_at);
        }
        if let Some(Doubt { write_id, armed, landed_by }) = &record.doubt {
            if world.lags {
                self.young(Some(*landed_by));
            }
            self.put(write_id);
            self.armed(armed);
        }
        for entry in &record.journal {
            self.put((&entry.write_id, std::mem::discriminant(&entry.ending)));
            if let Ending::Landed { state, .. } = &entry.ending {
                self.put(state);
            }
            if let Ending::Landed { generation, .. } | Ending::Undetermined { generation } =
                &entry.ending
            {
                self.generation(Some(generation));
            }
        }
        if let Some(lease) = &slot.lease {
            self.lease(lease);
        }
    }

    fn lease(&mut self, lease: &'a Lease) {
        self.put((&lease.token, &lease.write_id, lease.tainted, lease.settle == Settle::Long));
        self.put(lease.armed.is_some());
        let blocks_for = if lease.armed.is_some() { GRACE + settle(lease.settle) } else { 0 };
        self.deadline(lease.expires + ticks(blocks_for));
        self.deadline(lease.quiet_until);
        if let Some(armed) = &lease.armed {
            self.armed(armed);
        }
    }

    fn armed(&mut self, armed: &'a Armed) {
        self.put(&armed.pre);
        self.put(matches!(armed.expect, Expect::Absent));
        self.generation(Some(&armed.generation));
    }
}
