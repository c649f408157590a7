//! Metrics of lists, by list and tenant. Both names come from the configuration.

use std::fmt::Error;

use geofence_common::action::Action;
use geofence_common::action::Direction as Way;
use geofence_common::maps::{ListCounters, list_counter};

use super::families::Families;
use crate::daemon::facts::{ListCount, ListCounts};
use crate::data::lists::{ListReport, ListState};

/// The directions that the list is about.
fn ways(list: &ListCount) -> impl Iterator<Item = Way> {
    let direction = list.direction;
    Way::ALL.into_iter().filter(move |way| direction.is(*way))
}

/// What the kernel counted.
pub(super) fn encode_counters(
    lists: &ListCounts,
    families: &mut Families<'_>,
) -> Result<(), Error> {
    if lists.is_empty() {
        return Ok(());
    }
    let mut packets = Vec::new();
    let mut events = Vec::new();
    for (name, list) in lists {
        let list_label = ("list", name.as_str());
        for way in ways(list) {
            let way_label = ("direction", way.name());
            for (tenant, counters) in &list.tenants {
                for action in [Action::Pass, Action::Drop] {
                    let labels = [
                        list_label,
                        ("tenant", tenant.as_str()),
                        way_label,
                        ("action", action.name()),
                    ];
                    packets.push((labels, counters.packets[list_counter(way, action)]));
                }
            }
            let sum = |index: usize| {
                let counters = list.tenants.values();
                counters
                    .map(|one: &ListCounters| one.events[way as usize][index])
                    .sum::<u64>()
            };
            events.push(([list_label, way_label], [sum(0), sum(1)]));
        }
    }
    families.counters(
        "geofence_list_packets",
        "Packets from and to addresses on a list, by tenant, direction and action",
        packets,
    )?;
    let events = events.iter();
    families.counters(
        "geofence_events",
        "Packets from and to addresses on a list for which the kernel sent an event",
        events.clone().map(|(labels, [_, sent])| (*labels, *sent)),
    )?;
    families.counters(
        "geofence_events_lost",
        "Packets from and to addresses on a list without an event, because of the list's rate limit or a full buffer",
        events.map(|(labels, [lost, _])| (*labels, *lost)),
    )
}

/// What the lists contain and how current they are.
pub(super) fn encode_reports(
    lists: &[ListReport],
    families: &mut Families<'_>,
) -> Result<(), Error> {
    if lists.is_empty() {
        return Ok(());
    }
    type Value = fn(&ListReport) -> i64;
    let gauges: [(&str, &str, Value); 3] = [
        (
            "geofence_list_entries",
            "Prefixes on a list that have not expired",
            |list| i64::try_from(list.entries).unwrap_or(i64::MAX),
        ),
        (
            "geofence_list_confirmed_timestamp_seconds",
            "When the source of a list last delivered or confirmed its content; 0 for never",
            |list| list.since.unwrap_or_default().0.cast_signed(),
        ),
        (
            "geofence_list_degraded",
            "Whether the list in use is not the one its source has: rejected, unavailable or never fetched",
            |list| i64::from(list.state != ListState::Current),
        ),
    ];
    for (name, help, value) in gauges {
        let lists = lists.iter();
        let series = lists.map(|list| ([("list", list.name.as_str())], value(list)));
        families.gauges(name, help, series)?;
    }
    Ok(())
}
