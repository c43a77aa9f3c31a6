//! Probes: what a store does, measured by requests of our own. What a probe writes stands under a prefix of
//! its own, and is removed when the probe ends.
//!
//! - [`node`]: one node of the store, asked on its own until it answers.
//! - [`site`]: a node of the store or a proxy before it, asked once.
//! - [`ask`], [`framing`], [`script`]: a request, the framing of its content, the same as a line for a
//!   shell. Pure.
//! - [`scratch`]: the objects that a probe writes, and their removal.
//! - [`survey`]: all that is found out of one place.
//! - [`talk`]: the requests of one question, each noted before it is sent.
//! - [`conditions`]: what becomes of conditions on writes.
//! - [`quirks`]: what becomes of requests that stores differ in.
//! - [`finding`]: what was found out, and what it means for the configuration. Pure.
//! - [`setting`]: the settings that follow from it. Pure.
//! - [`advice`]: what the configuration says beside that. Pure.
//! - [`start`]: the short form at the start of a process.
//! - [`consistency`]: for how long reads show what was replaced.
//! - [`trouble`]: why a probe fails.

pub mod advice;
pub mod ask;
pub mod conditions;
pub mod consistency;
pub mod finding;
mod framing;
pub mod node;
pub mod quirks;
pub mod scratch;
pub mod script;
pub mod setting;
pub mod site;
pub mod start;
pub mod survey;
mod sweep;
pub mod talk;
pub mod trouble;

pub use node::Node;
pub use scratch::Scratch;
pub use site::Site;
pub use sweep::Removed;
pub use trouble::Trouble;
