//! What is asked of the store and the register for a listing.

use bytes::{Bytes, BytesMut};
use http::header;
use tokio::time::Instant;

use crate::backend::headers::for_head;
use crate::backend::{Answer, StoreRequest};
use crate::http1::fields::Fields;
use crate::metrics::labels::GuardedListing;
use crate::proxy::consistent_listing::Listed;
use crate::proxy::listing_draft::NoPage;
use crate::proxy::state::Proxy;
use crate::s3::listing::{Description, PAGE_MEMORY_FACTOR};
use crate::s3::xml::DOCUMENT_BYTES_MAX;
use crate::s3::{BucketName, Seen};
use crate::shares::Share;

/// How many young keys are read at least.
pub(super) const LIMIT_MIN: usize = 128;

/// A listing, or the store's answer that is streamed.
pub(super) enum Found {
    /// Corrected, or found to be right.
    Listed(Listed),
    /// The store's answer is passed on as it comes.
    Streamed(GuardedListing),
}

/// Where a listing of this bucket is asked for.
pub(super) struct Asking<'a> {
    pub(super) proxy: &'a Proxy,
    pub(super) bucket: &'a BucketName,
    /// Who asks: their pages count together.
    client: &'a str,
    pub(super) question: StoreRequest,
    /// What a HEAD of an object needs.
    pub(super) head_headers: Fields,
    /// Until when the store may take to show what was written.
    pub(super) until: Instant,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        proxy: &'a Proxy,
        bucket: &'a BucketName,
        client: &'a str,
        question: &StoreRequest,
    ) -> Self {
        let mut question = question.clone();
        // The page is read here, and whole.
        question.headers.remove(header::ACCEPT_ENCODING);
        question.headers.remove(header::RANGE);
        let head_headers = for_head(&question.headers);
        let until = Instant::now() + proxy.read_patience;
        Self { proxy, bucket, client, question, head_headers, until }
    }

    /// The store's whole answer to a listing with these parameters. The memory that its page takes counts
    /// until the answer's body is dropped.
    pub(super) async fn answer(&self, query: Vec<(String, String)>) -> Result<Answer, NoPage> {
        let question = StoreRequest { query, ..self.question.clone() };
        let mut share = self.proxy.listings.take(self.client, 0).map_err(NoPage::NoRoom)?;
        let mut opened = self.proxy.store.open(&question).await.map_err(NoPage::Unanswered)?;
        let mut document = BytesMut::new();
        while let Some(piece) = opened.next().await.map_err(NoPage::Unanswered)? {
            if document.len() + piece.len() > DOCUMENT_BYTES_MAX {
                let why = format!("its page is longer than {DOCUMENT_BYTES_MAX} bytes");
                return Err(NoPage::Unanswered(why));
            }
            share.grow(piece.len() as u64 * PAGE_MEMORY_FACTOR).map_err(NoPage::NoRoom)?;
            document.extend_from_slice(&piece);
        }
        let (status, headers) = (opened.status, std::mem::take(&mut opened.headers));
        opened.finish();
        let body = Bytes::from_owner(Counted { document: document.freeze(), _share: share });
        Ok(Answer { status, headers, body })
    }
}

/// A document whose memory counts.
struct Counted {
    document: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.document
    }
}

/// What a HEAD says of an object. It is not asked for the class.
pub(super) fn description(seen: &Seen) -> Option<Description> {
    let modified_s = u64::try_from(seen.last_modified_s?).ok()?;
    Some(Description { size_bytes: seen.size_bytes?, modified_s, is_standard: false })
}
