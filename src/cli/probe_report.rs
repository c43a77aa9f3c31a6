//! The report of `ifmatch probe --consistency`: a table with sentences, or a JSON document.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::probe::consistency::findings::Tally;
use crate::probe::consistency::{Findings, Pair, Plan, Read, Write};
use crate::probe::{Removed, Scratch};
use crate::register::Writers;
use crate::register::types::in_millis;
use crate::units::show_duration;

/// All facts.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bucket: String,
    /// With its random part.
    prefix: String,
    rounds: u32,
    patience_ms: u64,
    /// The URLs of the nodes.
    nodes: Vec<String>,
    pairs: Vec<PairReport>,
    longest_lag_ms: u64,
    /// All rounds of all pairs.
    cases: u64,
    /// In how many of them a read showed a write, and a later one something older.
    cases_back: u64,
    /// In how many of them the patience ended before the lag did.
    cases_unfinished: u64,
    /// The text for `register.lag`; null where the lag was not seen to its end.
    advised_lag: Option<String>,
    configured_lag_ms: u64,
    consistent_as_configured: bool,
    /// How many versions and delete markers the bucket had kept, which were deleted.
    versions_deleted: usize,
    /// What could not be deleted; a sentence each.
    not_deleted: Vec<String>,
    #[serde(skip)]
    findings: Findings,
    #[serde(skip)]
    is_shared: bool,
}

/// What was seen of one kind of write at one node by one kind of read at one node.
#[derive(Debug, Serialize)]
struct PairReport {
    written_at: String,
    read_at: String,
    write: Write,
    read: Read,
    rounds: u64,
    rounds_old: u64,
    rounds_back: u64,
    rounds_unfinished: u64,
    longest_lag_ms: u64,
    reads: u64,
    reads_without_answer: u64,
}

impl Report {
    pub(super) fn new(
        config: &Config,
        scratch: &Scratch,
        plan: Plan,
        findings: &Findings,
        removed: Removed,
    ) -> Self {
        let (total, configured) = (findings.total(), config.register.terms.lag);
        let is_known = total.rounds_unfinished == 0;
        Self {
            bucket: scratch.bucket().to_owned(),
            prefix: scratch.prefix().to_owned(),
            rounds: plan.rounds,
            patience_ms: in_millis(plan.patience),
            nodes: findings.nodes().to_vec(),
            pairs: findings
                .pairs()
                .map(|(pair, tally)| pair_report(findings, pair, tally))
                .collect(),
            longest_lag_ms: in_millis(total.longest),
            cases: total.rounds,
            cases_back: total.rounds_back,
            cases_unfinished: total.rounds_unfinished,
            advised_lag: findings.advised().map(show_duration),
            configured_lag_ms: in_millis(configured),
            consistent_as_configured: is_known && total.longest <= configured,
            versions_deleted: removed.versions,
            not_deleted: removed.left,
            findings: findings.clone(),
            is_shared: config.register.terms.writers == Writers::Shared,
        }
    }

