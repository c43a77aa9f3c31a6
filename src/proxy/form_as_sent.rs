//! A browser's form that goes to the store as it came: its policy and signature are for the store to
//! judge. What is guarded here is the key that is read in it, so only what every store reads alike
//! goes on (docs/documents.md, "Forms").

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use pingora::proxy::Session;

use super::context::Context;
use super::form_fields::{claimed_caller, promise_of, put_headers};
use super::incoming_form::IncomingForm;
use super::location::location;
use super::passthrough::Guarded;
use super::read_body::BodyFault;
use super::respond;
use super::state::Proxy;
use super::strict::RESERVED;
use crate::backend::Answer;
use crate::backend::headers::is_reserved;
use crate::body::Body;
use crate::gate::Reply;
use crate::s3::documents::with_location;
use crate::s3::{
    BucketName, Code, Condition, ETag, ObjectKey, ObjectName, Operation, S3Error, Spelling,
};

/// Serves a form.
pub(super) async fn serve(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    bucket: BucketName,
    expects_continue: bool,
) -> pingora::Result<()> {
    let taken = take(proxy, session, context, bucket, expects_continue).await;
    let (name, body) = match taken {
        Ok(taken) => taken,
        Err(BodyFault::Refused(error)) => {
            return respond::error(session, context, &error, None).await;
        }
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let write = Guarded {
        name: &name,
        operation: Operation::PostObject,
        condition: &Condition::None,
        version_id: None,
        attempt: 1,
        body: &body,
    };
    match write.pass(proxy, session, context).await {
        Reply::Store(answer) => {
            let Answer { status, headers, body } = located(session, context, &name, answer);
            respond::write(session, context, status, headers, body).await
        }
        Reply::Error(error, _) => respond::error(session, context, &error, None).await,
        // What the form wants to be told of its success, the store alone has read.
        Reply::Replayed(state, generation, told) => {
            let mut headers = respond::replay_headers(generation.as_ref(), &told);
            if let Some(etag) = respond::etag_left(&state).and_then(ETag::header_value) {
                headers.insert(header::ETAG, etag);
            }
            respond::write(session, context, StatusCode::NO_CONTENT, headers, Bytes::new()).await
        }
    }
}

/// The store's answer, with the place of the object as the client asks for it where the store names
/// one.
fn located(
    session: &Session,
    context: &mut Context,
    name: &ObjectName,
    mut answer: Answer,
) -> Answer {
    let location = location(session, context, name);
    if let Some(document) = with_location(&answer.body, &location) {
        answer.body = document.into();
    }
    let named = answer.status.is_success() && answer.headers.contains_key(header::LOCATION);
    let mut answer = respond::stored(session, context, answer);
    let value = HeaderValue::try_from(location).ok().filter(|_| named);
    answer.headers.extend(value.map(|location| (header::LOCATION, location)));
    answer
}

/// Takes a form as it came, and finds the object that it writes.
async fn take(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    bucket: BucketName,
    expects_continue: bool,
) -> Result<(ObjectName, Body), BodyFault> {
    if session.req_header().uri.query().is_some() {
        // Some stores take parameters for fields.
        let error = S3Error::new(Code::InvalidRequest).because(FORM_WITH_QUERY);
        return Err(error.into());
    }
    if session.req_header().headers.keys().any(|name| name.as_str().starts_with("x-amz-")) {
        // Its fields say it all; a header may say how the body is framed, or what else to do.
        let error = S3Error::new(Code::InvalidRequest).because(FORM_WITH_HEADERS);
        return Err(error.into());
    }
    let mut incoming = IncomingForm::new(proxy, session, Spelling::Canonical)?;
    let form = incoming.fields(proxy, session, expects_continue).await?;
    form.check_canonical(bucket.as_str())?;
    promise_of(&put_headers(&form)?)?;
    if let Some((name, _)) = form.fields().find(|(name, _)| is_reserved(name)) {
        return Err(S3Error::not_implemented(name, Some(RESERVED)).into());
    }
    let key = ObjectKey::parse(form.key(), proxy.naming.segments)?;
    key.as_str().clone_into(&mut context.log.key);
    let name = ObjectName { bucket, key };
    proxy.rules.treatment(&name).check(Operation::PostObject, &Condition::None)?;
    let caller = claimed_caller(&form);
    context.room = Some(proxy.place_for_write(&caller)?);
    let body = incoming.whole(proxy, session, &caller).await?;
    Ok((name, body))
}

const FORM_WITH_QUERY: &str = "A form is sent to its bucket, without a query.";
const FORM_WITH_HEADERS: &str = "A form says all in its fields, and has no header in x-amz-.";
