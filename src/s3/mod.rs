//! S3 as rules: which operation a request is, which key it changes, which condition it carries,
//! how that condition is judged, and what the answer looks like. Pure: no IO, no clock.

pub mod answer;
pub mod classify;
pub mod code;
pub mod completion;
pub mod condition;
pub mod copy_source;
pub mod delete_objects;
pub mod documents;
pub mod encoding;
pub mod etag;
pub mod form;
pub mod head;
pub mod multipart;
pub mod name;
pub mod operation;
pub mod policy;
pub mod precondition;
pub mod refusal;
pub mod requirement;
pub mod rfc_condition;
pub mod tagging;
pub mod target;
pub mod uploads;
pub mod wire;
pub mod xml;

pub use answer::S3Error;
pub use classify::classify;
pub use code::Code;
pub use condition::{Condition, ConditionHeader, Current, Dialect, Refusal, Seen, Verdict, judge};
pub use copy_source::CopySource;
pub use etag::ETag;
pub use form::PostForm;
pub use head::RequestHead;
pub use name::{BucketName, DotSegments, EmptySegments, ObjectKey, ObjectName, Segments};
pub use operation::{Effect, Operation, WriteClass};
pub use policy::PostPolicy;
pub use precondition::{Precondition, Preconditions, Validators};
pub use refusal::refusal;
pub use requirement::Requirement;
pub use target::{Naming, Target};
