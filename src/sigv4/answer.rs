//! How an error of this room reads as AWS's error document.

use http::StatusCode;

/// An error that AWS has an answer for. Another room writes the document; this says what is in it.
pub trait AwsAnswer: std::error::Error {
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
