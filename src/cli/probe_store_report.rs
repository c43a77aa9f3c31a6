//! The report of `ifmatch probe`: a table with what follows from it, or a JSON document.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};

use serde::Serialize;

use super::probe_report::wrapped;
use crate::config::Config;
use crate::probe::advice::contradiction;
use crate::probe::conditions;
use crate::probe::finding::{CaseFinding, Finding, Level};
use crate::probe::setting::{Setting, merged};
use crate::probe::{Removed, Scratch, Site};

/// What a column is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    /// One node of the store.
    Node,
    /// All nodes, asked at the same time.
    AllNodes,
    /// A proxy before the store.
    Proxy,
}

/// What was found of one place.
pub(super) struct Column {
    /// Its URL, `all nodes`, or `ifmatch`.
    pub(super) name: String,
    pub(super) place: Place,
    /// The shell function that the commands call.
    pub(super) function: String,
    /// Its cells.
    pub(super) findings: Vec<Finding>,
}

impl Column {
    /// For what was found there; of all nodes, any of them.
    pub(super) fn of(site: &Site, place: Place, findings: Vec<Finding>) -> Self {
        let name = match place {
            Place::Node | Place::Proxy => site.name().to_owned(),
            Place::AllNodes => "all nodes".to_owned(),
        };
        Self { name, place, function: site.function(), findings }
    }
}

/// All facts.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bucket: String,
    /// With its random part.
    prefix: String,
    columns: Vec<ColumnReport>,
    rows: Vec<Row>,
    /// The keys of `[backend]` that follow from what was seen.
    settings: Vec<Setting>,
    /// Those of them that are configured otherwise; a sentence each.
    contradicted: Vec<String>,
    /// How many versions and delete markers the bucket had kept, which were deleted.
    versions_deleted: usize,
    /// What could not be deleted; a sentence each.
    not_deleted: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ColumnReport {
    name: String,
    place: Place,
    is_proxy: bool,
    /// The shell function that the commands of its cells call.
    function: String,
}

#[derive(Debug, Serialize)]
struct Row {
    group: &'static str,
    name: String,
    /// In the order of the columns; null where a place was not asked.
    cells: Vec<Option<Cell>>,
}

#[derive(Debug, Serialize)]
struct Cell {
    text: String,
    level: Level,
    cases: Vec<CaseFinding>,
    /// Lines for a shell that show the worst case again.
    commands: Vec<String>,
}

impl Report {
    pub(super) fn new(
        config: &Config,
        scratch: &Scratch,
        columns: Vec<Column>,
        removed: Removed,
    ) -> Self {
        let of_nodes = columns.iter().filter(|column| column.place == Place::Node);
        let seen = of_nodes.map(|column| column.findings.iter().filter_map(|row| row.setting));
        let settings = merged(&seen.map(Iterator::collect).collect::<Vec<_>>());
        let contradicted = settings.iter().filter_map(|seen| contradiction(&config.backend, *seen));
        Self {
            bucket: scratch.bucket().to_owned(),
            prefix: scratch.prefix().to_owned(),
            contradicted: contradicted.map(|each| each.to_string()).collect(),
            settings,
            rows: rows(&columns),
            columns: columns
                .into_iter()
                .map(|Column { name, place, function, .. }| ColumnReport {
                    name,
                    place,
                    is_proxy: place == Place::Proxy,
                    function,
                })
                .collect(),
            versions_deleted: removed.versions,
            not_deleted: removed.left,
        }
    }

