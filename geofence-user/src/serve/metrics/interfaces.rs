//! Metrics of the protected interfaces.

use std::fmt::Error;

use super::families::Families;
use super::packet_series::PacketSeries;
use crate::daemon::facts::InterfaceCounters;

pub(super) fn encode(
    interfaces: &[InterfaceCounters],
    packets: &[Vec<PacketSeries>],
    families: &mut Families<'_>,
) -> Result<(), Error> {
    let packets = || {
        interfaces
            .iter()
            .zip(packets)
            .flat_map(|(interface, series)| {
                series.iter().map(|(country, action, reason, counter)| {
                    let labels = [
                        ("interface", interface.name.as_str()),
                        ("country", *country),
                        ("action", action.name()),
                        ("reason", reason.name()),
                    ];
                    (labels, counter)
                })
            })
    };
    families.counters(
        "geofence_packets",
        "Packets by interface, country, action and reason",
        packets().map(|(labels, counter)| (labels, counter.packets)),
    )?;
    families.counters(
        "geofence_bytes",
        "Bytes by interface, country, action and reason",
        packets().map(|(labels, counter)| (labels, counter.bytes)),
    )?;
    let each = || {
        let label = |one: &'_ InterfaceCounters| [("interface", one.name.clone())];
        interfaces.iter().map(move |one| (label(one), one))
    };
    families.gauges(
        "geofence_interface_protected",
        "Whether the filter is attached to the interface",
        each().map(|(labels, one)| (labels, i64::from(one.is_protected))),
    )?;
    families.gauges(
        "geofence_interface_info",
        "The driver of the interface, and the XDP mode in which the filter was attached",
        each().map(|([interface], one)| {
            let labels = [
                interface,
                ("driver", one.driver.clone()),
                ("mode", one.mode.to_owned()),
            ];
            (labels, 1_i64)
        }),
    )?;
    families.gauges(
        "geofence_interface_mode",
        "Former name: geofence_interface_info",
        each().map(|([interface], one)| ([interface, ("mode", one.mode.to_owned())], 1_i64)),
    )?;
    families.counters(
        "geofence_unprotected_seconds",
        "How long the interface existed without the filter since this process started",
        each().map(|(labels, one)| (labels, one.unprotected.as_secs_f64())),
    )
}
