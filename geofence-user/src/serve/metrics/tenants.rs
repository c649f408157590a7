//! Metrics of tenants and exceptions. Their names come from the configuration, and of many exceptions only some have
//! series.

use std::fmt::Error;

use super::exception_series::ExceptionSeries;
use super::families::Families;
use crate::daemon::facts::TenantCounts;

pub(super) fn encode(
    counts: &TenantCounts,
    exceptions: &ExceptionSeries,
    families: &mut Families<'_>,
) -> Result<(), Error> {
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
    let hits = exceptions.series.iter().map(|(kind, name, packets)| {
        let labels = [("kind", *kind), ("name", name.as_str())];
        (labels, *packets)
    });
    families.counters(
        "geofence_exception_packets",
        "Packets that an exception, or the access to protected ports, passed, or a ban dropped",
        hits,
    )?;
    families.gauge(
        "geofence_exceptions",
        "Exceptions that have not expired",
        counts.exceptions as i64,
    )?;
    families.gauge(
        "geofence_bans",
        "Bans that have not expired",
        counts.bans as i64,
    )?;
    families.gauge(
        "geofence_exceptions_in_other",
        "Exceptions with packets that have no series of their own and are counted under the kind other",
        exceptions.others as i64,
    )?;
    families.gauge(
        "geofence_exceptions_expiring",
        "Exceptions that expire within a week",
        counts.expiring as i64,
    )?;
    families.gauge(
        "geofence_exceptions_lapsing",
        "Former name: geofence_exceptions_expiring",
        counts.expiring as i64,
    )
}
