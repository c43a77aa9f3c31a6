//! For how long GET, HEAD and LIST show what stood there before a write: after the create of a key that
//! was just read as absent, after an overwrite, and after a delete. Each node of the store is written
//! at, and read at, on its own.
//!
//! - [`series`]: what the reads after one write showed, and when they have shown enough. Pure.
//! - [`findings`]: what all series together say. Pure.

pub mod findings;
pub mod series;

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::node::{Changed, Node, Shown};
use super::scratch::Scratch;
use super::trouble::Trouble;
use crate::s3::{ETag, ObjectName};
pub use findings::{Findings, Pair};
pub use series::{Read, Write};
use series::{Series, Watch, pause};

/// How many keys are written and read at the same time.
const AT_ONCE: usize = 4;

/// What is written. The sizes differ, as a listing shows little else.
const CREATED: &[u8] = b"ifmatch probe: created";
const OVERWRITTEN: &[u8] = b"ifmatch probe: overwritten";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many keys are written at each node.
    pub rounds: u32,
    /// For how long a read may show something old until it is given up.
    pub patience: Duration,
}

/// A measurement.
#[derive(Debug)]
pub struct Probe<'a> {
    nodes: &'a [Node],
    scratch: &'a Scratch,
    plan: Plan,
    stop: &'a CancellationToken,
    /// The longest lag so far: others are looked for at least as long.
    longest: Cell<Duration>,
}

impl<'a> Probe<'a> {
    /// A measurement that has not begun.
    pub fn new(
        nodes: &'a [Node],
        scratch: &'a Scratch,
        plan: Plan,
        stop: &'a CancellationToken,
    ) -> Self {
        Self { nodes, scratch, plan, stop, longest: Cell::default() }
    }

    /// How many keys are written in all.
    pub fn keys(&self) -> usize {
        self.plan.rounds as usize * self.nodes.len()
    }

    /// Measures. `done` is told how many keys are done. The token ends it once the writes that are under
    /// way were answered; where it is given up instead, they may land later.
    ///
    /// # Errors
    /// The first trouble, which ends it.
    pub async fn measure(&self, done: impl Fn(usize)) -> Result<Findings, Trouble> {
        let rounds = 1..=self.plan.rounds;
        let keys = rounds.flat_map(|round| (0..self.nodes.len()).map(move |node| (round, node)));
        let stories = keys.map(|(round, node)| self.story(round, node));
        let mut ended = stream::iter(stories).buffer_unordered(AT_ONCE);
        let names = self.nodes.iter().map(|node| node.name().to_owned()).collect();
        let mut findings = Findings::new(names, self.plan.patience);
        let (mut failed, mut count) = (None, 0);
        while let Some(story) = ended.next().await {
            match story {
                Ok(series) => series.iter().for_each(|(pair, series)| findings.add(*pair, series)),
                Err(trouble) => {
                    failed.get_or_insert(trouble);
                    self.stop.cancel();
                }
            }
            count += 1;
            done(count);
        }
        failed.map_or(Ok(findings), Err)
    }

    /// What happens to one key, which is written at this node.
    async fn story(&self, round: u32, at: usize) -> Result<Vec<(Pair, Series)>, Trouble> {
        let mut all = Vec::new();
        let Some(writer) = self.nodes.get(at) else { return Ok(all) };
        let name = self.scratch.name(&format!("{round}-{}", at + 1))?;
        self.is_absent(&name).await?;
        for write in Write::ALL {
            if self.stop.is_cancelled() {
                return Err(Trouble::Stopped);
            }
            let wanted = self.write(writer, write, &name).await?;
            let landed = Instant::now();
            let pairs = self.pairs(at, write);
            let watched = pairs.iter().map(|pair| self.watch(*pair, &name, &wanted, landed));
            let watched = try_join_all(watched).await?;
            let is_unfinished = |series: &Series| series.is_unfinished(self.plan.patience);
            let goes_on = !watched.iter().any(is_unfinished);
            all.extend(pairs.into_iter().zip(watched));
            if !goes_on {
                // Of what was not shown yet, no read could show that it is replaced.
                break;
            }
        }
        Ok(all)
    }

    /// All reads that look for a write at this node.
    fn pairs(&self, written_at: usize, write: Write) -> Vec<Pair> {
        let reads = (0..self.nodes.len()).flat_map(|at| Read::ALL.map(|read| (at, read)));
        reads.map(|(read_at, read)| Pair { written_at, read_at, write, read }).collect()
    }

    /// Reads the key in all ways, so that what remembers that it was absent has something to
    /// remember.
    async fn is_absent(&self, name: &ObjectName) -> Result<(), Trouble> {
        let reads = self.nodes.iter().flat_map(|node| Read::ALL.map(|read| (node, read)));
        let shown = reads.map(|(node, read)| self.answer(node, read, name));
        let shown = self.stop.run_until_cancelled(try_join_all(shown)).await;
        let shown = shown.ok_or(Trouble::Stopped)??;
        if shown.iter().any(Option::is_some) {
            return Err(Trouble::NotAbsent(name.to_string()));
        }
        Ok(())
    }

