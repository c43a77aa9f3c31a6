//! Spans of requests to the store, and the headers by which the store goes on with the trace.

use http::{Method, StatusCode};

use super::connection::Composed;
use super::{Exchange, Signing};
use crate::config::Endpoint;
use crate::traces::Span;
use crate::traces::parent::TRACE;

/// The span of a request to this node; it lasts until the answer, or until the head of one that
/// streams.
pub(super) fn span(method: &Method, node: &Endpoint) -> Span {
    Span::to_store(method, &node.host)
}

impl Composed {
    /// Names this span as the parent of what the store does. No signature of ours covers these
    /// headers; where one of the sender does, they stay as they are.
    pub(super) fn traced(mut self, span: &Span, signing: Signing) -> Self {
        if let Signing::AsSent { signs_trace: true } = signing {
            return self;
        }
        if let Some(headers) = span.headers() {
            for name in TRACE {
                self.head.headers.remove(name);
            }
            self.head.headers.extend(headers);
        }
        self
    }
}

/// Notes what came of a request that is sent and answered as a whole.
pub(super) fn exchanged(span: &mut Span, exchange: &Exchange) {
    match exchange {
        Exchange::Answered(answer) => answered(span, answer.status),
        Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
            span.fail(why);
        }
    }
}

/// Notes the status of an answer. A HEAD that finds nothing, and a refusal, are answers as wanted.
pub(super) fn answered(span: &mut Span, status: StatusCode) {
    span.number("http.response.status_code", status.as_u16().into());
    if status.is_server_error() {
        span.fail(status.as_str());
    }
}
