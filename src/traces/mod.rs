//! Traces: for each request one span and its children, which tell where its time went, sent to a
//! collector of OpenTelemetry (docs/decisions/0082-traces.md).
//!
//! - [`parent`]: the place of a request in a trace, as headers tell it (W3C: Trace Context).
//! - `recorder`: spans while they last. `span`, `otlp`: ended ones, and their form on the wire.
//! - `queue`, `export`, `collector`, `answer`: what waits to be sent, how it is sent, what came of it.
//!
//! Only a build with the cargo feature `otel` has more than the first. In any other build [`absent`]
//! replaces the rest, so that no other code has to ask which build it is in.

pub mod absent;
#[cfg(feature = "otel")]
mod answer;
#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod otlp;
pub mod parent;
#[cfg(feature = "otel")]
mod queue;
#[cfg(feature = "otel")]
mod recorder;
pub mod settings;
#[cfg(feature = "otel")]
mod span;
#[cfg(feature = "otel")]
mod tracer;

#[cfg(not(feature = "otel"))]
pub use absent::{ABSENCE, Span, Tracer};
#[cfg(feature = "otel")]
pub use recorder::Span;
#[cfg(feature = "otel")]
pub use tracer::{ABSENCE, Tracer};
