//! What is exported of lists with listed addresses: by list and tenant, and both names come from the configuration.

use std::fmt::Error;

use geofence_common::action::{Action, Direction as Way};
use geofence_common::maps::{ListCounters, list_counter};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::daemon::facts::{ListCount, ListCounts};

/// Which of a list's counters a series shows.
type Value = fn(&ListCounters, Way) -> u64;

/// The directions that the list is about.
fn ways(list: &ListCount) -> impl Iterator<Item = Way> {
    Way::ALL.into_iter().filter(|way| list.direction.is(*way))
}

pub(super) fn encode(lists: &ListCounts, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    if lists.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(
        "geofence_list_packets",
        "Packets from and to addresses on a list, by tenant, direction and what became of them",
        None,
        MetricType::Counter,
    )?;
    for (name, list) in lists {
        for (tenant, counters) in &list.tenants {
            for way in ways(list) {
                for action in [Action::Pass, Action::Drop] {
                    let labels = [
                        ("list", name.as_str()),
                        ("tenant", tenant.as_str()),
                        ("direction", way.name()),
                        ("action", action.name()),
                    ];
                    let packets = counters.packets[list_counter(way, action)];
                    ConstCounter::new(packets).encode(family.encode_family(&labels)?)?;
                }
            }
        }
    }
    let families: [(&str, &str, Value); 2] = [
        (
            "geofence_events",
            "Packets from and to addresses on a list that the kernel has sent an event of",
            |counters, way| counters.events[way as usize][1],
        ),
        (
            "geofence_events_lost",
            "Such packets that there was no event of: more than a list may have, or no room",
            |counters, way| counters.events[way as usize][0],
        ),
    ];
    for (name, help, value) in families {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (name, list) in lists {
            for way in ways(list) {
                let counters = list.tenants.values();
                let sum: u64 = counters.map(|counters| value(counters, way)).sum();
                let labels = [("list", name.as_str()), ("direction", way.name())];
                ConstCounter::new(sum).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}
