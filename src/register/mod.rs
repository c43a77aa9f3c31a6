//! The register: for each key a record of its believed state and at most one lease, the right to
//! change it. The protocol's transitions are pure functions ([`record`]). [`memory`] runs them in
//! this process; [`redis`] runs the same steps as functions inside Redis, shared by all proxies.
//!
//! The register may lose its state at any moment. It then begins a new epoch: all leases and
//! records are void, and no lease is granted during a quarantine.

#[cfg(test)]
pub(crate) mod fixture;
pub mod identity;
pub mod memory;
pub mod metered;
pub mod record;
pub mod redis;
pub mod standing;
pub mod steps;
pub mod types;
pub mod waiters;
pub mod young;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::s3::ObjectName;
pub use steps::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, Grant, InDoubt,
    Observation, ReclaimAnswer, ReclaimStep, ReleaseStep, Resolution, ResolveStep, UploadStep,
};
pub use types::{
    AnswerHeaders, Asker, Ending, Epoch, EpochId, Expect, Generation, Millis, Settle, State, Terms,
    Token, Upload, UploadName, View, WriteId, Writers,
};
pub use young::{KeyRange, YoungKey, YoungKeys, YoungWrite};

/// The steps of the protocol. Each is atomic; [`record`] says what each does. Every step fails with
/// a [`RegisterError`] when the register could not be asked. Then the caller does not know whether
/// the step took effect.
#[async_trait]
pub trait Register: Send + Sync + fmt::Debug {
    /// Reads the believed state of a key.
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError>;
    /// As [`Self::observe`], and what was written at the key less than the store's lag ago; `None` where
    /// nothing was, or where that is not known: the observation tells the two apart
    /// ([`Observation::before_young_for`]).
    async fn observe_writes(
        &self,
        name: &ObjectName,
    ) -> Result<(Observation, Option<YoungKey>), RegisterError>;
    /// As [`Self::observe`], and gives the key a generation where it has none. A later request that
    /// names this generation can be told whether a write came since. A key that was not written is
    /// remembered for [`record::PIN_TTL`] only. Safe to repeat.
    async fn pin(&self, name: &ObjectName) -> Result<Observation, RegisterError>;
    /// Asks for the key's lease. Safe to repeat with the same nonce.
    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError>;
    /// Arms the lease: the write is about to be sent.
    async fn arm(&self, name: &ObjectName, step: ArmStep<'_>) -> Result<ArmAnswer, RegisterError>;
    /// Registers an armed lease again that the register has forgotten (docs/protocol.md#reclaim):
    /// its holder may do so after a new epoch began, while the quarantine lasts. Safe as long as,
    /// by the caller's own clock, no other process can have taken over the lease: until its
    /// deadline + grace + settle. Safe to repeat with the same nonce.
    async fn reclaim(
        &self,
        name: &ObjectName,
        step: &ReclaimStep<'_>,
    ) -> Result<ReclaimAnswer, RegisterError>;
    /// Prolongs a lease; `false` when it is lost.
    async fn renew(&self, name: &ObjectName, token: &Token) -> Result<bool, RegisterError>;
    /// Records a proven landing. Safe to repeat.
    async fn commit(
        &self,
        name: &ObjectName,
        step: &CommitStep<'_>,
    ) -> Result<CommitAnswer, RegisterError>;
    /// Ends an armed lease whose write was definitely not applied; `false` when the lease is lost,
    /// or when a refusal could not be noted because an earlier attempt may have landed.
    async fn disarm(&self, name: &ObjectName, step: &DisarmStep<'_>)
    -> Result<bool, RegisterError>;
    /// Releases a lease that was never armed; `false` when it is lost or armed.
    async fn release(
        &self,
        name: &ObjectName,
        step: &ReleaseStep<'_>,
    ) -> Result<bool, RegisterError>;
    /// Resolves the key's doubt by what a HEAD under the lease showed.
    async fn resolve(
        &self,
        name: &ObjectName,
        step: &ResolveStep<'_>,
    ) -> Result<Resolution, RegisterError>;
    /// Remembers the key's generation before a multipart upload of it was created; `false` where
    /// the register began a new epoch meanwhile. Safe to repeat.
    async fn note_upload(
        &self,
        name: &ObjectName,
        step: &UploadStep<'_>,
    ) -> Result<bool, RegisterError>;
    /// The keys of a range that were written less than the store's lag ago, and what was written there.
    async fn young_keys(&self, range: &KeyRange<'_>) -> Result<YoungKeys, RegisterError>;
    /// Reads every partition of the register, so that new epochs begin now and not at the first
    /// write, and so that an unsuitable register is refused.
    async fn check(&self) -> Result<Status, RegisterError>;
    /// Ends the quarantine at once: for an operator who knows that no proxy was running.
    async fn skip_quarantine(&self) -> Result<(), RegisterError>;
    /// Ends this process's use of the register in good order.
    async fn close(&self) -> Result<(), RegisterError>;
}

/// The register's present status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// For how long no lease will be granted.
    pub quarantine: Duration,
    /// How many leases are held or block a key.
    pub leases: usize,
    /// The servers that hold it; none where it is in this process.
    pub servers: Vec<RegisterServer>,
}

/// A server that holds a part of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterServer {
    /// Its address.
    pub name: String,
    /// For how long it will grant no lease.
    pub quarantine: Duration,
    /// How many leases are held there or block a key.
    pub leases: usize,
}

/// Why the register did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// No answer: try again later. Reads go on, writes do not.
    #[error("the register cannot be reached: {0}")]
    Unreachable(String),
    /// It answered, and must not be used as it is: an operator must act.
    #[error("the register cannot be used: {0}")]
    Unsuitable(String),
    /// It has no room for anything new: an operator must act. What is under way can end.
    #[error("the register is out of memory: {0}")]
    Full(String),
    /// It is not the one of this store.
    #[error("the register is not the one that keeps the locks of this store: {0}")]
    Disowned(String),
}
