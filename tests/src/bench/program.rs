//! Part two: the whole program, case by case.
//!
//! The sources are varied by a program that writes the next address into the frame and hands it to the filter by a tail
//! call. The same program handing it to a bare XDP_DROP is subtracted. Before anything is timed, the reasons and
//! counters of a whole set are compared with the host's build of the decision.

use anyhow::{Result, ensure};
use geofence_common::address::Address;
use geofence_common::layout::name;
use geofence_user::explain::explain;

use crate::cases::{self, Case, Clothes, Fate, Sources};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, Rig, program};
use crate::sample::{Samples, rounds};
use crate::sets::{Family, Set};

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
                let class = plan.oracle.class(address);
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
    let mut contestants = Vec::new();
    for case in cases::all() {
        for (drawn, (family, _)) in DRAWN.into_iter().enumerate() {
            if family == case.family {
                let set = 2 * drawn + usize::from(case.fate.sources() == Sources::Blocked);
                check(plan, rig, first + set, &sets[set], &case)?;
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

/// Has the filter judge a frame from every source of a set, and compares what it counted with the host's verdicts.
fn check(plan: &Plan, rig: &mut Rig, number: usize, set: &Set, case: &Case) -> Result<()> {
    let mut frame = case.frame.clone();
    let mut expected = std::collections::BTreeMap::new();
    for address in &set.addresses {
        match address {
            Address::V4(bytes) => frame[case.source..][..4].copy_from_slice(bytes),
            Address::V6(bytes) => frame[case.source..][..16].copy_from_slice(bytes),
        }
        let (verdict, _) = explain(&frame, plan.prepared.image.words());
        ensure!(
            verdict.reason == case.reason,
            "{}, {}: {address:?} is judged {} where {} was meant",
            case.fate.name(),
            case.clothes.name(),
            verdict.reason.name(),
            case.reason.name()
        );
        *expected
            .entry((verdict.country, verdict.action, verdict.reason))
            .or_insert(0_u64) += 1;
    }
    let before = rig.filter().counters(0)?;
    rig.aim(&Cursor {
        set: number,
        source: case.source,
        interface: 0,
    })?;
    rig.run(
        program::VARY[case.family as usize],
        &case.frame,
        u32::try_from(set.addresses.len())?,
    )?;
    let after = rig.filter().counters(0)?;
    for (key, packets) in expected {
        let counted = |counters: &std::collections::BTreeMap<
            _,
            geofence_common::layout::Counter,
        >| { counters.get(&key).map_or(0, |counter| counter.packets) };
        let counted = counted(&after) - counted(&before);
        ensure!(
            counted == packets,
            "{}, {}: the filter counted {counted} of {packets} packets as {key:?}: nothing is timed",
            case.fate.name(),
            case.clothes.name()
        );
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
