//! Listings of keys, and of versions, with keys whose reads are consistent: the page is corrected where
//! something in it is young, or else streamed.

use http::header::HeaderValue;
use http::{StatusCode, header};

use super::listing_asker::{Asking, Found};
use super::{list_object_versions, list_objects};
use crate::backend::{Answer, StoreRequest};
use crate::gate::X_IFMATCH_CONSISTENCY;
use crate::http1::fields::Fields;
use crate::metrics::labels::GuardedListing;
use crate::proxy::admitted::{Listing, Wanted};
use crate::proxy::consistent_listing::{Freshness, Listed};
use crate::proxy::consistent_read::NOT_SHOWN;
use crate::proxy::listing_draft::NoPage;
use crate::proxy::response::{Failure, Response, unreachable};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::proxy::{gate_reply, outgoing, read_body};
use crate::s3::listing::Start;
use crate::s3::{S3Error, Target};
use crate::shares::NoRoom;

/// Serves a listing.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    listing: Listing,
) -> Result<Response<'p>, Failure> {
    let Listing { request, bucket, wanted } = listing;
    if request.expects_continue {
        visit.go_on().await?;
    }
    let had_body = read_body::discard(visit, &request.promise).await?;
    let mut question =
        outgoing::question(&request, Target::Bucket(bucket.clone()).path(), had_body);
    proxy.store.ask_strongly(&mut question.headers);
    let is_own = request.query.get("continuation-token").is_some_and(Start::is_token);
    let lags = !proxy.gate.terms().lag.is_zero();
    let client = request.origin.access_key_id();
    let asking = || Asking::new(proxy, &bucket, client, &question);
    let found = match wanted {
        // The store is consistent, as it is asked to be.
        Wanted::Keys(wanted) if wanted.start.is_some() && !lags && !is_own => {
            Ok(Found::Streamed(GuardedListing::Passed))
        }
        Wanted::Versions(_) if !lags => Ok(Found::Streamed(GuardedListing::Passed)),
        Wanted::Keys(wanted) => list_objects::found(&asking(), &wanted).await,
        Wanted::Versions(wanted) => list_object_versions::found(&asking(), &wanted).await,
        Wanted::OfTheStore => Ok(Found::Streamed(GuardedListing::Unguarded)),
    };
    match found.map_err(no_page)? {
        Found::Listed(listed) => Ok(Response::whole(answered(proxy, visit, listed))),
        Found::Streamed(outcome) => {
            if is_own {
                // It begins where the store cannot know: at the beginning, then, of what is a page of
                // nothing or is refused.
                question.query.retain(|(name, _)| name != "continuation-token");
            }
            stream(proxy, &question, outcome).await
        }
    }
}

/// The answer where there is no page.
fn no_page(no_page: NoPage) -> Failure {
    let said = match no_page {
        NoPage::Unanswered(why) => return unreachable(&why),
        // Not even the largest page is too much for a client, but several that one request needs may be.
        NoPage::NoRoom(NoRoom::OfClient | NoRoom::TooMuch(_)) => MANY_OF_ONE,
        NoPage::NoRoom(NoRoom::InAll) => MANY_OF_ALL,
    };
    S3Error::slow_down(1).because(said).into()
}

const MANY_OF_ONE: &str = "The listings of this client take as much memory as one client may have, half of \
                           `limits.listing_memory` of the proxy. Please reduce your request rate.";
const MANY_OF_ALL: &str = "The listings under way take all the memory that they may; see \
                           `limits.listing_memory` of the proxy. Please reduce your request rate.";

/// Passes on the store's answer as it comes.
async fn stream<'p>(
    proxy: &'p Proxy,
    question: &StoreRequest,
    outcome: GuardedListing,
) -> Result<Response<'p>, Failure> {
    let opened = proxy.store.open(question).await.map(|mut opened| {
        mark(proxy, opened.status, &mut opened.headers, outcome);
        opened
    });
    Response::opened(opened)
}

fn answered(proxy: &Proxy, visit: &mut Visit<'_>, listed: Listed) -> Answer {
    // A page was read already: it is no error, and there is nothing in it to correct.
    let was_read = matches!(listed, Listed::Passed(_) | Listed::Written(..));
    let (answer, outcome) = match listed {
        Listed::Unguarded(answer) => (answer, GuardedListing::Unguarded),
        Listed::Passed(answer) => (answer, GuardedListing::Passed),
        Listed::Written(mut answer, freshness) => {
            let outcome = match freshness {
                Freshness::Corrected => GuardedListing::Merged,
                Freshness::AsTheStore => GuardedListing::Passed,
                Freshness::Unknown => GuardedListing::Unguarded,
            };
            // It has another document than the store's.
            answer.headers.remove(header::CONTENT_LENGTH);
            (answer, outcome)
        }
        Listed::GivenUp => {
            let refused = S3Error::service_unavailable(1).because(NOT_SHOWN);
            (visit.error(&refused, Fields::new()), GuardedListing::GivenUp)
        }
    };
    let mut answer = if was_read { answer } else { gate_reply::stored(visit, answer) };
    answer.headers.remove(header::LOCATION);
    mark(proxy, answer.status, &mut answer.headers, outcome);
    answer
}

/// Counts an answer, and says in it whether the store's word counted. An error of the store is about no
/// key.
fn mark(proxy: &Proxy, status: StatusCode, headers: &mut Fields, outcome: GuardedListing) {
    proxy.metrics.guarded_listings.count(outcome);
    let word = match outcome {
        GuardedListing::Passed | GuardedListing::Merged if status == StatusCode::OK => "guarded",
        GuardedListing::GivenUp => "guarded",
        GuardedListing::Passed | GuardedListing::Merged | GuardedListing::Unguarded => "store",
    };
    headers.insert(X_IFMATCH_CONSISTENCY, HeaderValue::from_static(word));
}
