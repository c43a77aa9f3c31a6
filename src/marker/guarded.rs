//! The guarded register: it grants no lease while the marker names another register.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::state::MarkerState;
use crate::register::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, KeyRange, Observation,
    ReclaimAnswer, ReclaimStep, Register, RegisterError, ReleaseStep, Resolution, ResolveStep,
    Status, Token, UploadStep, YoungKey, YoungKeys,
};
use crate::s3::ObjectName;

/// The register as the clients' gate sees it. Leases granted before may end as usual; new leases,
/// and sending under existing ones, need the marker's agreement.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) inner: Arc<dyn Register>,
    pub(super) state: watch::Receiver<MarkerState>,
}

impl Guarded {
    fn agreed(&self) -> Result<(), RegisterError> {
        let why = match &*self.state.borrow() {
            MarkerState::Agreed => return Ok(()),
            MarkerState::Unconfirmed => "its marker is not written yet".to_owned(),
            MarkerState::OtherRegister(why) => why.clone(),
        };
        Err(RegisterError::Disowned(why))
    }
}

#[async_trait]
impl Register for Guarded {
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        self.inner.observe(name).await
    }

    async fn observe_writes(
        &self,
        name: &ObjectName,
    ) -> Result<(Observation, Option<YoungKey>), RegisterError> {
        self.inner.observe_writes(name).await
    }

    async fn pin(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        self.inner.pin(name).await
    }

    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError> {
        self.agreed()?;
        self.inner.acquire(name, ask).await
    }

    async fn arm(&self, name: &ObjectName, step: ArmStep<'_>) -> Result<ArmAnswer, RegisterError> {
        self.agreed()?;
        self.inner.arm(name, step).await
    }

    async fn reclaim(
        &self,
        name: &ObjectName,
        step: &ReclaimStep<'_>,
    ) -> Result<ReclaimAnswer, RegisterError> {
        self.inner.reclaim(name, step).await
    }

    async fn renew(&self, name: &ObjectName, token: &Token) -> Result<bool, RegisterError> {
        self.inner.renew(name, token).await
    }

    async fn commit(
        &self,
        name: &ObjectName,
        step: &CommitStep<'_>,
    ) -> Result<CommitAnswer, RegisterError> {
        self.inner.commit(name, step).await
    }

    async fn disarm(
        &self,
        name: &ObjectName,
        step: &DisarmStep<'_>,
    ) -> Result<bool, RegisterError> {
        self.inner.disarm(name, step).await
    }

    async fn release(
        &self,
        name: &ObjectName,
        step: &ReleaseStep<'_>,
    ) -> Result<bool, RegisterError> {
        self.inner.release(name, step).await
    }

    async fn resolve(
        &self,
        name: &ObjectName,
        step: &ResolveStep<'_>,
    ) -> Result<Resolution, RegisterError> {
        self.inner.resolve(name, step).await
    }

    async fn note_upload(
        &self,
        name: &ObjectName,
        step: &UploadStep<'_>,
    ) -> Result<bool, RegisterError> {
        self.inner.note_upload(name, step).await
    }

    async fn young_keys(&self, range: &KeyRange<'_>) -> Result<YoungKeys, RegisterError> {
        self.inner.young_keys(range).await
    }

    async fn check(&self) -> Result<Status, RegisterError> {
        self.inner.check().await
    }

    async fn skip_quarantine(&self) -> Result<(), RegisterError> {
        self.inner.skip_quarantine().await
    }

    async fn close(&self) -> Result<(), RegisterError> {
        self.inner.close().await
    }
}
