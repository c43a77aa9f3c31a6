//! ListObjects and ListObjectsV2 with keys whose reads are consistent:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html>

use http::StatusCode;

use super::listing_asker::{Asking, Found, LIMIT_MIN, description};
use crate::backend::{HeadError, HeadRequest, Store as _};
use crate::gate::Expected;
use crate::metrics::labels::GuardedListing;
use crate::patience::Pauses;
use crate::proxy::consistent_listing::{Asked, Sources, list};
use crate::proxy::consistent_read::PAUSE_FIRST;
use crate::proxy::listing_draft::{Described, NoPage};
use crate::register::KeyRange;
use crate::s3::listing::{ListRequest, Made, Overlay, Page, Position, Version};
use crate::s3::{Current, ObjectKey, ObjectName, Segments};

/// The page that is wanted.
pub(super) async fn found(asking: &Asking<'_>, wanted: &ListRequest) -> Result<Found, NoPage> {
    // A token of the store's own does not tell where its page begins.
    let Some(start) = wanted.start.clone() else {
        return Ok(Found::Streamed(GuardedListing::Unguarded));
    };
    let overlay = asking.overlay(wanted, &start.position).await;
    if wanted.version == Version::One {
        // Its pages go on after a key, which says enough of their beginning.
        match &overlay {
            None => return Ok(Found::Streamed(GuardedListing::Unguarded)),
            Some(known) if known.keys.is_empty() && known.horizon.is_none() => {
                return Ok(Found::Streamed(GuardedListing::Passed));
            }
            Some(_) => {}
        }
    }
    list(asking, wanted, &asking.question.query, start, overlay).await.map(Found::Listed)
}

impl Sources for Asking<'_> {
    async fn overlay(&self, request: &ListRequest, position: &Position) -> Option<Overlay> {
        // Keys that were deleted take no room in the page.
        let limit = (request.max_keys * 2).max(LIMIT_MIN);
        let range = KeyRange { bucket: self.bucket, prefix: &request.prefix, position, limit };
        self.proxy.gate.overlay(&range).await
    }

    async fn page(&self, query: Vec<(String, String)>) -> Result<Asked<Page>, NoPage> {
        let answer = self.answer(query).await?;
        let page = (answer.status == StatusCode::OK).then(|| Page::parse(&answer.body)).flatten();
        Ok(match page {
            Some(page) => Asked::Page(page, answer),
            None => Asked::Other(answer),
        })
    }

    async fn describe(&self, made: &Made) -> Result<Described, NoPage> {
        let Ok(key) = ObjectKey::parse(&made.key, Segments::ANY) else {
            return Ok(Described::Unclear);
        };
        let name = ObjectName { bucket: self.bucket.clone(), key };
        let (gate, store) = (&self.proxy.gate, &self.proxy.store);
        let written = Expected::This(Current::Present(made.etag.clone()));
        let mut pauses = Pauses::until(PAUSE_FIRST, self.until);
        loop {
            let is_last = pauses.are_over();
            let head = HeadRequest { name: &name, version_id: None, headers: &self.head_headers };
            match store.head(head).await {
                Ok(seen) if written == Expected::This(seen.current.clone()) => {
                    return Ok(description(&seen).map_or(Described::Unclear, Described::As));
                }
                Ok(_) if gate.expected(&name).await != written => return Ok(Described::Changed),
                Err(HeadError::Refused(_)) => return Ok(Described::Unclear),
                // What a write that is not settled leaves cannot be told from what is older.
                Ok(_) if is_last && gate.is_unsettled(&name).await => {
                    return Ok(Described::Unclear);
                }
                Ok(_) | Err(HeadError::Unavailable(_)) if is_last => return Ok(Described::Late),
                Ok(_) | Err(HeadError::Unavailable(_)) => {}
            }
            pauses.pass().await;
        }
    }
}
