//! `ifmatch`: conditional writes that survive retries, on any S3.
//!
//! A reverse proxy for any S3-compatible store. Every change of a key passes a gate: one writer at
//! a time, serialised through a register of ETags in Redis or in memory, and a stale writer is
//! refused with 412 before its body is sent on.
//!
//! # The rooms
//!
//! Rules decide, shells act. The first group has no IO and no clock: values in, values out.
//!
//! - [`s3`]: which operation a request is, which key it changes, under which condition; how the
//!   condition is judged; how answers look.
//! - [`sigv4`]: Signature Version 4 towards two sides, and the checking of bodies.
//! - [`register::record`]: the register's transitions.
//! - [`shares`]: how much of something each client holds, and may hold.
//!
//! The shells:
//!
//! - [`register`]: the register in memory and in Redis.
//! - [`body`]: bodies taken whole, in memory or on disk.
//! - [`backend`]: the store behind.
//! - [`gate`]: the guarded write, top to bottom.
//! - [`marker`]: which register keeps the locks of this store.
//! - [`proxy`]: the only room that knows Pingora's phases.
//! - [`lifecycle`]: the listening socket, upgrades, draining, signals.
//! - [`config`], [`embedded`], [`server`], [`cli`]: what is set, the store in this process, putting
//!   it all together, talking to a person.
//!
//! ARCHITECTURE.md has the life of a request and the invariants, docs/decisions the reasons.

mod around;
pub mod backend;
pub mod body;
pub mod cli;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod embedded;
pub mod gate;
pub mod http1;
pub mod lifecycle;
pub mod marker;
pub mod proxy;
pub mod random;
#[cfg(test)]
mod readings;
pub mod register;
pub mod s3;
pub mod secret;
pub mod seldom;
pub mod server;
pub mod shares;
pub mod sigv4;
pub mod units;
