//! The proxy's request handling, on Pingora's phases. Only this module knows these phases.
//!
//! A request is admitted (operation, sender, promises about the body), its handler returns a
//! response, and the response is written here. A request that changes the content of a key goes
//! through the gate. It never uses Pingora's own path to the store, which may send a request twice.
//! A body that is not guarded streams through that path, signed anew.

mod access;
mod admission;
mod admitted;
mod buffered;
mod conditional_read;
mod connection_slots;
mod context;
mod copy_source;
mod cors;
mod delete_limiter;
mod door;
mod form_fields;
mod forward;
mod gate_reply;
mod handlers;
mod handshake;
mod incoming_form;
mod keep_alive;
mod lasting;
mod levels;
mod live;
mod location;
mod origin;
mod outgoing;
mod pre_auth;
mod read_body;
mod reconfigure;
mod relay;
mod response;
mod rules;
mod signed;
mod state;
mod strict;
mod tls_stream;
mod visit;
mod wire;
mod write_id;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use crate::backend::headers::OBJECT_WRITE_ID;
use crate::config::EarlyAnswer;
use crate::http1::persists;
use crate::metrics::labels::RefusedBy;
use crate::s3::S3Error;
use admission::admit;
use context::{Context, REQUEST_ID};
pub use door::Door;
use forward::Forward;
pub use handshake::Handshakes;
pub use lasting::{Lasting, gate_settings};
pub use levels::ProxyLevels;
pub use live::LiveProxy;
pub use reconfigure::Reconfigurable;
use response::{Alongside, Failure, Response};
pub use state::Proxy;
use visit::{BodyFault, Visit, answered};

#[cfg(test)]
mod requests_tests;

impl Proxy {
    /// Admits a request and serves it.
    async fn respond<'p>(&'p self, visit: &mut Visit<'_>) -> Result<Response<'p>, Failure> {
        let admitted = admit(self, visit)?;
        if let Some(operation) = visit.log().operation {
            self.understanding.look_if_due(&self.store, operation);
        }
        handlers::serve(self, visit, admitted).await
    }

    /// Writes the response to a request. `false`: Pingora is to stream the request.
    async fn write(
        &self,
        visit: &mut Visit<'_>,
        responded: Result<Response<'_>, Failure>,
    ) -> pingora::Result<bool> {
        match responded {
            Ok(Response::Whole(answer, alongside)) => {
                let alongside = async {
                    match alongside {
                        Alongside::Nothing => {}
                        Alongside::Record(commit) => commit.record().await,
                        Alongside::Dismiss(opened) => self.store.dismiss(opened).await,
                    }
                };
                tokio::join!(visit.answer(answer), alongside).0?;
            }
            Ok(Response::Stream(opened)) => relay::pass_on(&self.store, visit, opened).await?,
            Ok(Response::Late(late)) => Box::pin(keep_alive::write(visit, late)).await?,
            Ok(Response::Forward(forward)) => {
                visit.forward(forward);
                return Ok(false);
            }
            Err(Failure::Refused(error)) => visit.refuse(&error).await?,
            Err(Failure::Body(fault)) => visit.refuse_body(fault).await?,
        }
        Ok(true)
    }
}

/// A request under way, as Pingora passes it from phase to phase.
#[derive(Debug)]
pub struct UnderWay {
    /// The state that it is served with, from its beginning to its end.
    proxy: Arc<Proxy>,
    context: Context,
}

#[async_trait]
impl ProxyHttp for LiveProxy {
    type CTX = UnderWay;

    fn new_ctx(&self) -> UnderWay {
        let proxy = self.current();
        let mut context = Context::new(proxy.in_flight.token());
        context.reads_out = proxy.early_answer == EarlyAnswer::Read;
        UnderWay { proxy, context }
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        UnderWay { proxy, context }: &mut UnderWay,
    ) -> pingora::Result<bool> {
        session.set_read_timeout(Some(proxy.idle_timeout));
        session.set_write_timeout(Some(proxy.idle_timeout));
        if !persists(session.req_header().version, &session.req_header().headers) {
            session.set_keepalive(None);
        }
        let mut visit = Visit::new(session, context);
        let responded = proxy.respond(&mut visit).await;
        proxy.write(&mut visit, responded).await.map_err(of_client)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        UnderWay { proxy, context }: &mut UnderWay,
    ) -> pingora::Result<Box<HttpPeer>> {
        let forward = context.forward.as_mut().ok_or_else(|| internal("nothing to forward"))?;
        let routed = proxy.store.route(&forward.request, &forward.unreached);
        let (peer, via) =
            routed.map_err(|why| Error::explain(ErrorType::ConnectError, why).into_up())?;
        forward.via = Some(via);
        Ok(Box::new(HttpPeer::clone(&peer)))
    }

