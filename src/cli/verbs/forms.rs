//! Keys, states and ages as lines and as JSON.

use std::time::Duration;

use serde::Serialize;

use crate::register::types::in_millis;
use crate::register::{Observation, State};
use crate::s3::{Current, Seen};
use crate::units::show_duration;

/// What the register believes of a key, as JSON has it.
#[derive(Debug, Serialize)]
pub(super) struct Believed {
    /// `present`, `absent` or `unknown`.
    state: &'static str,
    etag: Option<String>,
    generation: Option<String>,
    /// The generation of a write under way or in doubt.
    pending_generation: Option<String>,
    leased: bool,
    in_doubt: bool,
    /// How long ago the last write landed at the latest; null where none is remembered.
    landed_ms_ago: Option<u64>,
    young_for_ms: u64,
    quarantine_ms: u64,
}

/// What the store shows of a key, as JSON has it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// `present` or `absent`.
    state: &'static str,
    etag: Option<String>,
    size_bytes: Option<u64>,
    last_modified_s: Option<i64>,
}

impl From<&Observation> for Believed {
    fn from(observed: &Observation) -> Self {
        let (state, etag) = named(&observed.state);
        Self {
            state,
            etag,
            generation: observed.generation.as_ref().map(ToString::to_string),
            pending_generation: observed.pending.as_ref().map(ToString::to_string),
            leased: observed.leased,
            in_doubt: is_in_doubt(observed),
            landed_ms_ago: observed.landed.map(in_millis),
            young_for_ms: in_millis(observed.young_for),
            quarantine_ms: in_millis(observed.quarantine),
        }
    }
}

impl From<&Seen> for Shown {
    fn from(seen: &Seen) -> Self {
        let (state, etag) = named(&State::from(seen.current.clone()));
        let (size_bytes, last_modified_s) = (seen.size_bytes, seen.last_modified_s);
        Self { state, etag, size_bytes, last_modified_s }
    }
}

/// A write that may have landed or not, and that no lease waits for.
pub(super) fn is_in_doubt(observed: &Observation) -> bool {
    observed.pending.is_some() && !observed.leased
}

fn named(state: &State) -> (&'static str, Option<String>) {
    match state {
        State::Absent => ("absent", None),
        State::Present(etag) => ("present", Some(etag.to_string())),
        State::Unknown => ("unknown", None),
    }
}

/// A state in a line: an ETag, or a word.
pub(super) fn state_text(state: &State) -> String {
    let (word, etag) = named(state);
    etag.map_or_else(|| word.to_owned(), |etag| printable(&etag))
}

/// What a HEAD shows, in a line.
pub(super) fn current_text(current: &Current) -> String {
    state_text(&State::from(current.clone()))
}

/// The lease or the doubt, and the state before that write.
pub(super) fn lease_text(observed: &Observation) -> String {
    let before = observed.before.as_ref().map(state_text);
    let before = before.map(|state| format!(", over {state}")).unwrap_or_default();
    let what = match (observed.leased, observed.pending.is_some()) {
        (true, true) => "a write is under way, or may still land",
        (true, false) => "held, and no write was sent",
        (false, true) => "none; a write is in doubt",
        (false, false) => return "none".to_owned(),
    };
    format!("{what}{before}")
}

/// How old the last landing is, in a line.
pub(super) fn age_text(landed: Option<Duration>) -> String {
    landed.map_or_else(|| "-".to_owned(), |age| format!("{} ago", rounded(age)))
}

/// A duration in one of the units that people read: whole seconds from ten seconds on.
pub(super) fn rounded(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..10 => show_duration(duration),
        10..600 => format!("{s}s"),
        600..36_000 => format!("{}m", s / 60),
        36_000..864_000 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// A text that does nothing to a terminal: without control characters, and in one line.
pub(super) fn printable(text: &str) -> String {
    let is_plain = |c: char| !c.is_control();
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    let escaped = text.chars().flat_map(|c| {
        let (plain, escaped) =
            if is_plain(c) { (Some(c), None) } else { (None, Some(c.escape_default())) };
        plain.into_iter().chain(escaped.into_iter().flatten())
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_nothing_to_a_terminal() {
        assert_eq!(printable("a b/ä"), "a b/ä");
        assert_eq!(printable("a\u{1b}[2J\nä"), "a\\u{1b}[2J\\nä");
    }

    #[test]
    fn ages_are_read_at_a_glance() {
        for (ms, text) in [
            (0, "0s"),
            (1_500, "1500ms"),
            (75_400, "75s"),
            (3_600_000, "60m"),
            (90_000_000, "25h"),
            (900_000_000, "10d"),
        ] {
            assert_eq!(rounded(Duration::from_millis(ms)), text);
        }
        assert_eq!(age_text(None), "-");
    }
}
