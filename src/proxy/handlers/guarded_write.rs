//! A guarded write from its head to its answer: early look, body, gate, reply. These steps are the
//! same for all writes of the key in the request's path.

use std::sync::Arc;

use tokio::time::Instant;

use crate::backend::headers::for_head;
use crate::backend::{KeepAlive, StoreRequest};
use crate::body::Body;
use crate::gate::{Outcome, Write};
use crate::http1::fields::Fields;
use crate::proxy::admitted::KeyWrite;
use crate::proxy::buffered::Buffered;
use crate::proxy::copy_source::{self, Source};
use crate::proxy::response::{Failure, LateResponse, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::proxy::write_id::{add_write_id, write_id};
use crate::proxy::{buffered, gate_reply, outgoing};
use crate::register::WriteId;
use crate::s3::{ETag, Effect, ObjectName, Operation, Preconditions, WriteClass};

/// A body up to this size has usually arrived with its head: an early look would cost a round trip
/// and save nothing.
const EARLY_LOOK_BYTES_MIN: u64 = 64 * 1024;

/// The particulars of an operation.
#[derive(Debug, Default)]
pub(super) struct Particulars {
    /// The name of the call across its attempts, where its success can be answered again.
    pub(super) call: Option<String>,
    /// The source of a copy, after it was judged.
    pub(super) source: Option<Source>,
    /// The upload id of a CompleteMultipartUpload.
    pub(super) upload_id: Option<String>,
    /// The version to delete, if it is not the current one.
    pub(super) version_id: Option<String>,
    /// Whether the object gets the metadata in the request.
    pub(super) sets_metadata: bool,
}

/// Serves a write.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    write: KeyWrite,
    particulars: Particulars,
) -> Result<Response<'p>, Failure> {
    let head_headers = for_head(&write.request.headers);
    if let Some(refused) = early_look(proxy, &write, &head_headers).await {
        let written = (write.request.operation, &write.name);
        let may_tell = write.request.origin.may_tell();
        return Ok(gate_reply::respond(visit, written, may_tell, refused));
    }
    let taken = buffered::read(proxy, visit, &write.request).await?;
    let body = Taken { body: taken, head_headers, arrived: visit.arrived() };
    let prepared = Prepared::new(proxy, write, particulars, body);
    let (operation, may_tell) = (prepared.operation, prepared.may_tell);
    let name = prepared.name.clone();
    if is_long(operation) {
        // A store may send white space while it works on the write; it is passed on meanwhile.
        let keep_alive = Arc::new(KeepAlive::default());
        let heard = Arc::clone(&keep_alive);
        let outcome = Box::pin(async move { prepared.perform(proxy, Some(&keep_alive)).await });
        let late = LateResponse { operation, name, may_tell, keep_alive: heard, outcome };
        return Ok(Response::Late(late));
    }
    let outcome = prepared.perform(proxy, None).await;
    Ok(gate_reply::respond(visit, (operation, &name), may_tell, outcome))
}

/// Refuses a stale writer before its body is read, where that saves enough.
async fn early_look(proxy: &Proxy, write: &KeyWrite, head_headers: &Fields) -> Option<Outcome> {
    let length = write.request.promise.length;
    let large = length.is_none_or(|bytes| bytes >= EARLY_LOOK_BYTES_MIN);
    if write.unguarded || !(write.request.expects_continue || large) {
        return None;
    }
    let attempt = write.retry.attempt;
    proxy.gate.early_look(&write.name, &write.preconditions, attempt, head_headers).await
}

/// Whether the store may work on it for minutes (AWS: CompleteMultipartUpload, CopyObject).
fn is_long(operation: Operation) -> bool {
    matches!(
        operation.effect(),
        Effect::WritesKey(WriteClass::Long) | Effect::UnknownWrite(WriteClass::Long)
    )
}

/// A buffered body, and the other parts of its request that are needed.
struct Taken {
    body: Buffered,
    head_headers: Fields,
    arrived: Instant,
}

/// A write with all that the gate needs.
struct Prepared {
    name: ObjectName,
    operation: Operation,
    preconditions: Preconditions,
    request: StoreRequest,
    body: Body,
    write_id: WriteId,
    attempt: u32,
    arrived: Instant,
    head_headers: Fields,
    upload_id: Option<String>,
    version_id: Option<String>,
    source: Option<Source>,
    unguarded: bool,
    carries_id: bool,
    etag: Option<ETag>,
    may_tell: bool,
}

impl Prepared {
    fn new(proxy: &Proxy, write: KeyWrite, particulars: Particulars, taken: Taken) -> Self {
        let Taken { body: Buffered { body, checked, etag }, head_headers, arrived } = taken;
        let path = write.name.path();
        let mut request = if write.unguarded {
            outgoing::buffered(&write.request, path, &checked)
        } else {
            outgoing::judged(&write.request, path, &checked)
        };
        let write_id = write_id(&write, particulars.call.as_deref(), &checked);
        let carries_id = !write.unguarded
            && particulars.sets_metadata
            && add_write_id(proxy, &mut request, &write.name, &write_id);
        Self {
            operation: write.request.operation,
            may_tell: write.request.origin.may_tell(),
            name: write.name,
            preconditions: write.preconditions,
            attempt: write.retry.attempt,
            unguarded: write.unguarded,
            upload_id: particulars.upload_id,
            version_id: particulars.version_id,
            source: particulars.source,
            request,
            body,
            write_id,
            arrived,
            head_headers,
            carries_id,
            etag,
        }
    }

    async fn perform(self, proxy: &Proxy, keep_alive: Option<&KeepAlive>) -> Outcome {
        let (operation, request, body) = (self.operation, &self.request, &self.body);
        if self.unguarded {
            return proxy.gate.send_unguarded(operation, request, body, keep_alive).await;
        }
        let write = Write {
            name: &self.name,
            operation,
            preconditions: &self.preconditions,
            request,
            body,
            write_id: self.write_id,
            attempt: self.attempt,
            arrived: self.arrived,
            head_headers: &self.head_headers,
            version_id: self.version_id.as_deref(),
            upload_id: self.upload_id.as_deref(),
            etag: self.etag.as_ref(),
            carries_id: self.carries_id,
            keep_alive,
        };
        copy_source::write(proxy, &write, self.source).await
    }
}
