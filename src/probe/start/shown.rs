//! Whether a write is shown at once: a store that lags needs `register.lag`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use http::{Method, StatusCode};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::probe::advice::Contradiction;
use crate::probe::ask::Ask;
use crate::probe::scratch::Scratch;
use crate::probe::site::Site;
use crate::probe::talk::{Talk, Where};
use crate::probe::trouble::Trouble;
use crate::s3::ObjectName;

/// How many keys are overwritten at each node, for how long each is read, and the pause between two
/// reads.
const KEYS: usize = 3;
const WATCH: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(20);

const FIRST: &[u8] = b"ifmatch probe: first";
const SECOND: &[u8] = b"ifmatch probe: second";

/// Reads at all of these nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads<'a> {
    pub(super) sites: &'a [Site],
    pub(super) scratch: &'a Scratch,
    pub(super) stop: &'a CancellationToken,
    /// How often a write is sent at most.
    pub(super) tries: usize,
}

impl<'a> Reads<'a> {
    /// The node that showed for the longest time what had been replaced at another one, or at itself, if one
    /// did.
    ///
    /// # Errors
    /// A write had no clear answer, or it was told to stop.
    pub(super) async fn asked(self) -> Result<Option<(String, Contradiction)>, Trouble> {
        let keys = self.sites.iter().zip(1..).flat_map(|(site, number)| {
            (0..KEYS).map(move |key| self.watched(site, format!("{number}/shown-{key}")))
        });
        let longest = try_join_all(keys).await?.into_iter().flatten().max();
        Ok(longest.map(|(longest, node)| {
            let lags = Contradiction {
                sentence: format!(
                    "register.lag is 0s, and the store showed what had been replaced {} ms before",
                    longest.as_millis().max(1)
                ),
                remedy:
                    "measure how long it lags by ifmatch probe --consistency, and write lag in \
                         [register]"
                        .to_owned(),
            };
            (node.to_owned(), lags)
        }))
    }

    /// How long after an overwrite at this node, at most, a read was sent that showed what had stood there, and
    /// to which node.
    async fn watched(
        self,
        site: &Site,
        key: String,
    ) -> Result<Option<(Duration, &'a str)>, Trouble> {
        let at = Where {
            site,
            scratch: self.scratch,
            stop: self.stop,
            lag: Duration::ZERO,
            tries: self.tries,
        };
        let name = self.scratch.any_name(&key)?;
        let mut talk = Talk::new(at);
        talk.put(&name, FIRST, "OLD").await?;
        talk.put(&name, SECOND, "NOW").await?;
        let written = Instant::now();
        let reads = self.sites.iter().map(|site| {
            let older = self.older(site, &name, written);
            async { Some((older.await?, site.name())) }
        });
        Ok(join_all(reads).await.into_iter().flatten().max())
    }

    async fn older(self, site: &Site, name: &ObjectName, written: Instant) -> Option<Duration> {
        let (get, mut longest) = (Ask::new(Method::GET, name), None);
        while written.elapsed() < WATCH && !self.stop.is_cancelled() {
            let sent = written.elapsed();
            // What is no clear answer shows nothing.
            if let Ok(answer) = site.ask_at_once(&get).await {
                let is_older = answer.status == StatusCode::OK
                    && answer.body == Bytes::from_static(FIRST)
                    || answer.status == StatusCode::NOT_FOUND;
                longest = if is_older { Some(sent) } else { longest };
            }
            sleep(PAUSE).await;
        }
        longest
    }
}
