//! What rules cost on the way of live frames: a sender and a veth pair before the filter, as for the other filters.
//!
//! The sources are blocked and no rule names them, so every policy drops every frame for its country, which is
//! compared with the filter's counters and the driver's. The sender is in the figures, as a wire's driver would be.

use std::slice;

use anyhow::{Result, ensure};
use geofence_tests::namespace::Namespace;

use crate::cases;
use crate::peers::{self, Filter};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::sample::{Samples, rounds};
use crate::sets::Family;
use crate::stage::Stage;

/// Measures policies by turns over these sets of so many sources, which have names; the first is the bare policy.
pub(crate) fn measure(
    plan: &Plan,
    stage: &mut Stage<'_>,
    size: usize,
    names: &[String],
    drawn: &[(usize, &str)],
    report: &mut Report,
) -> Result<()> {
    let samples = race(plan, stage, size, names.len(), drawn)?;
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
    report.tables.push(table);
    Ok(())
}

/// Times so many policies in turn, over each set; answers by set and by policy.
fn race(
    plan: &Plan,
    stage: &mut Stage<'_>,
    size: usize,
    policies: usize,
    drawn: &[(usize, &str)],
) -> Result<Vec<Vec<Samples>>> {
    let case = cases::blocked_datagram(Family::V4);
    // Every source once, untimed: what was put in place just now is in no cache.
    let (warm, timed) = (u32::try_from(size)?, Filter::GEOFENCE.frames(plan));
    let mut samples = Vec::new();
    for (set, _) in drawn {
        samples.push(stage.everywhere(plan.places(), |stage| {
            let sender = Namespace::new()?;
            let filter = slice::from_mut(stage.with(0)?);
            let mut path = peers::path(&sender, 0, Filter::GEOFENCE, filter, &[])?;
            let samples = rounds(policies, policies, plan.place_rounds(), |policy| {
                let rigs = slice::from_mut(stage.with(policy)?);
                peers::sample(rigs, &sender, &mut path, &case, *set, warm)?;
                peers::sample(rigs, &sender, &mut path, &case, *set, timed)
            })?;
            ensure!(path.refused.is_none(), "{:?}", path.refused);
            Ok(samples)
        })?);
    }
    Ok(samples)
}
