//! Checks of the store's nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::choices::ProbeAtStart;
use crate::config::reading::Reading;
use crate::config::schema::Backend;
use crate::s3::{BucketName, ObjectKey};
use crate::units::show_duration;

/// Notes all faults of the nodes, and of the settings for them.
pub(super) fn all(reading: &mut Reading, backend: &Backend, settle: Duration) {
    if reading.is_written("backend.urls") {
        urls(reading, backend);
    }
    if let Some(bucket) = &backend.health_bucket
        && BucketName::parse(bucket).is_err()
    {
        let message = format!("\"{bucket}\" is not the name of a bucket");
        reading.fault(&["backend.health_bucket"], message);
    }
    probe(reading, backend);
    if backend.resolve_interval < RESOLVE_INTERVAL_MIN {
        reading.fault(&["backend.resolve_interval"], "must be at least 5s");
    }
    if backend.urls.len() > 1 {
        clock_skew(reading, backend.clock_skew, settle);
    }
}

/// The bucket is named by whoever owns it: an object that comes and goes may start work there.
fn probe(reading: &mut Reading, backend: &Backend) {
    match &backend.probe_bucket {
        None if backend.probe_at_start != ProbeAtStart::Off => {
            let message =
                "is missing: a probe at the start writes scratch objects, and deletes them";
            reading.fault(&["backend.probe_bucket", "backend.probe_at_start"], message);
        }
        Some(bucket) if BucketName::parse(bucket).is_err() => {
            let message = format!("\"{bucket}\" is not the name of a bucket");
            reading.fault(&["backend.probe_bucket"], message);
        }
        _ => {}
    }
    let prefix = &backend.probe_prefix;
    if let Err(error) = ObjectKey::parse(&format!("{prefix}{PROBE_KEY}"), backend.segments()) {
        let message = format!("\"{prefix}\" cannot begin the keys of objects: {}", error.message());
        reading.fault(&["backend.probe_prefix"], message);
    }
}

/// As long as what follows the prefix may be.
const PROBE_KEY: &str = "0123456789abcdef/1/a-question-of-a-probe-with-a-long-name";

/// The key that names the nodes.
pub(super) fn path(backend: &Backend) -> &'static str {
    if backend.urls.is_empty() { "backend.url" } else { "backend.urls" }
}

fn clock_skew(reading: &mut Reading, skew: Duration, settle: Duration) {
    if skew > settle {
        let (skew, settle) = (show_duration(skew), show_duration(settle));
        let message = format!("{skew} is longer than register.settle ({settle}): {CLOCK_SKEW}");
        reading.fault(&["backend.clock_skew", "register.settle"], message);
    }
}

fn urls(reading: &mut Reading, backend: &Backend) {
    let mut fault = |message: &str| reading.fault(&["backend.urls"], message);
    let urls = &backend.urls;
    let by_tls = urls.first().is_some_and(|url| url.https);
    let names: BTreeSet<_> = urls.iter().map(ToString::to_string).collect();
    if names.len() < urls.len() {
        fault("names a node twice");
    } else if urls.iter().any(|url| url.https != by_tls) {
        fault("has http:// and https://; all nodes are reached in the same way");
    } else if urls.len() > NODES_MAX {
        fault("has more than 32 nodes; leave some out, or put a load balancer before the store");
    } else if urls.is_empty() {
        fault("names no node; write one or more, or backend.url in its place");
    } else if urls.len() > 1 && backend.health_interval.is_zero() {
        let message = "is 0s, and there are several nodes: one that has failed would never be used \
                       again";
        reading.fault(&["backend.health_interval", "backend.urls"], message);
    }
    if reading.is_written("backend.url") {
        reading.fault(&["backend.url"], "and backend.urls both name the store; keep one of them");
    }
}

/// Each node has a series of metrics.
const NODES_MAX: usize = 32;

/// A name server is not to be asked for each request.
const RESOLVE_INTERVAL_MIN: Duration = Duration::from_secs(5);

const CLOCK_SKEW: &str = "a write in doubt is waited for only so long: the next one could be older by \
                          the clock of its node";
