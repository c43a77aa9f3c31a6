//! The register in Redis, shared by all proxies: every step is one script, atomic there.
//!
//! The scripts do what [`record`](super::record) does and are tested against it. What they leave in
//! Redis is described in `format.rs`.

mod error;
mod format;
mod identity;
mod node;
mod reply;
mod scripts;
mod settings;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

use self::error::{fault, spoils_connection};
use self::format::{
    condition_text, current_text, expect_text, generation_text, keys_of, refusal_text, settle_text,
    state_text, terms_line,
};
use self::node::Node;
use self::node::clock::Reading;
use self::node::connections::Connection;
use self::node::fitness::{Demands, REPLICA, Setting};
use self::node::partitions::{Partitions, Survey, new_epoch_id};
use self::reply::Reply;
use self::scripts::{CLOCK, Scripts, Step};
pub use self::settings::{Address, Place, SentinelPlace};
use self::topology::masters::Part;
use self::topology::{Known, Router, no_master};
use super::types::{Millis, in_millis};
use super::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, EpochId, Generation,
    Grant, Observation, ReclaimAnswer, ReclaimStep, Register, RegisterError, ReleaseStep,
    Resolution, Status, Terms, Token, UploadName, UploadStep, WriteId,
};
use crate::s3::{Current, ObjectName};
use crate::secret::Secret;

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Where it is.
    pub place: Place,
    /// The number of the database; 0 in a cluster.
    pub database: u32,
    /// The ACL user; Redis's default user when absent. Of no effect without password.
    pub username: Option<String>,
    /// The password, when one is needed.
    pub password: Option<Secret>,
    /// What every key begins with: `{<namespace>:`. Not empty, without braces.
    pub namespace: String,
    /// How many connections are kept to each server; each carries any number of calls at once.
    pub connections: usize,
    /// How long one step may take, connecting and repeating included.
    pub timeout: Duration,
    /// How far the clock of Redis may jump before the register forgets its leases.
    pub clock_jump_max: Duration,
    /// An operator has set the terms' `failover_lag`, and answers for it where a server does not
    /// tell what it depends on.
    pub failover_lag_is_stated: bool,
}

/// The register in Redis.
#[derive(Debug)]
pub struct RedisRegister {
    settings: RedisSettings,
    router: Router,
    partitions: Arc<Partitions>,
}

/// A master, and a connection to it or the reason why there is none.
type Reached = (Arc<Node>, Result<Connection, RegisterError>);

/// May a step whose answer was lost be asked again? Only where asking twice is asking once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Never,
    Once,
}

/// Why a step has no answer.
enum Failure {
    /// The server said that the partition is not there any more. The step did not run.
    Moved(RegisterError),
    Other(RegisterError),
}

impl Failure {
    fn into_error(self) -> RegisterError {
        match self {
            Self::Moved(error) | Self::Other(error) => error,
        }
    }
}

