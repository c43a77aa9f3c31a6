//! The short probe at the start of a process: whether the store does what the configuration trusts it with.
//! It asks nothing else, each node for itself, and all at once.
//!
//! - [`questions`]: what is asked of a node.
//! - [`dates`]: the clocks of the nodes beside each other. Pure.
//! - [`shown`]: whether a write is shown at once.
//! - [`outcome`]: what was found, as sentences. Pure.

mod dates;
pub mod outcome;
mod questions;
mod shown;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::node::Node;
use super::scratch::Scratch;
use super::site::Site;
use super::talk::Where;
use super::trouble::Trouble;
use crate::config::Config;
use outcome::{Found, FoundOf, Outcome};
use questions::Questions;

/// For how much longer answers to requests under way are waited for when the time is over, or when it is
/// told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How often a request is sent whose answer is unclear.
const TRIES: usize = 3;

/// How often one question waits for a store that lags, one after the other, at most: for the first object,
/// and in each case of a condition.
const LAGS: u32 = 4;

/// A probe that is to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// All settings: what is asked follows from them.
    pub config: &'a Config,
    /// The objects that it writes.
    pub scratch: &'a Scratch,
    /// Told to stop, no further request is sent.
    pub stop: &'a CancellationToken,
}

impl Start<'_> {
    /// Asks all nodes, and removes what was written. Takes no longer than `probe_timeout` and four times
    /// `register.lag` for the questions, a moment for the last answers, and as long again for the removal.
    pub async fn ask(self) -> Outcome {
        let backend = &self.config.backend;
        let patience = backend.probe_timeout + self.config.register.terms.lag * LAGS;
        let asking = self.asked();
        tokio::pin!(asking);
        let in_time = tokio::select! {
            biased;
            found = &mut asking => Some(found),
            () = tokio::time::sleep(patience) => None,
            () = self.stop.cancelled() => None,
        };
        let (found, nodes) = if let Some(whole) = in_time {
            whole
        } else {
            let is_told = self.stop.is_cancelled();
            self.stop.cancel();
            let late = Outcome::late(patience, is_told);
            // What is left of it needs no patience, but its writes may not land after the removal.
            match timeout(LAST_ANSWERS, asking).await {
                Ok((found, nodes)) => (late.with_contradictions_of(found), nodes),
                Err(_) => (late, timeout(LAST_ANSWERS, self.nodes()).await.unwrap_or_default().0),
            }
        };
        found.with_left(self.removed(&nodes, patience).await)
    }

    /// What was found of all nodes, and those that could be asked.
    async fn asked(self) -> (Outcome, Vec<Node>) {
        let (nodes, mut unasked) = self.nodes().await;
        let mut sites = Vec::new();
        for endpoint in self.config.backend.nodes() {
            let name = endpoint.to_string();
            if nodes.iter().any(|node| node.name() == name) {
                match Site::node(self.config, endpoint).await {
                    Ok(site) => sites.push(site),
                    Err(trouble) => unasked.push((name, trouble)),
                }
            }
        }
        let questions = sites.iter().zip(1..).map(|(site, number)| {
            let at = Where {
                site,
                scratch: self.scratch,
                stop: self.stop,
                lag: self.config.register.terms.lag,
                tries: TRIES,
            };
            Questions::new(at, self.config, number).asked()
        });
        let each = join_all(questions).await;
        let (mut all, mut asked, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for (site, found) in sites.into_iter().zip(each) {
            let name = site.name().to_owned();
            match found {
                Ok(found) => {
                    if found.is_written {
                        written.push(site);
                    }
                    asked.push(name.clone());
                    all.push((vec![name], found));
                }
                Err(trouble) => unasked.push((name, trouble)),
            }
        }
        (Outcome::of(self.compared(&written, all).await, asked, unasked), nodes)
    }

    /// With what shows only where nodes are compared, or reads with the writes before them. Over a store that
    /// lags what reads show is no ground for anything else.
    async fn compared(self, sites: &[Site], mut all: Vec<FoundOf>) -> Vec<FoundOf> {
        if self.config.register.terms.lag.is_zero() && !sites.is_empty() {
            let Start { scratch, stop, .. } = self;
            match (shown::Reads { sites, scratch, stop, tries: TRIES }).asked().await {
                Ok(Some((node, lags))) => {
                    let unknown = "what else the store does is not known, as its reads lag";
                    all = vec![
                        (vec![node], Found::contradicting(lags)),
                        (Vec::new(), Found::unclear(unknown)),
                    ];
                }
                Ok(None) | Err(Trouble::Stopped) => {}
                Err(trouble) => all.push((Vec::new(), Found::unclear(trouble.to_string()))),
            }
        }
        let skew = self.config.backend.clock_skew;
        if sites.len() > 1 && !skew.is_zero() {
            let differ = dates::asked(sites, skew, self.scratch.bucket()).await;
            all.extend(differ.map(|(nodes, differ)| (nodes, Found::contradicting(differ))));
        }
        all
    }

    /// The nodes that accept the credential, and why the others do not.
    async fn nodes(self) -> (Vec<Node>, Vec<(String, Trouble)>) {
        let opening = self.config.backend.nodes().into_iter().map(|endpoint| async move {
            let name = endpoint.to_string();
            Node::of(self.config, endpoint).await.map_err(|trouble| (name, trouble))
        });
        let (mut nodes, mut unasked) = (Vec::new(), Vec::new());
        for opened in join_all(opening).await {
            match opened {
                Ok(node) => nodes.push(node),
                Err(why) => unasked.push(why),
            }
        }
        (nodes, unasked)
    }

    /// Removes what was written; a sentence for what is left.
    async fn removed(self, nodes: &[Node], patience: Duration) -> Vec<String> {
        let removed = timeout(patience, self.scratch.remove_all(nodes)).await;
        let late =
            |_| vec![format!("what is under {}: its removal took too long", self.scratch.shown())];
        removed.map_or_else(late, |removed| removed.left)
    }
}
