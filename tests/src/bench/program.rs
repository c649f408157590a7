//! Part two: the whole program, case by case.
//!
//! The sources are varied by a program that writes the next address into the frame and hands it to the filter by a tail
//! call. The same program handing it to a bare XDP_DROP is subtracted. Before anything is timed, the reasons and
//! counters of a whole set are compared with the host's build of the decision.

use anyhow::Result;
use geofence_common::address::Address;
use geofence_common::layout::name;

use crate::cases::{self, Case, Clothes, Fate, Sources};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, Rig, program};
use crate::sample::{Samples, rounds};
use crate::sets::{Family, Set};
use crate::verify;

/// How the sources are drawn. Nearly all of IPv6 is nobody's, so only prefixes tell anything there.
const DRAWN: [(Family, bool); 3] = [(Family::V4, true), (Family::V4, false), (Family::V6, false)];

/// The sets of blocked IPv4 sources among those of this part, and how they are drawn.
pub(crate) const BLOCKED_V4: [(usize, &str); 2] = [(1, "uniform"), (3, "table prefix")];

/// The sets of this part: by how they are drawn, first from countries that are open, then from blocked ones.
pub(crate) fn sets(plan: &Plan) -> Result<Vec<Set>> {
    let mut sets = Vec::new();
    for (family, uniform) in DRAWN {
        for sources in [Sources::Open, Sources::Blocked] {
            let wanted = |address: &Address| {
                let class = plan.class(address);
                let has_country = class.country().code().is_some();
                has_country
                    && class.embedding().is_none()
                    && class.is_blocked() == (sources == Sources::Blocked)
            };
            sets.push(Set::of(
                &plan.prepared.database,
                family,
                uniform,
                plan.set_size,
                21,
                wanted,
            )?);
        }
    }
    Ok(sets)
}

/// A case over a set, or what is subtracted from it.
struct Contestant {
    case: Case,
    set: usize,
    /// Whether the frame goes to a bare drop.
    bare: bool,
}

/// Measures every case; the sets of this part start at `first` among those of the rig.
pub(crate) fn measure(
    plan: &Plan,
    rig: &mut Rig,
    first: usize,
    sets: &[Set],
    report: &mut Report,
) -> Result<()> {
    let words = plan.prepared.image.words();
    let mut contestants = Vec::new();
    for case in cases::all() {
        for (drawn, (family, _)) in DRAWN.into_iter().enumerate() {
            if family == case.family {
                let set = 2 * drawn + usize::from(case.fate.sources() == Sources::Blocked);
                verify::verdicts(
                    words,
                    rig,
                    first + set,
                    &sets[set],
                    &case,
                    Some(case.reason),
                )?;
                for bare in [true, false] {
                    contestants.push(Contestant {
                        case: case.clone(),
                        set,
                        bare,
                    });
                }
            }
        }
    }
    let repeat = u32::try_from(plan.set_size)?;
    let samples = rounds(contestants.len(), plan.rounds, |one| {
        let Contestant { case, set, bare } = &contestants[one];
        rig.hand_to(if *bare { program::DROP } else { name::PROGRAM })?;
        rig.aim(&Cursor {
            set: first + set,
            source: case.source,
            interface: 0,
        })?;
        let run = rig.run(program::VARY[case.family as usize], &case.frame, repeat)?;
        Ok(run.time.as_nanos() as f64 / f64::from(repeat))
    })?;
    rig.hand_to(name::PROGRAM)?;
    for (drawn, (family, uniform)) in DRAWN.into_iter().enumerate() {
        table(drawn, family, uniform, &contestants, &samples, report);
    }
    Ok(())
}

fn table(
    drawn: usize,
    family: Family,
    uniform: bool,
    all: &[Contestant],
    samples: &[Samples],
    report: &mut Report,
) {
    let clothes: Vec<Clothes> = Clothes::ALL
        .into_iter()
        .filter(|one| family == Family::V6 || *one != Clothes::Extensions)
        .collect();
    let columns: Vec<&str> = clothes.iter().map(|one| one.name()).collect();
    let (table_name, from) = match (family, uniform) {
        (Family::V4, true) => ("program_v4_uniform", "uniform sources"),
        (Family::V4, false) => ("program_v4_prefix", "sources by table prefix"),
        (Family::V6, _) => ("program_v6_prefix", "sources by table prefix"),
    };
    let title = format!(
        "The whole program, {}, {from}, over a bare XDP_DROP",
        family.name()
    );
    let mut table = Table::new(table_name, title, &columns);
    let of = |fate: Fate, clothes: Clothes, bare: bool| {
        all.iter().position(|one| {
            (
                one.case.fate,
                one.case.clothes,
                one.case.family,
                one.bare,
                one.set / 2,
            ) == (fate, clothes, family, bare, drawn)
        })
    };
    for fate in Fate::ALL {
        let cells = clothes.iter().map(|clothes| {
            let (program, bare) = (of(fate, *clothes, false)?, of(fate, *clothes, true)?);
            Cell::new(Unit::Nanoseconds, samples[program].less(&samples[bare]))
        });
        table.row(fate.name(), cells.collect());
    }
    let subtracted = clothes.iter().map(|clothes| {
        Cell::new(
            Unit::Nanoseconds,
            samples[of(Fate::DropUdp, *clothes, true)?].clone(),
        )
    });
    table.row("(subtracted)", subtracted.collect());
    let uniform_drop = table.median(Fate::DropTcp.name(), Clothes::Plain.name());
    report.tables.push(table);
    if family == Family::V4 && uniform {
        report.target(
            "Whole program over a bare drop, uniform IPv4",
            true,
            25.6,
            Unit::Nanoseconds,
            uniform_drop,
        );
    }
}
