//! Gathers the status from what the process has in memory.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::names::{are_shown, shown};
use super::{
    Certificate, Conditions, HotKey, HotKeys, LeftInDoubt, Level, Node, RefusalsBy, Register, Rule,
    Server, Status, Store, WriteUnderWay, Writes,
};
use crate::admin::Admin;
use crate::clock;
use crate::config;
use crate::metrics::Metrics;
use crate::metrics::labels::{Outcome, Verdict};
use crate::metrics::levels::{self, InFlight, NodeLevel};
use crate::present::hot_keys::Hottest;
use crate::present::writes::{self, Look, Shown};
use crate::register::RegisterServer;
use crate::tls::InUse;

/// How many keys and how many writes are shown.
const KEYS_MAX: usize = 20;
const WRITES_MAX: usize = 50;

/// The status at this moment. `told`: whoever asks has told the token.
pub(in crate::admin) async fn status(admin: &Admin, told: bool) -> Status {
    let names = are_shown(admin.shown.key_names, told);
    // A reload may keep these waiting; the rest is of one moment.
    let rules = admin.commands.reloader.rules().await.iter().map(rule).collect();
    let configuration = admin.commands.reloader.description().await;
    let (metrics, now) = (&admin.metrics, Instant::now().into_std());
    let mut status = Status {
        version: admin.build.version,
        commit: admin.build.commit,
        pid: std::process::id(),
        phase: admin.life.phase().as_str(),
        now_s: clock::unix_seconds(),
        started_s: admin.started_s,
        config_loaded_s: metrics.config_loaded_s.get(),
        traffic: admin.watch.0.traffic(metrics),
        refusals: refusals(metrics),
        conditions: judged(metrics),
        replays: metrics.replays.get(),
        doubts_settled: metrics.doubts_settled.counts().collect(),
        key_names: names,
        can_sign_in: admin.token.is_some() && are_shown(admin.shown.key_names, true),
        leases: metrics.leases.get(),
        waiting_for_a_lease: metrics.gate_waiting.get(),
        rules,
        configuration,
        ..Status::default()
    };
    status.traffic.requests = requests(metrics);
    status.traffic.request_bytes = metrics.request_bytes.get();
    status.traffic.response_bytes = metrics.response_bytes.get();
    if let Some(hot) = &admin.present.hot_keys {
        status.hot_keys = hot_keys(hot.top(KEYS_MAX, now), names);
    }
    conditions(admin, &mut status);
    // With the same marks for names as hot keys have, unless names may be seen.
    let under_way = status.writes.under_way.iter_mut().map(|of| (&of.bucket, &mut of.key));
    let left = status.writes.left_in_doubt.iter_mut().map(|of| (&of.bucket, &mut of.key));
    for (bucket, key) in under_way.chain(left) {
        let hot_keys = admin.present.hot_keys.as_ref();
        let mark = hot_keys.map_or(0, |hot_keys| hot_keys.mark((bucket, key)));
        *key = shown(std::mem::take(key), mark, names);
    }
    admin.watch.0.date(&mut status);
    status
}

/// The parts from which follows what is wrong now, with the names of keys.
pub(super) fn conditions(admin: &Admin, status: &mut Status) {
    let (metrics, levels, now) = (&admin.metrics, &admin.levels, Instant::now());
    status.alarms = metrics.alarms.counts().collect();
    status.doubts = metrics.doubts.get();
    status.writes =
        under_way(admin.present.writes.look(WRITES_MAX, now.into_std()), now.into_std());
    status.register = register(admin, now);
    status.store = Store {
        up: metrics.backend_up.get() == 1,
        address: admin.shown.store.clone(),
        nodes: levels.nodes().into_iter().map(node).collect(),
        probe_at_start: admin.at_start.get().cloned(),
    };
    let kinds = InFlight::ALL.iter();
    status.in_flight = kinds.map(|kind| (kind.as_str(), level(levels.in_flight(*kind)))).collect();
    status.body_memory_bytes = level(levels.body_memory());
    status.spool_bytes = level(levels.spool());
    status.certificates = admin.certificates.certificates().into_iter().map(certificate).collect();
}

fn register(admin: &Admin, now: Instant) -> Register {
    let known = admin.standing.levels(now);
    let server = |server: RegisterServer| Server {
        name: server.name,
        quarantine_s: server.quarantine.as_secs_f64(),
        leases: server.leases as u64,
    };
    Register {
        kind: admin.shown.register,
        usable: known.usable,
        problem: admin.standing.quarantine(now).err().map(|error| error.to_string()),
        quarantine_s: known.quarantine.as_secs_f64(),
        leases_of_all_proxies: known.leases,
        youngest_epoch_age_s: known.epoch_age.map(|age| age.as_secs_f64()),
        servers: admin.standing.servers().into_iter().map(server).collect(),
    }
}

fn hot_keys(hottest: Hottest, names: bool) -> HotKeys {
    let key = |key: crate::present::hot_keys::HotKey| HotKey {
        bucket: key.bucket,
        key: shown(key.key, key.mark, names),
        requests_at_least: key.at_least,
        requests_at_most: key.at_most,
        writes: key.writes,
        refused: key.refused,
    };
    HotKeys {
        over_s: hottest.over.as_secs_f64(),
        requests: hottest.requests,
        keys: hottest.keys.into_iter().map(key).collect(),
    }
}

