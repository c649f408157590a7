//! Metrics of tenants and exceptions. Their names come from the configuration.

use std::fmt::Error;

use super::families::Families;
use crate::daemon::facts::TenantCounts;

pub(super) fn encode(counts: &TenantCounts, families: &mut Families<'_>) -> Result<(), Error> {
    let packets = || {
        counts.tenants.iter().flat_map(|(tenant, counters)| {
            counters.iter().map(move |((action, reason), counter)| {
                let labels = [
                    ("tenant", tenant.as_str()),
                    ("action", action.name()),
                    ("reason", reason.name()),
                ];
                (labels, counter)
            })
        })
    };
    families.counters(
        "geofence_tenant_packets",
        "Packets to a tenant by action and reason",
        packets().map(|(labels, counter)| (labels, counter.packets)),
    )?;
    families.counters(
        "geofence_tenant_bytes",
        "Bytes to a tenant by action and reason",
        packets().map(|(labels, counter)| (labels, counter.bytes)),
    )?;
    let hits = counts.hits.iter().map(|(kind, name, packets)| {
        let labels = [("kind", *kind), ("name", name.as_str())];
        (labels, *packets)
    });
    families.counters(
        "geofence_exception_packets",
        "Packets that an exception, or the access to protected ports, passed",
        hits,
    )?;
    families.gauge(
        "geofence_exceptions",
        "Exceptions that have not expired",
        counts.exceptions as i64,
    )?;
    families.gauge(
        "geofence_exceptions_lapsing",
        "Exceptions that expire within a week",
        counts.expiring as i64,
    )
}
