//! ListObjectVersions with keys whose reads are consistent:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>

use http::StatusCode;

use super::listing_asker::{Asking, Found, LIMIT_MIN, description};
use crate::backend::{HeadError, HeadRequest, Store as _};
use crate::metrics::labels::GuardedListing;
use crate::patience::Pauses;
use crate::proxy::consistent_listing::Asked;
use crate::proxy::consistent_read::PAUSE_FIRST;
use crate::proxy::consistent_versions::{Sources, list};
use crate::proxy::listing_draft::{Described, NoPage};
use crate::register::KeyRange;
use crate::s3::listing::versions::{
    Event, Lately, Made, MadeVersion, Place, VersionsOverlay, VersionsPage, VersionsRequest,
};
use crate::s3::{Current, ObjectKey, ObjectName, Segments};

/// The page that is wanted.
pub(super) async fn found(asking: &Asking<'_>, wanted: &VersionsRequest) -> Result<Found, NoPage> {
    let overlay = asking.overlay(wanted, &wanted.start).await;
    match &overlay {
        None => return Ok(Found::Streamed(GuardedListing::Unguarded)),
        Some(known) if known.keys.is_empty() && known.horizon.is_none() => {
            return Ok(Found::Streamed(GuardedListing::Passed));
        }
        Some(_) => {}
    }
    list(asking, wanted, &asking.question.query, overlay).await.map(Found::Listed)
}

impl Asking<'_> {
    async fn versions_overlay(
        &self,
        prefix: &str,
        place: &Place,
        limit: usize,
    ) -> Option<VersionsOverlay> {
        let position = &place.position();
        let range = KeyRange { bucket: self.bucket, prefix, position, limit };
        let key = place.version().map(|(key, _)| key);
        self.proxy.gate.versions_overlay(&range, key).await
    }

    /// Whether this version still stands, by what was acknowledged until now.
    async fn stands(&self, made: &MadeVersion) -> bool {
        let overlay = self.versions_overlay(&made.key, &Place::First, 1).await;
        let lately = overlay.and_then(|mut overlay| overlay.keys.remove(&made.key));
        // What is not young any more was not touched since.
        let Some(Lately::Events(events)) = lately else { return true };
        match events.iter().find(|event| *event.id() == made.id) {
            Some(Event::Put(_, etag, _)) => {
                matches!(&made.made, Made::Object(made, _) if made == etag)
            }
            Some(Event::Marker(..) | Event::Gone(_)) => false,
            None => true,
        }
    }
}

impl Sources for Asking<'_> {
    async fn overlay(&self, request: &VersionsRequest, place: &Place) -> Option<VersionsOverlay> {
        // Versions that were deleted take no room in the page.
        let limit = (request.max_keys * 2).max(LIMIT_MIN);
        self.versions_overlay(&request.prefix, place, limit).await
    }

    async fn page(&self, query: Vec<(String, String)>) -> Result<Asked<VersionsPage>, NoPage> {
        let answer = self.answer(query).await?;
        let page = (answer.status == StatusCode::OK).then(|| VersionsPage::parse(&answer.body));
        Ok(match page.flatten() {
            Some(page) => Asked::Page(page, answer),
            None => Asked::Other(answer),
        })
    }

    async fn describe(&self, made: &MadeVersion) -> Result<Described, NoPage> {
        let (Ok(key), Made::Object(etag, _)) =
            (ObjectKey::parse(&made.key, Segments::ANY), &made.made)
        else {
            return Ok(Described::Unclear);
        };
        let name = ObjectName { bucket: self.bucket.clone(), key };
        // A bucket that never kept versions need not know the id `null`.
        let is_by_id = !(made.id.is_null() && made.is_latest);
        let version_id = Some(made.id.as_str()).filter(|_| is_by_id);
        let mut pauses = Pauses::until(PAUSE_FIRST, self.until);
        loop {
            let is_last = pauses.are_over();
            let head = HeadRequest { name: &name, version_id, headers: &self.head_headers };
            match self.proxy.store.head(head).await {
                Ok(seen) if seen.current == Current::Present(etag.clone()) => {
                    return Ok(description(&seen).map_or(Described::Unclear, Described::As));
                }
                Ok(_) if !self.stands(made).await => return Ok(Described::Changed),
                Err(HeadError::Refused(_)) => return Ok(Described::Unclear),
                Ok(_) if is_last && self.proxy.gate.is_unsettled(&name).await => {
                    return Ok(Described::Unclear);
                }
                Ok(_) | Err(HeadError::Unavailable(_)) if is_last => return Ok(Described::Late),
                Ok(_) | Err(HeadError::Unavailable(_)) => {}
            }
            pauses.pass().await;
        }
    }
}
