//! The `ifmatch` program.
fn main() {}
