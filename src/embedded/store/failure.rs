//! Errors of the store's own making, as answers. What a client may see says nothing of the machine;
//! the log says the rest.

use std::fmt::Display;

use s3s::{S3Error, S3ErrorCode, s3_error};

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

/// The store cannot do what it should: the disk is full or fails.
pub(super) fn internal(error: impl Display) -> S3Error {
    tracing::error!(%error, "the embedded store failed to answer a request");
    S3Error::with_message(
        S3ErrorCode::InternalError,
        "The embedded store failed; its log says why.",
    )
}
