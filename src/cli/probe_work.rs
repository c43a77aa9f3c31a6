//! What probes have in common for their user: a line of progress, and an end in good order when they are told to
//! stop.

use std::io::{IsTerminal as _, stderr};

use tokio::select;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::lifecycle::signals::told_to_stop;
use crate::probe::{Removed, Scratch, Trouble};

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Key(..) => Self::Usage(format!("--prefix: {trouble}")),
            other => Self::Run(other.to_string()),
        }
    }
}

/// A line on a terminal that says how far it is.
pub(super) struct Progress {
    all: usize,
    things: &'static str,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new(all: usize, things: &'static str) -> Self {
        Self { all, things, is_terminal: stderr().is_terminal() }
    }

    pub(super) fn show(&self, done: usize) {
        if self.is_terminal {
            let end = if done == self.all { "\n" } else { "" };
            eprint!("\r{done} of {} {}{end}", self.all, self.things);
        }
    }
}

/// Told to stop, it waits for answers to the writes that are under way, unless it is told once more.
pub(super) async fn until_told<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::pin!(work);
    select! {
        biased;
        () = told_to_stop() => {
            eprintln!("told to stop: deleting the scratch objects");
            stop.cancel();
            select! {
                biased;
                () = told_to_stop() => Err(Trouble::Stopped),
                worked = &mut work => worked,
            }
        }
        worked = &mut work => worked,
    }
}

/// Waits for this removal of the scratch objects, unless it is told to stop once more.
pub(super) async fn removed(
    scratch: &Scratch,
    removing: impl Future<Output = Removed>,
) -> Result<Removed, Failure> {
    let removed = select! {
        biased;
        () = told_to_stop() => {
            return Err(Failure::Run(format!(
                "told to stop before all scratch objects were deleted; delete what is under {}",
                scratch.shown()
            )));
        }
        removed = removing => removed,
    };
    for what in &removed.left {
        eprintln!("not deleted: {what}");
    }
    Ok(removed)
}
