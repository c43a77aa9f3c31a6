//! The laws (docs/protocol.md#invariants), checked where they could break.

use pure_rooms::register::record;
use pure_rooms::register::{Acquired, Ask, Asker, Expect, Generation, Settle, WriteId, Writers};
use pure_rooms::s3::{Current, Preconditions, Seen, Shape};

use crate::register::generation;
use crate::world::{
    Author, Copy, FAILOVER_LAG, GRACE, LEASE, Reply, SETTLE_LONG, Scenario, Tick, World, ticks,
};

/// Does the condition hold for a key with this to be seen, of this generation?
pub(crate) fn holds(
    preconditions: &Preconditions,
    current: &Current,
    generation: Option<&Generation>,
) -> bool {
    let generation = generation.map(|generation| generation.0.as_str().into());
    preconditions.evaluate(&Seen { generation, ..Seen::from(current.clone()) }).is_ok()
}

/// L1, no lost update, and half of L4: a request is about to be applied.
pub(crate) fn lands(world: &mut World, scenario: &Scenario, copy: &Copy) {
    let index = world.writers[copy.writer].call;
    let preconditions = &scenario.calls[index].preconditions;
    let call = &world.calls[index];
    let told = call.told;
    let overwritten = call.overwritten;
    if matches!(told, Some(Reply::Refused | Reply::Conflict | Reply::StoreRefused)) {
        world.breaks("L4: a write lands although its client was told that it did not");
    }
    let object = world.object.clone();
    let changes_nothing = scenario.calls[index].leaves.is_none() && object.etag.is_none();
    if object.by == Author::Call(index) || changes_nothing {
        return;
    }
    // The race with a writer around the proxies that came after the judgement is not closed.
    let foreign_race = object.by == Author::Foreign && object.event > copy.saw.at;
    if object.by != Author::Foreign {
        if object.event > copy.event {
            world.breaks("L1: a write lands over one that was armed after it");
        }
        if told == Some(Reply::Success) {
            world.breaks("L1: a write that was acknowledged is applied again over another");
        }
    }
    if preconditions.is_empty() || foreign_race {
        return;
    }
    if overwritten {
        world.breaks("L1: a conditional write is applied twice, with another in between");
    }
    if object.event != copy.saw.version {
        world.breaks("L1: a conditional write lands over a version that it has not seen");
    }
    let by_etag = !matches!(preconditions.shape(), Shape::GenerationMatch(_));
    if by_etag && !holds(preconditions, &world.head(), None) {
        world.breaks("L1: a conditional write lands although its condition does not hold");
    }
}

/// L4: a client is told something.
pub(crate) fn told(world: &mut World, index: usize, reply: Reply) {
    let call = &world.calls[index];
    match reply {
        Reply::Success if !call.landed && !call.nothing_there => {
            world.breaks("L4: a client is told of a success that was none");
        }
        Reply::Refused | Reply::Conflict | Reply::StoreRefused if call.landed => {
            world.breaks("L4: a client is told that its write was refused, and it had landed");
        }
        Reply::Refused if !call.unsatisfied => {
            world.breaks("L4: a client is told that its condition failed, and it held always");
        }
        _ => {}
    }
}

/// A generation names one version: a holder that has nothing in doubt looks at both.
pub(crate) fn generation_is_seen(world: &mut World, scenario: &Scenario, on_old_master: bool) {
    if scenario.writers == Writers::Shared || !scenario.foreign.is_empty() || on_old_master {
        return;
    }
    let Some(generation) = generation(&world.register.slot).cloned() else { return };
    let version = world.object.event;
    if let Some((known, named)) = &world.generation
        && *known == generation
        && *named != version
    {
        world.breaks("generations: one generation named two versions");
    }
    world.generation = Some((generation, version));
}

/// When everything has died and time has passed, the key can be written again.
pub(crate) fn reopens(world: &mut World, scenario: &Scenario) {
    const LONG_ENOUGH: Tick = LEASE + GRACE + SETTLE_LONG + FAILOVER_LAG + 1;
    let mut memory = world.register.clone();
    let now = world.register_now() + ticks(LONG_ENOUGH);
    let ask = Ask {
        asker: Asker("probe".to_owned()),
        nonce: "probe".to_owned(),
        write_id: WriteId("probe".to_owned()),
        settle: Settle::Plain,
        age: ticks(0),
        preconditions: Preconditions::NONE,
        expect: Expect::SomeObject,
        upload: None,
        own_doubt: None,
    };
    let terms = scenario.terms();
    let answer = record::acquire(&mut memory.epoch, &mut memory.slot, &ask, &terms, now);
    if !matches!(&answer, Acquired::Granted(grant) if grant.armed.is_some()) {
        world.breaks(format!("liveness: the key stays shut: {answer:?}"));
    }
}
