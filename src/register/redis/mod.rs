//! The register in Redis, shared by all proxies: every step is one script, atomic there.
//!
//! The scripts do what [`record`](super::record) does and are tested against it. What they leave in
//! Redis is described in `format.rs`.

mod clock_watch;
mod connections;
mod faults;
mod format;
mod identity;
mod partitions;
mod reply;
mod scripts;
mod suitability;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

use self::clock_watch::{ClockWatch, Reading};
use self::connections::{Connection, Connections};
use self::faults::{fault, spoils_connection};
use self::format::{
    condition_text, current_text, expect_text, generation_text, keys_of, refusal_text, settle_text,
    state_text, terms_line,
};
use self::partitions::{Partitions, new_epoch_id};
use self::reply::Reply;
use self::scripts::{CLOCK, Scripts, Step};
use super::words::{Millis, in_millis};
use super::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, EpochId, Grant,
    Observation, ReclaimAnswer, ReclaimStep, Register, RegisterError, ReleaseStep, Resolution,
    Status, Terms, Token, UploadName, UploadStep, WriteId,
};
use crate::s3::{Current, ObjectName};
use crate::secret::Secret;

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The number of the database.
    pub database: u32,
    /// The ACL user; Redis's default user when absent. Of no effect without password.
    pub username: Option<String>,
    /// The password, when one is needed.
    pub password: Option<Secret>,
    /// What every key begins with: `{<namespace>:`. Not empty, without braces.
    pub namespace: String,
    /// How many connections are kept; each carries any number of calls at once.
    pub connections: usize,
    /// How long one step may take, connecting and repeating included.
    pub timeout: Duration,
    /// How far the clock of Redis may jump before the register forgets its leases.
    pub clock_jump_max: Duration,
}

/// The register in Redis.
#[derive(Debug)]
pub struct RedisRegister {
    settings: RedisSettings,
    connections: Connections,
    partitions: Arc<Partitions>,
    clock: Arc<ClockWatch>,
}

/// May a step whose answer was lost be asked again? Only where asking twice is asking once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Never,
    Once,
}

impl RedisRegister {
    /// A register that will connect when it is first used, in the runtime that uses it.
    /// `Unsuitable` when the namespace cannot be one.
    pub fn connect(settings: &RedisSettings, terms: &Terms) -> Result<Self, RegisterError> {
        Self::with_clock(settings, terms, CLOCK)
    }

    fn with_clock(
        settings: &RedisSettings,
        terms: &Terms,
        clock: &str,
    ) -> Result<Self, RegisterError> {
        let namespace = settings.namespace.clone();
        if namespace.is_empty() || namespace.contains(['{', '}']) {
            return Err(RegisterError::Unsuitable(format!(
                "register.namespace {namespace:?} is empty or has a brace in it, which Redis \
                 Cluster reads as part of its own grammar. Use letters and digits"
            )));
        }
        let scripts = Scripts::new(terms, clock);
        Ok(Self {
            settings: settings.clone(),
            connections: Connections::new(settings),
            partitions: Arc::new(Partitions { namespace, scripts, terms: terms_line(terms) }),
            clock: Arc::new(ClockWatch::new(settings.clock_jump_max)),
        })
    }

