//! The guarded write against a store that the test plays.
