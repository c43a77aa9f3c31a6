//! The status of the process: one value, which `/status.json` shows to programs and the page to
//! people. [`gather`] fills it from what the process has in memory; it asks neither the store nor the
//! register.

pub(super) mod gather;
pub(super) mod history;
pub(super) mod keep;
pub(super) mod names;
pub(super) mod standing;
pub(super) mod watch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::at_start::FoundAtStart;

/// The status at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    pub(super) commit: &'static str,
    pub(super) pid: u32,
    pub(super) phase: &'static str,
    /// The time of this status, in seconds since 1970, as all that ends with `_s` and is no duration.
    pub(super) now_s: i64,
    pub(super) started_s: i64,
    pub(super) config_loaded_s: i64,
    pub(super) standing_alarms: Vec<StandingAlarm>,
    /// Lines of the log that begin with ALARM, by kind.
    pub(super) alarms: BTreeMap<&'static str, u64>,
    /// When there was such a line last, of those that there were.
    pub(super) last_alarms_s: BTreeMap<&'static str, i64>,
    pub(super) traffic: Traffic,
    pub(super) refusals: Vec<RefusalsBy>,
    pub(super) conditions: Vec<Conditions>,
    pub(super) replays: u64,
    pub(super) doubts_settled: BTreeMap<&'static str, u64>,
    /// Whether names of keys are shown, and not marks in their place.
    pub(super) key_names: bool,
    /// Whether names would be shown to somebody who tells the token.
    #[serde(skip)]
    pub(super) can_sign_in: bool,
    pub(super) hot_keys: HotKeys,
    pub(super) writes: Writes,
    /// Leases that this process holds.
    pub(super) leases: i64,
    pub(super) waiting_for_a_lease: i64,
    pub(super) doubts: i64,
    pub(super) register: Register,
    pub(super) store: Store,
    pub(super) in_flight: BTreeMap<&'static str, Level>,
    pub(super) body_memory_bytes: Level,
    pub(super) spool_bytes: Level,
    pub(super) certificates: Vec<Certificate>,
    pub(super) rules: Vec<Rule>,
    /// As `/config` shows it.
    pub(super) configuration: String,
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StandingAlarm {
    /// The name of its alert, which is also that of its paragraph in docs/operations.md.
    pub(super) name: &'static str,
    /// What it is about, where there may be several.
    pub(super) about: String,
    /// Whether somebody has to act at once.
    pub(super) critical: bool,
    pub(super) since_s: i64,
    pub(super) sentence: String,
}

/// What clients ask for, and how fast they get it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Traffic {
    /// The time that the rates are about, in seconds.
    pub(super) over_s: f64,
    pub(super) requests_per_s: f64,
    pub(super) refused_per_s: f64,
    pub(super) failed_per_s: f64,
    pub(super) request_bytes_per_s: f64,
    pub(super) response_bytes_per_s: f64,
    /// Requests of each of the last seconds, the latest last.
    pub(super) by_second: Vec<Second>,
    /// Since the start, by outcome as in the log.
    pub(super) requests: BTreeMap<&'static str, u64>,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    /// Of the last minute or two.
    pub(super) durations: Vec<Durations>,
}

/// The requests of one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Second {
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
}

/// How long requests took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Durations {
    pub(super) operation_class: &'static str,
    pub(super) requests: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// What one part has refused, since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RefusalsBy {
    pub(super) by: &'static str,
    pub(super) refusals: u64,
    pub(super) codes: BTreeMap<&'static str, u64>,
}

/// How often a condition was judged, since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Conditions {
    pub(super) kind: &'static str,
    pub(super) held: u64,
    pub(super) failed: u64,
}

/// The keys that were asked for most.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct HotKeys {
    /// The time that this is about, in seconds.
    pub(super) over_s: f64,
    /// Requests for keys in this time.
    pub(super) requests: u64,
    pub(super) keys: Vec<HotKey>,
}

/// A key that was asked for often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct HotKey {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) requests_at_least: u64,
    pub(super) requests_at_most: u64,
    pub(super) writes: u64,
    pub(super) refused: u64,
}

/// The guarded writes of this process.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Writes {
    /// How many are under way.
    pub(super) count: u64,
    /// The oldest of them.
    pub(super) under_way: Vec<WriteUnderWay>,
    /// Those that have ended, and that the next writer of their key may have to wait for.
    pub(super) left_in_doubt: Vec<LeftInDoubt>,
}

/// A guarded write under way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct WriteUnderWay {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) operation: &'static str,
    pub(super) age_s: f64,
    pub(super) waits_for: &'static str,
    /// The same in words.
    pub(super) waiting: &'static str,
    pub(super) waited_s: f64,
    pub(super) waits_at_most_s: Option<f64>,
    pub(super) has_lease: bool,
    pub(super) in_doubt: bool,
}

/// A write that has ended without anybody knowing whether it landed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct LeftInDoubt {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) operation: &'static str,
    pub(super) ended_ago_s: f64,
    /// After this time its key is free, at the latest.
    pub(super) free_in_s: f64,
}

/// The register, as of its last survey.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Register {
    pub(super) kind: &'static str,
    pub(super) usable: bool,
    pub(super) problem: Option<String>,
    pub(super) quarantine_s: f64,
    pub(super) leases_of_all_proxies: u64,
    pub(super) youngest_epoch_age_s: Option<f64>,
    /// The masters; none where it is in this process.
    pub(super) servers: Vec<Server>,
}

/// A server that holds a part of the register.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Server {
    #[serde(rename = "server")]
    pub(super) name: String,
    pub(super) quarantine_s: f64,
    pub(super) leases: u64,
}

/// The store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Store {
    /// Whether the last request reached it.
    pub(super) up: bool,
    /// Its addresses as configured.
    pub(super) address: String,
    /// Those that are checked.
    pub(super) nodes: Vec<Node>,
    /// What was found when the process began; nothing where it was not asked, or not yet.
    pub(super) probe_at_start: Option<FoundAtStart>,
}

/// A node of the store that is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Node {
    #[serde(rename = "node")]
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) since_s: i64,
    pub(super) requests: u64,
    pub(super) changes: u64,
}

/// How much of something there is, and how much there may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Level {
    pub(super) now: u64,
    pub(super) limit: Option<u64>,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Certificate {
    #[serde(rename = "use")]
    pub(super) used_for: &'static str,
    pub(super) file: String,
    pub(super) names: Vec<String>,
    pub(super) not_after: String,
    pub(super) not_after_s: i64,
}

/// A `[[rule]]`, with the values as they are written in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    pub(super) buckets: Vec<String>,
    pub(super) prefix: Option<String>,
    pub(super) mode: String,
    pub(super) consistency: String,
    pub(super) require: Option<String>,
    pub(super) allow_configuration: Vec<String>,
}
