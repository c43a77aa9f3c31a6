//! The status of the process as a JSON document.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Admin;
use crate::clock;
use crate::metrics::levels::{InFlight, Level, NodeLevel};
use crate::tls::InUse;

/// The document at this moment.
pub(super) fn status(admin: &Admin) -> Value {
    let (metrics, levels) = (&admin.metrics, &admin.levels);
    let register = admin.standing.levels(Instant::now());
    let problem = admin.standing.quarantine(Instant::now()).err().map(|error| error.to_string());
    let in_flight: Map<_, _> = InFlight::ALL
        .into_iter()
        .map(|kind| (kind.as_str().to_owned(), level(levels.in_flight(kind))))
        .collect();
    json!({
        "version": admin.build.version,
        "commit": admin.build.commit,
        "pid": std::process::id(),
        "phase": admin.life.phase().as_str(),
        "config_loaded_s": metrics.config_loaded_s.get(),
        "register": {
            "usable": register.usable,
            "problem": problem,
            "quarantine_s": register.quarantine.as_secs_f64(),
            "leases_of_all_proxies": register.leases,
            "youngest_epoch_age_s": register.epoch_age.map(|age| age.as_secs_f64()),
        },
        "store": {
            "up": metrics.backend_up.get() == 1,
            "nodes": levels.nodes().iter().map(node).collect::<Vec<_>>(),
        },
        "certificates": admin.certificates.certificates().iter().map(certificate).collect::<Vec<_>>(),
        "in_flight": in_flight,
        "body_memory_bytes": level(levels.body_memory()),
        "spool_bytes": level(levels.spool()),
        "leases": metrics.leases.get(),
        "waiting_for_a_lease": metrics.gate_waiting.get(),
        "doubts": metrics.doubts.get(),
        "alarms": counts(metrics.alarms.counts()),
    })
}

fn certificate(InUse { used_for, certificate }: &InUse) -> Value {
    json!({
        "use": used_for.as_str(),
        "file": certificate.file.display().to_string(),
        "names": certificate.names,
        "not_after": certificate.expires_on(),
        "not_after_s": certificate.not_after,
    })
}

fn level(Level { now, limit }: Level) -> Value {
    json!({ "now": now, "limit": limit })
}

fn node(NodeLevel { node, up, unchanged, requests, .. }: &NodeLevel) -> Value {
    let state = if *up { "up" } else { "down" };
    json!({
        "node": node,
        "state": state,
        "since_s": clock::unix_seconds() - i64::try_from(unchanged.as_secs()).unwrap_or(0),
        "requests": requests,
    })
}

fn counts(each: impl Iterator<Item = (&'static str, u64)>) -> Value {
    Value::Object(each.map(|(name, count)| (name.to_owned(), count.into())).collect())
}
