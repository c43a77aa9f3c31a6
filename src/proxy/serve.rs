//! Serves one request from its head to its log line: admits it, has its handler serve it, and writes
//! the response. Every answer but that to a malformed head is written here.

use http::StatusCode;
use tokio::time::Instant;

use super::admission::admit;
use super::context::Context;
use super::response::{Alongside, Failure, Response, answer_and_record};
use super::state::Proxy;
use super::visit::{Cut, Visit};
use super::wire::Wire;
use super::{handlers, keep_alive, relay};
use crate::config::EarlyAnswer;
use crate::s3::S3Error;
use crate::s3::wire::ReceivedHead;

impl Proxy {
    /// Serves a request, and returns whether another may follow on its connection. `last`: none
    /// may, and the answer says so.
    pub(super) async fn serve(&self, wire: &mut Wire, head: &ReceivedHead, last: bool) -> bool {
        let mut context = Context::new(self.in_flight.token());
        context.log.address = wire.address();
        context.reads_out = self.early_answer == EarlyAnswer::Read;
        let mut visit = Visit::new(wire, head, &mut context);
        if last {
            visit.close_after();
        }
        let mut span = self.tracer.begin(&head.headers);
        visit.log().trace_id = span.trace_id();
        span.over(async {
            let responded = self.respond(&mut visit).await;
            if let Err(cut) = self.write(&mut visit, responded).await {
                cut_off(&mut visit, cut).await;
            }
        })
        .await;
        let status = visit.answered().as_ref().map(StatusCode::as_u16);
        if status.is_none() {
            visit.log().client_gone();
        }
        let (bytes, may_go_on) = (visit.content_bytes(), visit.may_go_on());
        let now = Instant::now();
        context.count(&self.metrics, status, bytes, now);
        if let Some(hot_keys) = &self.present.hot_keys {
            context.count_key(hot_keys, status, now);
        }
        context.describe(&mut span, status, bytes);
        context.write_log_line(status, bytes, Some(&self.read_sampling));
        may_go_on
    }

    /// Admits a request and has it served.
    async fn respond<'p>(&'p self, visit: &mut Visit<'_>) -> Result<Response<'p>, Failure> {
        let admitted = admit(self, visit)?;
        if let Some(operation) = visit.log().operation {
            self.understanding.look_if_due(&self.store, operation);
        }
        handlers::serve(self, visit, admitted).await
    }

    /// Writes the response to a request.
    async fn write(
        &self,
        visit: &mut Visit<'_>,
        responded: Result<Response<'_>, Failure>,
    ) -> Result<(), Cut> {
        match responded {
            Ok(Response::Whole(answer, Alongside::Record(commit))) => {
                answer_and_record(visit.answer(answer), Some(commit)).await
            }
            Ok(Response::Whole(answer, Alongside::Dismiss(opened))) => {
                tokio::join!(visit.answer(answer), self.store.dismiss(opened)).0
            }
            Ok(Response::Whole(answer, Alongside::Nothing)) => visit.answer(answer).await,
            Ok(Response::Stream(opened)) => relay::pass_on(&self.store, visit, opened).await,
            Ok(Response::Late(late)) => Box::pin(keep_alive::write(visit, late)).await,
            Err(Failure::Refused(error)) => visit.refuse(&error).await,
            Err(Failure::Body(fault)) => visit.refuse_body(fault).await,
        }
    }
}

/// Ends a request whose answer cannot be written to its end. The connection is closed: that tells
/// the client that an answer is incomplete.
async fn cut_off(visit: &mut Visit<'_>, cut: Cut) {
    visit.close_after();
    let why = match cut {
        Cut::Client => return visit.log().client_gone(),
        Cut::Store(why) => why,
    };
    if !visit.take_back() {
        tracing::warn!(why, "the store broke off its answer");
        visit.log().store_broke_off();
        visit.break_off();
        return;
    }
    tracing::warn!(why, "the store did not answer");
    let error = S3Error::service_unavailable(1).because("The store cannot be reached.");
    if let Err(Cut::Client | Cut::Store(_)) = visit.refuse(&error).await {
        visit.log().client_gone();
    }
}
