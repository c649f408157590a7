//! What rules cost on the way of live frames: a sender and a veth pair before the filter, as for the other filters.
//!
//! The sources are blocked and no rule names them, so every policy drops every frame for its country, which is held
//! against the filter's counters and the driver's. The sender is in the figures, as a wire's driver would be.

use anyhow::{Result, ensure};

use crate::peers::{self, Filter};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::Rig;
use crate::rules::{BOUNDED, WANTED};

/// Measures the rigs by turns over these sets, which have names; the first rig is the bare policy.
pub(crate) fn measure(
    plan: &Plan,
    rigs: &mut [Rig],
    names: &[String],
    drawn: &[(usize, &str)],
    report: &mut Report,
) -> Result<()> {
    let filters: Vec<_> = (0..rigs.len())
        .map(|rig| Filter::Geofence { rig, is_lpm: false })
        .collect();
    let sets: Vec<_> = drawn.iter().map(|(set, _)| *set).collect();
    let (paths, samples) = peers::race(plan, plan.close_rounds(), rigs, &filters, &sets, &[])?;
    let refused = paths.iter().find_map(|path| path.refused.as_ref());
    ensure!(refused.is_none(), "{refused:?}");
    let mut columns = Vec::new();
    for (_, name) in drawn {
        columns.push((*name).to_owned());
        columns.push(format!("{name}, against the bare policy"));
    }
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(
        "rules_path",
        "Dropping a frame on a veth path, source not named by any rule, sender included",
        &columns,
    );
    for (rig, name) in names.iter().enumerate() {
        let cells = samples.iter().flat_map(|samples| {
            [
                Cell::new(Unit::Nanoseconds, samples[rig].clone()),
                Cell::new(Unit::Times, samples[rig].over(&samples[0])),
            ]
        });
        table.row(name.clone(), cells.collect());
    }
    for rig in BOUNDED {
        for (_, drawn) in drawn {
            report.target(
                &format!(
                    "Dropping a frame with {}, {drawn}, against the bare policy",
                    names[rig]
                ),
                true,
                WANTED,
                Unit::Times,
                table.median(&names[rig], &format!("{drawn}, against the bare policy")),
            );
        }
    }
    report.tables.push(table);
    Ok(())
}
