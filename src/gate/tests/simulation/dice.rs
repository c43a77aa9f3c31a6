//! The source of a simulation's randomness.

use std::sync::Mutex;
use std::time::Duration;

use crate::random;

/// A sequence of numbers that follows from its seed.
#[derive(Debug)]
pub(super) struct Dice(Mutex<u64>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    fn next(&self) -> u64 {
        random::next(&mut self.0.lock().unwrap())
    }

    /// One of `0..sides`.
    pub(super) fn below(&self, sides: u64) -> u64 {
        self.next() % sides
    }

    /// One of `0..sides`, to choose from what lies in a row.
    pub(super) fn index(&self, sides: usize) -> usize {
        usize::try_from(self.below(sides as u64)).unwrap()
    }

    pub(super) fn one_of<T: Copy>(&self, things: &[T]) -> T {
        things[self.index(things.len())]
    }

    /// True so often in a thousand.
    pub(super) fn falls(&self, permille: u64) -> bool {
        permille > 0 && self.below(1000) < permille
    }

    /// A time up to this, in whole milliseconds.
    pub(super) fn up_to(&self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap();
        Duration::from_millis(self.below(longest + 1))
    }

    pub(super) fn between(&self, shortest: Duration, longest: Duration) -> Duration {
        shortest + self.up_to(longest.saturating_sub(shortest))
    }
}
