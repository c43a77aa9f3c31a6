//! Requests that are not guarded: reads, upload parts, configuration. Every operation without a
//! handler of its own is served here.

use bytes::Bytes;
use http::StatusCode;

use crate::backend::Answer;
use crate::backend::upload::{Early, Sent};
use crate::gate::Reply;
use crate::proxy::admitted::Passed;
use crate::proxy::buffered::Buffered;
use crate::proxy::forward::Forward;
use crate::proxy::response::{Failure, Response, unreachable};
use crate::proxy::state::Proxy;
use crate::proxy::visit::{BodyFault, Visit};
use crate::proxy::{buffered, gate_reply, outgoing, read_body};

/// Sends on a read, without a body that may have come with it, and passes on the answer.
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

/// Streams a request; its body is checked while it passes.
pub(super) async fn stream<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    Passed { request, target }: Passed,
) -> Result<Response<'p>, Failure> {
    if request.expects_continue {
        // Every check has passed; the body may come. The store is not asked for this.
        visit.go_on().await?;
    }
    let mut forward = outgoing::forward(*request, target.path());
    if forward.is_bare(visit.has_body()) {
        return bare(proxy, visit, forward).await;
    }
    let begun = proxy.store.begin_streamed(&forward.request, forward.length_bytes).await;
    let mut upload = begun.map_err(|why| unreachable(&why))?;
    loop {
        let piece = tokio::select! {
            biased;
            early = upload.early() => match early {
                Early::GoOn => {
                    visit.pass_on_100().await?;
                    continue;
                }
                Early::Answered => return Response::opened(upload.answered().await),
            },
            piece = visit.next_piece() => piece?,
        };
        let Some(piece) = piece else { break };
        let ready = forward.pass_on(piece).map_err(BodyFault::from)?;
        if !ready.is_empty()
            && upload.send(&ready).await.map_err(|why| unreachable(&why))? == Sent::Answered
        {
            return Response::opened(upload.answered().await);
        }
    }
    let last = forward.ended().map_err(BodyFault::from)?;
    if !last.is_empty()
        && upload.send(&last).await.map_err(|why| unreachable(&why))? == Sent::Answered
    {
        return Response::opened(upload.answered().await);
    }
    Response::opened(upload.end().await)
}

/// Sends on a request whose head alone is the whole of it for the store: so everything that was
/// promised is checked before.
async fn bare<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    mut forward: Forward,
) -> Result<Response<'p>, Failure> {
    while let Some(piece) = visit.next_piece().await? {
        forward.pass_on(piece).map_err(BodyFault::from)?;
    }
    let (request, length_bytes) = forward.bare().map_err(BodyFault::from)?;
    let begun = proxy.store.begin_streamed(&request, length_bytes).await;
    Response::opened(begun.map_err(|why| unreachable(&why))?.end().await)
}

/// Reads the body, verifies it, and sends it with its checksum or MD5 in the headers.
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
        // Not reached: without the register there is no replay.
        Reply::Replayed(_, generation, answered) => {
            let headers = gate_reply::replay_headers(generation.as_ref(), &answered);
            Ok(Response::whole(Answer { status: StatusCode::OK, headers, body: Bytes::new() }))
        }
    }
}
