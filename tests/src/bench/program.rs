//! Part two: the whole program, case by case.
//!
//! The sources are varied by a program that writes the next address into the frame and hands it to the filter by a tail
//! call. The same program handing it to a bare XDP_DROP is subtracted. Before anything is timed, the reasons and
//! counters of a whole set are compared with the host's build of the decision.

use anyhow::Result;
use geofence_common::address::Address;
use geofence_common::maps::name;
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};

use crate::cases::{self, Case, Clothes, Fate, Sources};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, Rig, program};
use crate::sample::{Samples, rounds};
use crate::sets::{Family, Set};
use crate::verify;

/// How the sources are drawn. Nearly all of IPv6 is unassigned, so only prefixes say anything there.
const DRAWN: [(Family, bool); 3] = [(Family::V4, true), (Family::V4, false), (Family::V6, false)];

/// The sets of blocked IPv4 sources among those of this part, and how they are drawn.
pub(crate) const BLOCKED_V4: [(usize, &str); 2] = [(1, "uniform"), (4, "table prefix")];

/// Flows that are known at once, of each way of drawing; other flows of the machine fit in besides.
const FLOWS_MAX: usize = 1 << 10;

/// The sets of this part: by how they are drawn, and for each way by `Sources`.
pub(crate) fn sets(plan: &Plan) -> Result<Vec<Set>> {
    let mut sets = Vec::new();
    for (family, uniform) in DRAWN {
        for sources in Sources::ALL {
            let wanted = |address: &Address| {
                let class = plan.class(address);
                let has_country = class.country().code().is_some();
                has_country
                    && class.embedding().is_none()
                    && class.is_blocked() != (sources == Sources::Open)
            };
            let size = match sources {
                Sources::Open | Sources::Blocked => plan.set_size,
                Sources::Flows => plan.set_size.min(FLOWS_MAX),
            };
            sets.push(Set::of(
                &plan.prepared.database,
                family,
                uniform,
                size,
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
    let mut seen = PacketHistory::default();
    for set in sets.chunks(Sources::ALL.len()) {
        let addresses = &set[Sources::Flows as usize].addresses;
        for frame in cases::openings(addresses) {
            rig.send_out(&frame)?;
        }
        let flows = cases::flows(addresses)?;
        seen.now = flows.now;
        seen.flows.extend(flows.flows);
    }
    let host = SimulatedTables::new(plan.prepared.image.words(), seen);
    let mut contestants = Vec::new();
    for case in cases::all() {
        for (drawn, (family, _)) in DRAWN.into_iter().enumerate() {
            if family == case.family {
                let set = Sources::ALL.len() * drawn + case.fate.sources() as usize;
                verify::verdicts(
                    &host,
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
    let samples = rounds(contestants.len(), 2, plan.rounds, |one| {
        let Contestant { case, set, bare } = &contestants[one];
        rig.hand_to(if *bare { program::DROP } else { name::PROGRAM })?;
        rig.aim(&Cursor {
            set: first + set,
            source: case.source,
            interface: 0,
        })?;
        let program = program::VARY[case.family as usize];
        rig.cost(program, &case.frame, plan.set_size)
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
                one.set / Sources::ALL.len(),
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
    let malformed = table.median(Fate::Malformed.name(), Clothes::Plain.name());
    let plain = |fate: Fate| table.median(fate.name(), Clothes::Plain.name());
    let by_flow = plain(Fate::PassFlow).zip(plain(Fate::DropAlike));
    let by_flow = by_flow.map(|(found, dropped)| found - dropped);
    report.tables.push(table);
    if !uniform {
        report.target(
            &format!(
                "An answer that finds its flow over a drop, {}",
                family.name()
            ),
            true,
            30.0,
            Unit::Nanoseconds,
            by_flow,
        );
    }
    if family == Family::V4 && uniform {
        report.target(
            "A malformed header over a bare drop, IPv4",
            true,
            10.0,
            Unit::Nanoseconds,
            malformed,
        );
    }
}