fn under_way(look: Look, now: std::time::Instant) -> Writes {
    let write = |write: Shown| WriteUnderWay {
        bucket: write.bucket,
        key: write.key,
        operation: write.operation,
        age_s: write.age.as_secs_f64(),
        waits_for: write.waits_for.as_str(),
        waiting: write.waits_for.in_words(),
        waited_s: write.waits_since.as_secs_f64(),
        waits_at_most_s: write.waits_left.map(|left| left.as_secs_f64()),
        has_lease: write.has_lease,
        in_doubt: write.in_doubt,
    };
    let left = |left: writes::LeftInDoubt| LeftInDoubt {
        bucket: left.bucket,
        key: left.key,
        operation: left.operation,
        ended_ago_s: now.saturating_duration_since(left.ended).as_secs_f64(),
        free_in_s: left.free.saturating_duration_since(now).as_secs_f64(),
    };
    Writes {
        count: look.count as u64,
        under_way: look.under_way.into_iter().map(write).collect(),
        left_in_doubt: look.left_in_doubt.into_iter().map(left).collect(),
    }
}

fn refusals(metrics: &Metrics) -> Vec<RefusalsBy> {
    let mut all: Vec<RefusalsBy> = Vec::new();
    for (by, code, count) in metrics.refusals.counts() {
        // Those of one part follow each other.
        if all.last().is_none_or(|last| last.by != by) {
            all.push(RefusalsBy { by, refusals: 0, codes: BTreeMap::new() });
        }
        if let Some(last) = all.last_mut() {
            last.refusals += count;
            last.codes.insert(code, count);
        }
    }
    all
}

fn judged(metrics: &Metrics) -> Vec<Conditions> {
    let (held, failed) =
        (metrics.conditions.of(Verdict::Held), metrics.conditions.of(Verdict::Failed));
    let all = held.zip(failed).map(|((kind, held), (_, failed))| Conditions { kind, held, failed });
    all.filter(|Conditions { held, failed, .. }| held + failed > 0).collect()
}

/// By outcome, of those that there were.
fn requests(metrics: &Metrics) -> BTreeMap<&'static str, u64> {
    let all = Outcome::ALL.iter();
    let all = all.map(|outcome| (outcome.as_str(), metrics.requests.total(*outcome)));
    all.filter(|(_, count)| *count > 0).collect()
}

fn certificate(InUse { used_for, certificate }: InUse) -> Certificate {
    Certificate {
        used_for: used_for.as_str(),
        file: certificate.file.display().to_string(),
        not_after: certificate.expires_on(),
        not_after_s: certificate.not_after,
        names: certificate.names,
    }
}

fn level(levels::Level { now, limit }: levels::Level) -> Level {
    Level { now, limit }
}

fn node(NodeLevel { node, up, unchanged, requests, changes }: NodeLevel) -> Node {
    let state = if up { "up" } else { "down" };
    let since_s = clock::unix_seconds() - i64::try_from(unchanged.as_secs()).unwrap_or(0);
    Node { name: node, state, since_s, requests, changes }
}

/// A rule as it is written in the file.
fn rule(rule: &config::Rule) -> Rule {
    // Both have the same fields, and a rule is a table of texts and lists of them: the test reads one.
    serde_json::to_value(rule).and_then(serde_json::from_value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BucketPattern, Buckets, Consistency, Require, RuleMode};
    use crate::metrics::labels::{ErrorCode, RefusedBy};
    use crate::s3::Precondition;

    #[test]
    fn a_rule_is_shown_as_it_is_written() {
        let written = config::Rule {
            buckets: Buckets(vec![BucketPattern::Prefix("state-".to_owned())]),
            prefix: Some("wal/".to_owned()),
            mode: RuleMode::Pass,
            consistency: Consistency::Guarded,
            require: Some(Require::CreateOnly),
            allow_configuration: vec!["policy".to_owned()],
        };
        let shown = rule(&written);
        assert_eq!(
            (&*shown.buckets, shown.prefix.as_deref()),
            (&["state-*".to_owned()][..], Some("wal/"))
        );
        assert_eq!((&*shown.mode, &*shown.consistency), ("pass", "guarded"));
        assert_eq!(shown.require.as_deref(), Some("create-only"));
        assert_eq!(shown.allow_configuration, ["policy"]);
        assert_eq!(rule(&config::Rule { require: None, ..written }).require, None);
    }

    #[test]
    fn refusals_are_by_who_decided_and_conditions_by_their_header() {
        let metrics = Metrics::default();
        let refuse = |by, code| metrics.refusals.count(by, ErrorCode::spelled(code));
        refuse(RefusedBy::Gate, "PreconditionFailed");
        refuse(RefusedBy::Gate, "PreconditionFailed");
        refuse(RefusedBy::Gate, "ConditionalRequestConflict");
        refuse(RefusedBy::Signature, "SignatureDoesNotMatch");
        let all = refusals(&metrics);
        let counts: Vec<_> = all.iter().map(|of| (of.by, of.refusals)).collect();
        assert_eq!(counts, [("signature", 1), ("gate", 3)]);
        assert_eq!((all[1].codes.len(), all[1].codes["PreconditionFailed"]), (2, 2));
        metrics.conditions.count(Precondition::ALL[0], Verdict::Failed);
        let all = judged(&metrics);
        assert_eq!((all.len(), all[0].held, all[0].failed), (1, 0, 1));
    }
}
