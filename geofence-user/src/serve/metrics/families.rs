//! Writes metric families: a name, a help text and a series for each set of labels.

use std::fmt::Error;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Writes families one after the other.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    /// Writes counters; the format adds `_total` to the name.
    pub(super) fn counters<Labels: EncodeLabelSet, Value>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, Value)>,
    ) -> Result<(), Error>
    where
        ConstCounter<Value>: EncodeMetric,
        Value: EncodeCounterValue,
    {
        let series = series.into_iter();
        let series = series.map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(MetricType::Counter, name, help, series)
    }

    /// Writes gauges.
    pub(super) fn gauges<Labels: EncodeLabelSet, Value>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, Value)>,
    ) -> Result<(), Error>
    where
        ConstGauge<Value>: EncodeMetric,
        Value: EncodeGaugeValue,
    {
        let series = series.into_iter();
        let series = series.map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(MetricType::Gauge, name, help, series)
    }

    /// Writes one gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: i64) -> Result<(), Error> {
        self.gauges(name, help, [([("", ""); 0], value)])
    }

    fn family<Labels: EncodeLabelSet, Metric: EncodeMetric>(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        series: impl Iterator<Item = (Labels, Metric)>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in series {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
