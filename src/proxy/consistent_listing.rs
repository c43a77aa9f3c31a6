//! Listings over a store that lags, of keys whose rule is `consistency = "guarded"`: what was
//! acknowledged is listed, what was deleted is not (docs/protocol.md#listings).
//!
//! The register says what was written lately in the range of a page, then the store is asked for the
//! page, and the one corrects the other ([`merge`]). What the register does not say is asked of the store:
//! whether a key is left below a common prefix from which keys were deleted, and the size of an object
//! that is not listed yet.

use bytes::Bytes;

use super::listing_draft::{Asker, Completed, Described, Draft, DraftEntry, NoPage};
use crate::backend::Answer;
use crate::s3::listing::{
    Description, Entry, ListRequest, Made, Merged, Next, Overlay, Page, Position, Start, Version,
    merge,
};

/// How many pages of the store are read at most, while nothing of them is left.
pub(super) const PAGES_MAX: usize = 8;

/// What is asked for a listing.
pub(super) trait Sources {
    /// What was written lately; `None` where the register does not know all of it.
    async fn overlay(&self, request: &ListRequest, position: &Position) -> Option<Overlay>;

    /// The store's page for these parameters. The error says why there is none.
    async fn page(&self, query: Vec<(String, String)>) -> Result<Asked<Page>, NoPage>;

    /// What an object is that the store does not list yet.
    async fn describe(&self, made: &Made) -> Result<Described, NoPage>;
}

/// The store's answer to a listing.
#[derive(Debug)]
pub(super) enum Asked<P> {
    /// A page that can be corrected.
    Page(P, Answer),
    /// Any other.
    Other(Answer),
}

/// How a listing is answered.
#[derive(Debug)]
pub(super) enum Listed {
    /// With the store's answer, which may be old.
    Unguarded(Answer),
    /// With the store's page: nothing of it is young.
    Passed(Answer),
    /// With a page that was written anew, in place of the store's document.
    Written(Answer, Freshness),
    /// With 503: the store did not say in time what an object is.
    GivenUp,
}

impl Listed {
    /// With the store's page, or the document that was written in its place. `is_known`: everything that was
    /// acknowledged is known; `is_changed`: the page differs from the store's.
    pub(super) fn page(
        answer: Answer,
        written: Option<Vec<u8>>,
        is_known: bool,
        is_changed: bool,
    ) -> Self {
        let Some(written) = written else {
            return if is_known { Self::Passed(answer) } else { Self::Unguarded(answer) };
        };
        let freshness = match (is_known, is_changed) {
            (false, _) => Freshness::Unknown,
            (true, true) => Freshness::Corrected,
            (true, false) => Freshness::AsTheStore,
        };
        let body = Replaced { written, _instead_of: answer.body };
        Self::Written(Answer { body: Bytes::from_owner(body), ..answer }, freshness)
    }
}

/// A document in place of the store's. The memory of both counts until the client has this one.
struct Replaced {
    written: Vec<u8>,
    _instead_of: Bytes,
}

impl AsRef<[u8]> for Replaced {
    fn as_ref(&self) -> &[u8] {
        &self.written
    }
}

/// Whether a page shows all that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It does, and differs from the store's.
    Corrected,
    /// It does, as the store's page did.
    AsTheStore,
    /// It may not.
    Unknown,
}

