//! Spans as OTLP has them on the wire (OTLP 1.x:
//! opentelemetry/proto/collector/trace/v1/trace_service.proto). No IO.

use super::parent::SAMPLED;
use super::span::{Ended, Kind, Spans, Value};
use crate::built;
use crate::protobuf::Message;

/// What sends the spans.
#[derive(Debug)]
pub(super) struct Resource<'a> {
    pub(super) service_name: &'a str,
    /// Tells the processes of one service apart.
    pub(super) instance: &'a str,
}

/// An `ExportTraceServiceRequest`.
pub(super) fn request(resource: &Resource<'_>, requests: &[Spans]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |of_resource| {
        of_resource.message(1, |described| {
            attribute(described, 1, "service.name", &Value::Text(resource.service_name.to_owned()));
            attribute(described, 1, "service.version", &Value::Text(built::VERSION.to_owned()));
            let instance = Value::Text(resource.instance.to_owned());
            attribute(described, 1, "service.instance.id", &instance);
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.text(1, "ifmatch");
                scope.text(2, built::VERSION);
            });
            for of_request in requests {
                for ended in &of_request.all {
                    of_scope.message(2, |message| span(message, of_request, ended));
                }
            }
        });
    });
    request.into_bytes()
}

fn span(message: &mut Message, of_request: &Spans, span: &Ended) {
    message.bytes(1, &of_request.trace.0);
    message.bytes(2, &span.id.0);
    message.text(3, &of_request.state);
    message.bytes(4, span.parent.as_ref().map_or(&[], |parent| &parent.0));
    message.text(5, &span.name);
    message.uint(6, span.kind as u64);
    message.fixed64(7, span.began);
    message.fixed64(8, span.until);
    for (name, value) in &span.attributes {
        attribute(message, 9, name, value);
    }
    if let Some(failure) = &span.failure {
        message.message(15, |status| {
            status.text(2, failure);
            status.uint(3, STATUS_ERROR);
        });
    }
    let remote = if span.kind == Kind::Server && span.parent.is_some() { IS_REMOTE } else { 0 };
    message.fixed32(16, u32::from(SAMPLED) | HAS_IS_REMOTE | remote);
}

fn attribute(message: &mut Message, field: u32, name: &str, value: &Value) {
    message.message(field, |pair| {
        pair.text(1, name);
        pair.message(2, |any| match value {
            Value::Text(text) => any.text_of_one(1, text),
            Value::Number(number) => any.int_of_one(3, *number),
        });
    });
}

/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: u64 = 2;

/// Whether the parent is known to be in another process, or not (`SpanFlags`).
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