    /// The same register over connections of its own, for another runtime. What one of the two sees
    /// of Redis's clock, the other knows.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            connections: Connections::new(&self.settings),
            partitions: Arc::clone(&self.partitions),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Looks at the register again and again, as long as it is polled: an epoch that is due begins
    /// also while nobody writes, and a clock that jumps is seen before anything is granted by it.
    pub async fn keep_watch(&self, pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            if let Err(error) = self.check().await {
                tracing::debug!(%error, "the register could not be looked at");
            }
        }
    }

    fn scripts(&self) -> &Scripts {
        &self.partitions.scripts
    }

    /// Runs a step on a key within the time limit.
    async fn run(
        &self,
        step: &Step,
        name: &ObjectName,
        arguments: &[&[u8]],
        repeat: Repeat,
    ) -> Result<Reply, RegisterError> {
        let began = Instant::now();
        if repeat == Repeat::Once {
            let half = began + self.settings.timeout / 2;
            match self.attempt(step, name, arguments, half).await {
                Err(RegisterError::Unreachable(_)) => {}
                settled => return settled,
            }
        }
        self.attempt(step, name, arguments, began + self.settings.timeout).await
    }

    async fn attempt(
        &self,
        step: &Step,
        name: &ObjectName,
        arguments: &[&[u8]],
        deadline: Instant,
    ) -> Result<Reply, RegisterError> {
        let mut connection = self.connection(deadline).await?;
        let (partition, record) = keys_of(&self.partitions.namespace, name);
        let epoch = new_epoch_id();
        let command = |verb, script| {
            let mut command = Cmd::new();
            command.arg(verb).arg(script).arg(2).arg(&partition).arg(&record);
            command.arg(&epoch.0).arg(arguments);
            command
        };
        let asked = Instant::now();
        let call = async {
            let answer = query(&command("EVALSHA", &step.sha), &mut connection).await;
            match answer {
                // Redis does not know the script, so nothing of it ran.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    query(&command("EVAL", &step.text), &mut connection).await
                }
                answer => answer,
            }
        };
        match timeout_at(deadline, call).await {
            Ok(Ok(value)) => {
                let reply = Reply::read(value, &self.partitions.terms)?;
                self.compare_clocks(asked, reply.at, &mut connection, deadline).await?;
                Ok(reply)
            }
            Ok(Err(error)) => {
                if spoils_connection(&error) {
                    connection.spoil();
                }
                Err(fault(&error))
            }
            Err(_) => {
                connection.spoil();
                Err(self.silent(step.name))
            }
        }
    }

    /// Refuses an answer by which the clock of Redis has jumped: leases may have ended early by it,
    /// and this may be one more. The register forgets them all, and waits until nothing that was sent
    /// under them can land.
    async fn compare_clocks(
        &self,
        asked: Instant,
        at: Millis,
        connection: &mut Connection,
        deadline: Instant,
    ) -> Result<(), RegisterError> {
        let reading = Reading { asked, answered: Instant::now(), at };
        let Some(jump) = self.clock.jump(reading) else { return Ok(()) };
        tracing::error!(
            jump_s = jump.as_secs_f64(),
            "ALARM: the clock of {} has jumped, or this machine has slept; the register begins a \
             new epoch",
            self.connections
        );
        let forget = self.partitions.forget(&mut connection.requests);
        timeout_at(deadline, forget).await.unwrap_or_else(|_| Err(self.silent("forgetting")))?;
        self.clock.accept(reading);
        Err(RegisterError::Unreachable(format!("{}: its clock has jumped", self.connections)))
    }

    async fn connection(&self, deadline: Instant) -> Result<Connection, RegisterError> {
        timeout_at(deadline, self.connections.take(&self.partitions))
            .await
            .unwrap_or_else(|_| Err(self.silent("connecting")))
    }

    fn silent(&self, doing: &str) -> RegisterError {
        RegisterError::Unreachable(format!("{}: no answer in time ({doing})", self.connections))
    }
}

async fn query(command: &Cmd, connection: &mut Connection) -> RedisResult<Value> {
    command.query_async(&mut connection.requests).await
}

fn millis(duration: Duration) -> String {
    in_millis(duration).to_string()
}

