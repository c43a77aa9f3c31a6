//! Responses: a handler returns a response, or the reason why there is none. proxy/mod.rs writes
//! it.

use std::pin::Pin;
use std::sync::Arc;

use super::visit::BodyFault;
use crate::backend::{Answer, KeepAlive, Opened};
use crate::gate::{Commit, Outcome};
use crate::s3::{ObjectName, Operation, S3Error};

/// A response, by how it is written.
#[allow(clippy::large_enum_variant, reason = "moved once or twice; a box is an allocation each")]
pub(super) enum Response<'p> {
    /// The whole answer.
    Whole(Answer, Alongside),
    /// The store's answer, passed on piece by piece.
    Stream(Opened),
    /// The outcome of a write that is still under way.
    Late(LateResponse<'p>),
}

/// Work that is done while an answer is written: neither waits for the other.
#[allow(clippy::large_enum_variant, reason = "as above")]
pub(super) enum Alongside {
    Nothing,
    /// Records a landing.
    Record(Commit),
    /// Drops the store's answer, which is not passed on.
    Dismiss(Opened),
}

/// A write that its store may work on for minutes, and the keep-alive for its client meanwhile.
pub(super) struct LateResponse<'p> {
    pub(super) operation: Operation,
    pub(super) name: ObjectName,
    /// Whether the client may learn the key's state.
    pub(super) may_tell: bool,
    /// Is told that the store is still at work.
    pub(super) keep_alive: Arc<KeepAlive>,
    pub(super) outcome: Pin<Box<dyn Future<Output = Outcome> + Send + 'p>>,
}

/// Why a request is not served.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client gets this error.
    Refused(S3Error),
    /// The body has a fault: the connection may have to end with it.
    Body(BodyFault),
}

/// Answers a client, and records a landing at the same time.
pub(super) async fn answer_and_record<T>(
    answering: impl Future<Output = T>,
    commit: Option<Commit>,
) -> T {
    tokio::join!(answering, record(commit)).0
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

    /// A whole answer, and a landing to record.
    pub(super) fn recorded(answer: Answer, commit: Option<Commit>) -> Self {
        Self::Whole(answer, commit.map_or(Alongside::Nothing, Alongside::Record))
    }

    /// The answer that the store has begun; 503 where it did not answer.
    pub(super) fn opened(opened: Result<Opened, String>) -> Result<Self, Failure> {
        opened.map(Self::Stream).map_err(|why| unreachable(&why))
    }
}

/// The failure of a request to which the store has given no answer, with a sentence for the log.
pub(super) fn unreachable(why: &str) -> Failure {
    tracing::warn!(why, "the store did not answer");
    S3Error::service_unavailable(1).because("The store cannot be reached.").into()
}
