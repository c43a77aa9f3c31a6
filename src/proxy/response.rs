//! What handlers return: a response, or why there is none. It is written in one place (proxy/mod.rs).

use std::pin::Pin;
use std::sync::Arc;

use super::forward::Forward;
use super::visit::BodyFault;
use crate::backend::connection::Opened;
use crate::backend::{Answer, KeepAlive};
use crate::gate::{Commit, Outcome};
use crate::s3::{ObjectName, Operation, S3Error};

/// What is answered, and how it comes.
#[allow(clippy::large_enum_variant, reason = "moved once or twice; a box is an allocation each")]
pub(super) enum Response<'p> {
    /// All of it is known.
    Whole(Answer, Alongside),
    /// As the store sends it, piece by piece.
    Stream(Opened),
    /// What comes of a write that is still under way.
    Late(LateResponse<'p>),
    /// Pingora streams the request, and what the store answers.
    Forward(Forward),
}

/// What is done while an answer is written: neither waits for the other.
#[allow(clippy::large_enum_variant, reason = "as above")]
pub(super) enum Alongside {
    Nothing,
    /// A landing is recorded.
    Record(Commit),
    /// The store's answer, which is not passed on, is let go.
    Dismiss(Opened),
}

/// A write that its store may work on for minutes, and what the client is told meanwhile.
pub(super) struct LateResponse<'p> {
    pub(super) operation: Operation,
    pub(super) name: ObjectName,
    /// Whether the client may be told what stands at the key.
    pub(super) may_tell: bool,
    /// Hears that the store is still at work.
    pub(super) keep_alive: Arc<KeepAlive>,
    pub(super) outcome: Pin<Box<dyn Future<Output = Outcome> + Send + 'p>>,
}

/// Why a request is not served.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client is told.
    Refused(S3Error),
    /// The body is at fault: the connection may have to end with it.
    Body(BodyFault),
}

/// Records a landing, if there is one.
pub(super) async fn record(commit: Option<Commit>) {
    if let Some(commit) = commit {
        commit.record().await;
    }
}

impl From<S3Error> for Failure {
    fn from(error: S3Error) -> Self {
        Self::Refused(error)
    }
}

impl From<BodyFault> for Failure {
    fn from(fault: BodyFault) -> Self {
        Self::Body(fault)
    }
}

impl Response<'_> {
    /// A whole answer.
    pub(super) const fn whole(answer: Answer) -> Self {
        Self::Whole(answer, Alongside::Nothing)
    }

    /// A whole answer, and a landing to be recorded.
    pub(super) fn recorded(answer: Answer, commit: Option<Commit>) -> Self {
        Self::Whole(answer, commit.map_or(Alongside::Nothing, Alongside::Record))
    }

    /// The answer that the store has begun; 503 where it did not answer.
    pub(super) fn opened(opened: Result<Opened, String>) -> Result<Self, Failure> {
        opened.map(Self::Stream).map_err(|why| {
            tracing::warn!(why, "the store did not answer");
            S3Error::service_unavailable(1).because("The store cannot be reached.").into()
        })
    }
}