/// Answers a listing. `query`: its parameters, encoded; `start`: the beginning of its page; `overlay`: what
/// was written lately behind that.
pub(super) async fn list(
    sources: &impl Sources,
    request: &ListRequest,
    query: &[(String, String)],
    mut start: Start,
    mut overlay: Option<Overlay>,
) -> Result<Listed, NoPage> {
    let (mut is_first, mut is_known) = (true, true);
    for left in (0..PAGES_MAX).rev() {
        is_known &= overlay.is_some();
        let (mut page, answer) = match sources.page(request.placed(query.to_vec(), &start)).await? {
            Asked::Page(page, answer) => (page, answer),
            Asked::Other(answer) => return Ok(Listed::Unguarded(answer)),
        };
        let rows = (std::mem::take(&mut page.rows), page.truncated);
        let merged = merge(request, &start.position, rows, &overlay.take().unwrap_or_default());
        let mut draft = drafted(merged);
        draft.leave_out_nameless(|name| page.can_name(name));
        let asker = PageAsker { sources, position: &start.position };
        draft.look_below(&asker).await?;
        match draft.describe(&asker).await? {
            Completed::Whole => {}
            Completed::Changed if left > 0 => {
                overlay = sources.overlay(request, &start.position).await;
                continue;
            }
            Completed::Changed | Completed::Late => return Ok(Listed::GivenUp),
        }
        // What is not known of a page counts, too, where nothing of it is left.
        is_known &= draft.is_known;
        // The store's own token is used where its page ends there too.
        let next = draft.next.map(|Next { position, with_the_store }| {
            let token = page.next_token.clone().filter(|_| with_the_store);
            Start { position, token }
        });
        let goes_on = next.as_ref().is_some_and(|next| *next != start);
        if draft.entries.is_empty() && goes_on && left > 0 {
            start = next.unwrap_or(start);
            overlay = sources.overlay(request, &start.position).await;
            is_first = false;
            continue;
        }
        let as_asked = is_first && request.said.token.is_none() && !draft.is_changed;
        let as_it_is = as_asked && (request.version == Version::One || next.is_none());
        let written = (!as_it_is).then(|| page.write(request, draft.entries, next.as_ref()));
        return Ok(Listed::page(answer, written, is_known, draft.is_changed));
    }
    Ok(Listed::GivenUp)
}

fn drafted(merged: Merged) -> Draft<Entry> {
    let Merged { entries, doubtful, next, has_unknown, is_changed } = merged;
    Draft { entries, doubtful, next, is_known: !has_unknown, is_changed }
}

impl DraftEntry for Entry {
    type End = Next;

    fn name(&self) -> &str {
        self.name()
    }

    fn end(&self) -> Next {
        Next { position: self.end(), with_the_store: false }
    }

    fn is_bare(&self) -> bool {
        matches!(self, Self::Made(made) if made.description.is_none())
    }

    fn describe(&mut self, description: Description) {
        if let Self::Made(made) = self {
            made.description = Some(description);
        }
    }

    fn undescribed(self) -> Option<Self> {
        match self {
            Self::Made(made) => made.older.map(Self::Row),
            Self::Row(_) | Self::Prefix(_) => Some(self),
        }
    }
}

/// Asks about a page that begins there.
struct PageAsker<'a, S> {
    sources: &'a S,
    position: &'a Position,
}

impl<S: Sources> Asker<Entry> for PageAsker<'_, S> {
    async fn is_alive(&self, prefix: &str) -> Result<Option<bool>, NoPage> {
        is_alive(self.sources, prefix, self.position).await
    }

    async fn describe(&self, entry: &Entry) -> Result<Described, NoPage> {
        match entry {
            Entry::Made(made) => self.sources.describe(made).await,
            Entry::Row(_) | Entry::Prefix(_) => Ok(Described::Unclear),
        }
    }
}

/// Is a key left below this common prefix, in a page that begins there? `None` where that was not found out.
async fn is_alive(
    sources: &impl Sources,
    prefix: &str,
    start: &Position,
) -> Result<Option<bool>, NoPage> {
    let is_inside = start.name().is_some_and(|name| name.starts_with(prefix));
    let position = if is_inside { start.clone() } else { Position::First };
    let mut start = Start { position, token: None };
    let mut is_known = true;
    for _ in 0..PAGES_MAX {
        let all = ListRequest::below(prefix, usize::MAX);
        let Some(overlay) = sources.overlay(&all, &start.position).await else { return Ok(None) };
        // One key more than were deleted.
        let request = ListRequest::below(prefix, overlay.keys.len() + 1);
        let page = match sources.page(request.placed(request.query(), &start)).await? {
            Asked::Page(page, _) => page,
            Asked::Other(_) => return Ok(None),
        };
        let merged = merge(&request, &start.position, (page.rows, page.truncated), &overlay);
        if !merged.entries.is_empty() {
            return Ok(Some(true));
        }
        is_known &= !merged.has_unknown;
        let Some(next) = merged.next else { return Ok(is_known.then_some(false)) };
        let token = page.next_token.filter(|_| next.with_the_store);
        start = Start { position: next.position, token };
    }
    Ok(None)
}

#[cfg(test)]
#[path = "consistent_listing_tests.rs"]
mod tests;
