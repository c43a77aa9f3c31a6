//! What was found out of a place, and what it means for the configuration. Pure.

use serde::Serialize;

use super::setting::Setting;

/// How good an answer is for those who rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As AWS, or as well.
    Good,
    /// Other than AWS, and nothing is lost: clients that need it may not run.
    Safe,
    /// It could not be found out.
    Unknown,
    /// An update can be lost, or a client is told something that is not so.
    Bad,
}

/// Whether an answer of this status leaves open what became of the request: it is a 5xx, and not the one
/// that says that nobody does such a thing here (RFC 9110 §15.6.2).
pub fn is_unclear(status: u16) -> bool {
    matches!(status, 500 | 502..=599)
}

/// What follows from several cases, each with its level: `kept` where all are good, `given_up` where one
/// is not, and nothing where one of them is not known and the others are good.
pub fn follows<T>(levels: impl IntoIterator<Item = Level>, kept: T, given_up: T) -> Option<T> {
    let (mut is_known, mut is_good) = (true, true);
    for level in levels {
        is_known &= level != Level::Unknown;
        is_good &= matches!(level, Level::Good | Level::Unknown);
    }
    match (is_good, is_known) {
        (false, _) => Some(given_up),
        (true, true) => Some(kept),
        (true, false) => None,
    }
}

/// A row of the table for one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The part of the table.
    pub group: &'static str,
    /// The row.
    pub name: String,
    /// The cell.
    pub text: String,
    /// How good it is.
    pub level: Level,
    /// What the cell is made of.
    pub cases: Vec<CaseFinding>,
    /// What it means for the configuration.
    pub setting: Option<Setting>,
}

/// What became of one thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseFinding {
    /// What was tried, such as `stale`.
    pub case: String,
    /// What became of it, in a word or two.
    pub verdict: String,
    /// Status and code of the answer; empty where there is none.
    pub answer: String,
    /// How good it is.
    pub level: Level,
    /// Lines for a shell that do it again.
    pub commands: Vec<String>,
}

impl Finding {
    /// A row of one case.
    pub fn single(group: &'static str, name: impl Into<String>, case: CaseFinding) -> Self {
        let (text, level) = (case.verdict.clone(), case.level);
        Self { group, name: name.into(), text, level, cases: vec![case], setting: None }
    }

    /// A row of several cases: one word where all are alike, else each.
    pub fn of_cases(group: &'static str, name: impl Into<String>, cases: Vec<CaseFinding>) -> Self {
        let level = cases.iter().map(|case| case.level).max().unwrap_or(Level::Unknown);
        let first = cases.first().map(|case| case.verdict.clone()).unwrap_or_default();
        let text = if cases.iter().all(|case| case.verdict == first) {
            first
        } else {
            let each = cases.iter().map(|case| format!("{}: {}", case.case, case.verdict));
            each.collect::<Vec<_>>().join(", ")
        };
        Self { group, name: name.into(), text, level, cases, setting: None }
    }

    /// With what it means for the configuration, where something follows from it.
    #[must_use]
    pub fn means(mut self, setting: Option<Setting>) -> Self {
        self.setting = setting;
        self
    }

    /// The lines that show the worst case again.
    pub fn commands(&self) -> &[String] {
        let worst = self.cases.iter().find(|case| case.level == self.level);
        worst.map(|case| case.commands.as_slice()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, verdict: &str, level: Level) -> CaseFinding {
        CaseFinding {
            case: name.to_owned(),
            verdict: verdict.to_owned(),
            answer: String::new(),
            level,
            commands: vec![format!("again {name}")],
        }
    }

    #[test]
    fn nothing_follows_from_what_is_not_known() {
        use Level::{Bad, Good, Safe, Unknown};
        assert_eq!(follows([Good, Good], 1, 0), Some(1));
        for given_up in [Safe, Bad] {
            assert_eq!(follows([Good, given_up, Unknown], 1, 0), Some(0));
        }
        assert_eq!(follows([Good, Unknown], 1, 0), None);
        assert!(is_unclear(500) && is_unclear(503) && !is_unclear(501) && !is_unclear(412));
    }

    #[test]
    fn cases_that_are_alike_are_one_word_and_the_worst_decides() {
        let alike = vec![case("a", "honoured", Level::Good), case("b", "honoured", Level::Good)];
        let alike = Finding::of_cases("g", "n", alike);
        assert_eq!((alike.text.as_str(), alike.level), ("honoured", Level::Good));
        let mixed =
            vec![case("right", "honoured", Level::Good), case("stale", "IGNORED", Level::Bad)];
        let mixed = Finding::of_cases("g", "n", mixed);
        assert_eq!(mixed.text, "right: honoured, stale: IGNORED");
        assert_eq!((mixed.level, mixed.commands()), (Level::Bad, &["again stale".to_owned()][..]));
    }
}
