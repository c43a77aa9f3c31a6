//! Counts, for one test (`src/server_tests.rs`), how often each thing of a request is read. Each thread has
//! counts of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// How often each was read, by its name.
pub(crate) type Readings = BTreeMap<&'static str, usize>;

thread_local! {
    static COUNTS: RefCell<Readings> = RefCell::default();
}

/// Counts one reading.
pub(crate) fn count(what: &'static str) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(what).or_default() += 1);
}

/// What this thread has read since it was asked last.
#[cfg_attr(not(feature = "embedded"), allow(dead_code, reason = "the test needs that store"))]
pub(crate) fn take() -> Readings {
    COUNTS.take()
}
