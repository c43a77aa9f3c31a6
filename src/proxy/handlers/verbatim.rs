//! A guarded write that is sent on as it came: its body names the key and is covered by the
//! sender's signature, so the proxy cannot change it.

use crate::backend::headers::for_head;
use crate::body::Body;
use crate::gate::{Reply, Write};
use crate::proxy::admitted::Request;
use crate::proxy::outgoing;
use crate::proxy::response::record;
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::random;
use crate::register::WriteId;
use crate::s3::{ObjectName, Operation, Preconditions};

use super::delete_objects::delete_of;

/// The names found in the body.
pub(super) struct Named<'a> {
    pub(super) name: &'a ObjectName,
    pub(super) preconditions: &'a Preconditions,
    pub(super) version_id: Option<&'a str>,
    pub(super) attempt: u32,
}

/// Sends the write through the gate, or without a lease where a rule says so.
pub(super) async fn write(
    proxy: &Proxy,
    visit: &mut Visit<'_>,
    request: &Request,
    named: Named<'_>,
    body: &Body,
) -> Reply {
    let outgoing = outgoing::unjudged(request, named.name.path());
    let operation = request.operation;
    let policy = proxy.rules.policy(named.name);
    let changes = match operation {
        Operation::DeleteObjects => delete_of(named.version_id),
        operation => operation,
    };
    if let Err(refused) = policy.check(changes, named.preconditions) {
        return Reply::Error(refused, None);
    }
    if policy.unguarded {
        return proxy.gate.send_unguarded(operation, &outgoing, body, None).await.reply;
    }
    let head_headers = for_head(&request.headers);
    let write = Write {
        name: named.name,
        operation,
        preconditions: named.preconditions,
        request: &outgoing,
        body,
        write_id: WriteId::alone(&random::id()),
        attempt: named.attempt,
        arrived: visit.arrived(),
        head_headers: &head_headers,
        version_id: named.version_id,
        upload_id: None,
        etag: None,
        carries_id: false,
        keep_alive: None,
    };
    let outcome = proxy.gate.write(&write).await;
    visit.log().gate(&outcome);
    record(outcome.commit).await;
    outcome.reply
}
