//! Traces in a build without them: nothing is recorded, and nothing costs anything.

use std::future::{Future, ready};
use std::sync::Arc;

use http::Method;
use tokio::runtime::Runtime;

use super::settings::Settings;
use crate::http1::fields::Fields;
use crate::metrics::Metrics;
use crate::tls::FileFault;

/// Why a build has no traces.
pub const ABSENCE: Option<&str> = Some(
    "this build of ifmatch has no traces: build it with cargo build --release --features otel, or \
     remove the table [traces]",
);

/// Records nothing.
#[derive(Debug, Clone, Default)]
pub struct Tracer;

/// A span that is not recorded.
#[derive(Debug)]
pub struct Span;

#[allow(missing_docs, clippy::unused_self, reason = "as in the other build")]
impl Tracer {
    pub fn new(_: Arc<Metrics>) -> Self {
        Self
    }

    pub fn prepare(&self, _: Option<Settings>) -> Result<Box<dyn FnOnce() + Send>, FileFault> {
        Ok(Box::new(|| {}))
    }

    pub fn export(&self, _: &Runtime) {}

    pub fn flush(&self) -> impl Future<Output = ()> {
        ready(())
    }

    pub fn begin(&self, _: &Fields) -> Span {
        Span
    }
}

#[allow(missing_docs, clippy::unused_self, reason = "as in the other build")]
impl Span {
    pub fn none() -> Self {
        Self
    }

    pub fn within(_: &'static str) -> Self {
        Self
    }

    pub fn to_register(_: &'static str) -> Self {
        Self
    }

    pub fn to_store(_: &Method, _: &str) -> Self {
        Self
    }

    pub fn over<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        work
    }

    pub fn trace_id(&self) -> Option<String> {
        None
    }

    pub fn headers(&self) -> Option<Fields> {
        None
    }

    pub fn is_recorded(&self) -> bool {
        false
    }

    pub fn rename(&mut self, _: String) {}

    pub fn number(&mut self, _: &'static str, _: u64) {}

    pub fn text(&mut self, _: &'static str, _: &str) {}

    pub fn end(self) {}

    pub fn fail(&mut self, _: &str) {}
}
