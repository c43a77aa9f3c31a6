//! What goes on at present, for people who look: the keys that are asked for most, and the writes
//! under way with what they wait for. The metrics count, and never name a key; here keys have names,
//! and memory is bounded instead (docs/decisions/0094-the-status-page.md).
//!
//! - [`hot_keys`]: the keys that are asked for most, by the sketches in `sketch`.
//! - [`writes`]: the writes under way, and those that were left in doubt.
//!
//! The time is an argument. Where nobody can look, nothing is kept.

pub mod hot_keys;
mod sketch;
pub mod writes;

use std::time::Instant;

use hot_keys::HotKeys;
use writes::Writes;

/// What is kept of the present.
#[derive(Debug, Default)]
pub struct Present {
    /// The keys that are asked for most; `None` where nobody can look.
    pub hot_keys: Option<HotKeys>,
    /// The writes under way.
    pub writes: Writes,
}

impl Present {
    /// For a process with so many threads that serve, where somebody can look.
    pub fn new(threads: usize, now: Instant) -> Self {
        Self { hot_keys: Some(HotKeys::new(threads, now)), writes: Writes::new(threads) }
    }
}
