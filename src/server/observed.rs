//! Where the parts of a server count and note what they see, and the admin listener that shows it.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::traced::{Traced, tracer};
use crate::admin::{
    Admin, AdminSocket, Commands, Configured, FoundAtStart, NotBound, StoreCheck, Watched,
};
use crate::config::{Config, Fault, RegisterKind};
use crate::lifecycle::connections::ConnectionTracker;
use crate::lifecycle::phase::Life;
use crate::metrics::Metrics;
use crate::metrics::exposition::Build;
use crate::present::Present;
use crate::proxy::{LiveProxy, ProxyLevels};
use crate::register::redis::Topology;
use crate::register::standing::Standing;
use crate::register::{RegisterError, Status};
use crate::reload::{Prepared, Reconfigure};
use crate::tls::{Certificates, FileFault};
use crate::traces::Tracer;
use crate::{built, clock};

/// What the parts of a server have in common for their operator.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) metrics: Arc<Metrics>,
    pub(super) standing: Arc<Standing>,
    pub(super) life: Life,
    pub(super) tracer: Tracer,
    pub(super) present: Arc<Present>,
    /// What the probe at the start found.
    pub(super) at_start: Arc<OnceLock<FoundAtStart>>,
}

impl Observed {
    /// For a process whose configuration has just been loaded. Fails where the file of authorities for
    /// the collector of traces cannot be used.
    pub(super) fn begin(background: &Runtime, config: &Config) -> Result<Self, FileFault> {
        let metrics = Arc::<Metrics>::default();
        metrics.config_loaded_s.set(clock::unix_seconds());
        let tracer = tracer(background, config, &metrics)?;
        let present = match config.admin.listen {
            Some(_) => Present::new(config.worker_threads(), Instant::now().into_std()),
            None => Present::default(),
        };
        Ok(Self { metrics, tracer, present: Arc::new(present), ..Self::default() })
    }

    /// What sees each request.
    pub(super) fn watchers(&self) -> (Arc<Metrics>, Tracer, Arc<Present>) {
        (Arc::clone(&self.metrics), self.tracer.clone(), Arc::clone(&self.present))
    }

    /// What a reload changes here: the tracer's settings, and when the configuration was loaded.
    pub(super) fn reconfigured(&self) -> [Box<dyn Reconfigure>; 2] {
        [Box::new(Traced(self.tracer.clone())), Box::new(Loaded(Arc::clone(&self.metrics)))]
    }

    /// Gets what a survey of the register found.
    pub(super) fn surveyed(&self) -> impl Fn(Result<Status, RegisterError>) + Send + use<> {
        let standing = Arc::clone(&self.standing);
        move |found| standing.surveyed(found, Instant::now())
    }

    /// How much of each limit is in use.
    pub(super) fn levels(&self, live: LiveProxy, connections: ConnectionTracker) -> ProxyLevels {
        ProxyLevels { live, connections, standing: Arc::clone(&self.standing) }
    }

    /// What the admin listener shows and does.
    pub(super) fn admin(
        &self,
        config: &Config,
        levels: ProxyLevels,
        (store, commands, certificates): (StoreCheck, Commands, Arc<Certificates>),
    ) -> Admin {
        Admin {
            life: self.life.clone(),
            metrics: Arc::clone(&self.metrics),
            levels: Arc::new(levels),
            certificates,
            standing: Arc::clone(&self.standing),
            store,
            build: Build { version: built::VERSION, commit: built::COMMIT, rustc: built::COMPILER },
            commands,
            token: config.admin.token.clone(),
            present: Arc::clone(&self.present),
            shown: shown(config),
            at_start: Arc::clone(&self.at_start),
            started_s: clock::unix_seconds(),
            watch: Watched::default(),
        }
    }
}

fn shown(config: &Config) -> Configured {
    let register = match &config.register.kind {
        RegisterKind::Memory { .. } => "memory",
        RegisterKind::Redis(redis) => match redis.topology {
            Topology::Single { .. } => "redis",
            Topology::Sentinels(_) => "redis+sentinel",
            Topology::Cluster(_) => "redis+cluster",
        },
    };
    let store = match config.embedded {
        Some(_) => "in this process".to_owned(),
        None => config.backend.show(),
    };
    Configured { register, store, key_names: config.admin.key_names }
}

/// Notes when the configuration in effect was loaded.
struct Loaded(Arc<Metrics>);

#[async_trait]
impl Reconfigure for Loaded {
    async fn prepare(&self, _: &Config) -> Result<Prepared, Fault> {
        let metrics = Arc::clone(&self.0);
        Ok(Box::new(move || metrics.config_loaded_s.set(clock::unix_seconds())))
    }
}

/// The socket of the admin listener, where one is configured.
pub(super) fn admin_socket(
    background: &Runtime,
    config: &Config,
    takes_over: bool,
) -> Result<Option<AdminSocket>, NotBound> {
    let _runtime = background.enter();
    config.admin.listen.map(|listen| AdminSocket::open(listen, takes_over)).transpose()
}