    /// The JSON document.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// The error is a sentence: a proxy does not keep its word, a setting is contradicted, or not all is
    /// clean.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let mut broken = self.cells_of(true, Level::Bad);
        broken.extend(self.cells_of(true, Level::Safe));
        broken.retain(|name| self.is_promised(name));
        if !broken.is_empty() {
            return Err(format!("not as promised through ifmatch: {}", broken.join("; ")));
        }
        if !self.contradicted.is_empty() {
            return Err(self.contradicted.join("; "));
        }
        match self.not_deleted.len() {
            0 => Ok(()),
            count => Err(format!("scratch objects that were not deleted: {count}")),
        }
    }

    /// Whether the proxy promises what the row of this name is about, whatever the store does.
    fn is_promised(&self, name: &str) -> bool {
        let groups = [conditions::GROUP, conditions::race::GROUP];
        self.rows.iter().any(|row| groups.contains(&row.group) && row.name == name)
    }

    /// The names of the rows with cells of this level.
    fn cells_of(&self, of_proxies: bool, level: Level) -> Vec<&str> {
        let is_one = |row: &&Row| {
            row.cells.iter().zip(&self.columns).any(|(cell, column)| {
                column.is_proxy == of_proxies && cell.as_ref().is_some_and(|it| it.level == level)
            })
        };
        self.rows.iter().filter(is_one).map(|row| row.name.as_str()).collect()
    }

    /// The table, and what follows from it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.push_table(&mut text);
        self.push_commands(&mut text);
        text.push('\n');
        for sentence in self.sentences() {
            text.push_str(&wrapped(&sentence));
        }
        if !self.settings.is_empty() {
            text.push_str("\n    [backend]\n");
            for setting in &self.settings {
                let _ = writeln!(text, "    {}", setting.line());
            }
        }
        text
    }

    fn push_table(&self, text: &mut String) {
        let heads = self.columns.iter().map(|column| match column {
            ColumnReport { is_proxy: true, .. } => "through ifmatch".to_owned(),
            _ if self.columns.iter().filter(|it| it.place == Place::Node).count() == 1 => {
                "the store alone".to_owned()
            }
            ColumnReport { name, .. } => name.clone(),
        });
        let heads: Vec<_> = heads.map(|head| (head, Level::Good)).collect();
        let (mut lines, mut group) = (vec![(String::new(), heads)], "");
        for row in &self.rows {
            if row.group != group {
                group = row.group;
                lines.push((group.to_owned(), Vec::new()));
            }
            lines.extend(row.lines());
        }
        let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        let names = widest(&mut lines.iter().map(|(name, _)| name.chars().count()));
        let widths: Vec<_> = (0..self.columns.len())
            .map(|at| {
                let of = |cells: &Vec<(String, Level)>| {
                    cells.get(at).map_or(0, |(cell, _)| cell.chars().count())
                };
                widest(&mut lines.iter().map(|(_, cells)| of(cells)))
            })
            .collect();
        let is_terminal = stdout().is_terminal();
        for (name, cells) in lines {
            let mut line = format!("{name:<names$}");
            for ((cell, level), width) in cells.iter().zip(&widths) {
                let cell = format!("{cell:<width$}");
                let red = is_terminal && *level == Level::Bad;
                let (begin, end) = if red { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
                line.extend(["   ", begin, &cell, end]);
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }

    /// The commands for each red cell of a store; a proxy that was started for this is gone.
    fn push_commands(&self, text: &mut String) {
        for (at, column) in self.columns.iter().enumerate().filter(|(_, it)| !it.is_proxy) {
            let of = |row: &Row| {
                row.cells
                    .get(at)
                    .is_some_and(|cell| cell.as_ref().is_some_and(|cell| cell.level == Level::Bad))
            };
            let red: Vec<_> = self.rows.iter().filter(|row| of(row)).collect();
            if !red.is_empty() {
                let _ = write!(text, "\n# {}\n{}\n", column.name, column.function);
            }
            for row in red {
                let _ = write!(text, "\n# {}\n", row.name);
                let cell = row.cells.get(at).and_then(Option::as_ref);
                for line in cell.map(|cell| cell.commands.as_slice()).unwrap_or_default() {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
    }

    fn sentences(&self) -> Vec<String> {
        let mut all = Vec::new();
        let (bad, safe) = (self.cells_of(false, Level::Bad), self.cells_of(false, Level::Safe));
        if !bad.is_empty() {
            all.push(format!(
                "The store alone tells clients what is not so, or loses what they wrote: {}. The \
                 commands above show it again, with the credential in AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY.",
                bad.join("; ")
            ));
        }
        if !safe.is_empty() {
            all.push(format!("Other than AWS, and nothing is lost: {}.", safe.join("; ")));
        }
        if self.rows.iter().any(|row| row.group == conditions::race::GROUP) {
            all.push(HONEST.to_owned());
        }
        if self.versions_deleted > 0 {
            all.push(format!(
                "The bucket keeps versions: {} versions and delete markers were deleted one by one.",
                self.versions_deleted
            ));
        }
        all.extend(self.contradicted.iter().map(|sentence| format!("{sentence}.")));
        all
    }
}

const HONEST: &str = "A probe can show a race, and never its absence: writers at other nodes, or in a \
                      busier hour, may race yet.";

impl Row {
    /// One line where each place's cases are alike, else one more for each case.
    fn lines(&self) -> Vec<(String, Vec<(String, Level)>)> {
        let text = |cell: &Option<Cell>| match cell {
            Some(cell) => (cell.text.clone(), cell.level),
            None => ("-".to_owned(), Level::Good),
        };
        let is_uniform = |cell: &Cell| {
            cell.cases.len() < 2 || cell.cases.iter().all(|case| case.verdict == cell.text)
        };
        if self.cells.iter().flatten().all(is_uniform) {
            return vec![(format!("  {}", self.name), self.cells.iter().map(text).collect())];
        }
        let mut lines = vec![(format!("  {}", self.name), Vec::new())];
        let first = self.cells.iter().flatten().next();
        for (at, case) in
            first.map(|cell| cell.cases.as_slice()).unwrap_or_default().iter().enumerate()
        {
            let of = |cell: &Option<Cell>| match cell.as_ref().and_then(|cell| cell.cases.get(at)) {
                Some(case) => (case.verdict.clone(), case.level),
                None => ("-".to_owned(), Level::Good),
            };
            lines.push((format!("    {}", case.case), self.cells.iter().map(of).collect()));
        }
        lines
    }
}

/// The rows of all places, in the order of the first that has them.
fn rows(columns: &[Column]) -> Vec<Row> {
    let mut names: Vec<(&'static str, &str)> = Vec::new();
    for finding in columns.iter().flat_map(|column| &column.findings) {
        let name = (finding.group, finding.name.as_str());
        if !names.contains(&name) {
            let end = names.iter().rposition(|(group, _)| *group == finding.group);
            names.insert(end.map_or(names.len(), |end| end + 1), name);
        }
    }
    let cell = |finding: &Finding| Cell {
        text: finding.text.clone(),
        level: finding.level,
        cases: finding.cases.clone(),
        commands: finding.commands().to_vec(),
    };
    let row = |(group, name): (&'static str, &str)| Row {
        group,
        name: name.to_owned(),
        cells: columns
            .iter()
            .map(|column| {
                let is_it = |it: &&Finding| it.group == group && it.name == name;
                column.findings.iter().find(is_it).map(cell)
            })
            .collect(),
    };
    names.into_iter().map(row).collect()
}
