//! Audits: what the register believes of keys, beside what the store shows of them, for operators. The
//! register in Redis and the store are asked directly, not through a proxy.
//!
//! - [`finding`]: what the two say together. Pure.
//! - [`known`]: the keys that the register knows.
//! - [`auditor`]: the questions to both.
//! - [`mend`]: a record that the store contradicts.
//! - [`bucket`]: what holds for all keys of a bucket.
//! - [`uploads`]: multipart uploads that were not finished.

pub mod auditor;
pub mod bucket;
pub mod finding;
pub mod known;
pub mod mend;
pub mod uploads;

pub use auditor::{Auditor, Look, Trouble, Views};
pub use finding::{Belief, Finding};
pub use known::Known;
pub use mend::Mended;
