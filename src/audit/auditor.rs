//! The questions of an audit: to the register about a key, and to the store about the same key.

use futures_util::future::join;
use http::StatusCode;

use crate::backend::{HeadRequest, HttpStore, Store as _};
use crate::http1::fields::Fields;
use crate::register::redis::RedisRegister;
use crate::register::{Observation, Register as _, RegisterError, Terms};
use crate::s3::encoding::encode_path;
use crate::s3::listing::{ListRequest, Page};
use crate::s3::{BucketName, ObjectName, Seen};

use super::finding::{Finding, Shown};

/// Asks the register and the store.
#[derive(Debug)]
pub struct Auditor {
    pub(super) register: RedisRegister,
    pub(super) store: HttpStore,
    pub(super) terms: Terms,
}

/// How the store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Views {
    /// By a HEAD.
    Head,
    /// By a HEAD and by a listing.
    HeadAndListing,
}

/// What both say of a key at one moment.
#[derive(Debug, Clone)]
pub struct Look {
    /// What the register believes.
    pub observed: Observation,
    /// What a HEAD shows.
    pub seen: Seen,
    /// What both mean together.
    pub finding: Finding,
}

/// Why an audit fails; a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The register does not answer.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The store has no such bucket.
    #[error("the store has no bucket {0:?}")]
    NoBucket(String),
    /// The store does not say what it has.
    #[error("{0}: {1}")]
    Store(String, String),
}

impl Auditor {
    /// An audit of this register, which has these terms, and of this store.
    pub fn new(register: RedisRegister, store: HttpStore, terms: Terms) -> Self {
        Self { register, store, terms }
    }

    /// Fails where the store has no such bucket.
    pub async fn needs_bucket(&self, bucket: &BucketName) -> Result<(), Trouble> {
        needs_bucket(&self.store, bucket).await
    }

    /// What the register believes of a key. The store is not asked.
    pub async fn observe(&self, name: &ObjectName) -> Result<Observation, Trouble> {
        Ok(self.register.observe(name).await?)
    }

    /// What both say of a key. A difference counts only where another look shows it too: a write may
    /// have come between the questions.
    pub async fn compare(&self, name: &ObjectName, views: Views) -> Result<Look, Trouble> {
        let mut look = self.look(name, views).await?;
        for _ in 1..LOOKS_MAX {
            if !look.finding.is_failure() {
                break;
            }
            let before = look;
            look = self.look(name, views).await?;
            if look.is_as(&before) {
                break;
            }
        }
        Ok(look)
    }

    /// What the register believes, and after that what the store shows. So a state that was written
    /// before the register was asked is not missed in what the store shows, unless the store lags.
    async fn look(&self, name: &ObjectName, views: Views) -> Result<Look, Trouble> {
        let observed = self.observe(name).await?;
        let headers = Fields::new();
        let asked = HeadRequest { name, version_id: None, headers: &headers };
        let listing = async {
            match views {
                Views::Head => Ok(None),
                Views::HeadAndListing => self.is_listed(name).await.map(Some),
            }
        };
        let (seen, listed) = join(self.store.head(asked), listing).await;
        let trouble = |why: String| Trouble::Store(name.to_string(), why);
        let seen = seen.map_err(|error| trouble(error.to_string()))?;
        let shown = Shown { current: seen.current.clone(), listed: listed.map_err(trouble)? };
        let finding = Finding::of(&observed, &shown);
        Ok(Look { observed, seen, finding })
    }

    /// Whether a listing of exactly this key has it. The error is a sentence.
    async fn is_listed(&self, name: &ObjectName) -> Result<bool, String> {
        let path = format!("/{}", encode_path(name.bucket.as_str()));
        // The key itself comes before all that begin with it.
        let mut query = ListRequest::below(name.key.as_str(), 1).query();
        query.sort();
        let query: Vec<_> = query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = self.store.read(&path, &query).await?;
        if answer.status != StatusCode::OK {
            return Err(format!("it answered a listing with {}", answer.status));
        }
        let page = Page::parse(&answer.body).ok_or("its answer to a listing is none")?;
        Ok(page.rows.iter().any(|row| row.name == name.key.as_str()))
    }
}

impl Look {
    /// Does another look show the same, with the same record?
    fn is_as(&self, other: &Self) -> bool {
        let record = |look: &Self| {
            let Observation { state, generation, pending, .. } = look.observed.clone();
            (state, generation, pending)
        };
        self.finding == other.finding
            && self.seen.current == other.seen.current
            && record(self) == record(other)
    }
}

/// How often a key is looked at that changes meanwhile.
const LOOKS_MAX: usize = 4;

/// Fails where the store has no such bucket.
pub async fn needs_bucket(store: &HttpStore, bucket: &BucketName) -> Result<(), Trouble> {
    let of_bucket = |error: &dyn ToString| Trouble::Store(bucket.to_string(), error.to_string());
    match store.has_bucket(bucket.as_str()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Trouble::NoBucket(bucket.to_string())),
        Err(error) => Err(of_bucket(&error)),
    }
}
