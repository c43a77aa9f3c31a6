//! The metered register: it times each step of another register, counts the failures, and notes the
//! epochs that it sees.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::standing::Standing;
use super::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, KeyRange, Observation,
    ReclaimAnswer, ReclaimStep, Register, RegisterError, ReleaseStep, Resolution, ResolveStep,
    Status, Token, UploadStep, YoungKey, YoungKeys,
};
use crate::metrics::Metrics;
use crate::metrics::labels::{Step, StepFailure, StepResult};
use crate::s3::ObjectName;
use crate::traces::Span;

/// A register whose steps are counted.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn Register>,
    metrics: Arc<Metrics>,
    standing: Arc<Standing>,
}

impl Metered {
    /// The same register, counted in these metrics. What its answers say about its epochs is noted
    /// in `standing`.
    pub fn new(inner: Arc<dyn Register>, metrics: Arc<Metrics>, standing: Arc<Standing>) -> Self {
        Self { inner, metrics, standing }
    }

    async fn timed<T>(
        &self,
        step: Step,
        answer: impl Future<Output = Result<T, RegisterError>> + Send,
    ) -> Result<T, RegisterError> {
        self.timed_until(step, answer).await.0
    }

    /// Also returns when the step ended.
    async fn timed_until<T>(
        &self,
        step: Step,
        answer: impl Future<Output = Result<T, RegisterError>> + Send,
    ) -> (Result<T, RegisterError>, Instant) {
        let (began, mut span) = (Instant::now(), Span::to_register(step.as_str()));
        let answer = span.over(answer).await;
        let result = match &answer {
            Ok(_) => StepResult::Ok,
            Err(error) => {
                self.metrics.register_failures.count(failure(error));
                span.fail(failure(error).as_str());
                StepResult::Failed
            }
        };
        let ended = Instant::now();
        self.metrics.register_step.observe(step, result, ended - began);
        (answer, ended)
    }
}

fn failure(error: &RegisterError) -> StepFailure {
    match error {
        RegisterError::Unreachable(_) => StepFailure::Unreachable,
        RegisterError::Unsuitable(_) => StepFailure::Unsuitable,
        RegisterError::Full(_) => StepFailure::Full,
        RegisterError::Disowned(_) => StepFailure::Disowned,
    }
}

#[async_trait]
impl Register for Metered {
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        self.timed(Step::Observe, self.inner.observe(name)).await
    }

    async fn observe_writes(
        &self,
        name: &ObjectName,
    ) -> Result<(Observation, Option<YoungKey>), RegisterError> {
        self.timed(Step::Observe, self.inner.observe_writes(name)).await
    }

    async fn pin(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        self.timed(Step::Pin, self.inner.pin(name)).await
    }

    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError> {
        let step = self.timed_until(Step::Acquire, self.inner.acquire(name, ask));
        let (acquired, ended) = step.await;
        if let Ok(Acquired::Granted(grant)) = &acquired {
            self.standing.saw_epoch(grant.epoch_age, ended);
        }
        acquired
    }

    async fn arm(&self, name: &ObjectName, step: ArmStep<'_>) -> Result<ArmAnswer, RegisterError> {
        self.timed(Step::Arm, self.inner.arm(name, step)).await
    }

    async fn reclaim(
        &self,
        name: &ObjectName,
        step: &ReclaimStep<'_>,
    ) -> Result<ReclaimAnswer, RegisterError> {
        self.timed(Step::Reclaim, self.inner.reclaim(name, step)).await
    }

    async fn renew(&self, name: &ObjectName, token: &Token) -> Result<bool, RegisterError> {
        self.timed(Step::Renew, self.inner.renew(name, token)).await
    }

    async fn commit(
        &self,
        name: &ObjectName,
        step: &CommitStep<'_>,
    ) -> Result<CommitAnswer, RegisterError> {
        self.timed(Step::Commit, self.inner.commit(name, step)).await
    }

    async fn disarm(
        &self,
        name: &ObjectName,
        step: &DisarmStep<'_>,
    ) -> Result<bool, RegisterError> {
        self.timed(Step::Disarm, self.inner.disarm(name, step)).await
    }

    async fn release(
        &self,
        name: &ObjectName,
        step: &ReleaseStep<'_>,
    ) -> Result<bool, RegisterError> {
        self.timed(Step::Release, self.inner.release(name, step)).await
    }

    async fn resolve(
        &self,
        name: &ObjectName,
        step: &ResolveStep<'_>,
    ) -> Result<Resolution, RegisterError> {
        self.timed(Step::Resolve, self.inner.resolve(name, step)).await
    }

    async fn note_upload(
        &self,
        name: &ObjectName,
        step: &UploadStep<'_>,
    ) -> Result<bool, RegisterError> {
        self.timed(Step::NoteUpload, self.inner.note_upload(name, step)).await
    }

    async fn young_keys(&self, range: &KeyRange<'_>) -> Result<YoungKeys, RegisterError> {
        self.timed(Step::YoungKeys, self.inner.young_keys(range)).await
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
