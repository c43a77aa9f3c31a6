//! The embedded store: objects as files in a directory, served by `s3s-fs` on a local port. It is
//! for trials and tests; the proxy uses it like any other store.
//!
//! Only a build with the cargo feature `embedded` has it. In any other build [`absent`] replaces
//! it, so that no other code has to ask which build it is in.

pub mod absent;
mod parts;
#[cfg(feature = "embedded")]
mod store;

#[cfg(not(feature = "embedded"))]
pub use absent::{ABSENCE, serve};
pub use parts::{EmbeddedError, EmbeddedStore, Options};
#[cfg(feature = "embedded")]
pub use store::{ABSENCE, serve};
