//! Requests that go to the store as their senders signed them (`signatures = "passthrough"`). What
//! is judged and leased here is read from the very bytes that the store will read, so whatever the
//! two could read differently is refused. Who the sender is, the store says, and only at the end.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora::proxy::Session;

use super::admission::Admitted;
use super::batch::delete_of;
use super::context::Context;
use super::form_as_sent;
use super::outgoing::as_sent;
use super::respond;
use super::state::Proxy;
use crate::backend::headers::for_head;
use crate::body::Body;
use crate::gate::{Outcome, Reply, Write};
use crate::random;
use crate::register::WriteId;
use crate::s3::content::IN_CHUNKS;
use crate::s3::delete_objects::{
    DeleteEntry, DeleteOutcome, DeleteRequest, Deleted, delete_result, parse_delete_objects_as_sent,
};
use crate::s3::{BucketName, Code, Condition, ObjectKey, ObjectName, Operation, S3Error};

/// How many bytes a body may have as it is sent, of which this many are content.
pub(super) fn bytes_max(session: &Session, content_bytes: u64) -> u64 {
    let said = session.req_header().headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    // AWS: chunks have 8 KiB at least, and a chunk's size and signature take about 90 bytes.
    let framed = content_bytes.saturating_mul(2).saturating_add(64 << 10);
    said.map_or(framed, |said: u64| said.min(framed))
}

/// Serves a request whose body names the keys: a form, or a batch that is of one key. The body is
/// covered by the sender's signature and can be neither taken apart nor put together anew.
pub(super) async fn serve(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    admitted: Admitted,
) -> pingora::Result<()> {
    match (admitted.target.bucket().cloned(), admitted.operation) {
        (Some(bucket), Operation::PostObject) => {
            form_as_sent::serve(proxy, session, context, bucket, admitted.expects_continue).await
        }
        (Some(bucket), _) => batch_of_one(proxy, session, context, bucket, admitted).await,
        (None, _) => {
            respond::error(session, context, &S3Error::new(Code::AccessDenied), None).await
        }
    }
}

async fn batch_of_one(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    bucket: BucketName,
    admitted: Admitted,
) -> pingora::Result<()> {
    let Some(signed) = admitted.signed else {
        return respond::error(session, context, &S3Error::new(Code::AccessDenied), None).await;
    };
    if signed.promise.payload.is_chunked() {
        let error = S3Error::not_implemented("Content-Encoding", Some(IN_CHUNKS));
        return respond::error(session, context, &error, None).await;
    }
    let taken = super::batch::take(proxy, session, &signed, admitted.expects_continue).await;
    let document = match taken {
        Ok(document) => document,
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let (request, name, condition) = match only_entry(proxy, &document, bucket) {
        Ok(found) => found,
        Err(error) => return respond::error(session, context, &error, None).await,
    };
    let entry = &request.objects[0];
    name.key.as_str().clone_into(&mut context.log.key);
    let write = Guarded {
        name: &name,
        operation: Operation::DeleteObjects,
        condition: &condition,
        version_id: entry.version_id.as_deref(),
        attempt: admitted.retry.attempt,
        body: &Body::from(document),
    };
    match write.pass(proxy, session, context).await {
        Reply::Error(error, _) => {
            let document = failed(&request, entry, &error);
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            respond::write(session, context, StatusCode::OK, headers, document.into()).await
        }
        Reply::Replayed(_, generation, told) => {
            let deleted = DeleteOutcome::Deleted(Deleted {
                key: entry.key.clone(),
                version_id: entry.version_id.clone(),
                delete_marker: false,
                delete_marker_version_id: None,
            });
            let mut headers = respond::replay_headers(generation.as_ref(), &told);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            let document = delete_result(request.quiet, &[deleted]).into();
            respond::write(session, context, StatusCode::OK, headers, document).await
        }
        Reply::Store(answer) => respond::store(session, context, answer).await,
    }
}

/// The entry of a batch that has no other, its name and its condition.
fn only_entry(
    proxy: &Proxy,
    document: &[u8],
    bucket: BucketName,
) -> Result<(DeleteRequest, ObjectName, Condition), S3Error> {
    let request = parse_delete_objects_as_sent(document)?;
    let [entry] = &request.objects[..] else {
        return Err(S3Error::not_implemented("delete", Some(ONE_KEY)));
    };
    let key = ObjectKey::parse(&entry.key, proxy.naming.segments)?;
    entry.check_version()?;
    let condition = entry.condition(proxy.dialect)?;
    Ok((request, ObjectName { bucket, key }, condition))
}

const ONE_KEY: &str = "Each key is guarded on its own, and a request that the client has signed \
                       cannot be divided: name one key in each request, or use DeleteObject";

fn failed(request: &DeleteRequest, entry: &DeleteEntry, error: &S3Error) -> Vec<u8> {
    delete_result(request.quiet, &[DeleteOutcome::failed(entry, error)])
}

/// A write that goes on as it came.
pub(super) struct Guarded<'a> {
    pub(super) name: &'a ObjectName,
    pub(super) operation: Operation,
    pub(super) condition: &'a Condition,
    pub(super) version_id: Option<&'a str>,
    pub(super) attempt: u32,
    pub(super) body: &'a Body,
}

impl Guarded<'_> {
    pub(super) async fn pass(
        self,
        proxy: &Proxy,
        session: &Session,
        context: &mut Context,
    ) -> Reply {
        let request = as_sent(session);
        let treatment = proxy.rules.treatment(self.name);
        let changes = match self.operation {
            Operation::DeleteObjects => delete_of(self.version_id),
            operation => operation,
        };
        if let Err(refused) = treatment.check(changes, self.condition) {
            return Reply::Error(refused, None);
        }
        if treatment.passes {
            return proxy.gate.pass(self.operation, &request, self.body, None).await.reply;
        }
        let head_headers = for_head(&session.req_header().headers);
        let write = Write {
            name: self.name,
            operation: self.operation,
            condition: self.condition,
            request: &request,
            body: self.body,
            write_id: WriteId::alone(&random::id()),
            attempt: self.attempt,
            arrived: context.arrived,
            head_headers: &head_headers,
            version_id: self.version_id,
            upload_id: None,
            inscribed: false,
            keep_alive: None,
        };
        let outcome: Outcome = proxy.gate.write(&write).await;
        context.log.gate(&outcome);
        if let Some(commit) = outcome.commit {
            commit.record().await;
        }
        outcome.reply
    }
}
