//! How an attempt of a write ends that has not landed itself.

use tokio::time::Instant;

use super::{Reply, refusal};
use crate::backend::{Answer, HeadError};
use crate::register::{Generation, RegisterError};
use crate::s3::S3Error;

/// How an attempt ended without a landing of its own.
#[derive(Debug)]
pub(super) enum Stop {
    /// With this reply of the gate.
    Reply(Reply),
    /// With the store's refusal.
    Refused(Answer),
    /// With an unknown outcome, for this reason: the lease stays armed, and the write is tried
    /// again as its own retry, with this generation as its doubt.
    InDoubt(String, Option<Generation>),
    /// What the store shows may be older than the key's state, until this moment at the latest:
    /// nothing was sent, and the write is tried again.
    Young(Instant),
    /// An earlier attempt of this write has landed and is recorded: the journal, read again, has
    /// the answer.
    AlreadyRecorded,
}

impl Stop {
    pub(super) fn error(error: S3Error) -> Self {
        Self::Reply(Reply::Error(error, None))
    }

    /// Nothing was sent.
    pub(super) fn not_sent() -> Self {
        Self::error(refusal::not_sent())
    }
}

impl From<RegisterError> for Stop {
    fn from(error: RegisterError) -> Self {
        Self::error(refusal::register_failed(&error))
    }
}

impl From<HeadError> for Stop {
    fn from(error: HeadError) -> Self {
        Self::error(refusal::head_failed(&error))
    }
}
