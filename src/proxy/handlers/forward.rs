//! What passes no gate: questions, upload parts, configuration. Every operation without a handler of its
//! own ends here.

use bytes::Bytes;
use http::StatusCode;

use crate::backend::Answer;
use crate::gate::Reply;
use crate::proxy::admitted::Passed;
use crate::proxy::buffered::Buffered;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::proxy::{buffered, gate_reply, outgoing, read_body};

/// Passes on a question, without the body that may have come with it, and its answer.
pub(super) async fn read<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    Passed { request, target }: Passed,
) -> Result<Response<'p>, Failure> {
    if request.expects_continue {
        visit.go_on().await?;
    }
    let had_body = read_body::discard(visit, &request.promise).await?;
    let question = outgoing::question(&request, target.path(), had_body);
    Response::opened(proxy.store.open(&question).await)
}

/// Has a request streamed, its body checked on the way.
pub(super) async fn stream<'p>(
    visit: &mut Visit<'_>,
    Passed { request, target }: Passed,
) -> Result<Response<'p>, Failure> {
    if request.expects_continue {
        // Nothing can be found against it any more; the store is not asked.
        visit.go_on().await?;
    }
    Ok(Response::Forward(outgoing::forward(request, target.path())))
}

/// Reads the body, verifies it, sends it with its checksum or its MD5 ahead.
pub(super) async fn buffered<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    Passed { request, target }: Passed,
) -> Result<Response<'p>, Failure> {
    let Buffered { body, checked, .. } = buffered::read(proxy, visit, &request).await?;
    let outgoing = outgoing::buffered(&request, target.path(), &checked);
    let outcome = proxy.gate.send_unguarded(request.operation, &outgoing, &body, None).await;
    match outcome.reply {
        Reply::Store(answer) => Ok(Response::whole(gate_reply::stored(visit, answer))),
        Reply::Error(error, _) => Err(error.into()),
        // The register is not asked, so that it replays nothing.
        Reply::Replayed(_, generation, told) => {
            let headers = gate_reply::replay_headers(generation.as_ref(), &told);
            Ok(Response::whole(Answer { status: StatusCode::OK, headers, body: Bytes::new() }))
        }
    }
}
