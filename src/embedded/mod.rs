//! The embedded store: objects in a directory of this machine, served on a local port. It is for one
//! machine, for trials, tests and small installations; the proxy uses it like any other store.
//!
//! Only a build with the cargo feature `embedded` has it. In any other build [`absent`] replaces
//! it, so that no other code has to ask which build it is in.

pub mod absent;
#[cfg(feature = "embedded")]
mod answers;
#[cfg(feature = "embedded")]
mod asked;
#[cfg(feature = "embedded")]
mod chaos;
#[cfg(feature = "embedded")]
mod cors;
#[cfg(feature = "embedded")]
mod entry;
#[cfg(feature = "embedded")]
mod form;
#[cfg(feature = "embedded")]
mod front;
#[cfg(feature = "embedded")]
mod head;
#[cfg(feature = "embedded")]
mod misses;
mod parts;
#[cfg(feature = "embedded")]
mod replicas;
#[cfg(feature = "embedded")]
mod serve;
#[cfg(feature = "embedded")]
mod signature;
#[cfg(feature = "embedded")]
mod store;

#[cfg(not(feature = "embedded"))]
pub use absent::{ABSENCE, serve};
pub use parts::{EmbeddedError, EmbeddedStore, Fsync, Misbehaviour, Options};
#[cfg(feature = "embedded")]
pub use serve::{ABSENCE, serve};
