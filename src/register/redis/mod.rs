//! The register in Redis, shared by all proxies: every step is one Lua function, atomic there.
//!
//! The functions do what [`record`](super::record) does and are tested against it.
//!
//! - [`settings`]: how Redis is reached; [`topology`]: which server a step goes to;
//!   [`node`]: one server, its connections, its clock, its fitness.
//! - [`scripts`]: the steps in Lua; [`format`]: what they leave in Redis; [`reply`]: what they answer.
//! - [`calls`]: a step run on its server; [`steps`]: all steps of [`Register`](super::Register);
//!   [`survey`]: what is done on every master at once; [`known`]: a walk over all keys; [`identity`]: the register's id.
//! - [`error`]: what an error of Redis means.

mod calls;
mod error;
mod format;
mod identity;
mod known;
mod node;
mod reply;
mod scripts;
mod settings;
mod steps;
mod survey;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use self::format::terms_line;
pub use self::known::Walk;
use self::node::fitness::{Demands, Setting};
use self::node::partitions::Partitions;
use self::node::transport::RegisterTls;
use self::scripts::{CLOCK, Library};
pub use self::settings::{Address, RedisSettings, RedisTls, SentinelTopology, Topology, uri_host};
use self::topology::Router;
use super::{RegisterError, Status, Terms};
use crate::metrics::Metrics;
use crate::metrics::tls::CertificateUse;
use crate::tls::{CertificateInfo, ClientTls, FileFault, Reload};

/// The register in Redis.
#[derive(Debug)]
pub struct RedisRegister {
    settings: RedisSettings,
    router: Router,
    partitions: Arc<Partitions>,
    /// How long after a write the store may still show what stood there before.
    lag: Duration,
    tls: Option<Arc<RegisterTls>>,
}

/// For how long an answer of the Sentinels, or of a cluster, about the masters may be used.
fn snapshot_ttl(terms: &Terms) -> Duration {
    terms.lease / 2
}

impl RedisRegister {
    /// A register that connects when it is first used, in the runtime that uses it. `Unsuitable`
    /// when the namespace is not a valid one, or a file of [`RedisSettings::tls`] cannot be used.
    pub fn connect(settings: &RedisSettings, terms: &Terms) -> Result<Self, RegisterError> {
        Self::counted(settings, terms, Arc::default())
    }

    /// The same, counted in these metrics.
    pub fn counted(
        settings: &RedisSettings,
        terms: &Terms,
        metrics: Arc<Metrics>,
    ) -> Result<Self, RegisterError> {
        let is_cluster = matches!(settings.topology, Topology::Cluster(_));
        let library = Library::new(terms, is_cluster, CLOCK, "");
        Self::with_library(settings, terms, library, metrics)
    }

    fn with_library(
        settings: &RedisSettings,
        terms: &Terms,
        library: Library,
        metrics: Arc<Metrics>,
    ) -> Result<Self, RegisterError> {
        let namespace = settings.namespace.clone();
        if namespace.is_empty() || namespace.contains(['{', '}']) {
            return Err(RegisterError::Unsuitable(format!(
                "register.namespace {namespace:?} is empty or has a brace in it, which Redis \
                 Cluster reads as part of its own grammar. Use letters and digits"
            )));
        }
        let snapshot_ttl = snapshot_ttl(terms);
        let tls = settings.tls.as_ref().map(|tls| open_tls(tls, settings.timeout)).transpose()?;
        let router = Router::new(settings, tls.clone(), snapshot_ttl);
        if router.is_guided() && terms.failover_lag < snapshot_ttl {
            return Err(RegisterError::Unsuitable(
                "register.failover_lag is shorter than half of register.lease, for which a replaced \
                 master may still be asked. Lengthen it"
                    .to_owned(),
            ));
        }
        let demands = Demands {
            setting: match settings.topology {
                Topology::Single { never_promoted: true, .. } => Setting::AloneForGood,
                Topology::Single { never_promoted: false, .. } => Setting::Alone,
                Topology::Sentinels(_) => Setting::Watched,
                Topology::Cluster(_) => Setting::Cluster { snapshot_ttl },
            },
            failover_lag: terms.failover_lag,
            lag_is_stated: settings.failover_lag_is_stated,
        };
        let (lag, terms) = (terms.lag, terms_line(terms));
        let partitions = Arc::new(Partitions { namespace, library, terms, demands, metrics });
        Ok(Self { settings: settings.clone(), router, partitions, lag, tls })
    }

    /// The same register over connections of its own, for another runtime. The two share what they
    /// learn about the masters and about the servers' clocks.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            router: self.router.apart(&self.settings),
            partitions: Arc::clone(&self.partitions),
            lag: self.lag,
            tls: self.tls.clone(),
        }
    }

    /// Surveys the register again and again, as long as this future is polled. So an epoch that is
    /// due begins also while no writes come, a jump of a clock is noticed before a lease is granted
    /// by it, an unfit server is not used, and the snapshot of the masters stays fresh. `told` gets
    /// what each survey found.
    pub async fn keep_watch(&self, pause: Duration, told: impl Fn(Result<Status, RegisterError>)) {
        let surveying = async {
            loop {
                tokio::time::sleep(pause).await;
                let found = self.survey_all().await;
                if let Err(error) = &found {
                    tracing::debug!(%error, "the register could not be looked at");
                }
                told(found);
            }
        };
        tokio::join!(surveying, self.router.keep_asking());
    }

    fn library(&self) -> &Library {
        &self.partitions.library
    }
}

/// Connections that are open stay as they are.
impl Reload for RedisRegister {
    fn used_for(&self) -> CertificateUse {
        CertificateUse::Redis
    }

    fn reload(&self) -> Result<bool, FileFault> {
        self.tls.as_ref().map_or(Ok(false), |tls| tls.client.reload())
    }

    fn certificates(&self) -> Vec<CertificateInfo> {
        self.tls.as_ref().map(|tls| tls.client.certificates()).unwrap_or_default()
    }
}

fn open_tls(tls: &RedisTls, timeout: Duration) -> Result<Arc<RegisterTls>, RegisterError> {
    let client = ClientTls::open(tls.files.clone())
        .map_err(|fault| RegisterError::Unsuitable(format!("register.{fault}")))?;
    let server_name = tls.server_name.clone();
    Ok(Arc::new(RegisterTls { client, server_name, patience: timeout / 2 }))
}

#[cfg(test)]
mod tests;
