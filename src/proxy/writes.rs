//! A guarded write from its head to its answer: early look, body, gate, reply.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use http::HeaderValue;
use pingora::proxy::Session;
use sha2::{Digest, Sha256};

use super::Proxy;
use super::admission::{Admitted, Signed};
use super::context::Context;
use super::copy_source::{self, Source};
use super::passthrough;
use super::respond;
use super::waiting::Waiting;
use super::whole;
use crate::backend::headers::{INSCRIPTION, for_head, to_store, to_store_unconditional};
use crate::backend::{KeepAlive, Signing, StoreRequest};
use crate::gate::{Outcome, Reply, Write, inscription};
use crate::random;
use crate::register::WriteId;
use crate::s3::encoding::encode_query;
use crate::s3::{Code, CopySource, ObjectName, Operation, RequestHead, S3Error};
use crate::sigv4::CheckedBody;

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
            return answer(session, context, &admitted, outcome, Waiting::default()).await;
        }
    }
    let taken = whole::take(proxy, session, &admitted, signed).await;
    let (body, checked) = match taken {
        Ok(taken) => taken,
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let mut request = to_request(session, name.path(), &admitted, &checked);
    let parameter = |name| query_parameter(session, name);
    let (mut upload_id, mut version_id) = (None, None);
    match admitted.operation {
        Operation::CompleteMultipartUpload => upload_id = parameter("uploadId"),
        Operation::DeleteObjectVersion => version_id = parameter("versionId"),
        _ => {}
    }
    let write_id = write_id(&admitted, signed, &name, upload_id.as_deref(), &checked);
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
        version_id: version_id.as_deref(),
        upload_id: upload_id.as_deref(),
        inscribed,
        keep_alive: Some(&keep_alive),
    };
    let mut waiting = Waiting::default();
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
    waiting: Waiting,
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

/// A parameter of the query, decoded.
pub(super) fn query_parameter(session: &Session, wanted: &str) -> Option<String> {
    head_of(session).parameter(wanted).map(Cow::into_owned)
}

/// The head as admission has left it.
fn head_of(session: &Session) -> RequestHead<'_> {
    let request = session.req_header();
    RequestHead {
        method: &request.method,
        path: request.uri.path(),
        query: request.uri.query().unwrap_or_default(),
        headers: &request.headers,
    }
}

/// The request as the store gets it: the key spelled in one way, the body as checked, and no
/// condition unless the key passes.
pub(super) fn to_request(
    session: &Session,
    path: String,
    admitted: &Admitted,
    checked: &CheckedBody,
) -> StoreRequest {
    if admitted.is_as_sent() {
        return passthrough::as_sent(session);
    }
    let request = session.req_header();
    let mut headers = if admitted.treatment.passes {
        to_store(&request.headers)
    } else {
        to_store_unconditional(&request.headers)
    };
    admitted.spell_copy_source(&mut headers);
    whole::describe_anew(&mut headers, session, admitted);
    whole::insert_digests(&mut headers, checked);
    whole::name_document(&mut headers, &request.method, admitted.operation);
    StoreRequest {
        signing: Signing::Anew,
        method: request.method.clone(),
        path,
        query: query_to_store(session),
        headers,
        sha256: checked.sha256,
    }
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

/// Has the object carry its write's id, where objects are to. Whether it will.
pub(super) fn inscribe(
    proxy: &Proxy,
    request: &mut StoreRequest,
    name: &ObjectName,
    write_id: &WriteId,
) -> bool {
    if !proxy.store.writes_ids() {
        return false;
    }
    inscription(name, write_id).map(|id| request.headers.insert(INSCRIPTION, id)).is_some()
}

/// The query spelled as AWS does, so that what is signed is what is sent: admission has taken out
/// what belongs to a signature or stands for a header.
pub(super) fn query_to_store(session: &Session) -> Vec<(String, String)> {
    let spelled =
        |(name, value): (Cow<'_, str>, Cow<'_, str>)| (encode_query(&name), encode_query(&value));
    head_of(session).parameters().map(spelled).collect()
}

/// Names the write across its retries: those whose success can be answered again from the register
/// alone. A complete is known by its upload, whichever call it belongs to: an upload can be
/// completed once. All else stands for itself.
fn write_id(
    admitted: &Admitted,
    signed: &Signed,
    name: &ObjectName,
    upload_id: Option<&str>,
    checked: &CheckedBody,
) -> WriteId {
    if admitted.is_as_sent() {
        // What became of a write is told again only to its own sender, and who that is is not known.
        return WriteId::alone(&random::id());
    }
    let invocation = match admitted.operation {
        Operation::PutObject | Operation::CopyObject | Operation::DeleteObject => {
            admitted.retry.invocation.as_deref()
        }
        Operation::CompleteMultipartUpload => upload_id,
        _ => None,
    };
    let condition = format!("{:?}", admitted.condition);
    let source = admitted.copy_source.as_ref().and_then(CopySource::header_value);
    write_id_of(
        invocation,
        &[
            signed.caller.access_key_id().as_bytes(),
            admitted.operation.name().as_bytes(),
            name.to_string().as_bytes(),
            condition.as_bytes(),
            source.as_ref().map(HeaderValue::as_bytes).unwrap_or_default(),
            &checked.sha256.unwrap_or_default(),
        ],
    )
}

/// The id of what these parts say within one invocation; a request that names none stands for
/// itself.
pub(super) fn write_id_of(invocation: Option<&str>, parts: &[&[u8]]) -> WriteId {
    let Some(invocation) = invocation else { return WriteId::alone(&random::id()) };
    let mut hash = Sha256::new();
    for part in parts.iter().chain([&invocation.as_bytes()]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    // Half of the digest is unlikely enough to meet another, and every busy key's journal holds
    // some.
    WriteId(BASE64.encode(&hash.finalize()[..16]))
}