/// For how long an answer of Sentinels, or of a cluster, about its masters is believed.
fn believed_for(terms: &Terms) -> Duration {
    terms.lease / 2
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
        let believed_for = believed_for(terms);
        let router = Router::new(settings, believed_for);
        if router.is_guided() && terms.failover_lag < believed_for {
            return Err(RegisterError::Unsuitable(
                "register.failover_lag is shorter than half of register.lease, for which a replaced \
                 master may still be asked. Lengthen it"
                    .to_owned(),
            ));
        }
        let demands = Demands {
            setting: match settings.place {
                Place::One { never_promoted: true, .. } => Setting::AloneForGood,
                Place::One { never_promoted: false, .. } => Setting::Alone,
                Place::Sentinels(_) => Setting::Watched,
                Place::Cluster(_) => Setting::Cluster { believed_for },
            },
            failover_lag: terms.failover_lag,
            lag_is_stated: settings.failover_lag_is_stated,
        };
        let scripts = Scripts::new(terms, clock);
        let partitions = Partitions { namespace, scripts, terms: terms_line(terms), demands };
        Ok(Self { settings: settings.clone(), router, partitions: Arc::new(partitions) })
    }

    /// The same register over connections of its own, for another runtime. What one of the two
    /// learns of Redis's masters and their clocks, the other knows.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            router: self.router.apart(&self.settings),
            partitions: Arc::clone(&self.partitions),
        }
    }

    /// Looks at the register again and again, as long as it is polled: an epoch that is due begins
    /// also while nobody writes, a clock that jumps is seen before anything is granted by it, a server
    /// that has become unfit is not used, and who the masters are does not become old news.
    pub async fn keep_watch(&self, pause: Duration) {
        let surveying = async {
            loop {
                tokio::time::sleep(pause).await;
                if let Err(error) = self.check().await {
                    tracing::debug!(%error, "the register could not be looked at");
                }
            }
        };
        tokio::join!(surveying, self.router.keep_asking());
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

    /// Asks once; a second time where the first server only said that the partition has moved.
    async fn attempt(
        &self,
        step: &Step,
        name: &ObjectName,
        arguments: &[&[u8]],
        deadline: Instant,
    ) -> Result<Reply, RegisterError> {
        match self.ask_once(step, name, arguments, deadline).await {
            Err(Failure::Moved(_)) => {}
            Err(Failure::Other(error)) => return Err(error),
            Ok(reply) => return Ok(reply),
        }
        self.ask_once(step, name, arguments, deadline).await.map_err(Failure::into_error)
    }

    async fn ask_once(
        &self,
        step: &Step,
        name: &ObjectName,
        arguments: &[&[u8]],
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let keys = keys_of(&self.partitions.namespace, name);
        let (node, mut connection, known) =
            self.connection_for(Part::Partition(keys.number), deadline).await?;
        let epoch = new_epoch_id();
        let command = |verb, script| {
            let mut command = Cmd::new();
            command.arg(verb).arg(script).arg(2).arg(&keys.partition).arg(&keys.record);
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
                let reply = Reply::read(value, &self.partitions.terms);
                let reply = reply.map_err(|error| self.overthrown(error, &known, &connection))?;
                self.compare_clocks(&node, asked, reply.at, (&mut connection, &known), deadline)
                    .await?;
                Ok(reply)
            }
            Ok(Err(error)) => Err(self.failure(&error, &known, &connection)),
            Err(_) => {
                connection.spoil();
                Err(silent(&node, step.name).into())
            }
        }
    }

    /// What an error means for who is asked next.
    fn failure(&self, error: &RedisError, known: &Known, connection: &Connection) -> Failure {
        if spoils_connection(error) {
            connection.spoil();
        }
        if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) {
            self.router.doubt(known);
            return Failure::Moved(fault(error));
        }
        self.overthrown(fault(error), known, connection).into()
    }

    /// A connection to the master of this part, who is known to be it at this moment.
    async fn connection_for(
        &self,
        part: Part,
        deadline: Instant,
    ) -> Result<(Arc<Node>, Connection, Known), RegisterError> {
        loop {
            let known = self.router.masters(deadline).await?;
            let node = self.router.node_of(part, &known)?;
            let connection = self.connection_to(&node, &known, deadline).await?;
            // To connect may have taken longer than the news stays young.
            if known.is_fresh() {
                return Ok((node, connection, known));
            }
        }
    }

    async fn connection_to(
        &self,
        node: &Node,
        known: &Known,
        deadline: Instant,
    ) -> Result<Connection, RegisterError> {
        let taken = timeout_at(deadline, node.take(&self.partitions, known)).await;
        let taken = taken.unwrap_or_else(|_| Err(silent(node, "connecting")));
        taken.map_err(|error| self.demoted(error, known))
    }

    /// Where masters are looked for, one that has become a replica is no mistake of the operator's,
    /// but old news.
    fn demoted(&self, error: RegisterError, known: &Known) -> RegisterError {
        if !self.router.is_guided() || !is_replica(&error) {
            return error;
        }
        self.router.doubt(known);
        RegisterError::Unreachable("the master has become a replica".to_owned())
    }

    /// The same, of a connection to such a master: it is of no more use.
    fn overthrown(
        &self,
        error: RegisterError,
        known: &Known,
        connection: &Connection,
    ) -> RegisterError {
        if is_replica(&error) {
            connection.spoil();
        }
        self.demoted(error, known)
    }

    /// Refuses an answer by which the clock of Redis has jumped: leases may have ended early by it,
    /// and this may be one more. The register forgets all that this server holds of them, and waits
    /// until nothing that was sent under them can land.
    async fn compare_clocks(
        &self,
        node: &Node,
        asked: Instant,
        at: Millis,
        (connection, known): (&mut Connection, &Known),
        deadline: Instant,
    ) -> Result<(), RegisterError> {
        let reading = Reading { asked, answered: Instant::now(), at };
        let Some(jump) = node.standing.clock.jump(reading) else { return Ok(()) };
        tracing::error!(
            jump_s = jump.as_secs_f64(),
            "ALARM: the clock of {node} has jumped, or this machine has slept; the register begins a \
             new epoch"
        );
        let own = known.masters.partitions_of(node.address());
        let forget = self.partitions.forget(&mut connection.requests, &own);
        timeout_at(deadline, forget).await.unwrap_or_else(|_| Err(silent(node, "forgetting")))?;
        node.standing.clock.accept(reading);
        Err(RegisterError::Unreachable(format!("{node}: its clock has jumped")))
    }

    /// Every master, and what is known of them at this moment.
    async fn every_master(
        &self,
        deadline: Instant,
    ) -> Result<(Vec<Reached>, Known), RegisterError> {
        loop {
            let known = self.router.masters(deadline).await?;
            let connected = known.masters.each().into_keys().map(async |address| {
                let node = self.router.node(address, &known);
                let connection = self.connection_to(&node, &known, deadline).await;
                (node, connection)
            });
            let masters = join_all(connected).await;
            if known.is_fresh() {
                return Ok((masters, known));
            }
        }
    }

    /// Surveys one master and compares its clock.
    async fn look_at(
        &self,
        (node, connection): &Reached,
        known: &Known,
        deadline: Instant,
    ) -> Result<Survey, RegisterError> {
        let mut connection = connection.clone()?;
        let asked = Instant::now();
        let survey = node.survey(&mut connection, &self.partitions, known);
        let survey = timeout_at(deadline, survey).await;
        let survey = survey.unwrap_or_else(|_| Err(silent(node, "check")));
        let survey = survey.inspect_err(|_| connection.spoil());
        let mut survey = survey.map_err(|error| self.demoted(error, known))?;
        self.compare_clocks(node, asked, survey.at, (&mut connection, known), deadline).await?;
        let over = std::mem::take(&mut survey.over);
        self.set_aside((node, &mut connection), over, known, deadline).await?;
        Ok(survey)
    }

    /// Moves what is known of leases that are over into their keys' records. Where that fails it is
    /// left for another survey.
    async fn set_aside(
        &self,
        (node, connection): (&Node, &mut Connection),
        over: Vec<String>,
        known: &Known,
        deadline: Instant,
    ) -> Result<(), RegisterError> {
        if over.is_empty() {
            return Ok(());
        }
        let asked = Instant::now();
        let setting = self.partitions.set_aside(&mut connection.requests, &over);
        let answers = timeout_at(deadline, setting).await;
        let answers = match answers.unwrap_or_else(|_| Err(silent(node, "set_aside"))) {
            Ok(answers) => answers,
            Err(error) => {
                connection.spoil();
                tracing::debug!(%error, "leases that are over were not set aside");
                return Ok(());
            }
        };
        let replies = answers.into_iter().flatten();
        let replies = replies.filter_map(|value| Reply::read(value, &self.partitions.terms).ok());
        match replies.map(|reply| reply.at).max() {
            Some(at) => self.compare_clocks(node, asked, at, (connection, known), deadline).await,
            None => Ok(()),
        }
    }

    /// Ends the quarantine of one master's partitions.
    async fn skip_quarantine_of(
        &self,
        (node, connection): &Reached,
        known: &Known,
        deadline: Instant,
    ) -> Result<(), RegisterError> {
        let step = &self.scripts().skip_quarantine;
        let mut connection = connection.clone()?;
        let own = known.masters.partitions_of(node.address());
        let skip = self.partitions.run_in(&mut connection.requests, step, &own);
        let answers = timeout_at(deadline, skip).await;
        let answers = answers.unwrap_or_else(|_| Err(silent(node, step.name)));
        for answer in answers.inspect_err(|_| connection.spoil())? {
            Reply::read(answer.map_err(|error| fault(&error))?, &self.partitions.terms)?;
        }
        Ok(())
    }
}

