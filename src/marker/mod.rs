//! Which register keeps the locks of this store: the register has an id, and an object in the store, the
//! marker, names it. Two fleets with two registers would lose each other's updates without knowing;
//! here the second one is refused, or stops (F9).
//!
//! The id lives as long as the register's memory, and the marker as long as the store's. Where one
//! of the two is lost it is put back from the other one or from a running proxy, but for one case:
//! a marker, no proxy, and a register without an id. It may have lost its memory, or be another one;
//! an operator has to say which.

mod guarded;
mod standing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::guarded::Guarded;
use self::standing::Standing;
use crate::backend::{Answer, EMPTY_SHA256, Exchange, Sending, Signing, Store, StoreRequest};
use crate::body::Body;
use crate::gate::{Gate, Reply, Write};
use crate::random;
use crate::register::identity::{Identified, RegisterId};
use crate::register::{EpochId, Register, RegisterError, WriteId};
use crate::s3::documents::parse_store_error;
use crate::s3::{ObjectName, Operation, Preconditions};

/// How often the marker is looked at while all is well.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// How often while another register is named, or the marker can neither be read nor written.
const WHILE_FOREIGN: Duration = Duration::from_secs(10);

/// How soon again while there is none, and the register grants nothing yet.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long a look at the marker may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the marker's first line begins with.
const FIRST_LINE: &str = "ifmatch register ";

/// What stands below it.
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
    Foreign {
        /// The marker object.
        marker: ObjectName,
        /// Whom it names.
        named: RegisterId,
        /// What the configured register is called.
        ours: RegisterId,
    },
    /// It cannot be told whether the register is the right one.
    #[error(
        "the marker {marker} names register {named}, and the one at register.url has no id: it has \
         lost its memory, or it is another one. Where proxies of this fleet run, they give it back \
         within seconds: try again. Where none runs and this is their register (register.url, \
         register.namespace): ifmatch register adopt"
    )]
    Nameless {
        /// The marker object.
        marker: ObjectName,
        /// Whom it names.
        named: RegisterId,
    },
    /// There is nothing to adopt.
    #[error("there is no marker {0} yet: the first proxy that starts writes it")]
    Unmarked(ObjectName),
    /// The bucket is not there.
    #[error("the bucket of the marker {0} does not exist. Create it, or change register.marker")]
    NoBucket(ObjectName),
    /// The object is something else.
    #[error("the object {0} is not a marker of ifmatch. Give register.marker a key of its own")]
    NoMarker(ObjectName),
    /// The store does not say.
    #[error("the marker {0} cannot be read: {1}. Check backend.url, and what its key may do there")]
    Unreadable(ObjectName, String),
    /// The register does not say.
    #[error("{0}. Check register.url")]
    Register(#[from] RegisterError),
}

/// The marker and the register that it is to name.
#[derive(Debug)]
pub struct Marker {
    name: ObjectName,
    register: Arc<dyn Register>,
    identified: Arc<dyn Identified>,
    store: Arc<dyn Store>,
    gate: Gate,
}

/// A proxy's own knowledge, to be kept up to date.
#[derive(Debug)]
pub struct Watch {
    marker: Marker,
    own: RegisterId,
    standing: watch::Sender<Standing>,
    /// What the register calls itself, when that is not `own`.
    misnamed: Option<RegisterId>,
    marked: Standing,
}

impl Marker {
    /// `gate` is one over this very register, not the clients': it writes the marker while nothing
    /// else may be written.
    pub fn new(
        name: ObjectName,
        register: Arc<dyn Register>,
        identified: Arc<dyn Identified>,
        store: Arc<dyn Store>,
        gate: Gate,
    ) -> Self {
        Self { name, register, identified, store, gate }
    }

    /// Compares the two, and gives the register a name where neither knows one. The marker itself is
    /// written by [`Watch::keep`], as soon as the register grants leases.
    ///
    /// # Errors
    /// When this proxy must not write to this store.
    pub async fn begin(self) -> Result<Watch, MarkerError> {
        let named = self.read().await?;
        let ours = self.identified.name().await?;
        let (own, standing) = match (named, ours) {
            (Some(named), Some(ours)) if named == ours => (ours, Standing::Agreed),
            (Some(named), Some(ours)) => {
                return Err(MarkerError::Foreign { marker: self.name, named, ours });
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
                (own, Standing::Unconfirmed)
            }
        };
        let marked = standing.clone();
        let standing = watch::Sender::new(standing);
        Ok(Watch { marker: self, own, standing, misnamed: None, marked })
    }

