//! What the whole program costs under rules, over a bare drop.

use anyhow::{Context as _, Result};
use geofence_common::action::Reason;
use geofence_common::maps::name;
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::prepare::Prepared;

use crate::cases::{self, Case, Fate};
use crate::contestants::{ALL, DRAWN, FATES, NAMED, NAMING, against, size};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, program};
use crate::sample::{Samples, rounds};
use crate::sets::{Family, Set};
use crate::stage::Stage;
use crate::verify;

/// The rows for sources that no rule names: name, set, case. The sets are open and blocked sources for each way of
/// drawing.
pub(crate) fn rows() -> Vec<(String, usize, Case)> {
    let mut rows = Vec::new();
    for (set, (family, _, from)) in (0..).zip(DRAWN) {
        for fate in FATES {
            let set = 2 * set + usize::from(fate != Fate::PassUnblocked);
            let name = format!("{}, {from}", fate.name());
            rows.push((name, set, cases::plain(family, fate)));
        }
    }
    rows
}

/// The whole program for sources that no rule names.
pub(crate) fn unnamed(
    plan: &Plan,
    stage: &mut Stage<'_>,
    names: &[String],
    report: &mut Report,
) -> Result<()> {
    let rows = rows();
    let columns: Vec<_> = names.iter().map(String::as_str).collect();
    let mut table = Table::new(
        "rules_unnamed",
        "A source that no rule names; the whole program over a bare XDP_DROP, against the bare policy",
        &columns,
    );
    let all: Vec<usize> = (0..names.len()).collect();
    for (row, samples) in rows.iter().zip(whole(plan, stage, &all, &rows)?) {
        table.row(row.0.clone(), against(&samples));
    }
    report.tables.push(table);
    Ok(())
}

/// What each of these contestants needs for each row, over a bare drop.
pub(crate) fn whole(
    plan: &Plan,
    stage: &mut Stage<'_>,
    chosen: &[usize],
    rows: &[(String, usize, Case)],
) -> Result<Vec<Vec<Samples>>> {
    let contestants = chosen.len();
    let turns = contestants + 1;
    let samples = stage.everywhere(plan.places(), |stage| {
        rounds(rows.len() * turns, turns, plan.place_rounds(), |one| {
            let (_, set, case) = &rows[one / turns];
            let bare = one % turns == contestants;
            let rig = stage.with(chosen[one % turns % contestants])?;
            rig.hand_to(if bare { program::DROP } else { name::PROGRAM })?;
            rig.aim(&Cursor {
                set: *set,
                source: case.source,
                interface: 0,
            })?;
            rig.cost(program::VARY[case.family as usize], &case.frame, size(plan))
        })
    })?;
    let net = samples.chunks(turns).map(|samples| {
        let drop = &samples[contestants];
        let net = samples[..contestants].iter().map(|one| one.less(drop));
        net.collect()
    });
    Ok(net.collect())
}

/// The whole program for sources that rules do name.
pub(crate) fn those_named(
    plan: &Plan,
    all: &[Prepared],
    sets: &[Set],
    stage: &mut Stage<'_>,
    names: &[String],
    report: &mut Report,
) -> Result<()> {
    const KINDS: [(&str, Reason); 3] = [
        ("on a list", Reason::Denied),
        ("excepted for this destination", Reason::Exception),
        ("excepted for another destination", Reason::CountryBlocked),
    ];
    let mut rows = Vec::new();
    for family in Family::BOTH {
        for (kind, (what, reason)) in KINDS.iter().enumerate() {
            let set = NAMED + KINDS.len() * family as usize + kind;
            let case = cases::plain(family, Fate::DropTcp);
            // A list comes first with those who are excepted for another destination, and behind for this one.
            let host = SimulatedTables::new(all[ALL].image.words(), PacketHistory::default());
            let meant = (*reason != Reason::CountryBlocked).then_some(*reason);
            verify::verdicts(&host, stage.with(ALL)?, set, &sets[set], &case, meant)
                .with_context(|| format!("those {what}"))?;
            rows.push((format!("{}, {what}", family.name()), set, case));
        }
    }
    let columns = NAMING.map(|contestant| names[contestant].as_str());
    let mut table = Table::new(
        "rules_named",
        "A blocked source that rules name; the whole program over a bare XDP_DROP",
        &columns,
    );
    for (row, samples) in rows.iter().zip(whole(plan, stage, &NAMING, &rows)?) {
        let cells = samples
            .into_iter()
            .map(|one| Cell::new(Unit::Nanoseconds, one));
        table.row(row.0.clone(), cells.collect());
    }
    report.tables.push(table);
    Ok(())
}
