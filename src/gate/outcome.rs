//! The outcome of a guarded write: the reply to its client, and the landing to record.

use std::sync::Arc;
use std::time::Duration;

use super::queue::Turn;
use super::refusal;
use crate::backend::Answer;
use crate::metrics::Metrics;
use crate::metrics::cells::Held;
use crate::metrics::labels::Alarm;
use crate::present::writes::UnderWay;
use crate::register::{
    AnswerHeaders, CommitAnswer, CommitStep, Generation, Register, RegisterError, State, Token,
};
use crate::s3::listing::Written;
use crate::s3::{ETag, ObjectName, S3Error};

/// The answer to a write, and what is left to do for it.
#[derive(Debug)]
pub struct Outcome {
    /// What the client is told.
    pub reply: Reply,
    /// Which part of the proxy decided, or the store.
    pub decided_by: Decider,
    /// How long the write waited for its key.
    pub waited: Duration,
    /// How long it held the key, until the answer was known.
    pub held: Duration,
    /// The landing to record. The reply need not wait for it: until then the lease keeps other
    /// writers out. `None` where the store lags: there it is recorded already.
    pub commit: Option<Commit>,
    /// The store answered a copy of the write with a server error, whatever the final outcome.
    pub store_failed: bool,
}

/// The reply to the client.
#[derive(Debug)]
pub enum Reply {
    /// The store's own answer.
    Store(Answer),
    /// A refusal or a failure, with the current ETag where a HEAD has just shown it.
    Error(S3Error, Option<ETag>),
    /// An earlier attempt of this same write had landed: its success is answered again, with the
    /// generation it began, where that is known, and the other headers of its answer.
    Replayed(State, Option<Generation>, AnswerHeaders),
}

/// Which part decided a request's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// The early look, before the body was read.
    Early,
    /// The gate, under the key's lease or while waiting for it.
    Gate,
    /// The store.
    Backend,
}

impl Decider {
    /// The value in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Gate => "gate",
            Self::Backend => "backend",
        }
    }
}

/// A proven landing, to be recorded.
#[derive(Debug)]
pub struct Commit {
    pub(super) register: Arc<dyn Register>,
    pub(super) name: ObjectName,
    pub(super) token: Token,
    pub(super) generation: Generation,
    pub(super) new: State,
    pub(super) quiet: Option<Duration>,
    pub(super) headers: AnswerHeaders,
    pub(super) written: Written,
    /// The next writer of this process waits until the lease is gone.
    pub(super) turn: Turn,
    pub(super) metrics: Arc<Metrics>,
    /// Counts the lease until it ends with this commit.
    pub(super) _lease: Held,
    /// Shows the write until then.
    pub(super) _under_way: UnderWay,
}

/// How often a commit is tried. Each try takes the register's timeout at most.
const COMMIT_ATTEMPTS: u32 = 3;

impl Outcome {
    /// Records the landing before the client is answered: where the store lags, others read by the record
    /// what this client was told. So what is not recorded is not told.
    pub(super) async fn recorded_first(mut self) -> Self {
        if let Some(commit) = self.commit.take()
            && !commit.record().await
        {
            self.reply = Reply::Error(refusal::not_recorded(), None);
            self.decided_by = Decider::Gate;
        }
        self
    }
}

impl Commit {
    /// Records the landing and ends the lease. Where the register does not answer, the lease stays
    /// armed, and the next holder of the key finds out by a HEAD. `false` where the register may take the
    /// write for one that is under way.
    pub async fn record(self) -> bool {
        let step = CommitStep {
            token: &self.token,
            generation: Some(&self.generation),
            new: self.new.clone(),
            quiet: self.quiet,
            headers: &self.headers,
            written: &self.written,
        };
        let (mut unanswered, mut recorded) = (false, true);
        for attempt in 1..=COMMIT_ATTEMPTS {
            match self.register.commit(&self.name, &step).await {
                Ok(CommitAnswer::Committed) => break,
                Ok(CommitAnswer::EpochChanged) => {
                    tracing::warn!(name = %self.name, "the register forgot a lease while its write \
                                   was on its way; the write landed");
                    break;
                }
                // The try before may have been recorded, and the key written since.
                Ok(CommitAnswer::Overtaken) if unanswered => {
                    tracing::warn!(name = %self.name, "a landing was recorded by a try that was not \
                                   answered, or its lease was taken over");
                    break;
                }
                Ok(CommitAnswer::Overtaken) => {
                    self.metrics.alarms.count(Alarm::Overtaken);
                    tracing::error!(name = %self.name, "ALARM: a write landed after its lease was \
                                    taken over; another write of the key may be lost. Was this \
                                    process frozen, or the clock of the register set?");
                    break;
                }
                Err(RegisterError::Unreachable(why)) if attempt < COMMIT_ATTEMPTS => {
                    unanswered = true;
                    tracing::warn!(name = %self.name, attempt, why, "commit not answered; again");
                }
                Err(error) => {
                    tracing::warn!(name = %self.name, %error, "a landing was not recorded; the \
                                   next write of the key waits and asks the store");
                    recorded = false;
                    break;
                }
            }
        }
        drop(self.turn);
        recorded
    }
}
