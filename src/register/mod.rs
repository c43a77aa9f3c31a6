//! The register: per key a record of what is believed and at most one lease, the right to change
//! it. The protocol's transitions are pure ([`record`]); [`memory`] runs them in this process,
//! [`redis`] runs the same steps as scripts inside Redis, shared by all proxies.
//!
//! The register may lose everything at any moment. It then begins a new epoch: all leases are
//! dropped, all records distrusted, and nothing is granted for a quarantine.

pub mod identity;
pub mod memory;
pub mod record;
pub mod redis;
pub mod steps;
pub mod types;
pub mod waiters;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::s3::{Current, ObjectName};
pub use steps::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, Grant, InDoubt,
    Observation, ReclaimAnswer, ReclaimStep, ReleaseStep, Resolution, UploadStep,
};
pub use types::{
    Asker, Ending, Epoch, EpochId, Expect, Generation, Millis, Settle, State, Terms, Token, Told,
    Upload, UploadName, WriteId, Writers,
};

/// The steps of the protocol. Each is atomic; [`record`] says what each does. Every step fails with
/// a [`RegisterError`] when the register could not be asked, and then the caller does not know
/// whether it took effect.
#[async_trait]
pub trait Register: Send + Sync + fmt::Debug {
    /// Reads what is believed of a key.
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError>;
    /// The same, and gives the key a generation where it has none: whoever names it later can be
    /// told whether anything was written since. What nobody has written is remembered for
    /// [`record::PIN_TTL`] only. Safe to repeat.
    async fn pin(&self, name: &ObjectName) -> Result<Observation, RegisterError>;
    /// Asks for the key's lease. Safe to repeat with the same nonce.
    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError>;
    /// Says that the write is about to be sent.
    async fn arm(&self, name: &ObjectName, step: ArmStep<'_>) -> Result<ArmAnswer, RegisterError>;
    /// Puts an armed lease back into a register that has forgotten it (docs/protocol.md#reclaim):
    /// after a new epoch began, while nothing is granted yet, its living holder may. Safe as long as the asker's own clock says that nobody can have taken the lease over: until
    /// its deadline + grace + settle. Safe to repeat with the same nonce.
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
    /// Ends an armed lease whose write was definitely not applied; `false` when it is lost, or when
    /// a refusal could not be noted because an earlier attempt may have landed.
    async fn disarm(&self, name: &ObjectName, step: &DisarmStep<'_>)
    -> Result<bool, RegisterError>;
    /// Gives back a lease that was never armed; `false` when it is lost or armed.
    async fn release(
        &self,
        name: &ObjectName,
        step: &ReleaseStep<'_>,
    ) -> Result<bool, RegisterError>;
    /// Settles the key's doubt by what a HEAD under the lease said, and by the id of the write that
    /// left it, where one is written on it.
    async fn resolve(
        &self,
        name: &ObjectName,
        token: &Token,
        head: &Current,
        seen_id: Option<&WriteId>,
    ) -> Result<Resolution, RegisterError>;
    /// Remembers how a key stood before a multipart upload of it was created; `false` where the
    /// register began a new epoch meanwhile. Safe to repeat.
    async fn note_upload(
        &self,
        name: &ObjectName,
        step: &UploadStep<'_>,
    ) -> Result<bool, RegisterError>;
    /// Touches every part of the register, so that epochs begin now and not at the first write,
    /// and that a register which must not be used is refused.
    async fn check(&self) -> Result<Status, RegisterError>;
    /// Ends the quarantine at once: for an operator who knows that no proxy was running.
    async fn skip_quarantine(&self) -> Result<(), RegisterError>;
    /// Ends this process's use of the register in good order.
    async fn close(&self) -> Result<(), RegisterError>;
}

/// How the register stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How long nothing will be granted.
    pub quarantine: Duration,
    /// How many leases are held or block a key.
    pub leases: usize,
}

/// Why the register did not do as it was asked.
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
