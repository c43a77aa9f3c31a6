//! The tracer of a process: it begins the spans of requests, and has what ended sent to the
//! collector. A reload gives it other settings.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::collector::Target;
use super::export::Exporter;
use super::queue::Queue;
use super::recorder::Span;
use super::settings::Settings;
use crate::http1::fields::Fields;
use crate::metrics::Metrics;
use crate::random;
use crate::tls::FileFault;

/// Why a build has no traces.
pub const ABSENCE: Option<&str> = None;

/// Begins the spans of requests. Clones are the same tracer.
#[derive(Clone)]
pub struct Tracer(Arc<Shared>);

struct Shared {
    /// `None` while nothing is traced.
    target: Arc<ArcSwapOption<Target>>,
    queue: Arc<Queue>,
    closing: CancellationToken,
    exporting: Mutex<Option<JoinHandle<()>>>,
}

impl Tracer {
    /// A tracer that traces nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            target: Arc::default(),
            queue: Arc::new(Queue::new(metrics)),
            closing: CancellationToken::new(),
            exporting: Mutex::default(),
        }))
    }

    /// Reads the files of these settings; what it returns puts all of them into effect. `None`
    /// turns traces off.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn prepare(
        &self,
        settings: Option<Settings>,
    ) -> Result<Box<dyn FnOnce() + Send>, FileFault> {
        let target = settings.map(Target::open).transpose()?.map(Arc::new);
        let present = Arc::clone(&self.0.target);
        Ok(Box::new(move || present.store(target)))
    }

    /// From now on what ends is sent, by a task of this runtime.
    pub fn export(&self, runtime: &Runtime) {
        let Shared { target, queue, closing, exporting } = &*self.0;
        let exporter = Exporter {
            target: Arc::clone(target),
            queue: Arc::clone(queue),
            closing: closing.clone(),
            instance: random::id(),
        };
        let task = runtime.spawn(exporter.run());
        *exporting.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Sends what waits, at the end of the process: for as long as one export may take.
    pub async fn flush(&self) {
        let Shared { target, exporting, closing, .. } = &*self.0;
        closing.cancel();
        let task = exporting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(task), Some(target)) = (task, target.load_full()) else { return };
        if timeout(target.settings.timeout, task).await.is_err() {
            tracing::warn!("the collector of traces was too slow: the last ones are lost");
        }
    }

    /// The span of a request.
    pub fn begin(&self, client: &Fields) -> Span {
        match &*self.0.target.load() {
            Some(target) => {
                let share = target.settings.sample_ratio;
                Span::of_request(client, share, Arc::clone(&self.0.queue))
            }
            None => Span::none(),
        }
    }
}

impl Default for Tracer {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("on", &self.0.target.load().is_some()).finish()
    }
}
