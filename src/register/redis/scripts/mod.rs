//! The steps as Lua scripts. Each script is joined from files: the terms and the clock, then the
//! prelude, the parts that the step uses, and the step itself. Names defined in one file are free
//! variables in the following ones. The head of each file lists them (tested).

use redis::Script;

use super::format::terms_in_lua;
use crate::register::Terms;

/// Reads Redis's `TIME`.
pub(super) const CLOCK: &str = include_str!("clock.lua");

const PRELUDE: &str = include_str!("prelude.lua");
const LEASE: &str = include_str!("lease.lua");
const RECORD: &str = include_str!("record.lua");
const WAITERS: &str = include_str!("waiters.lua");
const ARMING: &str = include_str!("arming.lua");
const TAKING_OVER: &str = include_str!("taking_over.lua");
const OBSERVE: &str = include_str!("observe.lua");
const ENDING: &str = include_str!("ending.lua");

/// One step of the protocol.
#[derive(Debug)]
pub(super) struct Step {
    /// Its name, for errors.
    pub name: &'static str,
    /// Its whole text.
    pub text: String,
    /// The SHA-1 of the text, by which Redis finds a loaded script.
    pub sha: String,
}

/// All steps, for one set of terms.
#[derive(Debug)]
pub(super) struct Scripts {
    pub observe: Step,
    pub pin: Step,
    pub acquire: Step,
    pub arm: Step,
    pub reclaim: Step,
    pub renew: Step,
    pub commit: Step,
    pub disarm: Step,
    pub release: Step,
    pub resolve: Step,
    pub note_upload: Step,
    pub set_aside: Step,
    pub survey: Step,
    pub skip_quarantine: Step,
}

impl Scripts {
    /// `clock` is Lua that sets `now`: [`CLOCK`], except in tests, which set the time themselves.
    pub(super) fn new(terms: &Terms, clock: &str) -> Self {
        let step = |name, parts: &[&str], own| compose(name, terms, clock, parts, own);
        Self {
            observe: step("observe", &[LEASE, RECORD], OBSERVE),
            pin: step("pin", &[LEASE, RECORD, include_str!("pin.lua")], OBSERVE),
            acquire: step(
                "acquire",
                &[LEASE, RECORD, TAKING_OVER, ARMING, WAITERS],
                include_str!("acquire.lua"),
            ),
            arm: step("arm", &[LEASE, RECORD, ARMING], include_str!("arm.lua")),
            reclaim: step("reclaim", &[LEASE, RECORD, ARMING], include_str!("reclaim.lua")),
            renew: step("renew", &[LEASE], include_str!("renew.lua")),
            commit: step("commit", &[LEASE, RECORD], include_str!("commit.lua")),
            disarm: step("disarm", &[LEASE, RECORD, ENDING], include_str!("disarm.lua")),
            release: step("release", &[LEASE, RECORD, ENDING], include_str!("release.lua")),
            resolve: step("resolve", &[LEASE, RECORD], include_str!("resolve.lua")),
            note_upload: step("note_upload", &[LEASE, RECORD], include_str!("note_upload.lua")),
            set_aside: step(
                "set_aside",
                &[LEASE, RECORD, TAKING_OVER],
                include_str!("set_aside.lua"),
            ),
            survey: step("survey", &[LEASE], include_str!("survey.lua")),
            skip_quarantine: step("skip_quarantine", &[], include_str!("skip_quarantine.lua")),
        }
    }

    #[cfg(test)]
    fn all(&self) -> [&Step; 14] {
        [
            &self.observe,
            &self.pin,
            &self.acquire,
            &self.arm,
            &self.reclaim,
            &self.renew,
            &self.commit,
            &self.disarm,
            &self.release,
            &self.resolve,
            &self.note_upload,
            &self.set_aside,
            &self.survey,
            &self.skip_quarantine,
        ]
    }

    /// Lua that reads a key's lease, record and waiters, to be followed by a `return`.
    #[cfg(test)]
    pub(super) fn reading(terms: &Terms, clock: &str, own: &str) -> Step {
        compose("read", terms, clock, &[LEASE, RECORD, WAITERS], own)
    }
}

/// The first line makes Redis refuse the script on a replica, and on a master that has lost its
/// replicas, before it runs (Redis: Eval flags; `no-writes` would let it run there). When Redis is
/// out of memory, it refuses steps that store something new, and still runs those that end
/// something.
fn compose(name: &'static str, terms: &Terms, clock: &str, parts: &[&str], own: &str) -> Step {
    let begins = matches!(name, "acquire" | "note_upload" | "pin");
    let first = if begins { "#!lua\n" } else { "#!lua flags=allow-oom\n" };
    let code = without_comments(&[clock, PRELUDE, &parts.concat(), own].concat());
    let text = [first, &terms_in_lua(terms), &code].concat();
    let sha = Script::new(&text).get_hash().to_owned();
    Step { name, text, sha }
}

/// Removes comments: Redis keeps the text of every script.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests;