#[async_trait]
impl Register for RedisRegister {
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        observation(self.run(&self.scripts().observe, name, &[], Repeat::Once).await?)
    }

    async fn pin(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        observation(self.run(&self.scripts().pin, name, &[], Repeat::Once).await?)
    }

    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError> {
        let age = millis(ask.age);
        let own_doubt = ask.own_doubt.as_ref().map(|generation| generation.0.as_bytes());
        let arguments: [&[u8]; 8] = [
            ask.nonce.as_bytes(),
            ask.write_id.0.as_bytes(),
            settle_text(ask.settle).as_bytes(),
            age.as_bytes(),
            &condition_text(&ask.condition),
            &expect_text(&ask.expect),
            ask.upload.as_ref().map(UploadName::as_str).unwrap_or_default().as_bytes(),
            own_doubt.unwrap_or_default(),
        ];
        let mut reply = self.run(&self.scripts().acquire, name, &arguments, Repeat::Once).await?;
        match reply.word() {
            "quarantine" => Ok(Acquired::Quarantine(reply.duration()?)),
            "ended" => Ok(Acquired::Ended(reply.ending()?)),
            "busy" => Ok(Acquired::Busy {
                write_id: reply.write_id()?.ok_or_else(|| reply.unknown())?,
                free_in: reply.duration()?,
            }),
            "granted" => Ok(Acquired::Granted(Grant {
                token: Token(reply.text()?),
                state: reply.state()?,
                generation: reply.generation()?,
                doubt: reply.in_doubt()?,
                armed: reply.generation()?,
                epoch_age: reply.duration()?,
                rivalled: reply.number()? == 1,
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
            &expect_text(&step.expect),
            age.as_bytes(),
        ];
        let mut reply = self.run(&self.scripts().arm, name, &arguments, Repeat::Never).await?;
        match reply.word() {
            "armed" => {
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
            &expect_text(step.expect),
        ];
        let mut reply = self.run(&self.scripts().reclaim, name, &arguments, Repeat::Once).await?;
        match reply.word() {
            "held" => Ok(ReclaimAnswer::Held),
            "reclaimed" => Ok(ReclaimAnswer::Reclaimed {
                token: Token(reply.text()?),
                generation: reply.generation()?.ok_or_else(|| reply.unknown())?,
            }),
            "too late" => Ok(ReclaimAnswer::TooLate),
            _ => Err(reply.unknown()),
        }
    }

    async fn renew(&self, name: &ObjectName, token: &Token) -> Result<bool, RegisterError> {
        let arguments = [token.0.as_bytes()];
        self.run(&self.scripts().renew, name, &arguments, Repeat::Never).await?.is_ok()
    }

    async fn commit(
        &self,
        name: &ObjectName,
        step: &CommitStep<'_>,
    ) -> Result<CommitAnswer, RegisterError> {
        let quiet = step.quiet.map(millis).unwrap_or_default();
        let arguments: [&[u8]; 3] =
            [step.token.0.as_bytes(), &state_text(&step.new), quiet.as_bytes()];
        let reply = self.run(&self.scripts().commit, name, &arguments, Repeat::Once).await?;
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
        self.run(&self.scripts().disarm, name, &arguments, Repeat::Never).await?.is_ok()
    }

    async fn release(
        &self,
        name: &ObjectName,
        step: &ReleaseStep<'_>,
    ) -> Result<bool, RegisterError> {
        let learned = step.learned.as_ref().map(state_text).unwrap_or_default();
        let refused = refusal_text(step.refused);
        let arguments: [&[u8]; 3] = [step.token.0.as_bytes(), &learned, refused.as_bytes()];
        self.run(&self.scripts().release, name, &arguments, Repeat::Never).await?.is_ok()
    }

    async fn resolve(
        &self,
        name: &ObjectName,
        token: &Token,
        head: &Current,
        inscribed: Option<&WriteId>,
    ) -> Result<Resolution, RegisterError> {
        let inscribed = inscribed.map(|id| id.0.as_bytes()).unwrap_or_default();
        let arguments: [&[u8]; 3] = [token.0.as_bytes(), &current_text(head), inscribed];
        let reply = self.run(&self.scripts().resolve, name, &arguments, Repeat::Never).await?;
        match reply.word() {
            "landed" => Ok(Resolution::Landed),
            "did not" => Ok(Resolution::DidNot),
            "undetermined" => Ok(Resolution::Undetermined),
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
        self.run(&self.scripts().note_upload, name, &arguments, Repeat::Once).await?.is_ok()
    }

    async fn check(&self) -> Result<Status, RegisterError> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut connection = self.connection(deadline).await?;
        let asked = Instant::now();
        let survey = self.partitions.survey(&mut connection.requests);
        let surveyed = timeout_at(deadline, survey).await;
        let surveyed = surveyed.unwrap_or_else(|_| Err(self.silent("check")));
        let (status, at) = surveyed.inspect_err(|_| connection.spoil())?;
        self.compare_clocks(asked, at, &mut connection, deadline).await?;
        Ok(status)
    }

    async fn skip_quarantine(&self) -> Result<(), RegisterError> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut connection = self.connection(deadline).await?;
        let step = &self.scripts().skip_quarantine;
        let skip = self.partitions.run_in_each(&mut connection.requests, step);
        let replies = timeout_at(deadline, skip).await;
        let replies = replies.unwrap_or_else(|_| Err(self.silent(step.name)));
        replies.inspect_err(|_| connection.spoil()).map(drop)
    }

    /// Nothing to do: what is in Redis is everybody's.
    async fn close(&self) -> Result<(), RegisterError> {
        Ok(())
    }
}

fn observation(mut reply: Reply) -> Result<Observation, RegisterError> {
    Ok(Observation {
        state: reply.state()?,
        generation: reply.generation()?,
        pending: reply.generation()?,
        epoch: EpochId(reply.text()?),
        quarantine: reply.duration()?,
        leased: reply.number()? != 0,
    })
}

#[cfg(test)]
mod tests;