    /// Gives a register that has no id the one that the marker names: for an operator who knows that
    /// it is the same register. The id, and whether that was needed.
    ///
    /// # Errors
    /// When there is no marker, or the register has an id of its own.
    pub async fn adopt(&self) -> Result<(RegisterId, bool), MarkerError> {
        let marker = self.name.clone();
        let named = self.read().await?.ok_or_else(|| MarkerError::Unmarked(marker.clone()))?;
        let before = self.identified.name().await?;
        let ours = self.identified.name_if_nameless(&named).await?;
        if ours != named {
            return Err(MarkerError::Foreign { marker, named, ours });
        }
        Ok((named, before.is_none()))
    }

    /// Whom the marker names; `None` when there is none.
    async fn read(&self) -> Result<Option<RegisterId>, MarkerError> {
        let request = self.request(Method::GET, HeaderMap::new(), EMPTY_SHA256);
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

    /// Creates the marker as every object is created: under its key's lease, if there is none.
    async fn write(&self, id: &RegisterId) -> Result<(), String> {
        let text = format!("{FIRST_LINE}{id}\n\n{EXPLANATION}");
        let mut headers = HeaderMap::new();
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
                head_headers: &HeaderMap::new(),
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
            Reply::Store(answer) if answer.status.is_success() => Ok(()),
            Reply::Store(answer) => Err(said(&answer)),
            // Somebody was faster; whom it names is read next.
            Reply::Error(error, _) if error.status() == StatusCode::PRECONDITION_FAILED => Ok(()),
            Reply::Error(error, _) => Err(error.to_string()),
            Reply::Replayed(..) => Ok(()),
        }
    }

    fn request(&self, method: Method, headers: HeaderMap, sha256: [u8; 32]) -> StoreRequest {
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
        Arc::new(Guarded { inner: register, standing: self.standing.subscribe() })
    }

    /// Keeps both names where they belong, for as long as it is polled; `pause` is how often the
    /// register is asked.
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

    /// A register that has forgotten its name is given it again.
    async fn look_at_register(&mut self) {
        match self.register_named().await {
            Ok(name) => {
                self.misnamed = (name != self.own).then_some(name);
                self.tell();
            }
            // It grants nothing either.
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

    /// Looks, and says when to look again. A marker that is not there is written where the register
    /// is known to grant leases.
    async fn look_at_marker(&mut self, grants: bool) -> Duration {
        let foreign = |why| (Standing::Foreign(why), WHILE_FOREIGN);
        let again;
        (self.marked, again) = match self.marker.read().await {
            Ok(Some(named)) if named == self.own => (Standing::Agreed, LOOK_EVERY),
            Ok(Some(named)) => foreign(format!(
                "the marker {} names register {named}, and this one is {}",
                self.marker.name, self.own
            )),
            Err(error @ MarkerError::NoMarker(_)) => foreign(error.to_string()),
            // Neither the name of the one nor of the other is this proxy's to write.
            Ok(None) if self.misnamed.is_some() => (self.without_marker(), WHILE_FOREIGN),
            Ok(None) if !grants => (self.without_marker(), AGAIN_AFTER),
            Ok(None) => match self.marker.write(&self.own).await {
                Ok(()) => {
                    tracing::info!(marker = %self.marker.name, id = %self.own, "the register's marker was written");
                    // Believed when it is read; what was agreed before stays so until then.
                    (self.without_marker(), Duration::ZERO)
                }
                Err(why) => {
                    tracing::warn!(marker = %self.marker.name, why, "the register's marker could not be written");
                    (self.without_marker(), WHILE_FOREIGN)
                }
            },
            Err(error) => {
                tracing::warn!(%error, "the register's marker could not be looked at");
                (self.marked.clone(), WHILE_FOREIGN)
            }
        };
        if !self.tell()
            && let Standing::Foreign(why) = &*self.standing.borrow()
        {
            tracing::error!(why, "ALARM: this store has another register; nothing is written");
        }
        again
    }

    /// How things stand where no marker is: nobody else's name is there any more.
    fn without_marker(&self) -> Standing {
        match self.marked {
            Standing::Agreed => Standing::Agreed,
            Standing::Unconfirmed | Standing::Foreign(_) => Standing::Unconfirmed,
        }
    }

    /// Tells the guard, and the log; whether there was news.
    fn tell(&self) -> bool {
        let standing = match &self.misnamed {
            Some(name) => Standing::Foreign(format!(
                "the register at register.url is {name} now, and was {}",
                self.own
            )),
            None => self.marked.clone(),
        };
        let news = *self.standing.borrow() != standing;
        if news {
            match &standing {
                Standing::Agreed => {
                    tracing::info!(id = %self.own, "the register and its marker agree");
                }
                Standing::Unconfirmed => {}
                Standing::Foreign(why) => {
                    tracing::error!(
                        why,
                        "ALARM: this store has another register; nothing is written"
                    );
                }
            }
            self.standing.send_replace(standing);
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
