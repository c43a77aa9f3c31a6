//! The end of a process that cannot return from its main function.

/// Ends the process.
#[allow(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "Pingora's main thread sleeps or waits for others, and offers no other way out"
)]
pub(super) fn exit() {
    std::process::exit(0)
}
