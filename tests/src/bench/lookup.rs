//! Part one: the look-up alone, both engines, both families, four distributions.
//!
//! The programs take the next address and find its class; a program that only takes the next address is subtracted.
//! Before anything is timed, the very programs that are timed answer for every address and are compared with the
//! oracle.

use anyhow::Result;

use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, FRAME_MIN, Rig, program};
use crate::sample::{Samples, rounds};
use crate::sets::{Distribution, Family, Set};
use crate::verify;

/// The sets of this part, by family, then distribution.
pub(crate) fn sets(plan: &Plan) -> Result<Vec<Set>> {
    let mut sets = Vec::new();
    for family in Family::BOTH {
        for (seed, distribution) in (1..).zip(Distribution::ALL) {
            sets.push(Set::draw(
                &plan.prepared.database,
                family,
                distribution,
                plan.set_size,
                seed,
            )?);
        }
    }
    Ok(sets)
}

/// A program over a set, with one engine or with none.
#[derive(Clone, Copy)]
struct Contestant {
    rig: usize,
    program: &'static str,
    set: usize,
}

pub(crate) fn measure(
    plan: &Plan,
    rigs: &mut [Rig; 2],
    sets: &[Set],
    report: &mut Report,
) -> Result<()> {
    for (rig, engine) in rigs.iter_mut().zip(ENGINES) {
        for (number, set) in sets.iter().enumerate() {
            verify::classes(&plan.oracle, rig, number, set, engine)?;
        }
    }
    let mut contestants = Vec::new();
    for (set, of) in sets.iter().enumerate() {
        let family = of.family as usize;
        contestants.push(Contestant {
            rig: 0,
            program: program::FETCH[family],
            set,
        });
        for rig in 0..ENGINES.len() {
            contestants.push(Contestant {
                rig,
                program: program::LOOKUP[family],
                set,
            });
        }
    }
    let samples = rounds(contestants.len(), 1 + ENGINES.len(), plan.rounds, |one| {
        let Contestant { rig, program, set } = contestants[one];
        let rig = &mut rigs[rig];
        rig.aim(&Cursor {
            set,
            source: 0,
            interface: 0,
        })?;
        rig.cost(program, &[0; FRAME_MIN], plan.set_size)
    })?;
    tables(&samples, report);
    Ok(())
}

const ENGINES: [&str; 2] = ["array-trie", "lpm-trie"];
const TABLES: [&str; 2] = ["lookup_v4", "lookup_v6"];

/// One table a family: what a look-up costs over the fetch, and how often the one engine fits into the other.
fn tables(samples: &[Samples], report: &mut Report) {
    let columns = Distribution::ALL.map(Distribution::name);
    let (families, _) = samples.as_chunks::<{ 3 * Distribution::ALL.len() }>();
    for ((family, name), samples) in Family::BOTH.into_iter().zip(TABLES).zip(families) {
        let title = format!(
            "One {} look-up, over a program that only takes the address",
            family.name()
        );
        let mut table = Table::new(name, title, &columns);
        let (sets, _) = samples.as_chunks::<3>();
        for (at, engine) in (1..).zip(ENGINES) {
            let cells = sets
                .iter()
                .map(|set| Cell::new(Unit::Nanoseconds, set[at].less(&set[0])));
            table.row(engine, cells.collect());
        }
        let ratio = |set: &[Samples; 3]| {
            let [array, lpm] = [1, 2].map(|at| set[at].less(&set[0]).median());
            lpm / array
        };
        table.row(
            "lpm-trie / array-trie",
            sets.iter()
                .map(|set| Cell::once(Unit::Times, ratio(set)))
                .collect(),
        );
        let fetch = sets
            .iter()
            .map(|set| Cell::new(Unit::Nanoseconds, set[0].clone()));
        table.row("(subtracted)", fetch.collect());
        report.tables.push(table);
    }
    targets(report);
}

fn targets(report: &mut Report) {
    const RATIO: &str = "lpm-trie / array-trie";
    let figure = |report: &Report, family: usize, row: &str, distribution: Distribution| {
        report
            .table(TABLES[family])?
            .median(row, distribution.name())
    };
    let [v4, v6] = [0, 1];
    let found = figure(report, v4, RATIO, Distribution::Prefix);
    report.target(
        "IPv4 look-up against the kernel's trie, table prefix",
        false,
        25.0,
        Unit::Times,
        found,
    );
    let found = figure(report, v4, RATIO, Distribution::Zipf);
    report.target(
        "IPv4 look-up against the kernel's trie, Zipf",
        false,
        25.0,
        Unit::Times,
        found,
    );
    let found = figure(report, v4, ENGINES[0], Distribution::Uniform);
    report.target(
        "IPv4 look-up over fetch, uniform",
        true,
        20.0,
        Unit::Nanoseconds,
        found,
    );
    let found = figure(report, v6, RATIO, Distribution::Prefix);
    report.target(
        "IPv6 look-up against the kernel's trie, table prefix",
        false,
        30.0,
        Unit::Times,
        found,
    );
    let found = figure(report, v6, ENGINES[0], Distribution::Prefix);
    report.target(
        "IPv6 look-up over fetch, table prefix",
        true,
        70.0,
        Unit::Nanoseconds,
        found,
    );
}