    /// The JSON document.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// The error is a sentence: the store lags by more than is configured, or not all is clean.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let configured = shown_ms(self.configured_lag_ms);
        if self.cases_unfinished > 0 {
            return Err(format!(
                "how long the store lags is not known: it showed something older until --patience ({}) \
                 ended; register.lag is {configured}",
                shown_ms(self.patience_ms)
            ));
        }
        if !self.consistent_as_configured {
            return Err(format!(
                "the store lags by {}, and register.lag is {configured}",
                shown_ms(self.longest_lag_ms)
            ));
        }
        match self.not_deleted.len() {
            0 => Ok(()),
            count => Err(format!("scratch objects that were not deleted: {count}")),
        }
    }

    /// The tables, and what follows from them.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let nodes = 0..self.nodes.len();
        for (written_at, read_at) in nodes.clone().flat_map(|a| nodes.clone().map(move |b| (a, b)))
        {
            self.push_table(&mut text, written_at, read_at);
        }
        for sentence in self.sentences() {
            text.push_str(&wrapped(&sentence));
        }
        if let Some(lag) = &self.advised_lag {
            let _ = write!(text, "\n    [register]\n    lag = \"{lag}\"\n");
        }
        text
    }

    fn push_table(&self, text: &mut String, written_at: usize, read_at: usize) {
        let name = |number: usize| self.nodes.get(number).map_or("", String::as_str);
        if self.nodes.len() > 1 {
            let _ = writeln!(text, "written at {}, read at {}", name(written_at), name(read_at));
        }
        let mut line = |name: &str, columns: [String; 3]| {
            let _ = write!(text, "  {name:<10}");
            for column in columns {
                let _ = write!(text, " {column:>21}");
            }
            text.push('\n');
        };
        line("", Read::ALL.map(|read| read.name().to_owned()));
        for write in Write::ALL {
            let of = |read| self.findings.of(Pair { written_at, read_at, write, read });
            line(write.name(), Read::ALL.map(|read| cell(&of(read))));
        }
        text.push('\n');
    }

    fn sentences(&self) -> Vec<String> {
        let total = self.findings.total();
        let mut all = vec![TABLE.to_owned()];
        if total.rounds_back > 0 {
            all.push(format!(
                "The store goes back: in {} of {} cases a read showed the write, and a later one \
                 something older.",
                total.rounds_back, total.rounds
            ));
        } else if total.rounds_old > 0 {
            all.push("No read showed something older after one that showed the write.".to_owned());
        }
        if total.reads_missed > 0 {
            let asked = total.reads + total.reads_missed;
            all.push(format!("{} of {asked} reads got no answer.", total.reads_missed));
        }
        if self.versions_deleted > 0 {
            all.push(format!(
                "The bucket keeps versions: {} versions and delete markers were deleted one by one.",
                self.versions_deleted
            ));
        }
        all.push(self.advice());
        all
    }

    fn advice(&self) -> String {
        let total = self.findings.total();
        let Some(lag) = &self.advised_lag else {
            let patience = shown_ms(self.patience_ms);
            return format!(
                "In {} of {} cases the store showed something older until {patience} were over, or went \
                 back too late to be looked at for long enough: its lag may be longer than what was seen. \
                 Ask again with a longer --patience.",
                total.rounds_unfinished, total.rounds
            );
        };
        if self.longest_lag_ms == 0 {
            return format!("Nothing older was ever shown, so no lag is advised. {HONEST}");
        }
        let shared = if self.is_shared { " It needs writers = \"exclusive\"." } else { "" };
        let (longest, configured) =
            (show_duration(total.longest), shown_ms(self.configured_lag_ms));
        format!(
            "The longest lag is {longest}; register.lag is {configured} now. Twice that, rounded up, is {lag}.{shared} {HONEST}"
        )
    }
}

const TABLE: &str = "Each cell: the longest time after a write at which a read showed something older, \
                     and after how many of the writes any did.";

const HONEST: &str = "A probe can show a lag, and never its absence: where the store's vendor names a \
                      longer one, or it has busier hours, take that.";

/// The longest lag, and how often there was one.
fn cell(tally: &Tally) -> String {
    if tally.rounds == 0 {
        return "not looked at".to_owned();
    }
    if tally.rounds_old == 0 {
        return format!("none of {}", tally.rounds);
    }
    let more = if tally.rounds_unfinished > 0 { "over " } else { "" };
    format!("{more}{} ({} of {})", show_duration(tally.longest), tally.rounds_old, tally.rounds)
}

fn pair_report(findings: &Findings, pair: Pair, tally: &Tally) -> PairReport {
    let name = |number: usize| findings.nodes().get(number).cloned().unwrap_or_default();
    PairReport {
        written_at: name(pair.written_at),
        read_at: name(pair.read_at),
        write: pair.write,
        read: pair.read,
        rounds: tally.rounds,
        rounds_old: tally.rounds_old,
        rounds_back: tally.rounds_back,
        rounds_unfinished: tally.rounds_unfinished,
        longest_lag_ms: in_millis(tally.longest),
        reads: tally.reads,
        reads_without_answer: tally.reads_missed,
    }
}

fn shown_ms(ms: u64) -> String {
    show_duration(Duration::from_millis(ms))
}

/// Breaks a text into lines, each of which ends with a line end.
pub(super) fn wrapped(text: &str) -> String {
    let (mut lines, mut width) = (String::new(), 0);
    for word in text.split_whitespace() {
        let fits = width > 0 && width + 1 + word.len() <= WIDTH;
        if width > 0 {
            lines.push(if fits { ' ' } else { '\n' });
        }
        lines.push_str(word);
        width = if fits { width + 1 + word.len() } else { word.len() };
    }
    lines.push('\n');
    lines
}

