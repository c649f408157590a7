//! Metrics of exempted services. Their names come from the configuration, and the kernel has a limited number of slots.

use std::fmt::Error;

use super::families::Families;
use crate::kernel::ServiceCounts;

/// The label of packets for services without a counter of their own.
const OTHER: &str = "other";

pub(super) fn encode(counts: &ServiceCounts, families: &mut Families<'_>) -> Result<(), Error> {
    let services = counts.services.iter();
    let services = services.map(|(service, packets)| (service.to_string(), *packets));
    let other = std::iter::once((OTHER.to_owned(), counts.other));
    families.counters(
        "geofence_service_packets",
        "Packets from blocked countries that passed as mail or for another exempted service, by the service",
        services
            .chain(other)
            .map(|(service, packets)| ([("service", service)], packets)),
    )
}
