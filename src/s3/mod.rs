//! The rules of S3: the operation of a request, the key it changes, its preconditions and their
//! evaluation, and the form of answers. Pure: no IO, no clock.

pub mod arguments;
pub mod canonical;
pub mod classify;
pub mod code;
pub mod completion;
pub mod conditional;
pub mod configuration;
pub mod content;
pub mod copy_source;
pub mod decimal;
pub mod delete_objects;
pub mod documents;
pub mod encoding;
pub mod error;
pub mod etag;
pub mod form;
pub mod form_success;
pub mod head;
pub mod inadmissible;
pub mod listing;
pub mod media;
pub mod multipart;
mod multipart_header;
pub mod name;
pub mod operation;
pub mod policy;
pub mod query;
pub mod reserved;
mod schema;
pub mod subresource;
pub mod tagging;
pub mod target;
pub mod uploads;
mod well_formed;
pub mod wire;
pub mod xml;

pub use arguments::check_arguments;
pub use classify::classify;
pub use code::Code;
pub use conditional::{
    Current, Dialect, Precondition, Preconditions, Requirement, Seen, Shape, Validators,
};
pub use content::Content;
pub use copy_source::CopySource;
pub use error::S3Error;
pub use etag::ETag;
pub use form::{FormReader, PostForm};
pub use head::RequestHead;
pub use inadmissible::{AMBIGUOUS, inadmissible, inadmissible_at};
pub use media::{Media, body_refusal};
pub use multipart::Spelling;
pub use name::{BucketName, DotSegments, EmptySegments, ObjectKey, ObjectName, Segments};
pub use operation::{Effect, Operation, WriteClass};
pub use policy::PostPolicy;
pub use query::Query;
pub use reserved::Reserved;
pub use subresource::{Subresource, Understood};
pub use target::{Naming, Target};
