//! Part four: what a packet costs as tables grow, and as cores are added.
//!
//! The whole program is timed, a bare XDP_DROP in its place subtracted. Every host image is compared with the oracle,
//! and the filter's counters with the host's verdicts, before the clock starts.

use std::sync::Barrier;
use std::thread;

use anyhow::{Context as _, Result};
use aya::programs::Xdp;
use geofence_common::maps::name;
use geofence_tests::oracle::Oracle;
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::model::policy::{Action, CountryRule, Lookup};
use geofence_user::prepare::Prepared;

use crate::cases::{self, Case};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{self, Cursor, Rig, program};
use crate::sample::{Samples, rounds};
use crate::sets::{Distribution, Family, Set};
use crate::synthetic;
use crate::verify;

/// Sources of this part, in the order of the tables' columns.
const DRAWN: [(Family, Distribution); 3] = [
    (Family::V4, Distribution::Uniform),
    (Family::V4, Distribution::Prefix),
    (Family::V6, Distribution::Prefix),
];
const COLUMNS: [&str; 5] = [
    "IPv4 uniform",
    "IPv4 table prefix",
    "IPv6 table prefix",
    "image",
    "compiled in",
];

/// One size of something, ready to be measured.
struct Grown {
    name: String,
    rig: Rig,
    image: f64,
    compiled: f64,
}

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let sizes: [usize; 3] = if plan.smoke {
        [1_000, 10_000, 50_000]
    } else {
        [100_000, 1_000_000, 5_000_000]
    };
    let mut grown = Vec::new();
    for size in sizes {
        let database = synthetic::database(&plan.prepared.database, size, 4)?;
        grown.push(grow(plan, format!("{} prefixes", grouped(size)), || {
            plan.variant(Some(database), |policy| {
                // Every source is dropped for its country or the lack of one, so the cost is of one path.
                policy.settings.rule = CountryRule::AllowOnly([].into());
                policy.settings.unknown = Action::Drop;
            })
        })?);
    }
    let table = table(plan, "growth_prefixes", "Prefixes in the table", grown)?;
    targets(&table, &sizes, report);
    report.tables.push(table);

    cores(plan, report)
}

/// Compiles, checks and loads one size.
fn grow(plan: &Plan, name: String, prepare: impl FnOnce() -> Result<Prepared>) -> Result<Grown> {
    let begun = std::time::Instant::now();
    let prepared = prepare()?;
    let compiled = begun.elapsed().as_secs_f64() * 1e3;
    let sets = sets(plan, &prepared)?;
    let oracle = Oracle::new(&prepared.config.policy, &prepared.database);
    let mut rig = Rig::load(&prepared, Lookup::ArrayTrie, &sets)?;
    let words = prepared.image.words();
    let host = SimulatedTables::new(words, PacketHistory::default());
    for (number, set) in sets.iter().enumerate() {
        verify::image(&oracle, words, set)?;
        verify::verdicts(
            &host,
            &mut rig,
            number,
            set,
            &cases::blocked_datagram(set.family),
            None,
        )
        .with_context(|| name.clone())?;
    }
    Ok(Grown {
        name,
        rig,
        image: prepared.image.size() as f64 / f64::from(1 << 20),
        compiled,
    })
}

fn sets(plan: &Plan, prepared: &Prepared) -> Result<Vec<Set>> {
    let draw = |(family, distribution)| {
        Set::draw(&prepared.database, family, distribution, plan.set_size, 7)
    };
    DRAWN.into_iter().map(draw).collect()
}

