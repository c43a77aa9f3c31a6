//! Tests of what is wrong now.

use super::super::super::at_start::{Found, FoundAtStart};
use super::super::{Certificate, LeftInDoubt, Node, Register, Store};
use super::*;

const NOW_S: i64 = 1_800_000_000;
const DAY_S: i64 = 24 * 60 * 60;

fn well() -> Status {
    Status {
        now_s: NOW_S,
        register: Register { usable: true, ..Register::default() },
        store: Store { up: true, address: "http://s:1".to_owned(), ..Store::default() },
        ..Status::default()
    }
}

fn names(status: &Status) -> Vec<&'static str> {
    standing(status).into_iter().map(|alarm| alarm.name).collect()
}

fn node(name: &str, state: &'static str) -> Node {
    Node { name: name.to_owned(), state, since_s: NOW_S - 60, requests: 0, changes: 1 }
}

#[test]
fn nothing_is_wrong_with_a_process_that_is_well() {
    let mut status = well();
    status.alarms.insert("overtaken", 0);
    status.in_flight.insert("requests", Level { now: 9_000, limit: None });
    status.in_flight.insert("strangers", Level { now: 0, limit: Some(0) });
    status.store.nodes = vec![node("http://a", "up")];
    assert_eq!(names(&status), Vec::<&str>::new());
}

#[test]
fn the_register_and_the_store_are_told_of() {
    let mut status = well();
    status.register.problem = Some("it cannot be reached: <b>".to_owned());
    status.register.quarantine_s = 5.0;
    status.store.up = false;
    assert_eq!(names(&status), ["IfmatchRegisterDown", "IfmatchStoreDown"]);
    status.register.problem = None;
    status.store.up = true;
    status.store.nodes = vec![node("http://a", "up"), node("http://b", "down")];
    let all = standing(&status);
    assert_eq!(names(&status), ["IfmatchQuarantine", "IfmatchNodeDown"]);
    assert_eq!((all[1].critical, all[1].since_s), (false, NOW_S - 60));
    status.store.nodes.remove(0);
    assert!(standing(&status)[0].critical, "the last node is down: that comes first");
}

#[test]
fn what_the_store_contradicted_at_the_start_stands_since_then() {
    let mut status = well();
    let found = FoundAtStart { ended_s: NOW_S - 60, ..FoundAtStart::default() };
    status.store.probe_at_start = Some(found.clone());
    assert_eq!(names(&status), Vec::<&str>::new());
    let contradictions = vec![Found::default()];
    status.store.probe_at_start = Some(FoundAtStart { contradictions, ..found });
    let all = standing(&status);
    assert_eq!((all[0].name, all[0].since_s), ("IfmatchStoreContradicts", NOW_S - 60));
    assert!(all[0].critical);
}

#[test]
fn a_line_of_the_log_stands_for_an_hour() {
    let mut status = well();
    status.alarms.insert("overtaken", 2);
    status.last_alarms_s.insert("overtaken", NOW_S - LINE_STANDS_S);
    let all = standing(&status);
    assert!(all[0].critical && all[0].sentence.contains("2 times"), "{all:?}");
    assert_eq!(all[0].since_s, NOW_S - LINE_STANDS_S);
    status.last_alarms_s.insert("overtaken", NOW_S - LINE_STANDS_S - 1);
    assert_eq!(names(&status), Vec::<&str>::new());
}

#[test]
fn doubts_limits_and_certificates_are_told_of() {
    let mut status = well();
    status.writes.left_in_doubt.push(LeftInDoubt {
        bucket: "b".to_owned(),
        key: "k".to_owned(),
        operation: "PutObject",
        ended_ago_s: 1.0,
        free_in_s: 9.0,
    });
    status.in_flight.insert("writes", Level { now: 90, limit: Some(100) });
    status.spool_bytes = Level { now: 95, limit: Some(100) };
    let certificate = |file: &str, days| Certificate {
        used_for: "server",
        file: file.to_owned(),
        names: vec![],
        not_after: "that day".to_owned(),
        not_after_s: NOW_S + days * DAY_S,
    };
    status.certificates =
        vec![certificate("long", 15), certificate("soon", 13), certificate("now", -1)];
    let all = standing(&status);
    let told: Vec<_> = all.iter().map(|alarm| (alarm.name, &*alarm.about)).collect();
    assert_eq!(
        told,
        [
            ("IfmatchCertificateExpiresNow", "now"),
            ("IfmatchDoubts", ""),
            ("IfmatchNearLimit", "writes"),
            ("IfmatchSpoolFull", ""),
            ("IfmatchCertificateExpires", "soon"),
        ]
    );
    assert!(all[0].sentence.contains("has expired"));
}

#[test]
fn an_alarm_keeps_the_time_at_which_it_began() {
    let (mut since, mut status) = (Since::default(), well());
    status.store.up = false;
    let mut dated = |status: &Status| {
        let mut all = standing(status);
        since.date(&mut all, status.now_s);
        all.first().map(|alarm| alarm.since_s)
    };
    assert_eq!(dated(&status), Some(NOW_S));
    status.now_s += 60;
    assert_eq!(dated(&status), Some(NOW_S));
    status.store.up = true;
    assert_eq!(dated(&status), None);
    status.store.up = false;
    assert_eq!(dated(&status), Some(NOW_S + 60));
}

/// Whoever reads the name of an alarm finds its alert and its paragraph.
#[test]
fn each_alarm_has_an_alert_and_a_paragraph() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (source, alerts, page) =
        (read("src/admin/status/standing.rs"), read("ops/alerts.yml"), read("docs/operations.md"));
    let names: Vec<_> =
        source.split("\"Ifmatch").skip(1).filter_map(|x| x.split('"').next()).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(alerts.contains(&format!("alert: Ifmatch{name}\n")), "{name}");
        assert!(page.contains(&format!("#### Ifmatch{name}\n")), "{name}");
    }
}
