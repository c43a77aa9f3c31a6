//! The task that sends ended spans to the collector. It alone waits for the collector.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::answer::Taken;
use super::collector::{Collector, Target, Unsent};
use super::otlp::{self, Resource};
use super::queue::{Queue, spans};
use super::span::Spans;
use crate::metrics::labels::SpanEnd;
use crate::seldom::Seldom;

/// How long a span waits for others to be sent with.
const GATHERING: Duration = Duration::from_secs(1);

/// The pause after a failure. Each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LAST: Duration = Duration::from_secs(30);

static IN_PART: Seldom = Seldom::new();

pub(super) struct Exporter {
    pub(super) target: Arc<ArcSwapOption<Target>>,
    pub(super) queue: Arc<Queue>,
    pub(super) closing: CancellationToken,
    /// Tells the processes of one service apart.
    pub(super) instance: String,
}

impl Exporter {
    /// Sends what ends, until the process closes and nothing waits any more.
    pub(super) async fn run(self) {
        let mut collector = Collector::default();
        let mut is_reached = true;
        loop {
            let closes = tokio::select! {
                biased;
                () = self.closing.cancelled() => true,
                () = self.queue.full.notified() => false,
                () = sleep(GATHERING) => false,
            };
            loop {
                let batch = self.queue.take();
                if batch.is_empty() {
                    break;
                }
                self.send(&batch, &mut collector, &mut is_reached).await;
            }
            if closes {
                return;
            }
        }
    }

    /// Sends a batch: again and again while the collector cannot be reached, as newer spans wait in
    /// the queue, or find no room there. Once only when the process closes.
    async fn send(&self, batch: &[Spans], collector: &mut Collector, is_reached: &mut bool) {
        let (all, mut pause) = (spans(batch), PAUSE_FIRST);
        loop {
            let Some(target) = self.target.load_full() else {
                // Traces were turned off.
                return self.queue.count(SpanEnd::Dropped, all);
            };
            let service_name = &target.settings.service_name;
            let resource = Resource { service_name, instance: &self.instance };
            let sent = collector.send(&target, otlp::request(&resource, batch)).await;
            let why = match sent {
                Ok(taken) => {
                    if !std::mem::replace(is_reached, true) {
                        tracing::info!("the collector of traces takes spans again");
                    }
                    return self.count_taken(&taken, all, &target);
                }
                Err(Unsent::Refused(why)) => {
                    Self::tell(is_reached, &target, &why);
                    return self.queue.count(SpanEnd::Refused, all);
                }
                Err(Unsent::Again(why)) => why,
            };
            Self::tell(is_reached, &target, &why);
            if self.closing.is_cancelled() {
                return self.queue.count(SpanEnd::Dropped, all);
            }
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_LAST);
        }
    }

    /// Counts a batch that the collector took, but for the spans in it that it did not want.
    fn count_taken(&self, taken: &Taken, all: usize, target: &Target) {
        let refused = usize::try_from(taken.refused).unwrap_or(usize::MAX).min(all);
        self.queue.count(SpanEnd::Exported, all - refused);
        self.queue.count(SpanEnd::Refused, refused);
        if *taken != Taken::default()
            && let Some(left_out) = IN_PART.due()
        {
            let (collector, why) = (&target.settings.authority, &taken.why);
            tracing::warn!(%collector, refused, why, left_out, "the collector of traces complains of spans that it took");
        }
    }

    /// Says once that the collector takes nothing.
    fn tell(is_reached: &mut bool, target: &Target, why: &str) {
        if std::mem::replace(is_reached, false) {
            let collector = &target.settings.authority;
            tracing::warn!(%collector, why, "the collector of traces takes no spans; requests go on");
        }
    }
}
