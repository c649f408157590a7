//! Metrics of the flow tables.

use std::fmt::Error;

use geofence_common::flow::Table;

use super::families::Families;
use crate::kernel::TableFacts;

pub(super) fn encode(
    flows: &[TableFacts; Table::ALL.len()],
    families: &mut Families<'_>,
) -> Result<(), Error> {
    let tables = || {
        let tables = Table::ALL.into_iter().zip(flows);
        tables.map(|(table, facts)| (("table", table.name()), facts))
    };
    families.gauges(
        "geofence_flows",
        "Flows in the table, including expired ones that have not been replaced",
        tables().map(|(table, facts)| ([table], facts.entries.cast_signed())),
    )?;
    families.gauges(
        "geofence_flows_capacity",
        "Flows that the table can hold",
        tables().map(|(table, facts)| ([table], i64::from(facts.capacity))),
    )?;
    type Value = fn(&TableFacts) -> u64;
    let counters: [(&str, &str, Value); 3] = [
        (
            "geofence_flow_inserts",
            "Flows opened by outbound packets",
            |facts| facts.counters.opened,
        ),
        (
            "geofence_flow_evictions",
            "Flows replaced by newer ones, including expired flows",
            TableFacts::evictions,
        ),
        (
            "geofence_flow_updates",
            "Outbound packets of known flows",
            |facts| facts.counters.updated,
        ),
    ];
    for (name, help, value) in counters {
        let series = tables().map(|(table, facts)| ([table], value(facts)));
        families.counters(name, help, series)?;
    }
    families.counters(
        "geofence_flow_refusals",
        "Outbound packets that opened no flow: forwarded from a protected interface (foreign), perhaps \
         forwarded from one (unattributed), the table failed (table), or the policy passes no replies (replies_off)",
        tables().flat_map(|(table, facts)| {
            let causes = [
                ("foreign", facts.counters.forwarded),
                ("unattributed", facts.unattributed),
                ("table", facts.counters.full),
                ("replies_off", facts.unanswered),
            ];
            // `cause` is the former name of the label.
            causes.map(|(cause, count)| ([table, ("reason", cause), ("cause", cause)], count))
        }),
    )
}
