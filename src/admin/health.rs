//! The health of the process, judged by what is known of its parts. Pure.

use std::time::Duration;

use crate::lifecycle::phase::Phase;

/// What is known of the parts.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The phase of the process.
    pub phase: Phase,
    /// For how long the register grants no lease, or why it cannot be used.
    pub register: Result<Duration, String>,
    /// Whether the store answers; `None` where that was not asked.
    pub store: Option<Result<(), String>>,
    /// Whether any node of the store is up; `None` where they are not checked.
    pub nodes: Option<bool>,
}

/// One check: what was checked, and the reason where it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Why it failed.
    pub failed: Option<String>,
}

/// The checks of readiness. `writes`: whether writes have to work, and not only reads.
///
/// A register that cannot be reached makes no process unready unless writes are asked for: reads go
/// on, and all proxies of a fleet would be unready together. The same holds for a quarantine. Without
/// any node of the store nothing works, so a process that checks them is not ready then.
pub fn checks(facts: &Facts, writes: bool) -> Vec<Check> {
    let serving = match facts.phase {
        Phase::Serving => None,
        phase => Some(format!("the process is {}", phase.as_str())),
    };
    let mut checks = vec![Check { name: "serving", failed: serving }];
    if writes {
        let (register, quarantine) = match &facts.register {
            Ok(left) if left.is_zero() => (None, None),
            Ok(left) => {
                let seconds = left.as_secs() + 1;
                (None, Some(format!("the register grants no lease for the next {seconds} s")))
            }
            Err(why) => (Some(why.clone()), None),
        };
        checks.push(Check { name: "register", failed: register });
        checks.push(Check { name: "quarantine", failed: quarantine });
    }
    if let Some(any_up) = facts.nodes {
        let failed = (!any_up).then(|| "no node of the store is up".to_owned());
        checks.push(Check { name: "nodes", failed });
    }
    if let Some(store) = &facts.store {
        checks.push(Check { name: "store", failed: store.clone().err() });
    }
    checks
}

/// Whether all checks have passed.
pub fn is_ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.failed.is_none())
}

/// The checks as text: each in verbose form, otherwise those that failed.
pub fn text(checks: &[Check], verbose: bool) -> String {
    let mut lines: Vec<_> = checks
        .iter()
        .filter_map(|Check { name, failed }| match failed {
            Some(why) => Some(format!("not ok: {name}: {why}\n")),
            None => verbose.then(|| format!("ok: {name}\n")),
        })
        .collect();
    if lines.is_empty() {
        lines.push("ok\n".to_owned());
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { phase: Phase::Serving, register: Ok(Duration::ZERO), store: None, nodes: None }
    }

    fn said(facts: &Facts, writes: bool) -> (bool, String) {
        let checks = checks(facts, writes);
        (is_ready(&checks), text(&checks, false))
    }

    #[test]
    fn a_process_that_does_not_serve_is_not_ready() {
        assert_eq!(said(&facts(), true), (true, "ok\n".to_owned()));
        for phase in [Phase::Starting, Phase::HandedOver, Phase::Stopping] {
            let (ready, text) = said(&Facts { phase, ..facts() }, false);
            assert!(!ready && text.contains(phase.as_str()), "{text}");
        }
    }

    #[test]
    fn reads_go_on_without_a_register_and_in_a_quarantine() {
        let gone = Facts { register: Err("gone".to_owned()), ..facts() };
        let quarantine = Facts { register: Ok(Duration::from_millis(2_500)), ..facts() };
        for (facts, reason) in [(gone, "register: gone"), (quarantine, "for the next 3 s")] {
            assert!(said(&facts, false).0);
            let (ready, text) = said(&facts, true);
            assert!(!ready && text.contains(reason), "{text}");
        }
    }

    #[test]
    fn one_node_of_the_store_is_enough() {
        assert!(said(&Facts { nodes: Some(true), ..facts() }, true).0);
        let none = Facts { nodes: Some(false), ..facts() };
        assert_eq!(
            said(&none, false),
            (false, "not ok: nodes: no node of the store is up\n".to_owned())
        );
    }

    #[test]
    fn the_store_counts_where_it_was_asked_for() {
        let facts = Facts { store: Some(Err("no answer".to_owned())), ..facts() };
        assert_eq!(said(&facts, false), (false, "not ok: store: no answer\n".to_owned()));
        let all = text(&checks(&Facts { store: Some(Ok(())), ..facts }, true), true);
        assert_eq!(all, "ok: serving\nok: register\nok: quarantine\nok: store\n");
    }
}
