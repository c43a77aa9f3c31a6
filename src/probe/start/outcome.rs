//! What a probe at the start found, as sentences. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Backend;
use crate::probe::advice::{Contradiction, contradiction, native};
use crate::probe::finding::{Finding, Level};
use crate::probe::trouble::Trouble;
use crate::units::show_duration;

/// What an answer contradicts, if anything; or why there is none.
pub(super) type Answered = Result<Option<Contradiction>, Trouble>;

/// What was found of a node, or of all.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) contradictions: Vec<Contradiction>,
    /// What is not known; a sentence each.
    pub(super) unclear: Vec<String>,
    /// Whether the node takes writes as it is configured.
    pub(super) is_written: bool,
}

impl Found {
    /// Of a store that lags, which nobody said of it.
    pub(super) fn lagging(lags: Contradiction) -> Self {
        let unclear = "what else the store does is not known, as its reads lag".to_owned();
        Self { contradictions: vec![lags], unclear: vec![unclear], is_written: true }
    }

    /// With what was found besides.
    pub(super) fn add(&mut self, other: Self) {
        self.contradictions.extend(other.contradictions);
        self.unclear.extend(other.unclear);
    }

    /// Notes what one question showed.
    ///
    /// # Errors
    /// It was told to stop.
    pub(super) fn note(&mut self, answered: Answered) -> Result<(), Trouble> {
        match answered {
            Ok(said) => self.contradictions.extend(said),
            Err(Trouble::Stopped) => return Err(Trouble::Stopped),
            Err(trouble) => self.unclear.push(trouble.to_string()),
        }
        Ok(())
    }

    /// Notes what rows mean for the configuration, or that they are not known.
    pub(super) fn rows(&mut self, backend: &Backend, rows: &[Finding]) {
        let said = rows.iter().filter_map(|row| contradiction(backend, row.setting?));
        self.contradictions.extend(said);
        self.contradictions.extend(rows.iter().filter_map(native));
        for row in rows {
            for case in row.cases.iter().filter(|case| case.level == Level::Unknown) {
                self.unclear.push(format!("{}: {}: {}", row.name, case.verdict, case.answer));
            }
        }
    }
}

/// What was found. Sentences have no full stop.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Where the configuration trusts the store with more than was seen of it; each once, whichever node
    /// showed it.
    pub contradictions: Vec<Contradiction>,
    /// The nodes that answered.
    pub asked: Vec<String>,
    /// Why others, or all, did not.
    pub unasked: Vec<String>,
    /// Single things that are not known: the store was asked, and gave no clear answer.
    pub unclear: Vec<String>,
    /// What could not be deleted.
    pub left: Vec<String>,
}

impl Outcome {
    /// Of what the nodes have shown.
    pub(super) fn of(found: Found, asked: Vec<String>, unasked: Vec<(String, Trouble)>) -> Self {
        let mut contradictions = found.contradictions;
        contradictions.sort();
        contradictions.dedup();
        // A store of which no node can be asked says the same thing for each.
        let mut whys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (node, trouble) in unasked {
            whys.entry(trouble.to_string()).or_default().push(node);
        }
        let unasked = whys.into_iter().map(|(why, nodes)| format!("{}: {why}", nodes.join(", ")));
        Self {
            contradictions,
            asked,
            unasked: unasked.collect(),
            unclear: found.unclear,
            left: Vec::new(),
        }
    }

    /// Where it did not end in this time, or was told to stop.
    pub(super) fn late(patience: Duration, is_told: bool) -> Self {
        let why = if is_told {
            "it was told to stop".to_owned()
        } else {
            format!("it took longer than {} (backend.probe_timeout)", show_duration(patience))
        };
        Self { unasked: vec![why], ..Self::default() }
    }

    /// With what was seen all the same.
    pub(super) fn with_contradictions_of(self, other: Self) -> Self {
        Self { contradictions: other.contradictions, ..self }
    }

    /// With what could not be deleted.
    pub(super) fn with_left(self, left: Vec<String>) -> Self {
        Self { left, ..self }
    }

    /// Why a process that wants to know does not serve; a sentence. Nodes that are down do not count where
    /// another one has answered: they are for that.
    pub fn refusal(&self) -> Option<String> {
        let contradicted: Vec<_> = self.contradictions.iter().map(ToString::to_string).collect();
        match (contradicted.is_empty(), self.asked.is_empty()) {
            (false, _) => Some(format!(
                "the store does otherwise than it is configured to: {}",
                contradicted.join("; ")
            )),
            (true, true) => Some(format!(
                "the store could not be asked whether it does what is configured: {}",
                self.unasked.join("; ")
            )),
            (true, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Contradiction {
        Contradiction::of_backend("backend.checksums is \"send\"", "checksums = \"drop\"")
    }

    fn unusable(node: &str) -> (String, Trouble) {
        (node.to_owned(), Trouble::NoBucket("b".to_owned()))
    }

    #[test]
    fn what_two_nodes_show_is_said_once() {
        let found = Found { contradictions: vec![said(), said()], ..Found::default() };
        let outcome = Outcome::of(found, vec!["n1".to_owned(), "n2".to_owned()], Vec::new());
        assert_eq!(outcome.contradictions, [said()]);
        assert_eq!(
            outcome.refusal().unwrap(),
            "the store does otherwise than it is configured to: backend.checksums is \"send\": write \
             checksums = \"drop\" in [backend]"
        );
    }

    #[test]
    fn a_node_that_is_down_refuses_nothing_while_another_answers() {
        let of = |asked: &[&str], unasked| {
            let asked = asked.iter().map(|&name| name.to_owned()).collect();
            Outcome::of(Found::default(), asked, unasked)
        };
        assert_eq!(of(&["n1"], vec![unusable("n2")]).refusal(), None);
        let none = of(&[], vec![unusable("n1"), unusable("n2")]);
        assert_eq!(none.unasked, ["n1, n2: the store has no bucket \"b\""]);
        let why = none.refusal().unwrap();
        assert!(why.starts_with("the store could not be asked whether"), "{why}");
        let late = Outcome::late(Duration::from_secs(5), false).refusal().unwrap();
        assert!(late.ends_with("it took longer than 5s (backend.probe_timeout)"), "{late}");
    }
}
