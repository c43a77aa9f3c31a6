//! The steps as functions in Lua: one library, which Redis keeps loaded (Redis: Functions). It is
//! joined from files: the terms and the clock, then the prelude, the parts that steps share, and the
//! steps. A file may use what earlier ones define. The head of each file lists it (tested).

use sha2::{Digest, Sha256};

use super::format::{FORMAT, terms_in_lua};
use crate::register::Terms;

/// Reads Redis's `TIME`.
pub(super) const CLOCK: &str = include_str!("clock.lua");

/// The files after the clock, in their order.
const FILES: [&str; 20] = [
    include_str!("prelude.lua"),
    include_str!("key.lua"),
    include_str!("record.lua"),
    include_str!("waiters.lua"),
    include_str!("arming.lua"),
    include_str!("ending.lua"),
    include_str!("observe.lua"),
    include_str!("pin.lua"),
    include_str!("acquire.lua"),
    include_str!("arm.lua"),
    include_str!("reclaim.lua"),
    include_str!("renew.lua"),
    include_str!("commit.lua"),
    include_str!("disarm.lua"),
    include_str!("release.lua"),
    include_str!("resolve.lua"),
    include_str!("note_upload.lua"),
    include_str!("young_keys.lua"),
    include_str!("survey.lua"),
    include_str!("skip_quarantine.lua"),
];

/// One step of the protocol.
#[derive(Debug)]
pub(super) struct Step {
    /// Its name, for errors.
    pub name: &'static str,
    /// The name of its function in Redis.
    pub function: String,
}

/// All steps, for one set of terms.
#[derive(Debug)]
pub(super) struct Library {
    /// Its whole text, as `FUNCTION LOAD` takes it.
    pub text: String,
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
    pub young_keys: Step,
    pub survey: Step,
    pub skip_quarantine: Step,
}

impl Library {
    /// `clock` is Lua that defines `clock`: [`CLOCK`], except in tests, which set the time themselves
    /// and may have `more` functions.
    pub(super) fn new(terms: &Terms, is_cluster: bool, clock: &str, more: &str) -> Self {
        let code = [
            terms_in_lua(terms, is_cluster),
            without_comments(clock),
            without_comments(&FILES.concat()),
        ];
        let code = [&code.concat(), more].concat();
        // Every other text is another library, with other names: versions and terms live side by
        // side, and none replaces another's memory.
        let digest = hex::encode(&Sha256::digest(library_text("", &code))[..8]);
        let library = format!("ifmatch_{FORMAT}_{digest}");
        let step = |name| Step { name, function: function(&library, name) };
        Self {
            text: library_text(&library, &code),
            observe: step("observe"),
            pin: step("pin"),
            acquire: step("acquire"),
            arm: step("arm"),
            reclaim: step("reclaim"),
            renew: step("renew"),
            commit: step("commit"),
            disarm: step("disarm"),
            release: step("release"),
            resolve: step("resolve"),
            note_upload: step("note_upload"),
            young_keys: step("young_keys"),
            survey: step("survey"),
            skip_quarantine: step("skip_quarantine"),
        }
    }
}

/// The steps that are about a key, and those that are about a partition.
const OF_A_KEY: [&str; 11] = [
    "observe",
    "pin",
    "acquire",
    "arm",
    "reclaim",
    "renew",
    "commit",
    "disarm",
    "release",
    "resolve",
    "note_upload",
];
const OF_A_PARTITION: [&str; 2] = ["survey", "skip_quarantine"];

/// The step that is about many partitions, which begins each of them itself.
const OF_PARTITIONS: &str = "young_keys";

/// The text of a library with this name.
fn library_text(library: &str, code: &str) -> String {
    let of_a_key = OF_A_KEY.map(|step| registration(library, step, &[BEGIN, "read_key() "]));
    let of_a_partition = OF_A_PARTITION.map(|step| registration(library, step, &[BEGIN]));
    let of_partitions = registration(library, OF_PARTITIONS, &[]);
    let first = format!("#!lua name={library}\n");
    [&first, code, &of_a_key.concat(), &of_a_partition.concat(), &of_partitions].concat()
}

/// The name of a step's function in Redis.
fn function(library: &str, step: &str) -> String {
    format!("{library}_{step}")
}

/// Without the flag `no-writes`, Redis refuses the function on a replica, and on a master that has
/// lost its replicas, before it runs (Redis: Eval flags). When Redis is out of memory, it refuses
/// steps that store something new, and still runs those that end something. A server of a cluster
/// lets a function touch keys of several slots only with a flag. `before` is Lua that goes before the
/// step.
fn registration(library: &str, step: &str, before: &[&str]) -> String {
    let (function, before) = (function(library, step), before.concat());
    let flags = match step {
        "acquire" | "note_upload" | "pin" => "",
        OF_PARTITIONS => "'allow-oom', 'allow-cross-slot-keys'",
        _ => "'allow-oom'",
    };
    format!(
        "redis.register_function{{function_name = '{function}', flags = {{{flags}}}, \
         callback = function(KEYS, ARGV) {before}return {step}(KEYS, ARGV) end}}\n"
    )
}

const BEGIN: &str = "local refused = begin(KEYS, ARGV) if refused then return refused end ";

/// Removes comments: Redis keeps the text of every library.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests;
