//! The form of this module's errors in AWS's error document.

use http::StatusCode;

use crate::s3::S3Error;

/// An error that AWS has an answer for. Another module writes the document; this trait gives its
/// content.
pub trait AwsError: std::error::Error {
    /// The HTTP status.
    fn status(&self) -> StatusCode;

    /// The document's `<Code>`.
    fn code(&self) -> &'static str;

    /// The document's `<Message>`.
    fn message(&self) -> String {
        self.to_string()
    }

    /// Further elements of the document, in order, as name and unescaped text.
    fn fields(&self) -> Vec<(&'static str, String)>;
}

/// The error in the form of the module that writes documents.
pub(super) fn answered(error: &impl AwsError) -> S3Error {
    let fields = error.fields().into_iter().map(|(name, value)| (name.into(), value)).collect();
    S3Error::of_parts(error.status(), error.code(), error.message(), fields)
}
