//! PostObject, sent on as its sender signed it:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>
//!
//! The store judges the form's policy and signature. The proxy guards the key that it reads in the
//! form, so only forms that every store reads alike are sent on (docs/documents.md, "Forms").

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::verbatim::{self, Named};
use crate::backend::Answer;
use crate::backend::headers::is_reserved;
use crate::body::Body;
use crate::gate::Reply;
use crate::proxy::admitted::Request;
use crate::proxy::form_fields::{claimed_access_key_id, promise_of, put_headers};
use crate::proxy::gate_reply::{etag_left, replay_headers, stored_at};
use crate::proxy::incoming_form::IncomingForm;
use crate::proxy::location::location;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::strict::RESERVED;
use crate::proxy::visit::Visit;
use crate::s3::{
    BucketName, Code, ETag, ObjectKey, ObjectName, Operation, Preconditions, S3Error, Spelling,
};

/// Serves a form.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    request: Request,
    bucket: BucketName,
) -> Result<Response<'p>, Failure> {
    let (name, body) = take(proxy, visit, &request, bucket).await?;
    let named =
        Named { name: &name, preconditions: &Preconditions::NONE, version_id: None, attempt: 1 };
    let answer = match verbatim::write(proxy, visit, &request, named, &body).await {
        Reply::Store(answer) => located(visit, &name, answer),
        Reply::Error(error, _) => return Err(error.into()),
        // Only the store has read which answer the form wants on success.
        Reply::Replayed(state, generation, answered) => {
            let mut headers = replay_headers(generation.as_ref(), &answered);
            if let Some(etag) = etag_left(&state).and_then(ETag::header_value) {
                headers.insert(header::ETAG, etag);
            }
            Answer { status: StatusCode::NO_CONTENT, headers, body: Bytes::new() }
        }
    };
    Ok(Response::whole(answer))
}

/// The store's answer. If it names the object's location, the location is replaced by the one that
/// the client can ask for.
fn located(visit: &mut Visit<'_>, name: &ObjectName, answer: Answer) -> Answer {
    let location = location(visit, name);
    let named = answer.status.is_success() && answer.headers.contains_key(header::LOCATION);
    let mut answer = stored_at(visit, answer, Some(&location));
    let value = HeaderValue::try_from(location).ok().filter(|_| named);
    answer.headers.extend(value.map(|location| (header::LOCATION, location)));
    answer
}

/// Reads a form as it came, and finds the object that it writes.
async fn take(
    proxy: &Proxy,
    visit: &mut Visit<'_>,
    request: &Request,
    bucket: BucketName,
) -> Result<(ObjectName, Body), Failure> {
    if visit.head().target.contains(&b'?') {
        // Some stores read parameters as form fields.
        return Err(S3Error::new(Code::InvalidRequest).because(FORM_WITH_QUERY).into());
    }
    if request.headers.keys().any(|name| name.as_str().starts_with("x-amz-")) {
        // The fields contain everything; a header could change the framing of the body or the
        // operation.
        return Err(S3Error::new(Code::InvalidRequest).because(FORM_WITH_HEADERS).into());
    }
    let mut incoming = IncomingForm::new(proxy, &request.headers, Spelling::Canonical)?;
    let form = incoming.fields(visit, request.expects_continue).await?;
    form.check_canonical(bucket.as_str())?;
    promise_of(&put_headers(&form)?)?;
    if let Some((name, _)) = form.fields().find(|(name, _)| is_reserved(name)) {
        return Err(S3Error::not_implemented(name, Some(RESERVED)).into());
    }
    let key = ObjectKey::parse(form.key(), proxy.naming.segments)?;
    key.as_str().clone_into(&mut visit.log().key);
    let name = ObjectName { bucket, key };
    proxy.rules.policy(&name).check(Operation::PostObject, &Preconditions::NONE)?;
    let claimed = claimed_access_key_id(&form);
    visit.keep(proxy.place_for_write(&claimed)?);
    let body = incoming.whole(visit, &claimed).await?;
    Ok((name, body))
}

const FORM_WITH_QUERY: &str = "A form is sent to its bucket, without a query.";
const FORM_WITH_HEADERS: &str = "A form says all in its fields, and has no header in x-amz-.";
