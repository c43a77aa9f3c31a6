//! A guarded write from its head to its answer: early look, body, gate, reply.

use pingora::proxy::Session;

use super::admission::Admitted;
use super::buffered;
use super::context::Context;
use super::copy_source::{self, Source};
use super::keep_alive::LateResponse;
use super::outgoing::to_request;
use super::respond;
use super::state::Proxy;
use super::write_id::{inscribe, write_id};
use crate::backend::headers::for_head;
use crate::backend::{KeepAlive, StoreRequest};
use crate::gate::{Outcome, Reply, Write};
use crate::s3::{Code, Operation, S3Error};

/// A body up to this size has usually arrived with its head: an early look would cost a round trip
/// and save nothing.
const EARLY_LOOK_BYTES_MIN: u64 = 64 * 1024;

/// Serves a write of the key that the request names.
pub(super) async fn serve(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    admitted: Admitted,
) -> pingora::Result<()> {
    let (Some(name), Some(signed)) = (admitted.target.object().cloned(), &admitted.signed) else {
        let denied = S3Error::new(Code::AccessDenied);
        return respond::error(session, context, &denied, None).await;
    };
    let source = match Source::judged(&proxy.store, session, &admitted).await {
        Ok(source) => source,
        Err(refused) => return respond::error(session, context, &refused, None).await,
    };
    let head_headers = for_head(&session.req_header().headers);
    let large = signed.promise.length.is_none_or(|bytes| bytes >= EARLY_LOOK_BYTES_MIN);
    let guarded = !admitted.treatment.passes;
    if guarded && (admitted.expects_continue || large) {
        let attempt = admitted.retry.attempt;
        let look = proxy.gate.early_look(&name, &admitted.condition, attempt, &head_headers).await;
        if let Some(outcome) = look {
            return answer(session, context, &admitted, outcome, LateResponse::default()).await;
        }
    }
    let taken = buffered::take(proxy, session, &admitted, signed).await;
    let (body, checked) = match taken {
        Ok(taken) => taken,
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let mut request = to_request(session, name.path(), &admitted, &checked);
    let parameter = |name| admitted.query.get(name);
    let (mut upload_id, mut version_id) = (None, None);
    match admitted.operation {
        Operation::CompleteMultipartUpload => upload_id = parameter("uploadId"),
        Operation::DeleteObjectVersion => version_id = parameter("versionId"),
        _ => {}
    }
    let write_id = write_id(&admitted, signed, &name, upload_id, &checked);
    let inscribed = guarded
        && takes_metadata(&admitted, &request)
        && inscribe(proxy, &mut request, &name, &write_id);
    let keep_alive = KeepAlive::default();
    let write = Write {
        name: &name,
        operation: admitted.operation,
        condition: &admitted.condition,
        request: &request,
        body: &body,
        write_id,
        attempt: admitted.retry.attempt,
        arrived: context.arrived,
        head_headers: &head_headers,
        version_id,
        upload_id,
        inscribed,
        keep_alive: Some(&keep_alive),
    };
    let mut waiting = LateResponse::default();
    let outcome = if guarded {
        let written = copy_source::write(proxy, &write, source);
        waiting.meanwhile(session, context, &keep_alive, written).await
    } else {
        let pass = proxy.gate.pass(admitted.operation, &request, &body, Some(&keep_alive));
        waiting.meanwhile(session, context, &keep_alive, pass).await
    };
    drop(body);
    answer(session, context, &admitted, outcome, waiting).await
}

/// Replies, and records the landing at the same time: neither waits for the other.
async fn answer(
    session: &mut Session,
    context: &mut Context,
    admitted: &Admitted,
    mut outcome: Outcome,
    waiting: LateResponse,
) -> pingora::Result<()> {
    context.log.gate(&outcome);
    if !admitted.may_read()
        && let Reply::Error(_, current) = &mut outcome.reply
    {
        *current = None;
    }
    let commit = outcome.commit.take();
    let record = async {
        if let Some(commit) = commit {
            commit.record().await;
        }
    };
    let reply = async {
        if waiting.begun() {
            waiting.finish(session, context, admitted, outcome.reply).await
        } else {
            respond::reply(session, context, admitted, outcome.reply).await
        }
    };
    let (replied, ()) = tokio::join!(reply, record);
    replied
}

/// Is what the request says of metadata what the object will have? A copy takes its source's along
/// unless told otherwise, and a complete those that its upload was created with.
fn takes_metadata(admitted: &Admitted, request: &StoreRequest) -> bool {
    match admitted.operation {
        Operation::PutObject => true,
        Operation::CopyObject => {
            let directive = request.headers.get("x-amz-metadata-directive");
            directive.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"REPLACE"))
        }
        _ => false,
    }
}
