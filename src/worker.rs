//! The number of a thread, by which threads find what each has for itself. What only one of them uses
//! is never waited for, and stays in its processor's cache.

use std::sync::atomic::{AtomicUsize, Ordering};

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// This thread's number: threads are counted from 0, in the order in which they ask.
pub(crate) fn number() -> usize {
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn each_thread_has_a_number_of_its_own() {
        let ours = number();
        let theirs = thread::spawn(|| (number(), number())).join().unwrap();
        assert_eq!((number(), theirs.1), (ours, theirs.0));
        assert_ne!(ours, theirs.0);
    }
}
