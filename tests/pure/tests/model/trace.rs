//! A counterexample in sentences.

use std::fmt::Write as _;

use pure_rooms::register::{Settle, State};
use pure_rooms::s3::Shape;

use crate::actions::Action;
use crate::faults::Fault;
use crate::search::Breach;
use crate::world::{CallSpec, START, Scenario, Step, Then, World};
use crate::writer::{Move, Way};

/// Tells a breach from the beginning, one line for each thing that happens.
pub(crate) fn tell(scenario: &Scenario, breach: &Breach) -> String {
    let mut world = scenario.world();
    let mut story = String::new();
    let standing = scenario.object.unwrap_or("nothing");
    let _ = writeln!(story, "{}: {}", scenario.name, breach.law);
    let _ = writeln!(story, "  at the key stands {standing}; writers: {:?}", scenario.writers);
    for (index, call) in scenario.calls.iter().enumerate() {
        let _ = writeln!(story, "  {} = {}", letter(index), describe(call));
    }
    for action in &breach.actions {
        let after = world.after(scenario, *action);
        let _ =
            writeln!(story, "  {:>3}  {}", world.now - START, sentence(&world, *action, &after));
        world = after;
    }
    let _ = writeln!(story, "       BROKEN {}", breach.law);
    story
}

fn letter(call: usize) -> char {
    char::from(b'A' + u8::try_from(call).unwrap_or(25))
}

fn describe(call: &CallSpec) -> String {
    let what = call.leaves.map_or_else(|| "DELETE".to_owned(), |etag| format!("PUT {etag}"));
    let preconditions = match call.preconditions.shape() {
        Shape::None => String::new(),
        Shape::IfNoneMatchAny => " if there is nothing".to_owned(),
        Shape::IfMatchAny => " if there is something".to_owned(),
        Shape::IfMatch(etag) => format!(" if {etag}"),
        Shape::GenerationMatch(generation) => format!(" if generation {generation}"),
        Shape::Compound => " if more than that".to_owned(),
    };
    let class = if call.class == Settle::Long { ", which may take long" } else { "" };
    format!("{what}{preconditions}{class}; attempts: {}", call.attempts)
}

fn sentence(before: &World, action: Action, after: &World) -> String {
    match action {
        Action::Tick => "time passes".to_owned(),
        Action::Land(copy) => {
            let copy = &before.copies[copy];
            let which = if copy.second { "second copy" } else { "copy" };
            let late = if copy.ended.is_some() { ", late" } else { "" };
            let stands = after.object.etag.unwrap_or("nothing");
            format!("the {which} of {} lands{late}: now {stands}", name(before, copy.writer))
        }
        Action::Suffer(fault) => suffered(before, fault, after),
        Action::Write(writer, step) => {
            let mut text = format!("{} {}", name(before, writer), did(step));
            let next = &after.writers[writer];
            if next.step != before.writers[writer].step {
                let _ = write!(text, "; {}", goes_on(&next.step));
            }
            let call = before.writers[writer].call;
            if after.calls[call].told != before.calls[call].told {
                let _ = write!(text, "; its client is told {:?}", after.calls[call].told);
            }
            text
        }
    }
}

/// The call's letter and the attempt's number.
fn name(world: &World, writer: usize) -> String {
    let writer = &world.writers[writer];
    format!("{}{}", letter(writer.call), writer.attempt)
}

fn suffered(world: &World, fault: Fault, after: &World) -> String {
    match fault {
        Fault::Crash(writer) => format!("the process of {} dies", name(world, writer)),
        Fault::Freeze(writer) => format!("{} freezes", name(world, writer)),
        Fault::ClockJump => "the register's clock is set forward".to_owned(),
        Fault::Loss => "the register forgets everything".to_owned(),
        Fault::Snapshot => "a replica has got this far".to_owned(),
        Fault::SplitBrain => "a failover; the old master does not know it".to_owned(),
        Fault::Restart => "the only process dies and is started again".to_owned(),
        Fault::Survey => "a survey sets the lease aside, which is over".to_owned(),
        Fault::Eviction => "the register's record is evicted".to_owned(),
        Fault::Foreign => {
            format!("a writer around the proxies writes {}", after.object.etag.unwrap_or("nothing"))
        }
    }
}