/// The longest line of text, in bytes.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::consistency::series::Series;
    use crate::s3::{BucketName, Segments};

    const PLAN: Plan = Plan { rounds: 2, patience: Duration::from_secs(5) };
    const PAIR: Pair = Pair { written_at: 0, read_at: 0, write: Write::Create, read: Read::Get };

    fn findings(nodes: &[&str]) -> Findings {
        Findings::new(nodes.iter().map(|name| (*name).to_owned()).collect(), PLAN.patience)
    }

    fn series(reads: &[(u64, bool)]) -> Series {
        let mut series = Series::default();
        for (age_ms, is_new) in reads {
            series.see(Duration::from_millis(*age_ms), *is_new);
        }
        series
    }

    fn report(findings: &Findings, lag_ms: u64, removed: Removed) -> Report {
        let bucket = BucketName::parse("bucket").unwrap();
        let scratch = Scratch::new(bucket, "p/", Segments::default()).unwrap();
        let mut config = Config::default();
        config.register.terms.lag = Duration::from_millis(lag_ms);
        Report::new(&config, &scratch, PLAN, findings, removed)
    }

    #[test]
    fn a_lag_is_shown_with_the_lines_to_paste_and_fails_unless_it_is_configured() {
        let mut seen = findings(&["http://n"]);
        seen.add(PAIR, &series(&[(0, true), (430, false), (500, true)]));
        seen.add(PAIR, &series(&[(0, true)]));
        let told = report(&seen, 500, Removed::default());
        assert!(told.verdict().is_ok() && told.consistent_as_configured);
        let untold = report(&seen, 0, Removed::default());
        assert_eq!(
            untold.verdict().unwrap_err(),
            "the store lags by 430ms, and register.lag is 0s"
        );
        let text = untold.text();
        for part in ["430ms (1 of 2)", "The store goes back: in 1 of 2", "exclusive"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.ends_with("\n\n    [register]\n    lag = \"900ms\"\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn without_a_lag_it_says_what_that_is_worth() {
        let mut seen = findings(&["http://n"]);
        seen.add(PAIR, &series(&[(0, true)]));
        let report = report(&seen, 0, Removed::default());
        let text = report.text();
        assert!(report.verdict().is_ok() && text.contains("none of 1"), "{text}");
        assert!(text.contains("never its absence"), "{text}");
        assert!(text.ends_with("lag = \"0s\"\n"), "{text}");
    }

    #[test]
    fn a_lag_without_an_end_gives_no_lines_and_fails() {
        let mut seen = findings(&["http://n"]);
        seen.add(PAIR, &series(&[(4990, false)]));
        let report = report(&seen, 60_000, Removed::default());
        let text = report.text();
        assert!(text.contains("over 4990ms (1 of 1)") && text.contains("not looked at"), "{text}");
        assert!(!text.contains("lag = "), "{text}");
        assert!(report.verdict().unwrap_err().contains("not known"));
        assert_eq!(report.advised_lag, None);
    }

    #[test]
    fn each_pair_of_nodes_has_a_table() {
        let mut seen = findings(&["http://a", "http://b"]);
        seen.add(Pair { read_at: 1, ..PAIR }, &series(&[(7, false), (9, true)]));
        let report = report(&seen, 0, Removed::default());
        let text = report.text();
        assert_eq!(text.matches("written at ").count(), 4, "{text}");
        let table = text.split("written at http://a, read at http://b\n").nth(1).unwrap();
        assert!(table.lines().nth(1).unwrap().contains("7ms (1 of 1)"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["pairs"][0]["read_at"], "http://b");
        assert_eq!(json["pairs"][0]["longest_lag_ms"], 7);
        assert_eq!(json["advised_lag"], "100ms");
    }

    #[test]
    fn what_is_left_behind_fails() {
        let left = vec!["b/k: no".to_owned()];
        let report = report(&findings(&["http://n"]), 0, Removed { left, versions: 3 });
        assert!(report.verdict().unwrap_err().ends_with("not deleted: 1"));
        assert!(report.text().contains("3 versions and delete markers"));
    }
}
