//! A browser's upload form (AWS: POST Object): the key and the signature stand in the form. What
//! goes to the store is a PutObject, through the gate like every other.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora::proxy::Session;

use super::access::{Asked, Caller};
use super::context::Context;
use super::form_fields::{promise_of, put_headers, signed_policy};
use super::incoming_form::IncomingForm;
use super::location::location;
use super::read_body::BodyFault;
use super::respond;
use super::state::Proxy;
use super::write_id::inscribe;
use crate::backend::{Signing, StoreRequest};
use crate::body::Body;
use crate::clock;
use crate::gate::{Reply, Write};
use crate::random;
use crate::register::WriteId;
use crate::s3::encoding::encode_query;
use crate::s3::form::post_response;
use crate::s3::{
    BucketName, Condition, ETag, ObjectKey, ObjectName, Operation, PostForm, PostPolicy, S3Error,
    Spelling, Target,
};
use crate::sigv4::{Accepted, CheckedBody, authenticate_policy};

/// Serves a form.
pub(super) async fn serve(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    bucket: BucketName,
    expects_continue: bool,
) -> pingora::Result<()> {
    match take(proxy, session, context, bucket, expects_continue).await {
        Ok((upload, body, checked)) => {
            write(proxy, session, context, &upload, &body, &checked).await
        }
        Err(BodyFault::Refused(error)) => respond::error(session, context, &error, None).await,
        Err(gone @ (BodyFault::CutShort | BodyFault::ClientGone)) => {
            gone.answer(session, context).await
        }
    }
}

/// Takes the fields, and when they say that their sender may, the file.
async fn take(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    bucket: BucketName,
    expects_continue: bool,
) -> Result<(Upload, Body, CheckedBody), BodyFault> {
    let mut incoming = IncomingForm::new(proxy, session, Spelling::Any)?;
    let form = incoming.fields(proxy, session, expects_continue).await?;
    let (upload, policy, caller) = admit(proxy, context, form.filled_in()?, bucket)?;
    let promise = promise_of(&upload.headers)?;
    context.room = Some(proxy.place_for_write(&caller)?);
    let (body, checked) = incoming.file(proxy, session, &caller, promise, policy.as_ref()).await?;
    Ok((upload, body, checked))
}

/// Sends the form's file to the store, and answers as the form asks for.
async fn write(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    upload: &Upload,
    body: &Body,
    checked: &CheckedBody,
) -> pingora::Result<()> {
    let mut request = upload.put(checked);
    let write_id = WriteId::alone(&random::id());
    let inscribed = !upload.passes && inscribe(proxy, &mut request, &upload.name, &write_id);
    let mut outcome = if upload.passes {
        proxy.gate.pass(Operation::PostObject, &request, body, None).await
    } else {
        let write = Write {
            name: &upload.name,
            operation: Operation::PostObject,
            condition: &Condition::None,
            request: &request,
            body,
            write_id,
            attempt: 1,
            arrived: context.arrived,
            head_headers: &HeaderMap::new(),
            version_id: None,
            upload_id: None,
            inscribed,
            keep_alive: None,
        };
        proxy.gate.write(&write).await
    };
    context.log.gate(&outcome);
    if let Some(commit) = outcome.commit.take() {
        commit.record().await;
    }
    match outcome.reply {
        Reply::Store(answer) if answer.status.is_success() => {
            let etag = answer.headers.get(header::ETAG).map(|value| ETag::parse(value.as_bytes()));
            let (status, mut headers, document) = upload.success(session, context, etag.as_ref());
            headers.extend(of_the_store(answer.headers));
            respond::write(session, context, status, headers, document).await
        }
        Reply::Error(refused, current) => {
            respond::error(session, context, &refused, current.as_ref()).await
        }
        Reply::Store(answer) => respond::store(session, context, answer).await,
        Reply::Replayed(state, generation, told) => {
            let (status, mut headers, document) =
                upload.success(session, context, respond::etag_left(&state));
            headers.extend(respond::replay_headers(generation.as_ref(), &told));
            respond::write(session, context, status, headers, document).await
        }
    }
}

/// A form whose sender may upload it.
struct Upload {
    form: PostForm,
    name: ObjectName,
    headers: HeaderMap,
    /// Whether a rule lets the key's writes pass.
    passes: bool,
}

