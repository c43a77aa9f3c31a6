//! `ifmatch`: conditional writes that survive retries, on any S3.
//!
//! A reverse proxy for any S3-compatible store. Every change of a key passes the gate: one write of
//! a key at a time, serialised by a register of ETags in Redis or in memory. A stale write is
//! refused with 412 before its body is sent on.
//!
//! # The rooms
//!
//! Pure modules decide; the others act. The first group has no IO and no clock: values in, values
//! out.
//!
//! - [`s3`]: the operation of a request, the key it changes, its conditions and their evaluation,
//!   the form of answers.
//! - [`sigv4`]: Signature Version 4 on both sides, and the verification of bodies.
//! - [`register::record`]: the register's transitions.
//! - [`shares`]: how much of a resource each client holds, and may hold.
//!
//! The modules that act:
//!
//! - [`register`]: the register in memory and in Redis.
//! - [`body`]: buffered bodies, in memory or on disk.
//! - [`backend`]: the store.
//! - [`gate`]: the guarded write, from beginning to end.
//! - [`marker`]: the object in the store that names its register.
//! - [`probe`]: what a store does, measured.
//! - [`present`]: the keys that are asked for most, and the writes under way, for people.
//! - [`audit`]: what the register believes beside what the store shows, for operators.
//! - [`proxy`]: connections of clients and the handling of their requests.
//! - [`lifecycle`]: the listening socket, upgrades, draining, signals.
//! - [`traces`]: spans of requests, for a collector of OpenTelemetry.
//! - [`tls`]: certificates, keys and trusted authorities, and the settings made of them.
//! - [`config`], [`reload`], [`embedded`], [`server`], [`cli`]: the settings, their change while the
//!   process runs, the store in this process, the composition of all parts, the command line.
//!
//! ARCHITECTURE.md describes the life of a request and the invariants, docs/decisions the reasons.

pub mod admin;
mod at_once;
pub mod audit;
pub mod backend;
pub mod body;
pub mod built;
pub mod cli;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod embedded;
mod files;
pub mod gate;
pub mod http1;
pub mod lifecycle;
pub mod marker;
pub mod metrics;
mod patience;
pub mod present;
pub mod probe;
pub mod protobuf;
pub mod proxy;
pub mod random;
#[cfg(test)]
mod readings;
pub mod register;
pub mod reload;
pub mod s3;
pub mod secret;
pub mod seldom;
pub mod server;
pub mod shares;
pub mod sigv4;
pub mod tls;
pub mod traces;
pub mod units;
pub mod whole;
mod worker;
