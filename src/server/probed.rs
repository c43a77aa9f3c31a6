//! The probe at the start: what is made of what the store does otherwise than configured.

use std::ops::ControlFlow;

use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::observed::Observed;
use crate::admin::{Found, FoundAtStart};
use crate::clock;
use crate::config::{Config, ProbeAtStart};
use crate::lifecycle::signals::Awaited;
use crate::probe::advice::Contradiction;
use crate::probe::start::Start;
use crate::probe::start::outcome::{Of, Outcome};
use crate::probe::{Scratch, Trouble};
use crate::s3::BucketName;

/// Why a process does not serve once it has asked its store.
#[derive(Debug, thiserror::Error)]
pub enum NotServing {
    /// The store does otherwise than configured, or could not be asked; a sentence.
    #[error("{0} (backend.probe_at_start is \"refuse\")")]
    Contradicted(String),
    /// There is no place for what the probe writes.
    #[error(transparent)]
    Scratch(#[from] Trouble),
}

/// Asks the store, where that is configured, and logs what it does otherwise. Blocks until its scratch
/// objects are removed. Where the process is not to serve, `closing` is awaited, and there is the end of
/// the process: an error, or that it was told to stop.
pub(super) fn not_to_serve(
    background: &Runtime,
    config: &Config,
    observed: &Observed,
    (signals, closing): (&mut Awaited, impl Future<Output = ()>),
) -> Option<Result<(), NotServing>> {
    let ended = match probed(background, config, signals, observed) {
        Ok(ControlFlow::Continue(())) => return None,
        Ok(ControlFlow::Break(())) => Ok(()),
        Err(error) => Err(error),
    };
    background.block_on(closing);
    Some(ended)
}

/// `Break` where it was told to stop.
fn probed(
    background: &Runtime,
    config: &Config,
    signals: &mut Awaited,
    observed: &Observed,
) -> Result<ControlFlow<()>, NotServing> {
    let backend = &config.backend;
    let bucket = backend.probe_bucket.as_deref().and_then(|name| BucketName::parse(name).ok());
    let (true, Some(bucket)) = (backend.probe_at_start != ProbeAtStart::Off, bucket) else {
        return Ok(ControlFlow::Continue(()));
    };
    let scratch = Scratch::new(bucket, &backend.probe_prefix, backend.segments())?;
    let (began, stop) = (Instant::now(), CancellationToken::new());
    let asking = Start { config, scratch: &scratch, stop: &stop }.ask();
    let answered = background.block_on(async {
        tokio::pin!(asking);
        tokio::select! {
            biased;
            () = signals.told_to_stop() => {}
            outcome = &mut asking => return Some((outcome, false)),
        }
        tracing::info!("told to stop; deleting the scratch objects of the probe");
        stop.cancel();
        tokio::select! {
            biased;
            () = signals.told_to_stop() => None,
            outcome = &mut asking => Some((outcome, true)),
        }
    });
    let Some((outcome, is_told)) = answered else {
        tracing::warn!(
            under = scratch.shown(),
            "told to stop once more; scratch objects may be left"
        );
        return Ok(ControlFlow::Break(()));
    };
    for what in &outcome.left {
        tracing::warn!(what, "a scratch object of the probe was not deleted");
    }
    if is_told {
        return Ok(ControlFlow::Break(()));
    }
    let contradictions = i64::try_from(outcome.contradictions.len()).unwrap_or(i64::MAX);
    observed.metrics.backend_contradictions.set(contradictions);
    if let (ProbeAtStart::Refuse, Some(why)) = (backend.probe_at_start, outcome.refusal()) {
        return Err(NotServing::Contradicted(why));
    }
    tell(&outcome, began);
    // There is one probe in the life of a process, so nothing is there yet.
    observed.at_start.get_or_init(|| shown(&outcome));
    Ok(ControlFlow::Continue(()))
}

/// One line for each thing that an operator may want to change.
fn tell(outcome: &Outcome, began: Instant) {
    for of in &outcome.contradictions {
        let (Contradiction { sentence, remedy }, nodes) = (&of.what, of.shown_nodes());
        tracing::warn!(remedy, nodes, "{sentence}");
    }
    for of in &outcome.unasked {
        let (why, nodes) = (&of.what, of.shown_nodes());
        tracing::warn!(why, nodes, "the store was not asked whether it does what is configured");
    }
    for of in &outcome.unclear {
        let (why, nodes) = (&of.what, of.shown_nodes());
        tracing::warn!(
            why,
            nodes,
            "the store was asked whether it does what is configured, without a clear answer"
        );
    }
    if outcome.contradictions.is_empty() && !outcome.asked.is_empty() {
        let nodes = outcome.asked.join(", ");
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(
            nodes,
            seconds,
            "the store was asked, and does nothing otherwise than configured"
        );
    }
}

/// The same for the status.
fn shown(outcome: &Outcome) -> FoundAtStart {
    let unknown = |all: &[Of<String>]| {
        let found = all.iter().map(|of| Found {
            sentence: of.what.clone(),
            remedy: None,
            nodes: of.nodes.clone(),
        });
        found.collect()
    };
    let contradictions = outcome.contradictions.iter().map(|of| Found {
        sentence: of.what.sentence.clone(),
        remedy: Some(of.what.remedy.clone()),
        nodes: of.nodes.clone(),
    });
    FoundAtStart {
        ended_s: clock::unix_seconds(),
        asked: outcome.asked.clone(),
        contradictions: contradictions.collect(),
        unasked: unknown(&outcome.unasked),
        unclear: unknown(&outcome.unclear),
        left: outcome.left.clone(),
    }
}
