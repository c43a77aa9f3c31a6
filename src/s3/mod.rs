//! S3 as rules: which operation a request is, which key it changes, which condition it carries,
//! how that condition is judged, and what the answer looks like. Pure: no IO, no clock.

pub mod head;

pub use head::RequestHead;
