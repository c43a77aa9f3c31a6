//! The marker: an object in the store that names the register which keeps the locks of this store.
//! The register has an id, and the marker contains it. Two fleets with two registers would lose
//! each other's updates unnoticed. With the marker the second one is refused, or stops (F9).
//!
//! The id lives as long as the register's memory, and the marker as long as the store's objects. If
//! one of the two is lost, it is restored from the other or from a running proxy, with one
//! exception: a marker, no running proxy, and a register without an id. That register may have lost
//! its memory, or be another one; an operator has to decide.

mod guarded;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::guarded::Guarded;
use self::state::MarkerState;
use crate::backend::{Answer, EMPTY_SHA256, Exchange, Sending, Signing, Store, StoreRequest};
use crate::body::Body;
use crate::gate::{Gate, Reply, Write};
use crate::http1::fields::Fields;
use crate::metrics::labels::Alarm;
use crate::random;
use crate::register::identity::{Identified, RegisterId};
use crate::register::{EpochId, Register, RegisterError, WriteId};
use crate::s3::documents::parse_store_error;
use crate::s3::{ObjectName, Operation, Preconditions};

/// How often the marker is read while the register and the marker agree.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// How often while the marker names another register, or can neither be read nor written.
const WHILE_OTHER_REGISTER: Duration = Duration::from_secs(10);

/// How soon again while there is no marker, and the register grants nothing yet.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long a read of the marker may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The beginning of the marker's first line.
const FIRST_LINE: &str = "ifmatch register ";

/// The text below it.
const EXPLANATION: &str = "This object names the register of the ifmatch proxies in front of this store.\n\
     Proxies with another register do not write here (register.marker in their configuration).\n\
     Leave it as it is.\n";

/// Why a proxy does not start, or an operator's command does nothing.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// Two registers for one store.
    #[error(
        "this store belongs to another register: the marker {marker} names register {named}, and the \
         one at register.url is {ours}. With two registers for one store updates are lost. Give \
         this proxy the register of the fleet that writes here (register.url, register.namespace). \
         Only when that fleet is gone for good, delete the marker at the store itself"
    )]
    OtherRegister {
        /// The marker object.
        marker: ObjectName,
        /// The register that it names.
        named: RegisterId,
        /// The id of the configured register.
        ours: RegisterId,
    },
    /// It cannot be decided whether the register is the right one.
    #[error(
        "the marker {marker} names register {named}, and the one at register.url has no id: it has \
         lost its memory, or it is another one. Where proxies of this fleet run, they give it back \
         within seconds: try again. Where none runs and this is their register (register.url, \
         register.namespace): ifmatch register adopt"
    )]
    Nameless {
        /// The marker object.
        marker: ObjectName,
        /// The register that it names.
        named: RegisterId,
    },
    /// There is nothing to adopt.
    #[error("there is no marker {0} yet: the first proxy that starts writes it")]
    Unmarked(ObjectName),
    /// The bucket does not exist.
    #[error("the bucket of the marker {0} does not exist. Create it, or change register.marker")]
    NoBucket(ObjectName),
    /// The object is something else.
    #[error("the object {0} is not a marker of ifmatch. Give register.marker a key of its own")]
    NoMarker(ObjectName),
    /// The store does not answer.
    #[error("the marker {0} cannot be read: {1}. Check backend.url, and what its key may do there")]
    Unreadable(ObjectName, String),
    /// The register does not answer.
    #[error("{0}. Check register.url")]
    Register(#[from] RegisterError),
}

/// The marker, and the register that it has to name.
#[derive(Debug)]
pub struct Marker {
    name: ObjectName,
    register: Arc<dyn Register>,
    identified: Arc<dyn Identified>,
    store: Arc<dyn Store>,
    gate: Gate,
}

/// What a running proxy knows, kept up to date.
#[derive(Debug)]
pub struct Watch {
    marker: Marker,
    own: RegisterId,
    state: watch::Sender<MarkerState>,
    /// The register's present id, when that is not `own`.
    misnamed: Option<RegisterId>,
    marked: MarkerState,
}

impl Marker {
    /// `gate` uses this same register, but is not the clients' gate: it writes the marker while no
    /// other write is allowed.
    pub fn new(
        name: ObjectName,
        register: Arc<dyn Register>,
        identified: Arc<dyn Identified>,
        store: Arc<dyn Store>,
        gate: Gate,
    ) -> Self {
        Self { name, register, identified, store, gate }
    }

    /// Compares register and marker, and gives the register an id where neither has one.
    /// [`Watch::keep`] writes the marker itself, once the register grants leases.
    ///
    /// # Errors
    /// When this proxy must not write to this store.
    pub async fn begin(self) -> Result<Watch, MarkerError> {
        let named = self.read().await?;
        let ours = self.identified.name().await?;
        let (own, state) = match (named, ours) {
            (Some(named), Some(ours)) if named == ours => (ours, MarkerState::Agreed),
            (Some(named), Some(ours)) => {
                return Err(MarkerError::OtherRegister { marker: self.name, named, ours });
            }
            (Some(named), None) => return Err(MarkerError::Nameless { marker: self.name, named }),
            (None, ours) => {
                let own = match ours {
                    Some(ours) => {
                        tracing::warn!(marker = %self.name, id = %ours, "the marker is not there; it will be written again");
                        ours
                    }
                    None => self.identified.name_if_nameless(&RegisterId::new()).await?,
                };
                (own, MarkerState::Unconfirmed)
            }
        };
        let marked = state.clone();
        let state = watch::Sender::new(state);
        Ok(Watch { marker: self, own, state, misnamed: None, marked })
    }

