//! What is wrong now, and since when. Pure. Its names are those of the alerts in `ops/alerts.yml`, so
//! docs/operations.md has a paragraph about each.

use std::collections::BTreeMap;

use super::{Level, StandingAlarm, Status};
use crate::metrics::labels::Alarm;

/// Of a limit so much in use is told.
const NEAR_PERCENT: u64 = 90;

/// How long a line of the log that begins with ALARM stands, in seconds.
const LINE_STANDS_S: i64 = 60 * 60;

/// When a certificate that expires is told, and when it is urgent, in seconds before.
const EXPIRES_SOON_S: i64 = 14 * 24 * 60 * 60;
const EXPIRES_NOW_S: i64 = 3 * 24 * 60 * 60;

/// Since when each of the alarms has stood that stand now, by name and what it is about.
#[derive(Debug, Default)]
pub(crate) struct Since(BTreeMap<(&'static str, String), i64>);

impl Since {
    /// Dates alarms: those that stood before keep their time, the others begin now. Those that do not
    /// stand any more are forgotten.
    pub(crate) fn date(&mut self, alarms: &mut [StandingAlarm], now_s: i64) {
        let mut dated = BTreeMap::new();
        for alarm in alarms {
            let named = (alarm.name, alarm.about.clone());
            let began = self.0.get(&named).copied().unwrap_or(now_s);
            // Some know better when they began.
            alarm.since_s = alarm.since_s.min(began);
            dated.insert(named, alarm.since_s);
        }
        self.0 = dated;
    }
}

/// What is wrong by this status, the urgent first. The times are those of the status itself, where it
/// does not know better.
pub(crate) fn standing(status: &Status) -> Vec<StandingAlarm> {
    let mut all = Vec::new();
    register(status, &mut all);
    store(status, &mut all);
    lines(status, &mut all);
    writes(status, &mut all);
    limits(status, &mut all);
    certificates(status, &mut all);
    all.sort_by_key(|alarm| !alarm.critical);
    all
}

fn alarm(
    status: &Status,
    name: &'static str,
    about: &str,
    critical: bool,
    sentence: String,
) -> StandingAlarm {
    StandingAlarm { name, about: about.to_owned(), critical, since_s: status.now_s, sentence }
}

fn register(status: &Status, all: &mut Vec<StandingAlarm>) {
    let register = &status.register;
    if let Some(problem) = &register.problem {
        let sentence = format!("Writes are refused, reads go on: {problem}.");
        all.push(alarm(status, "IfmatchRegisterDown", "", true, sentence));
    } else if register.quarantine_s > 0.0 {
        let seconds = register.quarantine_s.ceil();
        let sentence =
            format!("The register grants no lease for another {seconds} s: writes wait.");
        all.push(alarm(status, "IfmatchQuarantine", "", false, sentence));
    }
}

fn store(status: &Status, all: &mut Vec<StandingAlarm>) {
    let store = &status.store;
    if !store.up {
        let sentence = format!("The last request did not reach the store ({}).", store.address);
        all.push(alarm(status, "IfmatchStoreDown", "", true, sentence));
    }
    if let Some(found) = &store.probe_at_start
        && let count @ 1.. = found.contradictions.len()
    {
        let settings = if count == 1 { "one setting" } else { "several settings" };
        let sentence = format!("The store contradicted {settings} when this process started.");
        let contradicts = alarm(status, "IfmatchStoreContradicts", "", true, sentence);
        all.push(StandingAlarm { since_s: found.ended_s, ..contradicts });
    }
    let none_up = store.nodes.iter().all(|node| node.state != "up");
    for node in store.nodes.iter().filter(|node| node.state != "up") {
        let sentence = format!("The node {} of the store gets no requests.", node.name);
        let found = alarm(status, "IfmatchNodeDown", &node.name, none_up, sentence);
        all.push(StandingAlarm { since_s: node.since_s, ..found });
    }
}

/// Lines of the log of the last hour.
fn lines(status: &Status, all: &mut Vec<StandingAlarm>) {
    for kind in Alarm::ALL {
        let which = kind.as_str();
        let (name, what) = match kind {
            Alarm::StoodStill => ("IfmatchStoodStill", "This process stood still during a write"),
            Alarm::Overtaken => {
                ("IfmatchOvertaken", "A write landed after its lease was taken over")
            }
            Alarm::ClockJumped => ("IfmatchClockJumped", "A clock of Redis has jumped"),
            Alarm::OtherRegister => ("IfmatchOtherRegister", "The store has another register"),
            Alarm::LagExceeded => {
                ("IfmatchLagExceeded", "The store lags by more than register.lag")
            }
        };
        let last_s = status.last_alarms_s.get(which);
        let Some(last_s) = last_s.filter(|last_s| status.now_s - *last_s <= LINE_STANDS_S) else {
            continue;
        };
        let count = status.alarms.get(which).copied().unwrap_or_default();
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let sentence = format!("{what}: {times} since the start. The log has a line with ALARM.");
        let found = alarm(status, name, which, true, sentence);
        all.push(StandingAlarm { since_s: *last_s, ..found });
    }
}

fn writes(status: &Status, all: &mut Vec<StandingAlarm>) {
    let left = status.writes.left_in_doubt.len();
    if status.doubts > 0 || left > 0 {
        let waiting = status.doubts;
        let sentence = format!(
            "Writes with an unknown outcome: {waiting} with a client that waits, {left} whose client \
             was told so."
        );
        all.push(alarm(status, "IfmatchDoubts", "", false, sentence));
    }
}

fn limits(status: &Status, all: &mut Vec<StandingAlarm>) {
    let is_near = |Level { now, limit }: Level| {
        limit.is_some_and(|limit| {
            limit > 0 && now.saturating_mul(100) >= limit.saturating_mul(NEAR_PERCENT)
        })
    };
    let told = |kind: &str, Level { now, limit }: Level| {
        format!("Of the limit for {kind} {now} of {} are in use.", limit.unwrap_or_default())
    };
    for (kind, level) in &status.in_flight {
        if is_near(*level) {
            all.push(alarm(status, "IfmatchNearLimit", kind, false, told(kind, *level)));
        }
    }
    let memory = status.body_memory_bytes;
    if is_near(memory) {
        let sentence = told("bodies in memory (bytes)", memory);
        all.push(alarm(status, "IfmatchNearLimit", "body.memory", false, sentence));
    }
    if is_near(status.spool_bytes) {
        let sentence = told("bodies on disk (bytes)", status.spool_bytes);
        all.push(alarm(status, "IfmatchSpoolFull", "", false, sentence));
    }
}

fn certificates(status: &Status, all: &mut Vec<StandingAlarm>) {
    for certificate in &status.certificates {
        let left_s = certificate.not_after_s - status.now_s;
        let (file, day) = (&certificate.file, &certificate.not_after);
        let sentence = if left_s < 0 {
            format!("The certificate in {file} has expired on {day}.")
        } else {
            format!("The certificate in {file} expires on {day}.")
        };
        let (name, critical) = if left_s < EXPIRES_NOW_S {
            ("IfmatchCertificateExpiresNow", true)
        } else if left_s < EXPIRES_SOON_S {
            ("IfmatchCertificateExpires", false)
        } else {
            continue;
        };
        all.push(alarm(status, name, file, critical, sentence));
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
