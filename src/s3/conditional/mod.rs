//! Conditional requests (RFC 9110 §13; AWS: Conditional requests): the preconditions of a request,
//! parsed once from its head, and one evaluation of them for the key's state.
//!
//! A request's dialect restricts what is parsed (`write.rs`); the evaluation is the same for all
//! requests.

mod evaluate;
mod fields;
#[cfg(test)]
mod fixture;
mod precondition;
mod preconditions;
mod read;
mod representation;
mod requirement;
mod write;

pub use fields::{last_modified_s, sent_at_s};
pub use precondition::{IF_GENERATION_MATCH, Precondition};
pub use preconditions::{Preconditions, Shape};
pub use read::X_AMZ_COPY_SOURCE_IF_MATCH;
pub use representation::{Current, Representation, Seen, Validators};
pub use requirement::Requirement;
pub use write::{Dialect, EntryElements};
