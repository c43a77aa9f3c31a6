//! Which node of the store gets a request. Pure: no IO, and the present time is an argument.
//!
//! - [`place`]: what a request is about, as all proxies of a fleet spell it.
//! - [`order`]: the order in which the nodes are asked for a place, and the least busy node.
//! - [`health`]: whether a node gets requests.
//! - [`address`]: which of the addresses of a node's name is used.

pub mod address;
pub mod health;
pub mod order;
pub mod place;