/// Checks the form's signature, its owner's rights, and that it keeps to the signed policy, which
/// says something of its file, too. A form cannot carry a condition, so it is refused where a rule
/// requires one.
fn admit(
    proxy: &Proxy,
    context: &mut Context,
    form: PostForm,
    bucket: BucketName,
) -> Result<(Upload, Option<PostPolicy>, Caller), S3Error> {
    let caller = match signed_policy(&form)? {
        None => Caller::Anonymous,
        Some(claim) => {
            let accepted = Accepted {
                region: proxy.region.as_deref(),
                version_2: proxy.accepts_version_2,
                host_bucket: None,
            };
            let owner = authenticate_policy(&claim, &proxy.clients, &proxy.keys, &accepted)?;
            Caller::Client(owner)
        }
    };
    caller.access_key_id().clone_into(&mut context.log.access_key_id);
    form.key().clone_into(&mut context.log.key);
    let target = Target::Bucket(bucket.clone());
    proxy.clients.authorize(&caller, &Asked::of(Operation::PostObject, &target))?;
    let policy = form.field("policy").map(PostPolicy::parse).transpose()?;
    if let Some(policy) = &policy {
        policy.check(&form, bucket.as_str(), clock::unix_seconds())?;
    }
    let key = ObjectKey::parse(form.key(), proxy.naming.segments)?;
    let name = ObjectName { bucket, key };
    let treatment = proxy.rules.treatment(&name);
    treatment.check(Operation::PostObject, &Condition::None)?;
    let headers = put_headers(&form)?;
    Ok((Upload { name, headers, form, passes: treatment.passes }, policy, caller))
}

/// What the store's answer says of the object, its version and encryption say. Who may see it is
/// another question for a form than for the put that it becomes.
fn of_the_store(answer: HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let named = answer.into_iter().filter_map(|(name, value)| Some((name?, value)));
    named.filter(|(name, _)| name.as_str().starts_with("x-amz-"))
}

impl Upload {
    /// What goes to the store.
    fn put(&self, checked: &CheckedBody) -> StoreRequest {
        StoreRequest {
            signing: Signing::Anew,
            method: Method::PUT,
            path: self.name.path(),
            query: Vec::new(),
            headers: self.headers.clone(),
            sha256: checked.sha256,
        }
    }

    /// AWS: `success_action_redirect`, else `success_action_status` 200, 201 or 204.
    fn success(
        &self,
        session: &Session,
        context: &Context,
        etag: Option<&ETag>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let location = location(session, context, &self.name);
        let mut headers = HeaderMap::new();
        if let Some(value) = etag.and_then(ETag::header_value) {
            headers.insert(header::ETAG, value);
        }
        let quoted = etag.map(ETag::to_string).unwrap_or_default();
        let (bucket, key) = (self.name.bucket.as_str(), self.name.key.as_str());
        if let Some(to) = self.redirect(&quoted) {
            headers.insert(header::LOCATION, to);
            return (StatusCode::SEE_OTHER, headers, Bytes::new());
        }
        if let Ok(location) = HeaderValue::from_str(&location) {
            headers.insert(header::LOCATION, location);
        }
        match self.form.field("success_action_status") {
            Some("200") => (StatusCode::OK, headers, Bytes::new()),
            Some("201") => {
                let xml = HeaderValue::from_static("application/xml");
                headers.insert(header::CONTENT_TYPE, xml);
                let document = post_response(&location, bucket, key, &quoted);
                (StatusCode::CREATED, headers, document.into())
            }
            _ => (StatusCode::NO_CONTENT, headers, Bytes::new()),
        }
    }

    /// Where the form wants its browser to go; `None` also where that is no place on the web, which is
    /// as if nothing was said (AWS: POST Object, `success_action_redirect`).
    fn redirect(&self, etag: &str) -> Option<HeaderValue> {
        let to =
            self.form.field("success_action_redirect").or_else(|| self.form.field("redirect"))?;
        let (scheme, place) = to.split_once("://")?;
        let on_the_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        if !on_the_web || place.is_empty() || place.starts_with(['/', '?', '#']) {
            return None;
        }
        let joint = if to.contains('?') { '&' } else { '?' };
        let [bucket, key, etag] =
            [self.name.bucket.as_str(), self.name.key.as_str(), etag].map(encode_query);
        // The name of a file may stand in it, which is no part of a URL as it is.
        let to = utf8_percent_encode(to, NOT_OF_A_URL);
        HeaderValue::from_str(&format!("{to}{joint}bucket={bucket}&key={key}&etag={etag}")).ok()
    }
}

/// What no URL has in it, and so was not meant as a part of its spelling.
const NOT_OF_A_URL: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');
