//! Conditional reads (AWS: GetObject, HeadObject; RFC 9110 §13.2.2), answered correctly whatever
//! the store does with the conditions. Some stores ignore them all, some know a few, and few get
//! every pair right.
//!
//! The store is asked with the conditions, since a store that honours them need not send the body.
//! An answer with the object is judged by the validators in its own head, so the decision and the
//! content belong to the same moment. A refusal is believed only where its own validators prove it.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{Method, StatusCode};

use super::context::REQUEST_ID;
use super::response::{Alongside, Response};
use super::visit::Visit;
use crate::backend::{Answer, AskedFirst, HttpStore, Opened, StoreRequest};
use crate::gate::{X_IFMATCH_CONSISTENCY, X_IFMATCH_GENERATION};
use crate::http1::fields::Fields;
use crate::s3::{Precondition, Preconditions, Validators};

/// Asks the store for an object, at this node first. The request carries these conditions. Returns the store's answer,
/// and the condition that fails, if any: then the answer may not be passed on. The error is a
/// sentence that says why the store did not answer.
pub(super) async fn ask(
    store: &HttpStore,
    first: AskedFirst,
    request: &StoreRequest,
    preconditions: &Preconditions,
) -> Result<(Opened, Option<Precondition>), String> {
    let opened = store.open_by(first, request).await?;
    if preconditions.is_empty() {
        return Ok((opened, None));
    }
    match opened.status {
        StatusCode::NOT_MODIFIED => {
            let validators = Validators::of(&opened.headers);
            let failing = preconditions.evaluate(&validators).err();
            let proven = failing.is_some_and(Precondition::means_not_modified)
                && preconditions.can_be_checked_by(&validators);
            if proven {
                return Ok((opened, failing));
            }
        }
        // A range is judged after the conditions (RFC 9110 §13.2.2): the object may have become
        // shorter since the client last read it.
        StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {}
        _ => {
            let failing = judge(&opened, preconditions);
            return Ok((opened, failing));
        }
    }
    store.dismiss(opened).await;
    ask_again(store, first, request, preconditions).await
}

/// Asks without the conditions. A HEAD of the whole object comes first: if the conditions fail, the
/// body need not be sent.
async fn ask_again(
    store: &HttpStore,
    first: AskedFirst,
    request: &StoreRequest,
    preconditions: &Preconditions,
) -> Result<(Opened, Option<Precondition>), String> {
    let mut plain = request.clone();
    Preconditions::default().replace_in(&mut plain.headers);
    let seen = store.open_by(first, &look(request)).await?;
    let failing = judge(&seen, preconditions);
    let asks_range = request.headers.contains_key(header::RANGE);
    if failing.is_some() || (request.method == Method::HEAD && !asks_range) {
        return Ok((seen, failing));
    }
    store.dismiss(seen).await;
    let opened = store.open_by(first, &plain).await?;
    let failing = judge(&opened, preconditions);
    Ok((opened, failing))
}

/// A HEAD of the whole object, without conditions.
pub(super) fn look(request: &StoreRequest) -> StoreRequest {
    let mut look = request.clone();
    look.method = Method::HEAD;
    Preconditions::default().replace_in(&mut look.headers);
    look.headers.remove(header::IF_RANGE);
    look.headers.remove(header::RANGE);
    look
}

/// The condition that fails for the object in this answer, if one does.
fn judge(opened: &Opened, preconditions: &Preconditions) -> Option<Precondition> {
    let found = opened.status.is_success();
    if found { preconditions.evaluate(&Validators::of(&opened.headers)).err() } else { None }
}

/// The 304 or 412 that replaces the store's answer. `may_tell`: whether the client may learn the
/// ETag that its condition failed to match.
pub(super) fn refuse<'p>(
    visit: &mut Visit<'_>,
    opened: Opened,
    failing: Precondition,
    may_tell: bool,
) -> Response<'p> {
    let unchanged = failing.means_not_modified();
    let names = if unchanged { &IN_NOT_MODIFIED[..] } else { &IN_REFUSAL[..] };
    let mut headers = kept(&opened.headers, names);
    let answer = if unchanged {
        Answer { status: StatusCode::NOT_MODIFIED, headers, body: Bytes::new() }
    } else {
        if !may_tell {
            headers.remove(header::ETAG);
        }
        visit.error(&failing.failed(), headers)
    };
    Response::Whole(answer, Alongside::Dismiss(opened))
}

/// The store's headers with these names, and those that let a web page see the answer.
fn kept(of_store: &Fields, names: &[HeaderName]) -> Fields {
    of_store.only(|name| names.contains(name) || name.as_str().starts_with("access-control-"))
}

/// The headers of a 304: RFC 9110 §15.4.5, and S3's own.
const IN_NOT_MODIFIED: [HeaderName; 12] = [
    header::CACHE_CONTROL,
    header::CONTENT_LOCATION,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::VARY,
    HeaderName::from_static("x-amz-id-2"),
    HeaderName::from_static(REQUEST_ID),
    HeaderName::from_static("x-amz-version-id"),
    X_IFMATCH_GENERATION,
    X_IFMATCH_CONSISTENCY,
];

/// The headers of a 412. The object's ETag saves the client its next read.
const IN_REFUSAL: [HeaderName; 5] =
    [header::DATE, header::ETAG, header::VARY, X_IFMATCH_GENERATION, X_IFMATCH_CONSISTENCY];
