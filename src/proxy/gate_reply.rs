//! The answer to a guarded write: the store's answer, corrected where needed, or the success of an
//! earlier attempt again.

use http::{HeaderValue, StatusCode, header};

use super::context::{Context, HOST, HOST_ID, REQUEST_ID};
use super::location::{location, redirected, relocate};
use super::response::Response;
use super::visit::Visit;
use crate::backend::Answer;
use crate::gate::{Commit, Outcome, Reply, X_IFMATCH_GENERATION};
use crate::http1::fields::Fields;
use crate::metrics::labels::RefusedBy;
use crate::register::{AnswerHeaders, Generation, State};
use crate::s3::documents::{StoreDocument, complete_result, copy_result, late_refusal};
use crate::s3::{ETag, ObjectName, Operation, S3Error};

/// In the answer to a retry whose first attempt had landed.
const REPLAYED: &str = "x-ifmatch-replayed";

/// The response to a write of this key. `may_tell`: whether its sender may learn the key's state.
pub(super) fn respond<'p>(
    visit: &mut Visit<'_>,
    written: (Operation, &ObjectName),
    may_tell: bool,
    outcome: Outcome,
) -> Response<'p> {
    let (answer, commit) = answer(visit, written, may_tell, outcome);
    Response::recorded(answer, commit)
}

/// The same in its parts: the answer, and the landing to be recorded.
pub(super) fn answer(
    visit: &mut Visit<'_>,
    (operation, name): (Operation, &ObjectName),
    may_tell: bool,
    outcome: Outcome,
) -> (Answer, Option<Commit>) {
    visit.log().gate(&outcome);
    let answer = match outcome.reply {
        Reply::Store(answer) => {
            let completes = operation == Operation::CompleteMultipartUpload;
            let location = completes.then(|| location(visit, name));
            stored_at(visit, answer, location.as_deref())
        }
        Reply::Error(refused, current) => {
            refusal(visit, &refused, current.as_ref().filter(|_| may_tell))
        }
        Reply::Replayed(state, generation, answered) => {
            let headers = replay_headers(generation.as_ref(), &answered);
            replayed(visit, (operation, name), etag_left(&state), headers)
        }
    };
    (answer, outcome.commit)
}

/// An error. `current` is the object's ETag, where a HEAD has just shown it: it saves a
/// compare-and-swap loop its next read.
pub(super) fn refusal(visit: &mut Visit<'_>, error: &S3Error, current: Option<&ETag>) -> Answer {
    let mut headers = Fields::new();
    if let Some(etag) = current.and_then(ETag::header_value) {
        headers.insert(header::ETAG, etag);
    }
    visit.error(error, headers)
}

/// The store's answer, with its error logged and completed; an error of the proxy in place of a
/// redirect. A store that was already at work can report an error only inside a 200: that error is
/// answered with its own status, where the client has not got the 200 yet.
pub(super) fn stored(visit: &mut Visit<'_>, answer: Answer) -> Answer {
    stored_at(visit, answer, None)
}

/// The same. `location`: where the client finds the object that was made, for a document that says it.
pub(super) fn stored_at(
    visit: &mut Visit<'_>,
    mut answer: Answer,
    location: Option<&str>,
) -> Answer {
    visit.log().judged_by = Some(RefusedBy::Store);
    let mut document = StoreDocument::parse(&answer.body);
    let error = document.as_ref().and_then(StoreDocument::error);
    let (operation, code) = (visit.log().operation, error.as_ref().map(|error| &*error.code));
    if let Some(error) = redirected(operation, answer.status, &answer.headers, code) {
        return visit.error(&error, Fields::new());
    }
    relocate(visit.context(), answer.status, &mut answer.headers);
    if let Some(document) = &mut document
        && correct(visit.context(), &answer.headers, document, location)
    {
        answer.headers.remove(header::CONTENT_LENGTH);
        answer.body = document.to_bytes().into();
    }
    if let Some(error) = error {
        if answer.status.is_success()
            && let Some(status) = late_refusal(&error.code)
        {
            answer.status = status;
        }
        visit.log().code = error.code;
    }
    answer
}

/// Corrects the store's document. Returns whether it has changed.
fn correct(
    context: &Context,
    headers: &Fields,
    document: &mut StoreDocument,
    location: Option<&str>,
) -> bool {
    let named = |header| headers.get(header).and_then(|value| value.to_str().ok());
    let request_id = named(REQUEST_ID).unwrap_or(&context.request_id);
    let host_id = named(HOST_ID).unwrap_or(HOST);
    let is_completed = document.complete_error(request_id, host_id);
    let is_located = location.is_some_and(|location| document.set_location(location));
    let is_quoted = document.quote_etag();
    is_completed || is_located || is_quoted
}

/// The success of an earlier attempt, again.
fn replayed(
    visit: &Visit<'_>,
    (operation, name): (Operation, &ObjectName),
    etag: Option<&ETag>,
    mut headers: Fields,
) -> Answer {
    let xml = || HeaderValue::from_static("application/xml");
    let (status, body) = match operation {
        Operation::DeleteObject => (StatusCode::NO_CONTENT, Vec::new()),
        Operation::CopyObject => {
            headers.insert(header::CONTENT_TYPE, xml());
            (StatusCode::OK, copy_result(etag))
        }
        Operation::CompleteMultipartUpload => {
            headers.insert(header::CONTENT_TYPE, xml());
            (StatusCode::OK, complete_result(&location(visit, name), name, etag))
        }
        _ => {
            if let Some(etag) = etag.and_then(ETag::header_value) {
                headers.insert(header::ETAG, etag);
            }
            (StatusCode::OK, Vec::new())
        }
    };
    Answer { status, headers, body: body.into() }
}

/// The remembered headers of an answer.
pub(super) fn remembered(headers: &AnswerHeaders) -> Fields {
    let pairs = headers.headers();
    pairs.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
}

/// The headers of every replayed success.
pub(super) fn replay_headers(generation: Option<&Generation>, answered: &AnswerHeaders) -> Fields {
    let mut headers = remembered(answered);
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(generation) = generation.and_then(|Generation(name)| name.parse().ok()) {
        headers.insert(X_IFMATCH_GENERATION, generation);
    }
    headers
}

/// The ETag of the object that a write left.
pub(super) fn etag_left(state: &State) -> Option<&ETag> {
    match state {
        State::Present(etag) => Some(etag),
        State::Absent | State::Unknown => None,
    }
}
