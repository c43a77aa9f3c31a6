//! Spans while they last. The span of a request has children wherever time may go; which span is the
//! parent is known to the task that works on the request.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, HeaderValue, Method};
use tokio::time::Instant;

use super::parent::{Parent, RANDOM, SAMPLED, SpanId, TRACE, TraceId};
use super::queue::Queue;
use super::span::{Ended, Kind, Spans, Value};
use crate::http1::fields::Fields;
use crate::{clock, random};

/// How many spans one request may have. Most have fewer than ten; a write that waits for a busy key
/// asks the register again and again.
const SPANS_MAX: usize = 100;

/// A longer `tracestate` is passed on, but not kept with the spans (W3C: Trace Context, "tracestate
/// Limits").
const STATE_BYTES_MAX: usize = 512;

tokio::task_local! {
    /// The innermost span that this task works on.
    static CURRENT: Option<Place>;
}

/// A span of a trace.
#[derive(Clone)]
struct Place {
    trace: Arc<Trace>,
    span: SpanId,
}

/// The part of a trace that belongs to one request.
struct Trace {
    id: TraceId,
    flags: u8,
    /// The client's `tracestate`, where it has sent a valid `traceparent`.
    state: Vec<HeaderValue>,
    began: Instant,
    began_unix_ns: u64,
    ended: Mutex<EndedSpans>,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct EndedSpans {
    spans: Vec<Ended>,
    left_out: usize,
}

/// A span; it ends when it is dropped.
pub struct Span {
    place: Option<Place>,
    /// Where it is recorded.
    open: Option<Box<Open>>,
}

struct Open {
    parent: Option<SpanId>,
    name: Cow<'static, str>,
    kind: Kind,
    began: Instant,
    attributes: Vec<(&'static str, Value)>,
    failure: Option<String>,
}

impl Open {
    fn new(parent: Option<SpanId>, name: Cow<'static, str>, kind: Kind, began: Instant) -> Self {
        Self { parent, name, kind, began, attributes: Vec::new(), failure: None }
    }
}

impl Span {
    /// None, where nothing is traced.
    pub fn none() -> Self {
        Self { place: None, open: None }
    }

    /// The span of a request. It goes on with its client's trace, and does with it as the client
    /// says; where there is none, a new one begins, and `share` of them are recorded.
    pub(super) fn of_request(client: &Fields, share: f64, queue: Arc<Queue>) -> Self {
        let parent = Parent::of(client);
        let (id, flags) = parent.map_or_else(
            || {
                let id = TraceId(random::bytes());
                (id, RANDOM | if id.is_of_share(share) { SAMPLED } else { 0 })
            },
            |parent| (parent.trace, parent.flags),
        );
        let state =
            if parent.is_some() { client.get_all(TRACE[1]).cloned().collect() } else { Vec::new() };
        let (began, began_unix_ns) = (Instant::now(), clock::unix_microseconds() * 1000);
        let trace =
            Trace { id, flags, state, began, began_unix_ns, ended: Mutex::default(), queue };
        let open = trace.is_sampled().then(|| {
            let parent = parent.map(|parent| parent.span);
            Box::new(Open::new(parent, Cow::Borrowed("S3"), Kind::Server, began))
        });
        Self { place: Some(Place { trace: Arc::new(trace), span: new_span_id() }), open }
    }

    /// A part of the proxy's own work.
    pub fn within(name: &'static str) -> Self {
        Self::child(|| Cow::Borrowed(name), Kind::Internal)
    }

    /// A step of the register.
    pub fn to_register(step: &'static str) -> Self {
        Self::child(|| Cow::Owned(format!("register {step}")), Kind::Client)
    }

    /// A request to this node of the store.
    pub fn to_store(method: &Method, node: &str) -> Self {
        let mut span = Self::child(|| Cow::Owned(format!("store {method}")), Kind::Client);
        span.text("http.request.method", method.as_str());
        span.text("server.address", node);
        span
    }

