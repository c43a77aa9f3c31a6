//! The marker's state: the watch sets it, and the guarded register obeys it.

/// Whether the marker names the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MarkerState {
    /// It does.
    Agreed,
    /// It will, once the marker is written.
    Unconfirmed,
    /// It names another one; a sentence that says so.
    OtherRegister(String),
}
