//! Errors of the store's own making, as answers. What a client may see says nothing of the machine;
//! the log says the rest.

use std::fmt::Display;
use std::io;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode, StdError, s3_error};

use super::index::{Broken, Unwritten};

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct Refused(pub(super) S3Error);

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        Self(match broken {
            // Nothing was tried, so nothing is logged: what has failed was.
            Broken::Reopening => s3_error!(
                SlowDown,
                "The disk of the embedded store has failed; its index is opened again. Try again soon."
            ),
            broken => internal(broken),
        })
    }
}

impl From<S3Error> for Refused {
    fn from(error: S3Error) -> Self {
        Self(error)
    }
}

impl From<Refused> for S3Error {
    fn from(Refused(error): Refused) -> Self {
        error
    }
}

impl From<S3Error> for Unwritten<Refused> {
    fn from(error: S3Error) -> Self {
        Self::Refused(Refused(error))
    }
}

impl From<Refused> for Unwritten<Refused> {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What an error document says beside code and message: the name of its element, a colon, and its text.
/// `s3s` writes no such element, so it travels in this field of the head, and [`super::super::answers`]
/// moves it into the document.
pub(in crate::embedded) const ERROR_FIELD: HeaderName =
    HeaderName::from_static("x-embedded-error-field");

/// An error whose document has one more element.
pub(super) fn with_element(error: S3Error, element: &str, text: &str) -> S3Error {
    with_elements(error, [(element, text)].into_iter())
}

/// An error whose document has more elements: those whose text a header field can have.
pub(in crate::embedded) fn with_elements<'e>(
    mut error: S3Error,
    elements: impl Iterator<Item = (&'e str, &'e str)>,
) -> S3Error {
    let mut headers = HeaderMap::new();
    for (element, text) in elements {
        if let Ok(field) = HeaderValue::from_bytes(format!("{element}:{text}").as_bytes()) {
            headers.append(ERROR_FIELD, field);
        }
    }
    error.set_headers(headers);
    error
}

/// An error of the rules that the store shares with the proxy.
#[allow(clippy::needless_pass_by_value, reason = "it is an argument of map_err")]
pub(in crate::embedded) fn converted(refused: crate::s3::S3Error) -> S3Error {
    let code = S3ErrorCode::from_bytes(refused.code().as_bytes());
    let code = code.unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, refused.message().to_owned());
    error.set_status_code(refused.status());
    with_elements(error, refused.fields())
}

/// AWS's 501 for a field of the head that asks for what this store does not do.
pub(in crate::embedded) fn not_implemented(name: &str) -> S3Error {
    let error = s3_error!(
        NotImplemented,
        "A header you provided implies functionality that is not implemented: {name}"
    );
    with_element(error, "Header", name)
}

/// A body that cannot be read: the client has sent less than it announced, or what it did not sign.
pub(in crate::embedded) fn broken_off(error: StdError) -> S3Error {
    // `s3s` does not show the types of its errors.
    let text = error.to_string();
    match error.downcast::<S3Error>() {
        Ok(known) => *known,
        Err(_) if text.contains("SignatureMismatch") => s3_error!(
            SignatureDoesNotMatch,
            "The signature of a chunk of the body does not match the signature you provided."
        ),
        Err(_) if text.contains("Sha256Mismatch") => {
            let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
            let mut error = S3Error::with_message(
                code,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            );
            error.set_status_code(StatusCode::BAD_REQUEST);
            error
        }
        Err(_) if text.contains("exceeds limit") || text.contains("length limit exceeded") => {
            s3_error!(MaxMessageLengthExceeded, "Your request was too big.")
        }
        // The source of a copy, which this store reads itself.
        Err(error) if error.is::<io::Error>() => internal(error),
        Err(error) => S3Error::with_source(S3ErrorCode::IncompleteBody, error),
    }
}

/// The store cannot do what it should: the disk is full or fails.
pub(in crate::embedded) fn internal(error: impl Display) -> S3Error {
    tracing::error!(%error, "the embedded store failed to answer a request");
    S3Error::with_message(
        S3ErrorCode::InternalError,
        "The embedded store failed; its log says why.",
    )
}
