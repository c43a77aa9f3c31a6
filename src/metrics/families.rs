//! Families: metrics with their descriptions, written in the format of a scrape.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::cells::{Counter, Histogram};
use super::delimited::{Family, Kind};
use crate::protobuf::Message;

/// Writes metrics with their descriptions.
pub(super) enum Families<'a> {
    /// As text; the encoder knows which.
    Text(DescriptorEncoder<'a>),
    /// As messages, with this prefix to each name.
    Messages(&'a mut Message, &'static str),
}

/// The labels of a metric.
pub(super) trait Labels: EncodeLabelSet {
    fn pairs(&self) -> &[(&str, &str)];
}

impl<const N: usize> Labels for [(&str, &str); N] {
    fn pairs(&self) -> &[(&str, &str)] {
        self
    }
}

/// The number of a gauge.
pub(super) trait Number: EncodeGaugeValue + Copy {
    fn float(self) -> f64;
}

impl Number for f64 {
    fn float(self) -> f64 {
        self
    }
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
impl Number for u64 {
    fn float(self) -> f64 {
        self as f64
    }
}

#[allow(clippy::cast_precision_loss, reason = "as above")]
impl Number for i64 {
    fn float(self) -> f64 {
        self as f64
    }
}

const NONE: [(&str, &str); 0] = [];

impl Families<'_> {
    pub(super) fn counter(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        of: &Counter,
    ) -> fmt::Result {
        self.counters(name, unit, help, std::iter::once((NONE, of.get())))
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str, duration: Duration) -> fmt::Result {
        let (unit, seconds) = (Some(&Unit::Seconds), duration.as_secs_f64());
        match self {
            Self::Text(encoder) => {
                let mut metric =
                    encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
                metric.encode_counter::<NoLabelSet, _, f64>(&seconds, None)?;
            }
            Self::Messages(out, prefix) => {
                let mut family = described(prefix, name, unit, help, Kind::Counter);
                family.number(&NONE, seconds);
                family.write_to(out);
            }
        }
        Ok(())
    }

    pub(super) fn counters<S: Labels>(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        each: impl Iterator<Item = (S, u64)>,
    ) -> fmt::Result {
        match self {
            Self::Text(encoder) => {
                let mut metric =
                    encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
                for (labels, count) in each {
                    let mut one = metric.encode_family(&labels)?;
                    one.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
                }
            }
            Self::Messages(out, prefix) => {
                let mut family = described(prefix, name, unit, help, Kind::Counter);
                each.for_each(|(labels, count)| family.number(labels.pairs(), count.float()));
                family.write_to(out);
            }
        }
        Ok(())
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        value: impl Number,
    ) -> fmt::Result {
        self.gauges(name, unit, help, std::iter::once((NONE, value)))
    }

    pub(super) fn gauges<S: Labels>(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        each: impl Iterator<Item = (S, impl Number)>,
    ) -> fmt::Result {
        match self {
            Self::Text(encoder) => {
                let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
                for (labels, value) in each {
                    metric.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
            Self::Messages(out, prefix) => {
                let mut family = described(prefix, name, unit, help, Kind::Gauge);
                each.for_each(|(labels, value)| family.number(labels.pairs(), value.float()));
                family.write_to(out);
            }
        }
        Ok(())
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, of: &Histogram) -> fmt::Result {
        self.histograms(name, help, std::iter::once((NONE, of)))
    }

    pub(super) fn histograms<'h, S: Labels>(
        &mut self,
        name: &str,
        help: &str,
        each: impl Iterator<Item = (S, &'h Histogram)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        match self {
            Self::Text(encoder) => {
                let kind = MetricType::Histogram;
                let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
                for (labels, of) in each {
                    let (buckets, sum) = (of.buckets(), of.sum_s());
                    // A request may be counted between two readings: the buckets count.
                    let count = buckets.iter().map(|(_, count)| count).sum();
                    let mut one = metric.encode_family(&labels)?;
                    one.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
                }
            }
            Self::Messages(out, prefix) => {
                let mut family = described(prefix, name, unit, help, Kind::Histogram);
                each.for_each(|(labels, of)| family.histogram(labels.pairs(), of));
                family.write_to(out);
            }
        }
        Ok(())
    }
}

/// A family under the name that its samples have in the text.
fn described(prefix: &str, name: &str, unit: Option<&Unit>, help: &str, kind: Kind) -> Family {
    let unit = unit.map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
    let total = if let Kind::Counter = kind { "_total" } else { "" };
    Family::new(&format!("{prefix}{name}{unit}{total}"), help, kind)
}