    /// Gives a register without an id the id in the marker: for an operator who knows that it is
    /// the same register. Returns the id, and whether the register had none.
    ///
    /// # Errors
    /// When there is no marker, or the register has an id of its own.
    pub async fn adopt(&self) -> Result<(RegisterId, bool), MarkerError> {
        let marker = self.name.clone();
        let named = self.read().await?.ok_or_else(|| MarkerError::Unmarked(marker.clone()))?;
        let before = self.identified.name().await?;
        let ours = self.identified.name_if_nameless(&named).await?;
        if ours != named {
            return Err(MarkerError::OtherRegister { marker, named, ours });
        }
        Ok((named, before.is_none()))
    }

    /// Fails unless the marker names this register: for a command that changes records.
    ///
    /// # Errors
    /// When it does not, or one of the two has no id.
    pub async fn confirm(&self) -> Result<(), MarkerError> {
        let marker = self.name.clone();
        let named = self.read().await?.ok_or_else(|| MarkerError::Unmarked(marker.clone()))?;
        match self.identified.name().await? {
            Some(ours) if ours == named => Ok(()),
            Some(ours) => Err(MarkerError::OtherRegister { marker, named, ours }),
            None => Err(MarkerError::Nameless { marker, named }),
        }
    }

    /// The id in the marker; `None` when there is no marker.
    async fn read(&self) -> Result<Option<RegisterId>, MarkerError> {
        let request = self.request(Method::GET, Fields::new(), EMPTY_SHA256);
        let body = Body::empty();
        let sending = Sending { fresh: true, ..Sending::new(&body, Instant::now() + PATIENCE) };
        let unreadable = |why: String| MarkerError::Unreadable(self.name.clone(), why);
        let answer = match self.store.exchange(&request, sending).await {
            Exchange::Answered(answer) => answer,
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                return Err(unreadable(why));
            }
        };
        match answer.status {
            StatusCode::OK => id_of(&answer.body)
                .map(Some)
                .ok_or_else(|| MarkerError::NoMarker(self.name.clone())),
            StatusCode::NOT_FOUND => match parse_store_error(&answer.body) {
                Some(error) if error.code == "NoSuchBucket" => {
                    Err(MarkerError::NoBucket(self.name.clone()))
                }
                _ => Ok(None),
            },
            _ => Err(unreadable(said(&answer))),
        }
    }

    /// Creates the marker as any object: under its key's lease, only if it does not exist.
    async fn write(&self, id: &RegisterId) -> Result<bool, String> {
        let text = format!("{FIRST_LINE}{id}\n\n{EXPLANATION}");
        let mut headers = Fields::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let request = self.request(Method::PUT, headers, Sha256::digest(&text).into());
        let outcome = self
            .gate
            .write(&Write {
                name: &self.name,
                operation: Operation::PutObject,
                preconditions: &Preconditions::IF_NONE_MATCH_ANY,
                request: &request,
                body: &Body::from(Bytes::from(text)),
                write_id: WriteId::alone(&random::id()),
                attempt: 1,
                arrived: Instant::now(),
                head_headers: &Fields::new(),
                version_id: None,
                upload_id: None,
                etag: None,
                carries_id: false,
                keep_alive: None,
            })
            .await;
        if let Some(commit) = outcome.commit {
            commit.record().await;
        }
        match outcome.reply {
            Reply::Store(answer) if answer.status.is_success() => Ok(true),
            Reply::Store(answer) => Err(said(&answer)),
            // Another proxy created it first; its id is read next.
            Reply::Error(error, _) if error.status() == StatusCode::PRECONDITION_FAILED => {
                Ok(false)
            }
            Reply::Error(error, _) => Err(error.to_string()),
            Reply::Replayed(..) => Ok(true),
        }
    }

    fn request(&self, method: Method, headers: Fields, sha256: [u8; 32]) -> StoreRequest {
        StoreRequest {
            signing: Signing::Anew,
            method,
            path: self.name.path(),
            query: Vec::new(),
            headers,
            sha256: Some(sha256),
        }
    }
}

impl Watch {
    /// The register for the clients' gate: it grants nothing while the marker does not agree.
    pub fn guard(&self, register: Arc<dyn Register>) -> Arc<dyn Register> {
        Arc::new(Guarded { inner: register, state: self.state.subscribe() })
    }