    /// Nothing was sent: the request may go to another node.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        UnderWay { proxy, context }: &mut UnderWay,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(Forward { request, via: Some(via), unreached, .. }) = &mut context.forward {
            error.set_retry(proxy.store.unreached(request, (&*via, unreached), &error));
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        UnderWay { proxy, context }: &mut UnderWay,
    ) -> pingora::Result<()> {
        let forward = context.forward.as_ref().ok_or_else(|| internal("nothing to forward"))?;
        let via = forward.via.as_ref().ok_or_else(|| internal("no node was chosen"))?;
        let composed = proxy
            .store
            .compose_via(&forward.request, forward.length_bytes, via)
            .map_err(|error| Error::because(ErrorType::InternalError, "composing", error))?;
        *upstream = composed.head;
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        UnderWay { context, .. }: &mut UnderWay,
    ) -> pingora::Result<()> {
        let forward = context.forward.as_mut().ok_or_else(|| internal("nothing to forward"))?;
        forward.pass_on(body, end_of_stream).map_err(|error| {
            let text = error.to_string();
            context.failure = Some(error);
            Error::explain(ErrorType::Custom("the client's body broke its promise"), text)
        })
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        upstream: &mut ResponseHeader,
        UnderWay { context, .. }: &mut UnderWay,
    ) -> pingora::Result<()> {
        let operation = context.log.operation;
        let redirected = location::redirected(operation, upstream.status, &upstream.headers, None);
        if let Some(error) = redirected {
            context.failure = Some(error);
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "a redirect").into_up());
        }
        if upstream.status.is_success()
            && upstream.remove_header(&header::LOCATION).is_some()
            && let Some(location) = location::of_bucket(context)
        {
            upstream.insert_header(header::LOCATION, location)?;
        }
        context.log.judged_by = Some(RefusedBy::Store);
        // As in `Visit::go_on`: the store's 100 is not an answer.
        let is_answer = !upstream.status.is_informational();
        session.set_close_on_response_before_downstream_finish(is_answer);
        if session.req_header().version == Version::HTTP_10 {
            // Pingora would send chunks to a client that does not know them.
            upstream.remove_header(&header::TRANSFER_ENCODING);
        }
        upstream.remove_header(&OBJECT_WRITE_ID);
        context.answered_by_store(&upstream.headers);
        if !upstream.headers.contains_key(REQUEST_ID) {
            upstream.insert_header(REQUEST_ID, context.request_id.as_str())?;
        }
        Ok(())
    }

    /// Pingora would send a request again whose pooled connection was dead. Only reads may be sent
    /// twice.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        _: &mut UnderWay,
        client_reused: bool,
    ) -> Box<Error> {
        if session.req_header().method.is_safe() && !session.retry_buffer_truncated() {
            error.retry.decide_reuse(client_reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        UnderWay { proxy, context }: &mut UnderWay,
    ) -> FailToProxy {
        let failure = context.failure.take().or_else(|| match error.esource() {
            // A client that had sent its whole body had nothing left to send: it has disconnected.
            ErrorSource::Downstream => match &context.forward {
                Some(forward) if !forward.is_whole() => match BodyFault::of(error) {
                    BodyFault::Refused(refused) => Some(refused),
                    BodyFault::CutShort => {
                        context.log.client_gone();
                        Some(S3Error::incomplete_body())
                    }
                    BodyFault::ClientGone => None,
                },
                Some(_) | None => None,
            },
            ErrorSource::Upstream if answered(session).is_some() => {
                tracing::warn!(%error, "the store broke off its answer");
                context.log.store_broke_off();
                Some(S3Error::internal_error())
            }
            ErrorSource::Upstream => {
                tracing::warn!(%error, "the store did not answer");
                Some(S3Error::service_unavailable(1).because("The store cannot be reached."))
            }
            ErrorSource::Internal | ErrorSource::Unset => {
                tracing::error!(%error, "a request failed inside the proxy");
                Some(S3Error::internal_error())
            }
        });
        if matches!(error.etype(), ErrorType::ConnectTimedout | ErrorType::ConnectRefused) {
            proxy.store.resolve_again().await;
        }
        let Some(failure) = failure else {
            context.log.client_gone();
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        let error_code = failure.status().as_u16();
        // The connection ends here, and the answer says so.
        session.set_keepalive(None);
        // An answer under way can only be broken off.
        if answered(session).is_none()
            && let Err(error) = Visit::new(session, context).refuse(&failure).await
        {
            tracing::debug!(%error, "the client did not take the error");
            context.log.client_gone();
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// This module writes one line for each request itself.
    fn suppress_error_log(&self, _: &Session, _: &UnderWay, _: &Error) -> bool {
        true
    }

    async fn logging(
        &self,
        session: &mut Session,
        _: Option<&Error>,
        UnderWay { proxy, context }: &mut UnderWay,
    ) {
        let status = answered(session).map(|status| status.as_u16());
        if status.is_none() {
            context.log.client_gone();
        }
        let bytes = (session.body_bytes_read(), session.body_bytes_sent());
        context.count(&proxy.metrics, status, bytes);
        context.write_log_line(status, bytes, Some(&proxy.read_sampling));
    }
}

/// A fault between the client and this proxy while its request was served here. Faults of the store
/// are handled before, and Pingora's sessions read or write nothing else.
#[allow(clippy::unnecessary_box_returns, reason = "Pingora's own error type")]
fn of_client(mut error: Box<Error>) -> Box<Error> {
    let on_the_wire = matches!(
        error.etype(),
        ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::ConnectionClosed
    );
    if on_the_wire && *error.esource() == ErrorSource::Unset {
        error.as_down();
    }
    error
}

#[allow(clippy::unnecessary_box_returns, reason = "Pingora's own error type")]
fn internal(what: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, what)
}
