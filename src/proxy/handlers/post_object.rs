//! PostObject: <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>
//!
//! A browser's upload form: the key and the signature are form fields. The store gets a PutObject,
//! which is guarded like any other.

use http::{HeaderName, HeaderValue, Method, header};
use tokio::time::Instant;

use crate::backend::{Answer, Signing, StoreRequest};
use crate::body::Body;
use crate::clock;
use crate::gate::{Outcome, Reply, Write};
use crate::http1::fields::Fields;
use crate::proxy::access::Asked;
use crate::proxy::admitted::Form;
use crate::proxy::context::Context;
use crate::proxy::form_fields::{claimed_access_key_id, promise_of, put_headers};
use crate::proxy::gate_reply::{etag_left, refusal, replay_headers, stored};
use crate::proxy::incoming_form::IncomingForm;
use crate::proxy::location::location;
use crate::proxy::origin::Caller;
use crate::proxy::response::{Failure, Response, record};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::proxy::write_id::add_write_id;
use crate::random;
use crate::register::WriteId;
use crate::s3::form_success::{FormSuccess, Posted};
use crate::s3::{
    BucketName, ETag, ObjectKey, ObjectName, Operation, PostForm, PostPolicy, Preconditions,
    S3Error, Spelling, Target,
};
use crate::sigv4::{Accepted, CheckedBody, PolicyClaim, WhichSecret, authenticate_policy};

/// Serves a form.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    Form { bucket, headers, expects_continue }: Form,
) -> Result<Response<'p>, Failure> {
    let mut incoming = IncomingForm::new(proxy, &headers, Spelling::Any)?;
    let form = incoming.fields(visit, expects_continue).await?;
    let (upload, policy, caller) = admit(proxy, visit, form.filled_in()?, bucket)?;
    let promise = promise_of(&upload.headers)?;
    visit.keep(proxy.place_for_write(caller.access_key_id())?);
    let (body, checked) = incoming.file(visit, &caller, promise, policy.as_ref()).await?;
    let outcome = upload.write(proxy, visit.arrived(), &body, &checked).await;
    visit.log().gate(&outcome);
    record(outcome.commit).await;
    Ok(Response::whole(upload.answer(visit, outcome.reply)))
}

/// A form whose sender may upload the file.
struct Upload {
    form: PostForm,
    name: ObjectName,
    headers: Fields,
    /// Whether the key's rule is `mode = "pass"`.
    unguarded: bool,
}

/// Checks the form's signature, its owner's rights, and that it keeps to the signed policy, which
/// also restricts the file. A form cannot carry a condition, so it is refused where a rule requires
/// one.
fn admit(
    proxy: &Proxy,
    visit: &mut Visit<'_>,
    form: PostForm,
    bucket: BucketName,
) -> Result<(Upload, Option<PostPolicy>, Caller), S3Error> {
    let (came, Context { log, .. }) = visit.parts();
    let caller = match PolicyClaim::of(&form)? {
        None => Caller::Anonymous,
        Some(claim) => {
            let accepted = Accepted {
                region: proxy.region.as_deref(),
                version_2: proxy.accepts_version_2,
                host_bucket: None,
            };
            let owner = authenticate_policy(&claim, &proxy.clients, &proxy.keys, &accepted)
                .inspect_err(|_| {
                    let claimed = claimed_access_key_id(&form);
                    log.claimed_access_key_id = proxy.clients.if_known(claimed);
                })?;
            proxy.clients.note_secret(&owner.access_key_id, owner.secret);
            log.previous_secret = owner.secret == WhichSecret::Previous;
            Caller::Client(owner.access_key_id)
        }
    };
    caller.access_key_id().clone_into(&mut log.access_key_id);
    form.key().clone_into(&mut log.key);
    let target = Target::Bucket(bucket.clone());
    proxy.clients.authorize(&caller, came.shown, &Asked::of(Operation::PostObject, &target))?;
    let policy = form.field("policy").map(PostPolicy::parse).transpose()?;
    if let Some(policy) = &policy {
        policy.check(&form, bucket.as_str(), clock::unix_seconds())?;
    }
    let key = ObjectKey::parse(form.key(), proxy.naming.segments)?;
    let name = ObjectName { bucket, key };
    let rules = proxy.rules.policy(&name);
    rules.check(Operation::PostObject, &Preconditions::NONE)?;
    let headers = put_headers(&form)?;
    Ok((Upload { name, headers, form, unguarded: rules.unguarded }, policy, caller))
}

/// The headers of the store's answer that are about the object: its version and its encryption. The
/// CORS headers of the put do not apply to the form.
fn of_the_store(answer: Fields) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    answer.into_iter().filter(|(name, _)| name.as_str().starts_with("x-amz-"))
}

impl Upload {
    /// Writes the form's file: through the gate, or without a lease where a rule says so.
    async fn write(
        &self,
        proxy: &Proxy,
        arrived: Instant,
        body: &Body,
        checked: &CheckedBody,
    ) -> Outcome {
        let mut request = self.put(checked);
        if self.unguarded {
            return proxy.gate.send_unguarded(Operation::PostObject, &request, body, None).await;
        }
        let write_id = WriteId::alone(&random::id());
        let carries_id = add_write_id(proxy, &mut request, &self.name, &write_id);
        let write = Write {
            name: &self.name,
            operation: Operation::PostObject,
            preconditions: &Preconditions::NONE,
            request: &request,
            body,
            write_id,
            attempt: 1,
            arrived,
            head_headers: &Fields::new(),
            version_id: None,
            upload_id: None,
            etag: None,
            carries_id,
            keep_alive: None,
        };
        proxy.gate.write(&write).await
    }

    /// Answers as the form asks for.
    fn answer(&self, visit: &mut Visit<'_>, reply: Reply) -> Answer {
        match reply {
            Reply::Store(answer) if answer.status.is_success() => {
                let etag = answer.headers.get(header::ETAG);
                let etag = etag.map(|value| ETag::parse(value.as_bytes()));
                let mut success = self.success(visit, etag.as_ref());
                success.headers.extend(of_the_store(answer.headers));
                success
            }
            Reply::Store(answer) => stored(visit, answer),
            Reply::Error(refused, current) => refusal(visit, &refused, current.as_ref()),
            Reply::Replayed(state, generation, answered) => {
                let mut success = self.success(visit, etag_left(&state));
                success.headers.extend(replay_headers(generation.as_ref(), &answered));
                success
            }
        }
    }

    /// The request for the store.
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

    /// The answer that the form asks for.
    fn success(&self, visit: &Visit<'_>, etag: Option<&ETag>) -> Answer {
        let location = location(visit, &self.name);
        let quoted = etag.map(ETag::to_string).unwrap_or_default();
        let posted = Posted {
            bucket: self.name.bucket.as_str(),
            key: self.name.key.as_str(),
            etag: &quoted,
            location: &location,
        };
        let FormSuccess { status, mut headers, body } = FormSuccess::of(&self.form, &posted);
        if let Some(value) = etag.and_then(ETag::header_value) {
            headers.insert(header::ETAG, value);
        }
        Answer { status, headers, body: body.into() }
    }
}