    /// Keeps the id in the register and in the marker, as long as this future is polled; `pause` is
    /// how often the register is asked.
    pub async fn keep(mut self, pause: Duration) {
        let mut epoch: Option<EpochId> = None;
        let mut look_at = Instant::now();
        loop {
            self.look_at_register().await;
            let mut grants = false;
            if let Ok(observed) = self.marker.register.observe(&self.marker.name).await {
                grants = observed.quarantine.is_zero();
                if epoch.as_ref() != Some(&observed.epoch) {
                    epoch = Some(observed.epoch);
                    look_at = Instant::now();
                }
            }
            let mut next = pause;
            if Instant::now() >= look_at {
                let again = self.look_at_marker(grants).await;
                look_at = Instant::now() + again;
                next = pause.min(again);
            }
            sleep(next).await;
        }
    }

    /// Checks the register's id, and gives it back to a register that has forgotten it.
    async fn look_at_register(&mut self) {
        match self.register_named().await {
            Ok(name) => {
                self.misnamed = (name != self.own).then_some(name);
                self.tell();
            }
            // An unreachable register grants nothing either.
            Err(error @ RegisterError::Unreachable(_)) => {
                tracing::debug!(%error, "the register's id could not be looked at");
            }
            Err(error) => tracing::warn!(%error, "the register's id could not be looked at"),
        }
    }

    async fn register_named(&self) -> Result<RegisterId, RegisterError> {
        if let Some(name) = self.marker.identified.name().await? {
            return Ok(name);
        }
        let name = self.marker.identified.name_if_nameless(&self.own).await?;
        tracing::warn!(id = %name, "the register had forgotten its id and was given it again");
        Ok(name)
    }

    /// Reads the marker, and returns when to read it again. Writes a missing marker where the
    /// register is known to grant leases.
    async fn look_at_marker(&mut self, grants: bool) -> Duration {
        let other = |why| (MarkerState::OtherRegister(why), WHILE_OTHER_REGISTER);
        let again;
        (self.marked, again) = match self.marker.read().await {
            Ok(Some(named)) if named == self.own => (MarkerState::Agreed, LOOK_EVERY),
            Ok(Some(named)) => other(format!(
                "the marker {} names register {named}, and this one is {}",
                self.marker.name, self.own
            )),
            Err(error @ MarkerError::NoMarker(_)) => other(error.to_string()),
            // The register has another id: this proxy may write neither name.
            Ok(None) if self.misnamed.is_some() => (self.without_marker(), WHILE_OTHER_REGISTER),
            Ok(None) if !grants => (self.without_marker(), AGAIN_AFTER),
            Ok(None) => match self.marker.write(&self.own).await {
                Ok(written) => {
                    if written {
                        tracing::info!(marker = %self.marker.name, id = %self.own, "the register's marker was written");
                    }
                    // The marker counts once it was read; until then the old state stays. A store that
                    // lags may not show it yet.
                    let lags = !self.marker.gate.terms().lag.is_zero();
                    (self.without_marker(), if lags { AGAIN_AFTER } else { Duration::ZERO })
                }
                Err(why) => {
                    tracing::warn!(marker = %self.marker.name, why, "the register's marker could not be written");
                    (self.without_marker(), WHILE_OTHER_REGISTER)
                }
            },
            Err(error) => {
                tracing::warn!(%error, "the register's marker could not be looked at");
                (self.marked.clone(), WHILE_OTHER_REGISTER)
            }
        };
        if !self.tell()
            && let MarkerState::OtherRegister(why) = &*self.state.borrow()
        {
            self.marker.gate.metrics().alarms.count(Alarm::OtherRegister);
            tracing::error!(why, "ALARM: this store has another register; nothing is written");
        }
        again
    }

    /// The state where no marker exists: no other register is named any more.
    fn without_marker(&self) -> MarkerState {
        match self.marked {
            MarkerState::Agreed => MarkerState::Agreed,
            MarkerState::Unconfirmed | MarkerState::OtherRegister(_) => MarkerState::Unconfirmed,
        }
    }

    /// Tells the guard and the log; returns whether the state has changed.
    fn tell(&self) -> bool {
        let state = match &self.misnamed {
            Some(name) => MarkerState::OtherRegister(format!(
                "the register at register.url is {name} now, and was {}",
                self.own
            )),
            None => self.marked.clone(),
        };
        let news = *self.state.borrow() != state;
        if news {
            match &state {
                MarkerState::Agreed => {
                    tracing::info!(id = %self.own, "the register and its marker agree");
                }
                MarkerState::Unconfirmed => {}
                MarkerState::OtherRegister(why) => {
                    self.marker.gate.metrics().alarms.count(Alarm::OtherRegister);
                    tracing::error!(
                        why,
                        "ALARM: this store has another register; nothing is written"
                    );
                }
            }
            self.state.send_replace(state);
        }
        news
    }
}

fn said(answer: &Answer) -> String {
    let code = parse_store_error(&answer.body).map(|error| error.code);
    format!("the store answers {} {}", answer.status, code.unwrap_or_default())
}

fn id_of(text: &[u8]) -> Option<RegisterId> {
    let first = std::str::from_utf8(text).ok()?.lines().next()?;
    RegisterId::parse(first.strip_prefix(FIRST_LINE)?)
}