fn did(step: Move) -> String {
    let (text, way) = match step {
        Move::Start { .. } => ("arrives", Way::Answered),
        Move::Early(0) => ("is looked at early, by a HEAD", Way::Answered),
        Move::Early(_) => {
            ("is looked at early, by a HEAD that shows an older state", Way::Answered)
        }
        Move::Ask(way) => ("asks for the lease", way),
        Move::AskAgain => ("asks for the lease, to ask again", Way::AnswerLost),
        Move::GiveUp => ("has waited long enough", Way::Answered),
        Move::Head(0) => ("asks the store by HEAD", Way::Answered),
        Move::Head(_) => ("asks the store by HEAD, which shows an older state", Way::Answered),
        Move::Recall => ("is judged by the record", Way::Answered),
        Move::HeadFails => ("gets no answer to its HEAD", Way::Answered),
        Move::Resolve(way) => ("resolves the doubt", way),
        Move::Release(way) => ("releases its lease", way),
        Move::Arm(way) => ("arms its lease", way),
        Move::Check => ("looks at its clock", Way::Answered),
        Move::Disarm(way) => ("disarms its lease", way),
        Move::Send => ("sends", Way::Answered),
        Move::CannotSend => ("cannot reach the store", Way::Answered),
        Move::Answer => ("has the store's answer: done", Way::Answered),
        Move::Refusal => ("has the store's answer: refused", Way::Answered),
        Move::LoseAnswer => ("gets no answer from the store", Way::Answered),
        Move::Resend => ("finds its connection dead and sends again", Way::Answered),
        Move::Renew => ("renews its lease", Way::Answered),
        Move::Reclaim(way) => ("reclaims its lease", way),
        Move::HangUp => ("hangs up at its deadline", Way::Answered),
        Move::Fail => ("has its delete answered with an error", Way::Answered),
        Move::LookAgain(0) => ("looks by HEAD whether it is done", Way::Answered),
        Move::LookAgain(_) => ("looks whether it is done, and sees an older state", Way::Answered),
        Move::SendAgain => ("sends its delete again", Way::Answered),
        Move::EarlyEnd(0) => ("looks by HEAD whether it has landed", Way::Answered),
        Move::EarlyEnd(_) => {
            ("looks whether it has landed, and sees an older state", Way::Answered)
        }
        Move::Commit(way) => ("commits", way),
        Move::Reply => ("replies", Way::Answered),
        Move::StandBy(way) => ("stands by and reclaims", way),
        Move::Switch => ("finds the new master", Way::Answered),
    };
    match way {
        Way::Answered => text.to_owned(),
        Way::AnswerLost => format!("{text} (done, and the answer is lost)"),
        Way::NotReached => format!("{text} (the register is not reached)"),
    }
}

fn goes_on(step: &Step) -> String {
    match step {
        Step::Release { learned, then, .. } => {
            let learned = match learned {
                Some(State::Present(etag)) => format!(" having seen {etag}"),
                Some(State::Absent) => " having seen nothing".to_owned(),
                Some(State::Unknown) | None => String::new(),
            };
            let then = match then {
                Then::Tell(reply) => format!("tell {reply:?}"),
                Then::AskAgain => "ask the journal".to_owned(),
            };
            format!("it is to release{learned} and {then}")
        }
        Step::Check => "the lease is armed".to_owned(),
        Step::Head => "it has the lease and must ask the store".to_owned(),
        Step::Arm(State::Present(etag)) => format!("it may write over {etag}"),
        Step::Arm(State::Absent) => "it may write where nothing is".to_owned(),
        Step::Arm(State::Unknown) => "it may write over anything".to_owned(),
        Step::Sending { .. } => "it is on its way".to_owned(),
        Step::Acquire => "it waits for the lease".to_owned(),
        Step::Done => "it is at its end".to_owned(),
        Step::Resolve(..) => "there is a doubt to resolve".to_owned(),
        other => format!("{other:?}"),
    }
}
