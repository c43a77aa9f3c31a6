//! Tests of the exposition: its form, its names, how many series there may be.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::metrics::labels::{Alarm, OperationName, Outcome};
use crate::metrics::levels::Level;
use crate::metrics::process::Stat;
use crate::metrics::tls::{CertificateUse, HandshakeFailure};
use crate::s3::Operation;

/// How many series one process may have at most, whatever its clients do.
const SERIES_MAX: usize = 1_500;

#[derive(Debug)]
struct Still;

impl Levels for Still {
    fn nodes(&self) -> Vec<NodeLevel> {
        let node = |node: &str, up| NodeLevel {
            node: node.to_owned(),
            up,
            unchanged: Duration::from_secs(9),
            requests: 7,
            changes: 3,
        };
        vec![node("http://n1:9000", true), node("http://n2:9000", false)]
    }

    fn in_flight(&self, kind: InFlight) -> Level {
        Level { now: kind.number() as u64, limit: (kind != InFlight::Requests).then_some(9) }
    }

    fn body_memory(&self) -> Level {
        Level { now: 4096, limit: Some(1 << 20) }
    }

    fn listing_memory(&self) -> Level {
        Level { now: 2048, limit: Some(1 << 21) }
    }

    fn spool(&self) -> Level {
        Level { now: 0, limit: Some(1 << 30) }
    }

    fn register(&self) -> RegisterLevels {
        RegisterLevels {
            usable: true,
            quarantine: Duration::from_millis(1_500),
            leases: 3,
            epoch_age: Some(Duration::from_mins(1)),
        }
    }
}

fn exposed(metrics: &Arc<Metrics>) -> Exposed {
    let stat = Stat {
        cpu: Duration::from_millis(2_500),
        virtual_bytes: 1 << 30,
        resident_bytes: 1 << 20,
        threads: 4,
        started: Duration::from_secs(1_700_000_000),
    };
    Exposed {
        metrics: Arc::clone(metrics),
        levels: Arc::new(Still),
        certificates: vec![Expiry {
            used_for: CertificateUse::Listener,
            file: "/etc/\"tls\".pem".to_owned(),
            not_after_s: 1_800_000_000,
        }],
        process: Some(Process { stat, open_fds: 12, max_fds: 1024 }),
        build: Build { version: "0.1.0", commit: "abc", rustc: "rustc 1.92.0" },
    }
}

/// The text where every cell was counted.
fn full(format: Format) -> String {
    let metrics = Arc::new(Metrics::default());
    metrics.requests.count_all();
    metrics.request_duration.observe_all();
    metrics.refusals.count_all();
    metrics.conditions.count_all();
    metrics.register_step.observe_all();
    metrics.backend_request.observe_all();
    text(&metrics, format)
}

fn text(metrics: &Arc<Metrics>, format: Format) -> String {
    String::from_utf8(exposed(metrics).written(format).unwrap()).unwrap()
}

/// A family: its kind, its unit, its help.
#[derive(Debug, Default)]
struct Family<'a> {
    kind: &'a str,
    unit: &'a str,
    help: &'a str,
    samples: usize,
}

/// The families of an OpenMetrics text, by name.
fn families(text: &str) -> BTreeMap<&str, Family<'_>> {
    let mut families = BTreeMap::<&str, Family<'_>>::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(described) = line.strip_prefix("# ") {
            let (what, rest) = described.split_once(' ').unwrap();
            let (name, text) = rest.split_once(' ').unwrap();
            let family = families.entry(name).or_default();
            match what {
                "HELP" => family.help = text,
                "TYPE" => family.kind = text,
                "UNIT" => family.unit = text,
                _ => panic!("{line}"),
            }
        } else {
            let sample = line.split(['{', ' ']).next().unwrap();
            let name = families.keys().rev().find(|name| sample.starts_with(**name)).copied();
            families.get_mut(name.expect(sample)).unwrap().samples += 1;
        }
    }
    families
}

