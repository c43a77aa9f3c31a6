//! What each step of the protocol is told, and what it answers. What the steps do stands in
//! [`record`](super::record).

use std::time::Duration;

use super::types::{
    Asker, Ending, EpochId, Expect, Generation, Settle, State, Token, Told, Upload, UploadName,
    WriteId,
};
use crate::s3::Preconditions;

/// A request for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The process that asks: by this it keeps its place among those who wait for the key.
    pub asker: Asker,
    /// Makes the token unique; random.
    pub nonce: String,
    /// The write it is for.
    pub write_id: WriteId,
    /// Its class.
    pub settle: Settle,
    /// How long ago the client's request arrived.
    pub age: Duration,
    /// The write's condition: where the record is believed and satisfies it, or there is nothing
    /// to satisfy, the lease is armed in the same step.
    pub preconditions: Preconditions,
    /// What the write leaves behind if it lands.
    pub expect: Expect,
    /// For a complete that names a condition: its upload. Where the key has changed since that was
    /// created, or that is not known, the lease is not armed in the same step.
    pub upload: Option<UploadName>,
    /// Of a write that is its own retry: the generation that its attempt in doubt was armed with.
    pub own_doubt: Option<Generation>,
}

/// The answer to [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// The epoch is young: nothing is granted for so long.
    Quarantine(Duration),
    /// This very write has ended before.
    Ended(Ending),
    /// Somebody else's until then at the latest, unless renewed.
    Busy {
        /// What the holder is writing. Where nobody holds the key, and it is kept for one who has
        /// waited longer: the write in doubt, if there is one.
        write_id: Option<WriteId>,
        /// When the key can be had unless its lease is renewed or ends before, or he who has waited
        /// longer takes it.
        free_in: Duration,
    },
    /// The lease is the asker's.
    Granted(Grant),
}

/// A lease just acquired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The lease's name, for all further steps.
    pub token: Token,
    /// What is believed of the key.
    pub state: State,
    /// Its generation.
    pub generation: Option<Generation>,
    /// A doubt to resolve.
    pub doubt: Option<InDoubt>,
    /// The generation that begins with this write, when it was armed at once.
    pub armed: Option<Generation>,
    /// How far back the register remembers this key: to the epoch's begin, or to the newest line
    /// for which its journal had no room.
    pub epoch_age: Duration,
    /// A newer attempt of this write has an unknown outcome, and its client may have got a success.
    /// If the outcome of this attempt becomes unknown too, it must not be sent again.
    pub superseded: bool,
    /// The upload that was asked about, where it is known.
    pub upload: Option<Upload>,
}

/// A write that may have landed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// The write.
    pub write_id: WriteId,
    /// The generation that began with it, if it landed.
    pub generation: Generation,
}

/// A hint of what the register believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The believed state.
    pub state: State,
    /// The generation.
    pub generation: Option<Generation>,
    /// The generation of a write that is under way or in doubt.
    pub pending: Option<Generation>,
    /// The epoch in which this was read.
    pub epoch: EpochId,
    /// For how long nothing will be granted.
    pub quarantine: Duration,
    /// Is there a lease that blocks others?
    pub leased: bool,
}

impl Observation {
    /// Does the register know enough to say that this condition holds?
    pub fn satisfies(&self, preconditions: &Preconditions) -> bool {
        self.state.satisfies(self.generation.as_ref(), preconditions)
    }
}

/// The answer to arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArmAnswer {
    /// Armed; this generation begins with the write.
    Armed(Generation),
    /// The lease is no longer the asker's.
    Lost,
    /// The request is older than the register's memory: an earlier attempt of it may have been
    /// answered before, so it must not be sent now.
    OlderThanEpoch,
}

/// The answer to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitAnswer {
    /// Recorded.
    Committed,
    /// Somebody came between: two writes may have overlapped. The record is now Unknown. Worth an
    /// alarm.
    Overtaken,
    /// The register began a new epoch since; it distrusts every record anyway.
    EpochChanged,
}

/// What a resolved doubt turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The write changed the key.
    Landed,
    /// It did not, and cannot any more.
    DidNot,
    /// Nobody can tell.
    Undetermined,
    /// The lease is no longer the asker's, or there was no doubt.
    Nothing,
}

/// What arm is told.
#[derive(Debug)]
pub struct ArmStep<'a> {
    /// The lease.
    pub token: &'a Token,
    /// The state before the write, as judged.
    pub pre: State,
    /// The state after it.
    pub expect: Expect,
    /// How long ago the client's request arrived.
    pub age: Duration,
}

/// What reclaim is told.
#[derive(Debug)]
pub struct ReclaimStep<'a> {
    /// The lease, as it was called in the epoch that granted it.
    pub token: &'a Token,
    /// Makes the lease's new token unique; random.
    pub nonce: &'a str,
    /// The write it was asked for.
    pub write_id: &'a WriteId,
    /// That write's class.
    pub settle: Settle,
    /// The state before the write.
    pub pre: &'a State,
    /// The state after it.
    pub expect: &'a Expect,
}

/// The answer to reclaim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReclaimAnswer {
    /// The lease is there and the asker's, as it was.
    Held,
    /// The register had forgotten it and holds it again.
    Reclaimed {
        /// The lease's name from now on.
        token: Token,
        /// The generation that begins with the write.
        generation: Generation,
    },
    /// It is over: somebody else's, or the quarantine has passed.
    TooLate,
}

/// What commit is told.
#[derive(Debug)]
pub struct CommitStep<'a> {
    /// The lease.
    pub token: &'a Token,
    /// The generation that it was armed with, by which the write is known where its lease was set
    /// aside.
    pub generation: Option<&'a Generation>,
    /// What the write left at the key.
    pub new: State,
    /// The write was sent twice: for so long the first copy may still land.
    pub quiet: Option<Duration>,
    /// What the answer to it said besides.
    pub told: &'a Told,
}

/// What note_upload is told.
#[derive(Debug)]
pub struct UploadStep<'a> {
    /// The upload, just created.
    pub name: &'a UploadName,
    /// What was read before the store was asked to create it.
    pub before: &'a Observation,
}

/// What disarm is told.
#[derive(Debug)]
pub struct DisarmStep<'a> {
    /// The lease.
    pub token: &'a Token,
    /// The state before the write, which is the state now.
    pub pre: &'a State,
    /// The code with which a retry was refused: noted in the journal, as for [`ReleaseStep`].
    pub refused: Option<&'a str>,
}

/// What release is told.
#[derive(Debug)]
pub struct ReleaseStep<'a> {
    /// The lease.
    pub token: &'a Token,
    /// What a HEAD under the lease said.
    pub learned: Option<State>,
    /// The code with which a retry was refused: noted in the journal, so that an earlier attempt of
    /// it, still on its way, is refused too.
    pub refused: Option<&'a str>,
}
