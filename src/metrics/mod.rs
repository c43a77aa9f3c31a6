//! Metrics: atomic counters, gauges and histograms, and their exposition for Prometheus.
//!
//! All of them are fields of one [`Metrics`], made once at the start. A request writes to its cells
//! without a lock, a hash or an allocation (docs/decisions/0070-metrics.md). A scrape reads the
//! cells and nothing else: it asks neither the store nor Redis.
//!
//! - [`cells`]: the atomic numbers. [`label`], [`labels`]: the closed sets that they are counted by.
//! - [`levels`]: the numbers that other parts keep anyway. [`tls`]: what is counted of TLS.
//! - [`exposition`]: names, units and help texts of all metrics. [`mod@format`]: the form of a scrape.
//! - [`native`]: the buckets of native histograms, beside those in [`cells`].
//! - [`process`]: the process's own numbers, from the text of `/proc`.

pub mod cells;
mod delimited;
pub mod exposition;
mod families;
pub mod format;
pub mod label;
pub mod labels;
pub mod levels;
pub mod native;
pub mod process;
pub mod tls;

use cells::{
    Bounds, Counter, CounterTable, Counters, Gauge, Histogram, HistogramTable, Histograms,
};
use labels::{
    Alarm, Connecting, DoubtEnd, ErrorCode, GuardedListing, GuardedRead, HeadFault, OperationClass,
    OperationName, Outcome, RefusedBy, SpanEnd, StaleHead, Step, StepFailure, StepResult,
    StoreRequestClass, Verdict,
};
use tls::TlsMetrics;

use crate::s3::Precondition;

/// Everything that is counted. [`exposition`] has the help text of each.
#[derive(Debug)]
#[allow(missing_docs, reason = "the help texts say what each is")]
pub struct Metrics {
    // requests
    pub requests: CounterTable<OperationName, Outcome>,
    pub request_duration: Histograms<OperationClass>,
    pub request_bytes: Counter,
    pub response_bytes: Counter,
    pub refusals: CounterTable<RefusedBy, ErrorCode>,
    pub rejected_heads: Counters<HeadFault>,
    // the gate
    pub conditions: CounterTable<Precondition, Verdict>,
    pub gate_wait: Histogram,
    pub gate_waiting: Gauge,
    pub lease_held: Histogram,
    pub leases: Gauge,
    pub doubts: Gauge,
    pub doubts_settled: Counters<DoubtEnd>,
    pub replays: Counter,
    pub alarms: Counters<Alarm>,
    // the register
    pub register_step: HistogramTable<Step, StepResult>,
    pub register_failures: Counters<StepFailure>,
    pub register_reconnects: Counter,
    /// In milliseconds.
    pub register_clock_jump_ms: Gauge,
    // the store
    pub backend_request: Histograms<StoreRequestClass>,
    pub backend_connecting: Counters<Connecting>,
    pub backend_in_use: Gauge,
    pub backend_resends: Counter,
    pub store_stale_heads: Counters<StaleHead>,
    pub store_lag: Histogram,
    pub guarded_reads: Counters<GuardedRead>,
    pub guarded_listings: Counters<GuardedListing>,
    /// 1 or 0.
    pub backend_up: Gauge,
    /// Settings that the store contradicted when it was asked at the start.
    pub backend_contradictions: Gauge,
    // certificates, and handshakes with clients
    pub tls: TlsMetrics,
    /// Of traces.
    pub trace_spans: Counters<SpanEnd>,
    // the configuration
    /// In seconds since 1970; 0 before the configuration was loaded.
    pub config_loaded_s: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: CounterTable::default(),
            request_duration: Histograms::new(Bounds::FINE),
            request_bytes: Counter::default(),
            response_bytes: Counter::default(),
            refusals: CounterTable::default(),
            rejected_heads: Counters::default(),
            conditions: CounterTable::default(),
            gate_wait: Histogram::new(Bounds::FINE),
            gate_waiting: Gauge::default(),
            lease_held: Histogram::new(Bounds::FINE),
            leases: Gauge::default(),
            doubts: Gauge::default(),
            doubts_settled: Counters::default(),
            replays: Counter::default(),
            alarms: Counters::default(),
            register_step: HistogramTable::new(Bounds::COARSE),
            register_failures: Counters::default(),
            register_reconnects: Counter::default(),
            register_clock_jump_ms: Gauge::default(),
            backend_request: Histograms::new(Bounds::FINE),
            backend_connecting: Counters::default(),
            backend_in_use: Gauge::default(),
            backend_resends: Counter::default(),
            store_stale_heads: Counters::default(),
            store_lag: Histogram::new(Bounds::FINE),
            guarded_reads: Counters::default(),
            guarded_listings: Counters::default(),
            backend_up: Gauge::default(),
            backend_contradictions: Gauge::default(),
            tls: TlsMetrics::default(),
            trace_spans: Counters::default(),
            config_loaded_s: Gauge::default(),
        }
    }
}
