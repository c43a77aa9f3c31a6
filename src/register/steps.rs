//! The arguments and answers of each step of the protocol. [`record`](super::record) says what the
//! steps do.

use std::time::Duration;

use super::types::{
    AnswerHeaders, Asker, Ending, EpochId, Expect, Generation, Settle, State, Token, Upload,
    UploadName, View, WriteId,
};
use crate::s3::listing::Written;
use crate::s3::{Current, Preconditions};

/// A request for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The process that asks. It keeps its place among the waiting processes by this.
    pub asker: Asker,
    /// Makes the token unique; random.
    pub nonce: String,
    /// The write that the lease is for.
    pub write_id: WriteId,
    /// The class of the write.
    pub settle: Settle,
    /// How long ago the client's request arrived.
    pub age: Duration,
    /// The write's condition. The lease is armed in the same step where the write has no condition,
    /// or where the record is believed and satisfies it.
    pub preconditions: Preconditions,
    /// What the write leaves behind if it lands.
    pub expect: Expect,
    /// For a complete with a condition: its upload. Where the key has changed since the upload was
    /// created, or where that is not known, the lease is not armed in the same step.
    pub upload: Option<UploadName>,
    /// For a write that is its own retry: the generation with which its attempt in doubt was armed.
    pub own_doubt: Option<Generation>,
}

/// The answer to [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "most are grants, and a box would be an allocation")]
pub enum Acquired {
    /// The epoch is young: no lease is granted for this time.
    Quarantine(Duration),
    /// This same write has ended before.
    Ended(Ending),
    /// The key is busy. See the fields for how long.
    Busy {
        /// The write under the lease. Where no lease exists and the key is kept for a process that
        /// has waited longer: the write in doubt, if there is one.
        write_id: Option<WriteId>,
        /// When the key is free, unless the lease is renewed, ends earlier, or a process that has
        /// waited longer takes the key.
        free_in: Duration,
    },
    /// The key's state is not known, and for this time the store may show an older one: no condition
    /// can be judged.
    Young(Duration),
    /// The lease is the asker's.
    Granted(Grant),
}

/// A lease just acquired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The lease's name, for all further steps.
    pub token: Token,
    /// The believed state of the key.
    pub state: State,
    /// Its generation.
    pub generation: Option<Generation>,
    /// A doubt to resolve.
    pub doubt: Option<InDoubt>,
    /// How long ago the state's write landed at the latest; `None` where that was in another epoch.
    pub landed: Option<Duration>,
    /// For how long the store may still show an older state than the key's.
    pub young_for: Duration,
    /// The generation that begins with this write, if the lease was armed at once.
    pub armed: Option<Generation>,
    /// How far back the register remembers this key: to the beginning of the epoch, or to the
    /// newest line for which its journal had no room.
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
    /// For how long the store may still show an older state than the one before this write.
    pub pre_young_for: Duration,
}

/// What the register believes about a key: a hint.
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
    /// For how long no lease will be granted.
    pub quarantine: Duration,
    /// Is there a lease that blocks others?
    pub leased: bool,
    /// For how long the store may still show an older state than the key's.
    pub young_for: Duration,
    /// Where a write is under way or in doubt: the state before it.
    pub before: Option<State>,
    /// For how long the store may still show an older state than that one.
    pub before_young_for: Duration,
    /// How long ago the last write landed at the latest, the one in doubt included; `None` where none
    /// of this epoch is remembered.
    pub landed: Option<Duration>,
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
    /// Another lease was granted in between: two writes may have overlapped. The record is now
    /// Unknown. An operator should be alerted.
    Overtaken,
    /// The register began a new epoch since; it trusts no earlier record anyway.
    EpochChanged,
}

/// The result of resolving a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The write changed the key.
    Landed,
    /// It did not change the key, and cannot any more.
    DidNot,
    /// The outcome cannot be known.
    Undetermined,
    /// What was seen may be old: the doubt stays.
    TooEarly,
    /// The lease is no longer the asker's, or there was no doubt.
    Nothing,
}

/// The arguments of arm.
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

/// The arguments of reclaim.
#[derive(Debug)]
pub struct ReclaimStep<'a> {
    /// The lease's name in the epoch that granted it.
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
    /// The register still has the lease, unchanged.
    Held,
    /// The register had forgotten the lease and has granted it again.
    Reclaimed {
        /// The lease's name from now on.
        token: Token,
        /// The generation that begins with the write.
        generation: Generation,
    },
    /// Too late: another process holds the key, or the quarantine is over.
    TooLate,
}

/// The arguments of commit.
#[derive(Debug)]
pub struct CommitStep<'a> {
    /// The lease.
    pub token: &'a Token,
    /// The generation with which the lease was armed. The register recognises the write by it where
    /// its lease was set aside.
    pub generation: Option<&'a Generation>,
    /// What the write left at the key.
    pub new: State,
    /// Set where the write was sent twice: for how long the first copy may still land.
    pub quiet: Option<Duration>,
    /// The other headers of the store's answer.
    pub headers: &'a AnswerHeaders,
    /// What the store's answer says of the write, for listings.
    pub written: &'a Written,
}

/// The arguments of resolve.
#[derive(Debug)]
pub struct ResolveStep<'a> {
    /// The lease.
    pub token: &'a Token,
    /// The state that a HEAD under the lease has shown.
    pub head: &'a Current,
    /// The write id on the object, if there is one.
    pub seen_id: Option<&'a WriteId>,
    /// What the HEAD can have shown.
    pub view: View,
}

/// The arguments of note_upload.
#[derive(Debug)]
pub struct UploadStep<'a> {
    /// The upload, just created.
    pub name: &'a UploadName,
    /// What was read before the store was asked to create it.
    pub before: &'a Observation,
}

/// The arguments of disarm.
#[derive(Debug)]
pub struct DisarmStep<'a> {
    /// The lease.
    pub token: &'a Token,
    /// The state before the write, which is the state now.
    pub pre: &'a State,
    /// The code with which a retry was refused, for the journal, as in [`ReleaseStep`].
    pub refused: Option<&'a str>,
}

/// The arguments of release.
#[derive(Debug)]
pub struct ReleaseStep<'a> {
    /// The lease.
    pub token: &'a Token,
    /// The state that a HEAD under the lease has shown.
    pub learned: Option<State>,
    /// The code with which a retry was refused, for the journal: an earlier attempt that is still
    /// on its way is then refused too.
    pub refused: Option<&'a str>,
}
