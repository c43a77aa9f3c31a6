//! The protocol in all its interleavings: the register's production transitions
//! (`pure_rooms::register::record`), driven by writers that follow `gate/write.rs` step by step, while
//! everything dies that can die. A breadth-first search visits every state that can be reached
//! within a scenario's bounds and checks the laws in each; the first breach found is one of the
//! shortest, and it is told in sentences.
//!
//! One key; time in ticks; a process that is not frozen acts in the tick in which it must act. A step of
//! the register, of the store or of a holder is atomic, and between any two others may come.
//!
//! - `world`: all there is in one state. `writer`: one attempt of a client's call, as the gate
//!   performs it. `store`: what is on its way and what stands there. `register`: the production
//!   transitions, and what is undone of them where a safeguard is taken out. `faults`: what can
//!   go wrong, and how often.
//! - `properties`: the laws. `safeguards`: each one taken out gives a counterexample.
//! - `search`, `fingerprint`, `trace`: the checker. `scenarios`: what is explored.
//!
//! `cargo test --test model` explores the everyday bounds; `make model` larger ones.

#![allow(clippy::print_stdout, reason = "what was explored is told with --nocapture")]

mod actions;
mod faults;
mod fingerprint;
mod properties;
mod register;
mod safeguards;
mod scenarios;
mod search;
mod store;
mod trace;
mod world;
mod writer;
