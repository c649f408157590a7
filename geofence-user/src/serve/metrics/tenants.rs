//! What is exported of tenants and exceptions: by name, and names come from the configuration.

use std::fmt::Error;

use geofence_common::maps::Counter;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::gauge;
use crate::daemon::facts::TenantCounts;

pub(super) fn encode(
    counts: &TenantCounts,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    encode_tenants(
        counts,
        encoder,
        "geofence_tenant_packets",
        "Packets by the tenant they were sent to and what became of them",
        |one| one.packets,
    )?;
    encode_tenants(
        counts,
        encoder,
        "geofence_tenant_bytes",
        "Bytes by the tenant they were sent to and what became of them",
        |one| one.bytes,
    )?;
    let mut family = encoder.encode_descriptor(
        "geofence_exception_packets",
        "Packets that an exception, or the access to protected ports, let pass",
        None,
        MetricType::Counter,
    )?;
    for (kind, name, packets) in &counts.hits {
        let labels = [("kind", *kind), ("name", name.as_str())];
        ConstCounter::new(*packets).encode(family.encode_family(&labels)?)?;
    }
    gauge(
        encoder,
        "geofence_exceptions",
        "Exceptions that have not lapsed",
        [(vec![], counts.exceptions as i64)],
    )?;
    gauge(
        encoder,
        "geofence_exceptions_lapsing",
        "Exceptions that lapse within a week",
        [(vec![], counts.expiring as i64)],
    )
}

fn encode_tenants(
    counts: &TenantCounts,
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl Fn(&Counter) -> u64,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (tenant, counters) in &counts.tenants {
        for ((action, reason), counter) in counters {
            let labels = [
                ("tenant", tenant.as_str()),
                ("action", action.name()),
                ("reason", reason.name()),
            ];
            ConstCounter::new(value(counter)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
