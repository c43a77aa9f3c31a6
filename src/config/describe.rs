//! The configuration in effect, as TOML, each line with where it came from.

use std::fmt::Write as _;

use super::Config;
use super::layers::Source;

/// One setting as `describe` prints it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// `listen`, `register.lease`, `client #1.buckets`.
    pub(super) path: String,
    /// In TOML's spelling, secrets masked; `None` when nothing is set.
    pub(super) value: Option<String>,
    /// Where it came from.
    pub(super) note: String,
    /// Whether it may not be written in a file: a secret itself, or what `--embedded` decides.
    pub(super) comment: bool,
}

impl Line {
    pub(super) fn of(path: &str, value: String, source: &Source) -> Self {
        let comment = *source == Source::Embedded;
        Self { path: path.to_owned(), value: Some(value), note: source.to_string(), comment }
    }

    pub(super) fn unset(path: &str, meaning: &str) -> Self {
        let note = format!("not set: {meaning}");
        Self { path: path.to_owned(), value: None, note, comment: true }
    }
}

impl Config {
    /// The configuration in effect as TOML, with a comment on each line saying where the value
    /// came from. Secrets are masked.
    pub fn describe(&self) -> String {
        let mut text = String::from("# ifmatch: the configuration in effect\n");
        let mut table = "";
        for line in &self.lines {
            let (head, name) = line.path.split_once('.').unwrap_or(("", &line.path));
            if head != table {
                table = head;
                let heading = match head.split_once(' ') {
                    Some((each, _number)) => format!("[[{each}]]"),
                    None => format!("[{head}]"),
                };
                let _ = write!(text, "\n{heading}\n");
            }
            let mark = if line.comment { "# " } else { "" };
            let setting = match &line.value {
                Some(value) => format!("{mark}{name} = {value}"),
                None => format!("{mark}{name}"),
            };
            let _ = writeln!(text, "{setting:<44}  # {}", line.note);
        }
        text
    }
}
