//! Long results: each item is written when it is there, as a line or as part of one JSON document, so
//! that a bucket of any size fits. And how far a verb is, for those who watch.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _, stderr, stdout};

use serde::Serialize;

use super::Failure;
use super::target::Range;

/// Items, as they come.
#[derive(Debug)]
pub(super) struct Items {
    out: BufWriter<Stdout>,
    json: bool,
    is_first: bool,
}

impl Items {
    /// Begins. The JSON document has the items under this name.
    pub(super) fn begin(json: bool, range: &Range, name: &str) -> Result<Self, Failure> {
        let mut items = Self { out: BufWriter::new(stdout()), json, is_first: true };
        if json {
            let (bucket, prefix) = (text_of(range.bucket.as_str())?, text_of(&range.prefix)?);
            let name = text_of(name)?;
            write!(items.out, "{{\"bucket\": {bucket}, \"prefix\": {prefix}, {name}: [")?;
        }
        Ok(items)
    }

    /// Adds one.
    pub(super) fn add(&mut self, line: &str, document: &impl Serialize) -> Result<(), Failure> {
        if self.json {
            let comma = if self.is_first { "" } else { "," };
            let document = text_of(document)?;
            write!(self.out, "{comma}\n{document}")?;
        } else {
            writeln!(self.out, "{line}")?;
        }
        self.is_first = false;
        Ok(())
    }

    /// Shows what was added until now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends, with what all of them say together.
    pub(super) fn end(mut self, line: &str, summary: &impl Serialize) -> Result<(), Failure> {
        if self.json {
            let summary = text_of(summary)?;
            writeln!(self.out, "\n], \"summary\": {summary}}}")?;
        } else {
            writeln!(self.out, "{line}")?;
        }
        Ok(self.out.flush()?)
    }
}

/// One JSON document.
pub(super) fn text_of<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Run(error.to_string()))
}

/// How many keys are done, on a terminal that shows nothing else.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Nothing is done yet.
    pub(super) fn begin() -> Self {
        Self { is_shown: stderr().is_terminal() && !stdout().is_terminal() }
    }

    /// So many are.
    pub(super) fn tell(&self, done: u64) {
        if self.is_shown {
            eprint!("\r{done} keys");
        }
    }

    /// No more come.
    pub(super) fn end(self) {
        if self.is_shown {
            eprintln!();
        }
    }
}