/// What all masters answered; an error last, so that all that could be done was done.
fn all<T>(done: Vec<Result<T, RegisterError>>, known: &Known) -> Result<Vec<T>, RegisterError> {
    let done = done.into_iter().collect::<Result<_, _>>()?;
    match known.masters.missing() {
        0 => Ok(done),
        missing => Err(no_master(missing)),
    }
}

fn is_replica(error: &RegisterError) -> bool {
    matches!(error, RegisterError::Unsuitable(sentence) if sentence == REPLICA)
}

fn silent(node: &Node, doing: &str) -> RegisterError {
    RegisterError::Unreachable(format!("{node}: no answer in time ({doing})"))
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        Self::Other(error)
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
        let arguments: [&[u8]; 9] = [
            ask.asker.0.as_bytes(),
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
            "busy" => {
                Ok(Acquired::Busy { write_id: reply.write_id()?, free_in: reply.duration()? })
            }
            "granted" => Ok(Acquired::Granted(Grant {
                token: Token(reply.text()?),
                state: reply.state()?,
                generation: reply.generation()?,
                doubt: reply.in_doubt()?,
                armed: reply.generation()?,
                epoch_age: reply.duration()?,
                superseded: reply.number()? == 1,
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
        let generation = step.generation.map(|Generation(name)| name.as_bytes());
        let arguments: [&[u8]; 5] = [
            step.token.0.as_bytes(),
            &state_text(&step.new),
            quiet.as_bytes(),
            generation.unwrap_or_default(),
            step.told.as_str().as_bytes(),
        ];
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
        let (masters, known) = self.every_master(deadline).await?;
        let looking = masters.iter().map(|master| self.look_at(master, &known, deadline));
        let surveys = all(join_all(looking).await, &known)?;
        let mut status = Status { quarantine: Duration::ZERO, leases: 0 };
        for survey in surveys {
            if let Some(elsewhere) = survey.elsewhere {
                return Err(elsewhere);
            }
            status.quarantine = status.quarantine.max(survey.status.quarantine);
            status.leases += survey.status.leases;
        }
        Ok(status)
    }

    async fn skip_quarantine(&self) -> Result<(), RegisterError> {
        let deadline = Instant::now() + self.settings.timeout;
        let (masters, known) = self.every_master(deadline).await?;
        let skipping =
            masters.iter().map(|master| self.skip_quarantine_of(master, &known, deadline));
        all(join_all(skipping).await, &known).map(drop)
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
