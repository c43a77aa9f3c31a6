//! The process's own numbers, read from `/proc`.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};

use crate::descriptors;
use crate::metrics::process::{Process, Units, parse};

/// Reads them; `None` on a system that does not tell them. Blocks for some microseconds.
pub(super) fn read() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let units = Units {
        ticks_per_s: clock_ticks_per_second(),
        page_bytes: u64::try_from(page_size()).ok()?,
    };
    let open_fds = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(Process {
        stat: parse(&stat, &system, units)?,
        // The directory itself was open while it was read.
        open_fds: u64::try_from(open_fds).ok()?.saturating_sub(1),
        max_fds: descriptors::most(),
    })
}
