//! What the marker says of the register: the watch tells it, and the guarded register obeys.

/// Whether the register is the one that the marker names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is.
    Agreed,
    /// It will be, once the marker is written.
    Unconfirmed,
    /// It is not; a sentence.
    Foreign(String),
}