#[test]
fn every_metric_has_a_name_a_unit_and_a_help_text_in_good_form() {
    let text = full(Format::OpenMetrics);
    for (name, family) in families(&text) {
        let Family { kind, unit, help, samples } = family;
        assert!(name.starts_with("ifmatch_") || name.starts_with("process_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert!(help.ends_with('.') && help.len() > 5, "{name}: {help}");
        assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{name}: {kind}");
        // OpenMetrics 1.0: the name ends with the unit, and only the samples of a counter end with
        // `_total`.
        assert!(unit.is_empty() || name.ends_with(&format!("_{unit}")), "{name}: {unit}");
        for unit_word in ["seconds", "bytes"] {
            assert_eq!(name.ends_with(unit_word), unit == unit_word, "{name}: {unit}");
        }
        assert!(!name.ends_with("_total"), "{name}");
        assert_eq!(kind == "histogram", unit == "seconds" && samples > 1, "{name}: {samples}");
        assert!(samples > 0, "{name} has no sample");
        let total = format!("\n{name}_total");
        assert_eq!(kind == "counter", text.contains(&total), "{name}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn whatever_clients_do_there_are_fewer_series_than_the_bound() {
    let text = full(Format::OpenMetrics);
    let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(samples.len() < SERIES_MAX, "{} series", samples.len());
    let names: BTreeSet<_> =
        samples.iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
    assert_eq!(names.len(), samples.len(), "a series is there twice");
}

#[test]
fn a_sample_shows_what_was_counted() {
    let metrics = Arc::new(Metrics::default());
    metrics.requests.count(OperationName(Some(Operation::PutObject)), Outcome::Refused);
    metrics.alarms.count(Alarm::Overtaken);
    metrics.tls.handshake_failures.count(HandshakeFailure::NoCertificate);
    metrics.tls.reload_failures.count(CertificateUse::Store);
    metrics.gate_wait.observe(Duration::from_millis(3));
    metrics.register_clock_jump_ms.raise(250);
    let text = text(&metrics, Format::Prometheus);
    for line in [
        "ifmatch_requests_total{operation=\"PutObject\",outcome=\"refused\"} 1",
        "ifmatch_requests_total{operation=\"PutObject\",outcome=\"ok\"} 0",
        "ifmatch_alarms_total{which=\"overtaken\"} 1",
        "ifmatch_alarms_total{which=\"stood_still\"} 0",
        "ifmatch_gate_wait_seconds_bucket{le=\"0.002\"} 0",
        "ifmatch_gate_wait_seconds_bucket{le=\"0.004\"} 1",
        "ifmatch_gate_wait_seconds_bucket{le=\"+Inf\"} 1",
        "ifmatch_gate_wait_seconds_count 1",
        "ifmatch_gate_wait_seconds_sum 0.003",
        "ifmatch_register_clock_jump_seconds 0.25",
        "ifmatch_quarantine_seconds 1.5",
        "ifmatch_in_flight{kind=\"writes\"} 2",
        "ifmatch_tls_handshake_failures_total{reason=\"no_certificate\"} 1",
        "ifmatch_tls_handshake_failures_total{reason=\"timeout\"} 0",
        "ifmatch_tls_handshake_seconds_count 0",
        "ifmatch_tls_reload_failures_total{use=\"store\"} 1",
        r#"ifmatch_tls_certificate_expiry_timestamp_seconds{use="listener",file="/etc/\"tls\".pem"} 1800000000"#,
        "ifmatch_in_flight_limit{kind=\"writes\"} 9",
        "ifmatch_build_info{version=\"0.1.0\",commit=\"abc\",rustc=\"rustc 1.92.0\"} 1",
        "process_cpu_seconds_total 2.5",
        "process_open_fds 12",
    ] {
        assert!(text.lines().any(|is| is == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("operation=\"GetObject\"") && !text.contains("limit{kind=\"requests\""));
}

/// The rows of the table in docs/operations.md: name and labels, kind, help.
fn table(text: &str) -> String {
    let mut rows = Vec::new();
    for (name, Family { kind, help, .. }) in families(text) {
        let end = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let sample = text.lines().find(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', '_', ' ']))
        });
        let labels = sample.unwrap().split_once('{').map_or("", |(_, labels)| labels);
        let labels: Vec<_> = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(", ")) };
        rows.push(format!("| `{name}{end}{labels}` | {kind} | {help} |"));
    }
    rows.join("\n")
}

#[test]
fn the_page_for_operators_has_every_metric() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, after) = page.split_once("| metric | kind | meaning |\n|---|---|---|\n").unwrap();
    let (written, _) = after.split_once("\n\n").unwrap();
    let expected = table(&full(Format::OpenMetrics));
    assert!(written.trim() == expected.trim(), "the table has to be:\n{expected}");
}