    async fn write(&self, node: &Node, write: Write, name: &ObjectName) -> Result<Wanted, Trouble> {
        let of = |content, changed: Changed| Wanted::Object { content, etag: changed.etag };
        Ok(match write {
            Write::Create => of(CREATED, self.scratch.put(node, name, CREATED).await?),
            Write::Overwrite => of(OVERWRITTEN, self.scratch.put(node, name, OVERWRITTEN).await?),
            Write::Delete => self.scratch.delete(node, name).await.map(|_| Wanted::Nothing)?,
        })
    }

    /// Reads until the write is shown, and for a while longer, as a store may go back.
    async fn watch(
        &self,
        pair: Pair,
        name: &ObjectName,
        wanted: &Wanted,
        landed: Instant,
    ) -> Result<Series, Trouble> {
        let (mut series, mut unanswered) = (Series::default(), Trouble::Stopped);
        let Some(node) = self.nodes.get(pair.read_at) else { return Ok(series) };
        loop {
            // When it was asked: a slow answer shows what stood there before it was sent.
            let age = landed.elapsed();
            let read = self.stop.run_until_cancelled(self.ask(node, pair.read, name)).await;
            match read.ok_or(Trouble::Stopped)? {
                Ok(shown) => series.see(age, wanted.is(shown.as_ref())),
                Err(trouble @ Trouble::NoAnswer { .. }) => {
                    series.miss();
                    unanswered = trouble;
                }
                Err(trouble) => return Err(trouble),
            }
            self.longest.set(self.longest.get().max(series.lag().unwrap_or_default()));
            let watch = Watch { longest: self.longest.get(), patience: self.plan.patience };
            let age = landed.elapsed();
            if series.is_over(age, watch) {
                break;
            }
            let slept = self.stop.run_until_cancelled(sleep(pause(age))).await;
            slept.ok_or(Trouble::Stopped)?;
        }
        if series.reads() == 0 { Err(unanswered) } else { Ok(series) }
    }

    /// What a read shows, which is asked again while it gets no answer, for as long as the patience lasts.
    async fn answer(
        &self,
        node: &Node,
        read: Read,
        name: &ObjectName,
    ) -> Result<Option<Shown>, Trouble> {
        let began = Instant::now();
        loop {
            match self.ask(node, read, name).await {
                Err(Trouble::NoAnswer { .. }) if began.elapsed() < self.plan.patience => {
                    sleep(pause(began.elapsed())).await;
                }
                answered => return answered,
            }
        }
    }

    async fn ask(
        &self,
        node: &Node,
        read: Read,
        name: &ObjectName,
    ) -> Result<Option<Shown>, Trouble> {
        match read {
            Read::Get => node.get(name).await,
            Read::Head => node.head(name).await,
            Read::List => node.list(name).await,
        }
    }
}

/// What a read is to show after a write.
#[derive(Debug)]
enum Wanted {
    Nothing,
    Object { content: &'static [u8], etag: Option<ETag> },
}

impl Wanted {
    /// Whether this is it. Everything else is older, as only the probe writes the key. An object is
    /// known by its content or its ETag, and where a read shows neither, or the write's answer named no
    /// ETag, by its size.
    fn is(&self, shown: Option<&Shown>) -> bool {
        let (content, etag, shown) = match (self, shown) {
            (Self::Nothing, shown) => return shown.is_none(),
            (Self::Object { .. }, None) => return false,
            (Self::Object { content, etag }, Some(shown)) => (content, etag, shown),
        };
        match (&shown.content, &shown.etag, etag) {
            (Some(shown), ..) => shown == &Bytes::from_static(content),
            (None, Some(shown), Some(etag)) => shown == etag,
            _ => shown.size_bytes == u64::try_from(content.len()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_by_what_a_read_shows_of_it() {
        let etag = || Some(ETag::parse(b"new"));
        let wanted = Wanted::Object { content: OVERWRITTEN, etag: etag() };
        let of = |content: &'static [u8]| Some(Bytes::from_static(content));
        let size_bytes = Some(OVERWRITTEN.len() as u64);
        let new = Shown { content: of(OVERWRITTEN), ..Shown::default() };
        let old = Shown { content: of(CREATED), ..Shown::default() };
        assert!(wanted.is(Some(&new)) && !wanted.is(Some(&old)) && !wanted.is(None));
        let head = Shown { etag: etag(), size_bytes, content: None };
        assert!(wanted.is(Some(&head)));
        let other = Shown { etag: Some(ETag::parse(b"old")), ..head.clone() };
        assert!(!wanted.is(Some(&other)), "the ETag counts, not the size");
        let listed = Shown { size_bytes, ..Shown::default() };
        assert!(wanted.is(Some(&listed)));
        assert!(!wanted.is(Some(&Shown { size_bytes: Some(1), ..Shown::default() })));
        let unnamed = Wanted::Object { content: OVERWRITTEN, etag: None };
        assert!(unnamed.is(Some(&other)), "the write's answer named no ETag");
        assert!(Wanted::Nothing.is(None) && !Wanted::Nothing.is(Some(&old)));
        assert_ne!(CREATED.len(), OVERWRITTEN.len(), "a listing shows sizes");
    }
}
