//! Taking settings out of the layers one by one: parsed, with faults and provenance noted.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::describe::Line;
use super::faults::Faults;
use super::keys::{self, Fallback};
use super::layers::{Layer, Source, Written};
use super::values::{Raw, Setting};

/// What was written, and what was made of it so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) written: Layer,
    pub(super) variables: Vec<(String, String)>,
    /// Whether there is a file of which nothing could be read.
    pub(super) file_is_lost: bool,
    pub(super) faults: Faults,
    pub(super) warnings: Vec<String>,
    pub(super) lines: Vec<Line>,
}

impl Reading {
    /// A setting whose key has a default in the table.
    pub(super) fn value<T: Setting>(&mut self, path: &str) -> T {
        self.written_value(path).unwrap_or_else(|| {
            let Some(Fallback::Value(text)) = fallback(path) else {
                unreachable!("{path} has a default in the table of keys");
            };
            let value = T::read(&Raw::Plain(text.to_owned())).ok();
            let value = value.expect("the table's defaults are valid: a test reads them all");
            self.note(path, &value, &Source::Default);
            value
        })
    }

    /// A setting that may be missing.
    pub(super) fn optional<T: Setting>(&mut self, path: &str) -> Option<T> {
        let value = self.written_value(path);
        if value.is_none()
            && let Some(Fallback::Nothing(meaning)) = fallback(path)
        {
            self.lines.push(Line::unset(path, meaning));
        }
        value
    }

    /// A setting that must be there; `None` only after noting the fault.
    pub(super) fn required<T: Setting>(&mut self, path: &str) -> Option<T> {
        let table = path.split('.').next().unwrap_or_default();
        if !self.is_written(path)
            && !self.faults.any_at(&[table])
            && let Some(Fallback::Required(reason)) = fallback(path)
        {
            self.faults.push(path, format!("is missing: {reason}"));
        }
        self.written_value(path)
    }

    /// A setting that follows from others unless it is written.
    pub(super) fn derived<T: Setting>(&mut self, path: &str, otherwise: T) -> T {
        self.written_value(path).unwrap_or_else(|| {
            if let Some(Fallback::Derived(how)) = fallback(path) {
                self.note(path, &otherwise, &Source::Derived(how));
            }
            otherwise
        })
    }

    /// A duration that must be longer than nothing.
    pub(super) fn positive(&mut self, path: &str) -> Duration {
        let duration = self.value(path);
        if duration == Duration::ZERO {
            self.faults.push(path, "must be longer than 0s");
        }
        duration
    }

    /// A number within bounds.
    pub(super) fn count(&mut self, path: &str, bounds: RangeInclusive<usize>) -> usize {
        let count = self.value(path);
        self.check_bounds(path, count, &bounds);
        count
    }

    /// A number within bounds that follows from others unless it is written.
    pub(super) fn derived_count(
        &mut self,
        path: &str,
        otherwise: usize,
        bounds: RangeInclusive<usize>,
    ) -> usize {
        let count = self.derived(path, otherwise);
        self.check_bounds(path, count, &bounds);
        count
    }

    /// A number within bounds that may be missing.
    pub(super) fn optional_count(
        &mut self,
        path: &str,
        bounds: RangeInclusive<usize>,
    ) -> Option<usize> {
        let count = self.optional(path)?;
        self.check_bounds(path, count, &bounds);
        Some(count)
    }

    fn check_bounds(&mut self, path: &str, count: usize, bounds: &RangeInclusive<usize>) {
        if !bounds.contains(&count) {
            let (least, most) = (bounds.start(), bounds.end());
            self.faults.push(path, format!("{count} is not between {least} and {most}"));
        }
    }

    /// Whether anybody wrote this key, rightly or not.
    pub(super) fn is_written(&self, path: &str) -> bool {
        self.written.contains_key(path)
    }

    fn written_value<T: Setting>(&mut self, path: &str) -> Option<T> {
        let Written { raw, source } = self.written.get(path)?.clone();
        match T::read(&raw) {
            Ok(value) => {
                self.note(path, &value, &source);
                Some(value)
            }
            Err(message) => {
                let from = match source {
                    Source::Flag(_) | Source::Environment(_) => format!(" (from {source})"),
                    Source::File | Source::Default | Source::Derived(_) | Source::Embedded => {
                        String::new()
                    }
                };
                self.faults.push(path, message + &from);
                None
            }
        }
    }

    fn note<T: Setting>(&mut self, path: &str, value: &T, source: &Source) {
        self.lines.push(Line::of(path, value.show(), source));
    }
}

fn fallback(path: &str) -> Option<Fallback> {
    keys::find(path).map(|key| key.fallback)
}
