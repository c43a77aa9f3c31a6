//! Listings of versions over a store that lags, of keys whose rule is `consistency = "guarded"`: the
//! versions that were acknowledged are listed, those that were deleted are not
//! (docs/protocol.md#listings). As [`consistent_listing`](super::consistent_listing), but each key has
//! several entries, and a page may begin and end between them.

use super::consistent_listing::{Asked, Listed, PAGES_MAX};
use super::listing_draft::{Asker, Completed, Described, Draft, DraftEntry, NoPage};
use crate::s3::listing::Description;
use crate::s3::listing::versions::{
    Begin, Entry, Made, MadeVersion, MergedVersions, Place, VersionsOverlay, VersionsPage,
    VersionsRequest, merge,
};

/// What is asked for a listing of versions.
pub(super) trait Sources {
    /// What was written lately; `None` where the register does not know all of it.
    async fn overlay(&self, request: &VersionsRequest, place: &Place) -> Option<VersionsOverlay>;

    /// The store's page for these parameters. The error says why there is none.
    async fn page(&self, query: Vec<(String, String)>) -> Result<Asked<VersionsPage>, NoPage>;

    /// What a version is that the store does not list yet.
    async fn describe(&self, made: &MadeVersion) -> Result<Described, NoPage>;
}

/// Answers a listing. `query`: its parameters, encoded; `overlay`: what was written lately in the page's
/// range.
pub(super) async fn list(
    sources: &impl Sources,
    request: &VersionsRequest,
    query: &[(String, String)],
    mut overlay: Option<VersionsOverlay>,
) -> Result<Listed, NoPage> {
    let mut begin = Begin::of(request.start.clone(), overlay.as_ref());
    let (mut is_first, mut is_known) = (true, true);
    for left in (0..PAGES_MAX).rev() {
        is_known &= overlay.is_some();
        let (mut page, answer) = match sources.page(request.placed(query.to_vec(), &begin)).await? {
            Asked::Page(page, answer) => (page, answer),
            Asked::Other(answer) => return Ok(Listed::Unguarded(answer)),
        };
        let rows = (std::mem::take(&mut page.rows), page.end.take());
        let merged = merge(request, &begin, rows, &overlay.take().unwrap_or_default());
        let mut draft = drafted(merged);
        draft.leave_out_nameless(|name| page.can_name(name));
        let asker = PageAsker { sources, place: &begin.place };
        draft.look_below(&asker).await?;
        match draft.describe(&asker).await? {
            Completed::Whole => {}
            Completed::Changed if left > 0 => {
                overlay = sources.overlay(request, &begin.place).await;
                if is_first {
                    begin = Begin::of(begin.place, overlay.as_ref());
                }
                continue;
            }
            Completed::Changed | Completed::Late => return Ok(Listed::GivenUp),
        }
        // What is not known of a page counts, too, where nothing of it is left.
        is_known &= draft.is_known;
        let next = draft.next;
        let goes_on = next.as_ref().is_some_and(|next| *next != begin.place || begin.from_first);
        if draft.entries.is_empty() && goes_on && left > 0 {
            let place = next.unwrap_or_else(|| begin.place.clone());
            overlay = sources.overlay(request, &place).await;
            begin = begin.then(place, overlay.as_ref());
            is_first = false;
            continue;
        }
        let is_as_shown = is_first && !draft.is_changed;
        let written = (!is_as_shown).then(|| page.write(request, draft.entries, next.as_ref()));
        return Ok(Listed::page(answer, written, is_known, draft.is_changed));
    }
    Ok(Listed::GivenUp)
}

fn drafted(merged: MergedVersions) -> Draft<Entry> {
    let MergedVersions { entries, doubtful, next, has_unknown, is_changed } = merged;
    Draft { entries, doubtful, next, is_known: !has_unknown, is_changed }
}

impl DraftEntry for Entry {
    type End = Place;

    fn name(&self) -> &str {
        self.name()
    }

    fn end(&self) -> Place {
        self.end()
    }

    fn is_bare(&self) -> bool {
        matches!(self, Self::Made(MadeVersion { made: Made::Object(_, None), .. }))
    }

    fn describe(&mut self, description: Description) {
        if let Self::Made(MadeVersion { made: Made::Object(_, described), .. }) = self {
            *described = Some(description);
        }
    }

    fn undescribed(self) -> Option<Self> {
        match self {
            Self::Made(_) => None,
            Self::Row(_) | Self::Prefix(_) => Some(self),
        }
    }
}

/// Asks about a page that begins there.
struct PageAsker<'a, S> {
    sources: &'a S,
    place: &'a Place,
}

impl<S: Sources> Asker<Entry> for PageAsker<'_, S> {
    /// Is a version left below this common prefix, in a page that begins there?
    async fn is_alive(&self, prefix: &str) -> Result<Option<bool>, NoPage> {
        let is_inside = self.place.name().is_some_and(|name| name.starts_with(prefix));
        let mut place = if is_inside { self.place.clone() } else { Place::First };
        let mut is_known = true;
        for _ in 0..PAGES_MAX {
            let all = VersionsRequest::below(prefix, usize::MAX);
            let Some(overlay) = self.sources.overlay(&all, &place).await else {
                return Ok(None);
            };
            let begin = Begin::of(place, Some(&overlay));
            let request = VersionsRequest::below(prefix, VERSIONS_BELOW);
            let query = request.placed(request.query(), &begin);
            let (page, _) = match self.sources.page(query).await? {
                Asked::Page(page, answer) => (page, answer),
                Asked::Other(_) => return Ok(None),
            };
            let merged = merge(&request, &begin, (page.rows, page.end), &overlay);
            if !merged.entries.is_empty() {
                return Ok(Some(true));
            }
            is_known &= !merged.has_unknown;
            let Some(next) = merged.next else { return Ok(is_known.then_some(false)) };
            place = next;
        }
        Ok(None)
    }

    async fn describe(&self, entry: &Entry) -> Result<Described, NoPage> {
        match entry {
            Entry::Made(made) => self.sources.describe(made).await,
            Entry::Row(_) | Entry::Prefix(_) => Ok(Described::Unclear),
        }
    }
}

/// How many versions below a common prefix are asked for at once. Of each key that was deleted lately a few
/// may still be shown.
const VERSIONS_BELOW: usize = if cfg!(test) { 5 } else { 256 };

#[cfg(test)]
#[path = "consistent_versions_tests.rs"]
mod tests;
