//! Ended spans.

use std::borrow::Cow;

use super::parent::{SpanId, TraceId};

/// What a span is to the services beside this one (OTLP: `SpanKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    /// In nanoseconds since 1970, like its end.
    pub(super) began: u64,
    pub(super) until: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Why it failed, where it did.
    pub(super) failure: Option<String>,
}

/// The spans of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) trace: TraceId,
    /// The value of `tracestate`.
    pub(super) state: String,
    pub(super) all: Vec<Ended>,
}
