//! What a probe at the start found, as sentences. Pure.

use std::collections::BTreeMap;
use std::fmt;
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
    /// Only this, which the configuration does not say of the store.
    pub(super) fn contradicting(contradiction: Contradiction) -> Self {
        Self { contradictions: vec![contradiction], ..Self::default() }
    }

    /// Only this, which is not known.
    pub(super) fn unclear(why: impl Into<String>) -> Self {
        Self { unclear: vec![why.into()], ..Self::default() }
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

/// What was found of some nodes of the store together.
pub(super) type FoundOf = (Vec<String>, Found);

/// Something that was seen of these nodes of the store; of none of them in particular where they are not
/// named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Of<T> {
    /// What it is.
    pub what: T,
    /// The nodes, by their addresses.
    pub nodes: Vec<String>,
}

impl<T: Ord> Of<T> {
    /// Each thing once, with all nodes of which it was seen.
    fn each(seen: impl IntoIterator<Item = (T, Vec<String>)>) -> Vec<Self> {
        let mut all = BTreeMap::<T, Vec<String>>::new();
        for (what, of) in seen {
            let nodes = all.entry(what).or_default();
            let of: Vec<_> = of.into_iter().filter(|node| !nodes.contains(node)).collect();
            nodes.extend(of);
        }
        all.into_iter().map(|(what, nodes)| Self { what, nodes }).collect()
    }
}

impl<T> Of<T> {
    /// The nodes in one text.
    pub fn shown_nodes(&self) -> String {
        self.nodes.join(", ")
    }
}

impl<T: fmt::Display> fmt::Display for Of<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)?;
        if self.nodes.is_empty() { Ok(()) } else { write!(f, " ({})", self.shown_nodes()) }
    }
}

/// What was found. Sentences have no full stop.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Where the configuration trusts the store with more than was seen of it.
    pub contradictions: Vec<Of<Contradiction>>,
    /// The nodes that answered.
    pub asked: Vec<String>,
    /// Why others, or all, did not.
    pub unasked: Vec<Of<String>>,
    /// Single things that are not known: the store was asked, and gave no clear answer.
    pub unclear: Vec<Of<String>>,
    /// What could not be deleted.
    pub left: Vec<String>,
}

impl Outcome {
    /// Of what the nodes have shown.
    pub(super) fn of(
        found: Vec<FoundOf>,
        asked: Vec<String>,
        unasked: Vec<(String, Trouble)>,
    ) -> Self {
        let (mut contradictions, mut unclear) = (Vec::new(), Vec::new());
        for (nodes, found) in found {
            contradictions
                .extend(found.contradictions.into_iter().map(|what| (what, nodes.clone())));
            unclear.extend(found.unclear.into_iter().map(|what| (what, nodes.clone())));
        }
        let unasked = unasked.into_iter().map(|(node, trouble)| (trouble.to_string(), vec![node]));
        Self {
            contradictions: Of::each(contradictions),
            asked,
            unasked: Of::each(unasked),
            unclear: Of::each(unclear),
            left: Vec::new(),
        }
    }

    /// Where it did not end in this time, or was told to stop.
    pub(super) fn late(patience: Duration, is_told: bool) -> Self {
        let what = if is_told {
            "it was told to stop".to_owned()
        } else {
            format!("it took longer than {} (backend.probe_timeout)", show_duration(patience))
        };
        Self { unasked: vec![Of { what, nodes: Vec::new() }], ..Self::default() }
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
        match (self.contradictions.is_empty(), self.asked.is_empty()) {
            (false, _) => Some(format!(
                "the store does otherwise than it is configured to: {}",
                sentences(&self.contradictions)
            )),
            (true, true) => Some(format!(
                "the store could not be asked whether it does what is configured: {}",
                sentences(&self.unasked)
            )),
            (true, false) => None,
        }
    }
}

fn sentences<T: fmt::Display>(all: &[Of<T>]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
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

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn what_two_nodes_show_is_said_once_and_names_them() {
        let of = |node, found| (names(&[node]), found);
        let found = vec![
            of("n1", Found::contradicting(said())),
            of("n2", Found::unclear("what it is")),
            of("n3", Found::contradicting(said())),
        ];
        let outcome = Outcome::of(found, names(&["n1", "n2", "n3"]), Vec::new());
        assert_eq!(outcome.contradictions, [Of { what: said(), nodes: names(&["n1", "n3"]) }]);
        let unclear = Of { what: "what it is".to_owned(), nodes: names(&["n2"]) };
        assert_eq!(outcome.unclear, [unclear]);
        assert_eq!(
            outcome.refusal().unwrap(),
            "the store does otherwise than it is configured to: backend.checksums is \"send\": write \
             checksums = \"drop\" in [backend] (n1, n3)"
        );
    }

    #[test]
    fn a_node_that_is_down_refuses_nothing_while_another_answers() {
        let of = |asked: &[&str], unasked| Outcome::of(Vec::new(), names(asked), unasked);
        assert_eq!(of(&["n1"], vec![unusable("n2")]).refusal(), None);
        let none = of(&[], vec![unusable("n1"), unusable("n2")]);
        assert_eq!(none.unasked.len(), 1);
        assert_eq!(none.unasked[0].to_string(), "the store has no bucket \"b\" (n1, n2)");
        let why = none.refusal().unwrap();
        assert!(why.starts_with("the store could not be asked whether"), "{why}");
        let late = Outcome::late(Duration::from_secs(5), false).refusal().unwrap();
        assert!(late.ends_with("it took longer than 5s (backend.probe_timeout)"), "{late}");
    }
}
