//! An S3 store in this process: objects as files in a directory, served by `s3s-fs` on a local
//! port. It is for trying things out and for tests; the proxy talks to it like to any other store.
//!
//! Only a build with the cargo feature `embedded` has it. In any other build [`absent`] takes its
//! place, so that no other code has to ask which build it is in.

pub mod absent;
mod parts;
#[cfg(feature = "embedded")]
mod store;

#[cfg(not(feature = "embedded"))]
pub use absent::{ABSENCE, serve};
pub use parts::{EmbeddedError, EmbeddedStore, Options};
#[cfg(feature = "embedded")]
pub use store::{ABSENCE, serve};
