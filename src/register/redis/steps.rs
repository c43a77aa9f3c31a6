//! The calls of [`Register`]: each encodes its arguments for the function and decodes the answer.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;

use super::RedisRegister;
use super::calls::Repeat;
use super::format::{
    condition_text, current_text, expect_text, generation_text, refusal_text, settle_text,
    state_text, tag_of, view_text, written_text, young_of,
};
use super::reply::{Reply, strange};
use crate::register::types::in_millis;
use crate::register::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, Generation, Grant,
    KeyRange, Observation, ReclaimAnswer, ReclaimStep, Register, RegisterError, ReleaseStep,
    Resolution, ResolveStep, Status, Token, UploadName, UploadStep, YoungKey, YoungKeys,
};
use crate::s3::ObjectName;

#[async_trait]
impl Register for RedisRegister {
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        observation(&mut self.run(&self.library().observe, name, &[], Repeat::Once).await?)
    }

    async fn observe_writes(
        &self,
        name: &ObjectName,
    ) -> Result<(Observation, Option<YoungKey>), RegisterError> {
        let mut reply = self.run(&self.library().observe, name, &[b"writes"], Repeat::Once).await?;
        let at = reply.at;
        let observed = observation(&mut reply)?;
        let Some(entry) = reply.bytes()? else { return Ok((observed, None)) };
        let of_epoch = HashSet::from([tag_of(&observed.epoch).to_vec()]);
        let (_, young) = young_of(&name.bucket, &of_epoch, &entry)
            .ok_or_else(|| strange("no entry of a young set"))?;
        Ok((observed, young.at(self.lag, at)))
    }

    async fn pin(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        observation(&mut self.run(&self.library().pin, name, &[], Repeat::Once).await?)
    }

    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError> {
        let age = millis(ask.age);
        let own_doubt = ask.own_doubt.as_ref().map(|generation| generation.0.as_bytes());
        let arguments: [&[u8]; 9] = [
            ask.asker.0.as_bytes(),
            ask.nonce.as_bytes(),
            ask.write_id.0.as_bytes(),
            settle_text(ask.settle).as_bytes(),
            age.as_bytes(),
            &condition_text(&ask.preconditions),
            expect_text(&ask.expect).as_bytes(),
            ask.upload.as_ref().map(UploadName::as_str).unwrap_or_default().as_bytes(),
            own_doubt.unwrap_or_default(),
        ];
        let mut reply = self.run(&self.library().acquire, name, &arguments, Repeat::Once).await?;
        match reply.word() {
            "quarantine" => Ok(Acquired::Quarantine(reply.duration()?)),
            "ended" => Ok(Acquired::Ended(reply.ending()?)),
            "busy" => {
                Ok(Acquired::Busy { write_id: reply.write_id()?, free_in: reply.duration()? })
            }
            "young" => Ok(Acquired::Young(reply.duration()?)),
            "granted" => Ok(Acquired::Granted(Grant {
                token: Token::new(&reply.epoch()?, &ask.nonce),
                state: reply.state()?,
                generation: reply.generation()?,
                doubt: reply.in_doubt()?,
                armed: reply.generation()?,
                epoch_age: reply.duration()?,
                superseded: reply.number()? == 1,
                landed: reply.optional_duration()?,
                young_for: reply.duration()?,
                upload: reply.upload(ask.upload.as_ref())?,
            })),
            _ => Err(reply.unknown()),
        }
    }

    async fn arm(&self, name: &ObjectName, step: ArmStep<'_>) -> Result<ArmAnswer, RegisterError> {
        let age = millis(step.age);
        let arguments: [&[u8]; 4] = [
            step.token.0.as_bytes(),
            &state_text(&step.pre),
            expect_text(&step.expect).as_bytes(),
            age.as_bytes(),
        ];
        let mut reply = self.run(&self.library().arm, name, &arguments, Repeat::Never).await?;
        match reply.word() {
            "armed" => {
                reply.epoch()?;
                let generation = reply.generation()?.ok_or_else(|| reply.unknown())?;
                Ok(ArmAnswer::Armed(generation))
            }
            "lost" => Ok(ArmAnswer::Lost),
            "older" => Ok(ArmAnswer::OlderThanEpoch),
            _ => Err(reply.unknown()),
        }
    }

    async fn reclaim(
        &self,
        name: &ObjectName,
        step: &ReclaimStep<'_>,
    ) -> Result<ReclaimAnswer, RegisterError> {
        let arguments: [&[u8]; 6] = [
            step.token.0.as_bytes(),
            step.nonce.as_bytes(),
            step.write_id.0.as_bytes(),
            settle_text(step.settle).as_bytes(),
            &state_text(step.pre),
            expect_text(step.expect).as_bytes(),
        ];
        let mut reply = self.run(&self.library().reclaim, name, &arguments, Repeat::Once).await?;
        match reply.word() {
            "held" => Ok(ReclaimAnswer::Held),
            "reclaimed" => Ok(ReclaimAnswer::Reclaimed {
                token: Token::new(&reply.epoch()?, step.nonce),
                generation: reply.generation()?.ok_or_else(|| reply.unknown())?,
            }),
            "too late" => Ok(ReclaimAnswer::TooLate),
            _ => Err(reply.unknown()),
        }
    }

    async fn renew(&self, name: &ObjectName, token: &Token) -> Result<bool, RegisterError> {
        let arguments = [token.0.as_bytes()];
        self.run(&self.library().renew, name, &arguments, Repeat::Never).await?.is_ok()
    }

    async fn commit(
        &self,
        name: &ObjectName,
        step: &CommitStep<'_>,
    ) -> Result<CommitAnswer, RegisterError> {
        let quiet = step.quiet.map(millis).unwrap_or_default();
        let generation = step.generation.map(|Generation(name)| name.as_bytes());
        let written = written_text(step.written);
        let arguments: [&[u8]; 6] = [
            step.token.0.as_bytes(),
            &state_text(&step.new),
            quiet.as_bytes(),
            generation.unwrap_or_default(),
            step.headers.as_str().as_bytes(),
            written.as_bytes(),
        ];
        let reply = self.run(&self.library().commit, name, &arguments, Repeat::Once).await?;
        match reply.word() {
            "committed" => Ok(CommitAnswer::Committed),
            "overtaken" => Ok(CommitAnswer::Overtaken),
            "epoch changed" => Ok(CommitAnswer::EpochChanged),
            _ => Err(reply.unknown()),
        }
    }

    async fn disarm(
        &self,
        name: &ObjectName,
        step: &DisarmStep<'_>,
    ) -> Result<bool, RegisterError> {
        let refused = refusal_text(step.refused);
        let arguments: [&[u8]; 3] =
            [step.token.0.as_bytes(), &state_text(step.pre), refused.as_bytes()];
        self.run(&self.library().disarm, name, &arguments, Repeat::Never).await?.is_ok()
    }

    async fn release(
        &self,
        name: &ObjectName,
        step: &ReleaseStep<'_>,
    ) -> Result<bool, RegisterError> {
        let learned = step.learned.as_ref().map(state_text).unwrap_or_default();
        let refused = refusal_text(step.refused);
        let arguments: [&[u8]; 3] = [step.token.0.as_bytes(), &learned, refused.as_bytes()];
        self.run(&self.library().release, name, &arguments, Repeat::Never).await?.is_ok()
    }

    async fn resolve(
        &self,
        name: &ObjectName,
        step: &ResolveStep<'_>,
    ) -> Result<Resolution, RegisterError> {
        let seen_id = step.seen_id.map(|id| id.0.as_bytes()).unwrap_or_default();
        let arguments: [&[u8]; 4] = [
            step.token.0.as_bytes(),
            &current_text(step.head),
            seen_id,
            view_text(step.view).as_bytes(),
        ];
        let reply = self.run(&self.library().resolve, name, &arguments, Repeat::Never).await?;
        match reply.word() {
            "landed" => Ok(Resolution::Landed),
            "did not" => Ok(Resolution::DidNot),
            "undetermined" => Ok(Resolution::Undetermined),
            "too early" => Ok(Resolution::TooEarly),
            "nothing" => Ok(Resolution::Nothing),
            _ => Err(reply.unknown()),
        }
    }

    async fn note_upload(
        &self,
        name: &ObjectName,
        step: &UploadStep<'_>,
    ) -> Result<bool, RegisterError> {
        let Observation { generation, pending, epoch, .. } = step.before;
        let arguments: [&[u8]; 4] = [
            step.name.as_str().as_bytes(),
            epoch.0.as_bytes(),
            generation_text(generation.as_ref(), epoch).as_bytes(),
            generation_text(pending.as_ref(), epoch).as_bytes(),
        ];
        self.run(&self.library().note_upload, name, &arguments, Repeat::Once).await?.is_ok()
    }

    async fn young_keys(&self, range: &KeyRange<'_>) -> Result<YoungKeys, RegisterError> {
        self.young_keys_of_all(range).await
    }

    async fn check(&self) -> Result<Status, RegisterError> {
        self.survey_all().await
    }

    async fn skip_quarantine(&self) -> Result<(), RegisterError> {
        self.skip_quarantine_of_all().await
    }

    /// Nothing to do: the data in Redis is shared with the other proxies.
    async fn close(&self) -> Result<(), RegisterError> {
        Ok(())
    }
}

fn observation(reply: &mut Reply) -> Result<Observation, RegisterError> {
    Ok(Observation {
        epoch: reply.epoch()?,
        state: reply.state()?,
        generation: reply.generation()?,
        pending: reply.generation()?,
        quarantine: reply.duration()?,
        leased: reply.number()? != 0,
        young_for: reply.duration()?,
        before: reply.optional_state()?,
        before_young_for: reply.duration()?,
        landed: reply.optional_duration()?,
    })
}

fn millis(duration: Duration) -> String {
    in_millis(duration).to_string()
}