/// Measures every size in turn and makes a table of them.
fn table(plan: &Plan, name: &'static str, title: &str, mut grown: Vec<Grown>) -> Result<Table> {
    let cases = DRAWN.map(|(family, _)| cases::blocked_datagram(family));
    let columns = DRAWN.len();
    // Twice the columns: the filter, and the bare drop that is subtracted.
    let samples = rounds(grown.len() * 2 * columns, 2, plan.rounds, |one| {
        let (size, set, bare) = (one / (2 * columns), one / 2 % columns, one % 2 == 1);
        let rig = &mut grown[size].rig;
        rig.hand_to(if bare { program::DROP } else { name::PROGRAM })?;
        let case: &Case = &cases[set];
        rig.aim(&Cursor {
            set,
            source: case.source,
            interface: 0,
        })?;
        let program = program::VARY[case.family as usize];
        rig.cost(program, &case.frame, plan.set_size)
    })?;
    let title = format!("{title}; the whole program over a bare XDP_DROP");
    let mut table = Table::new(name, title, &COLUMNS);
    for (one, samples) in grown.iter().zip(samples.chunks(2 * columns)) {
        let (pairs, _) = samples.as_chunks::<2>();
        let net = pairs
            .iter()
            .map(|[filter, bare]| Cell::new(Unit::Nanoseconds, filter.less(bare)));
        let once = [
            Cell::once(Unit::Mebibytes, one.image),
            Cell::once(Unit::Milliseconds, one.compiled),
        ];
        table.row(one.name.clone(), net.chain(once).collect());
    }
    Ok(table)
}

fn targets(table: &Table, sizes: &[usize; 3], report: &mut Report) {
    let [_, million, five] = sizes.map(|size| format!("{} prefixes", grouped(size)));
    for column in &COLUMNS[1..3] {
        let found = table
            .median(&five, column)
            .zip(table.median(&million, column));
        let what = format!("5 million prefixes against 1 million, {column}");
        report.target(
            &what,
            true,
            1.5,
            Unit::Times,
            found.map(|(five, million)| five / million),
        );
    }
}

/// Runs the filter on one core, then on two at once.
fn cores(plan: &Plan, report: &mut Report) -> Result<()> {
    // Not available_parallelism, which sees the one this thread is pinned to.
    let cpus = aya::util::nr_cpus()
        .map_err(|(_, error)| error)
        .context("counting CPUs")?;
    if cpus.get() < 2 {
        return Ok(());
    }
    let case = cases::blocked_datagram(Family::V4);
    let sets = sets(plan, &plan.prepared)?;
    let mut rig = Rig::load(&plan.prepared, Lookup::ArrayTrie, &sets)?;
    let mut one = Samples::default();
    let mut two = Samples::default();
    for _ in 0..plan.rounds {
        for (cores, samples) in [(1, &mut one), (2, &mut two)] {
            rig.aim(&Cursor {
                set: 1,
                source: case.source,
                interface: 0,
            })?;
            samples.push(rate(plan, rig.program(program::VARY[0])?, &case, cores)?);
        }
    }
    let ratio = two.median() / one.median();
    let mut table = Table::new(
        "growth_cores",
        "Cores at work; the whole program, IPv4 table prefix",
        &["a packet every"],
    );
    for (name, rate) in [("1 core", &one), ("2 cores", &two)] {
        table.row(name, vec![Cell::new(Unit::Nanoseconds, rate.inverse())]);
    }
    report.tables.push(table);
    report.target(
        "Packets on two cores against one",
        false,
        1.9,
        Unit::Times,
        Some(ratio),
    );
    Ok(())
}

/// Packets a nanosecond on so many cores at once. Each core's own time counts, so what else the machine does meanwhile
/// does not look like a shared cache line, and a shared cache line does.
fn rate(plan: &Plan, program: &Xdp, case: &Case, cores: usize) -> Result<f64> {
    let repeat = 4 * u32::try_from(plan.set_size)?;
    let start = Barrier::new(cores);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| {
                let start = &start;
                scope.spawn(move || -> Result<f64> {
                    let pinned = rig::pin(core);
                    start.wait();
                    pinned?;
                    let run = rig::run(program, &case.frame, repeat)?;
                    Ok(f64::from(repeat) / run.time.as_nanos() as f64)
                })
            })
            .collect();
        let rates = workers.into_iter().map(|worker| {
            worker
                .join()
                .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        });
        rates.sum()
    })
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
