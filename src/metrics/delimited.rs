//! Metrics as messages of Protocol Buffers, each after its length (Prometheus: io.prometheus.client,
//! `metrics.proto`). Native histograms have no other form.

use super::cells::Histogram;
use super::native::{Native, SCHEMA};
use crate::protobuf::Message;

/// The kind of a metric (`MetricType`), and its field in a `Metric`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A `MetricFamily`.
pub(super) struct Family {
    message: Message,
    kind: Kind,
}

impl Family {
    pub(super) fn new(name: &str, help: &str, kind: Kind) -> Self {
        let mut message = Message::default();
        message.text(1, name);
        message.text(2, help);
        message.uint(
            3,
            match kind {
                Kind::Counter => 0,
                Kind::Gauge => 1,
                Kind::Histogram => 4,
            },
        );
        Self { message, kind }
    }

    /// Adds a counter or a gauge.
    pub(super) fn number(&mut self, labels: &[(&str, &str)], value: f64) {
        let field = if let Kind::Counter = self.kind { 3 } else { 2 };
        self.metric(labels, |metric| metric.message(field, |number| number.double(1, value)));
    }

    /// Adds a histogram, with both kinds of buckets.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], of: &Histogram) {
        self.metric(labels, |metric| metric.message(7, |message| write(message, of)));
    }

    fn metric(&mut self, labels: &[(&str, &str)], fill: impl FnOnce(&mut Message)) {
        self.message.message(4, |metric| {
            for (name, value) in labels {
                metric.message(1, |pair| {
                    pair.text(1, name);
                    pair.text(2, value);
                });
            }
            fill(metric);
        });
    }

    /// Writes it, after its length.
    pub(super) fn write_to(self, out: &mut Message) {
        out.delimited(&self.message);
    }
}

/// A `Histogram`. Both kinds of buckets are read one after the other while others count; the native
/// ones are read last and are counted first, so they have at least as much.
fn write(message: &mut Message, of: &Histogram) {
    let (classic, sum, native) = (of.buckets(), of.sum_s(), of.native());
    let count = native.count();
    message.uint(1, count);
    message.double(2, sum);
    let mut up_to = 0;
    for (bound, within) in classic {
        up_to = if bound.is_finite() { (up_to + within).min(count) } else { count };
        message.message(3, |bucket| {
            bucket.uint(1, up_to);
            bucket.double(2, bound);
        });
    }
    message.sint(5, SCHEMA.into());
    message.double(6, native.zero_threshold_s);
    message.uint(7, native.zeros);
    write_native(message, &native);
}

/// Indices are told as spans of successive ones, counts as differences (`positive_span`,
/// `positive_delta`). Where nothing is counted, an empty span says that the histogram is native.
fn write_native(message: &mut Message, native: &Native) {
    let span = |message: &mut Message, offset: i32, length: u64| {
        message.message(12, |span| {
            span.sint(1, offset.into());
            span.uint(2, length);
        });
    };
    if native.buckets.is_empty() {
        return span(message, 0, 0);
    }
    let mut next = 0;
    for run in native.buckets.chunk_by(|(a, _), (b, _)| a + 1 == *b) {
        let first = run.first().map_or(0, |(index, _)| *index);
        span(message, first - next, run.len() as u64);
        next = run.last().map_or(0, |(index, _)| index + 1);
    }
    let mut before = 0;
    for (_, count) in &native.buckets {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        message.sint(13, count - before);
        before = count;
    }
}