    /// A child of the span that this task works on, if there is one.
    fn child(name: impl FnOnce() -> Cow<'static, str>, kind: Kind) -> Self {
        let Ok(Some(parent)) = CURRENT.try_with(Option::clone) else { return Self::none() };
        if !parent.trace.is_sampled() {
            return Self { place: Some(parent), open: None };
        }
        let open = Open::new(Some(parent.span), name(), kind, Instant::now());
        let place = Place { span: new_span_id(), ..parent };
        Self { place: Some(place), open: Some(Box::new(open)) }
    }

    /// Works under this span: spans that begin meanwhile are its children.
    pub fn over<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        // No `async fn`: its future would have the size of two.
        CURRENT.scope(self.place.clone(), work)
    }

    /// The trace's id: 32 hex digits.
    pub fn trace_id(&self) -> Option<String> {
        self.place.as_ref().map(|place| hex::encode(place.trace.id.0))
    }

    /// The headers by which another service goes on with the trace, under this span.
    pub fn headers(&self) -> Option<Fields> {
        let Place { trace, span } = self.place.as_ref()?;
        let parent = Parent { trace: trace.id, span: *span, flags: trace.flags };
        let [parent_name, state_name] = TRACE.map(HeaderName::from_static);
        let mut headers = Fields::with_capacity(2);
        headers.insert(parent_name, parent.header().parse().ok()?);
        for state in &trace.state {
            headers.append(&state_name, state.clone());
        }
        Some(headers)
    }

    /// Whether it will be sent.
    pub fn is_recorded(&self) -> bool {
        self.open.is_some()
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: String) {
        if let Some(open) = &mut self.open {
            open.name = Cow::Owned(name);
        }
    }

    /// Adds a number.
    pub fn number(&mut self, name: &'static str, number: u64) {
        if let Some(open) = &mut self.open {
            open.attributes.push((name, Value::Number(number)));
        }
    }

    /// Adds a text, unless it is empty.
    pub fn text(&mut self, name: &'static str, text: &str) {
        if let Some(open) = self.open.as_mut().filter(|_| !text.is_empty()) {
            open.attributes.push((name, Value::Text(text.to_owned())));
        }
    }

    /// Ends it.
    pub fn end(self) {}

    /// Notes that it failed, and why.
    pub fn fail(&mut self, why: &str) {
        if let Some(open) = &mut self.open {
            open.failure = Some(why.to_owned());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(Place { trace, span }), Some(open)) = (&self.place, self.open.take()) {
            trace.end(*span, *open);
        }
    }
}

impl Trace {
    fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    fn end(&self, id: SpanId, open: Open) {
        let Open { parent, name, kind, began, attributes, failure } = open;
        let (began, until) = (self.unix_ns(began), self.unix_ns(Instant::now()));
        let span = Ended { id, parent, name, kind, began, until, attributes, failure };
        let mut all = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // The request's own span ends last, and says more than any other.
        if all.spans.len() < SPANS_MAX - 1 || kind == Kind::Server {
            all.spans.push(span);
        } else {
            all.left_out += 1;
        }
    }

    /// By the wall clock when the request began, and by the monotonic one since then: no span is
    /// longer, or shorter, than it was.
    fn unix_ns(&self, at: Instant) -> u64 {
        let since = u64::try_from(at.saturating_duration_since(self.began).as_nanos());
        self.began_unix_ns.saturating_add(since.unwrap_or(u64::MAX))
    }
}

/// The last span of a request that ends sends all of them on their way.
impl Drop for Trace {
    fn drop(&mut self) {
        let all = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (spans, left_out) = (take(&mut all.spans), all.left_out);
        if spans.is_empty() {
            return;
        }
        let state: Vec<_> = self.state.iter().filter_map(|value| value.to_str().ok()).collect();
        let state = Some(state.join(",")).filter(|state| state.len() <= STATE_BYTES_MAX);
        let spans = Spans { trace: self.id, state: state.unwrap_or_default(), all: spans };
        self.queue.put(spans, left_out);
    }
}

fn new_span_id() -> SpanId {
    let mut id = [0; 8];
    // They are not all zero: two of their bits say that the source is an UUID.
    id.copy_from_slice(&random::bytes()[8..]);
    SpanId(id)
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("trace", &self.trace_id()).finish_non_exhaustive()
    }
}
