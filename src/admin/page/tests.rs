//! Tests of the page as it is sent.

use super::super::at_start::{Found, FoundAtStart};
use super::super::status::{
    Certificate, Durations, HotKey, LeftInDoubt, Node, RefusalsBy, Register, Rule, Second, Server,
    Store, Traffic, WriteUnderWay,
};
use super::*;

/// A text that would be markup, if it were not escaped.
const HOSTILE: &str = "</code><script>alert('\"&')</script><img src=x onerror=alert(1)>\u{202e}";

/// A status in which each text that may come from outside is this one.
fn status(text: &str) -> Status {
    let own = || text.to_owned();
    let mut status = Status {
        version: "1.2.3",
        phase: "serving",
        now_s: 1_800_000_060,
        started_s: 1_800_000_000,
        configuration: own(),
        key_names: true,
        refusals: vec![RefusalsBy {
            by: "gate",
            refusals: 7,
            codes: [("PreconditionFailed", 7)].into(),
        }],
        ..Status::default()
    };
    status.standing_alarms = vec![StandingAlarm {
        name: "IfmatchRegisterDown",
        about: own(),
        critical: true,
        since_s: 1_800_000_000,
        sentence: own(),
    }];
    status.traffic = Traffic {
        by_second: vec![Second { requests: 4, refused: 1, failed: 1 }; 60],
        durations: vec![Durations {
            operation_class: "long_write",
            requests: 3,
            p50_ms: 1.5,
            p99_ms: 20.0,
        }],
        ..Traffic::default()
    };
    status.hot_keys.keys = vec![HotKey {
        bucket: own(),
        key: own(),
        requests_at_least: 70,
        requests_at_most: 1_234,
        writes: 5,
        refused: 2,
    }];
    status.hot_keys.requests = 100;
    status.writes.under_way = vec![WriteUnderWay {
        bucket: own(),
        key: own(),
        operation: "PutObject",
        age_s: 2.0,
        waits_for: "store",
        waiting: "the store's answer to the write",
        waited_s: 1.0,
        waits_at_most_s: Some(5.0),
        has_lease: true,
        in_doubt: true,
    }];
    status.writes.left_in_doubt = vec![LeftInDoubt {
        bucket: own(),
        key: own(),
        operation: "PutObject",
        ended_ago_s: 1.0,
        free_in_s: 9.0,
    }];
    with_parts(&mut status, text);
    status
}

/// The parts and the settings.
fn with_parts(status: &mut Status, text: &str) {
    let own = || text.to_owned();
    status.register = Register {
        kind: "redis",
        problem: Some(own()),
        servers: vec![Server { name: own(), quarantine_s: 0.0, leases: 1 }],
        ..Register::default()
    };
    let node = Node { name: own(), state: "down", since_s: 1_800_000_000, requests: 1, changes: 1 };
    let found =
        vec![Found { sentence: own(), remedy: Some(own()), nodes: vec![own()] }, Found::default()];
    let at_start = FoundAtStart {
        ended_s: 1_800_000_000,
        asked: vec![own()],
        contradictions: found.clone(),
        unasked: found.clone(),
        unclear: found,
        left: vec![own()],
    };
    let probe_at_start = Some(at_start);
    status.store = Store { up: false, address: own(), nodes: vec![node], probe_at_start };
    status.certificates = vec![Certificate {
        used_for: "server",
        file: own(),
        names: vec![own()],
        not_after: own(),
        not_after_s: 1_800_000_000,
    }];
    status.rules = vec![Rule {
        buckets: vec![own()],
        prefix: Some(own()),
        mode: own(),
        consistency: own(),
        require: Some(own()),
        allow_configuration: vec![own()],
    }];
}

/// The tags of a page, without what they enclose.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect()
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let (harmless, hostile) = (page(&status("harmless")), page(&status(HOSTILE)));
    assert_eq!(tags(&harmless), tags(&hostile));
    let places = harmless.matches("harmless").count();
    assert_eq!(hostile.matches("&lt;script&gt;alert(&#39;").count(), places);
    assert!(places > 15, "{places}");
    assert!(!hostile.contains('\u{202e}') && !hostile.contains("<script>alert"));
}

#[test]
fn each_table_has_a_caption_and_headings_and_each_reference_leads_somewhere() {
    let page = page(&status("x"));
    let count = |text| page.matches(text).count();
    assert!(count("<table>") >= 10, "{}", count("<table>"));
    assert_eq!(count("<table><caption id=\""), count("<table>"));
    assert_eq!(
        count("<th"),
        count("<th scope=\"col\"") + count("<th scope=\"row\"") + count("<thead>")
    );
    assert_eq!((count("<h1"), count("<main"), count("<header"), count("<footer")), (1, 1, 1, 1));
    let values = |attribute| -> Vec<&str> {
        page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    };
    let mut ids = values(" id=\"");
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id stands twice");
    for id in values("aria-labelledby=\"").into_iter().chain(values("href=\"#")) {
        assert!(ids.contains(&id), "{id}");
    }
}

#[test]
fn the_numbers_are_there_and_an_empty_status_has_a_page_too() {
    let page_of_all = page(&status("x"));
    for text in
        ["70 to 1\u{202f}234", "70.0 %", "decided by", "has the lease", "in doubt", "expired"]
    {
        assert!(page_of_all.to_lowercase().contains(text), "{text}");
    }
    assert!(page_of_all.contains("<title>(1) ifmatch</title>"));
    let empty = page(&Status::default());
    for text in ["Nothing is wrong", "Nothing was refused", "No guarded write", "<title>ifmatch<"] {
        assert!(empty.contains(text), "{text}");
    }
    let hidden = |can_sign_in| page(&Status { key_names: false, can_sign_in, ..status("x") });
    assert!(hidden(true).contains("/sign-in") && !page_of_all.contains("/sign-in"));
    let for_all = hidden(false);
    assert!(for_all.contains("Names of keys are hidden") && !for_all.contains("/sign-in"));
}

#[test]
fn a_browser_runs_and_loads_nothing_but_the_page_itself() {
    let answer = answer(&status(HOSTILE));
    let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"));
    let page = page(&status("x"));
    assert!(!page.contains("://"), "an address of elsewhere");
    for attribute in [" style=", " onclick=", " src="] {
        assert!(!page.contains(attribute), "{attribute}");
    }
    // What would end the style or the script early.
    assert!(!STYLE.contains('<') && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    assert!(page.len() < 60_000, "{}", page.len());
}
