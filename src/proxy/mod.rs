//! The proxy's request handling.
//!
//! The door takes connections and reads heads. A request is admitted (operation, sender, promises
//! about the body), its handler returns a response, and `serve.rs` writes it. A request that changes
//! the content of a key goes through the gate; everything else streams, signed anew.

mod access;
mod admission;
mod admitted;
mod buffered;
mod conditional_read;
mod connection_slots;
mod consistent_listing;
mod consistent_read;
mod consistent_versions;
mod context;
mod copy_source;
mod cors;
mod delete_limiter;
#[cfg(test)]
mod dice;
mod door;
mod form_fields;
mod forward;
mod freshness;
mod gate_reply;
mod handlers;
mod handshake;
mod incoming_form;
mod keep_alive;
mod lasting;
mod levels;
mod listing_draft;
mod live;
mod location;
mod origin;
mod outgoing;
mod pre_auth;
mod read_body;
mod reconfigure;
mod relay;
mod response;
mod rules;
mod serve;
mod signed;
mod state;
mod strict;
mod tls_stream;
mod visit;
mod wire;
mod write_id;

pub use door::Door;
pub use handshake::Handshakes;
pub use lasting::{Lasting, gate_settings};
pub use levels::ProxyLevels;
pub use live::LiveProxy;
pub use reconfigure::Reconfigurable;
pub use state::Proxy;

#[cfg(test)]
mod requests_tests;
