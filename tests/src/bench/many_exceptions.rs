//! What a hundred thousand exceptions cost the daemon, and those who ask it something.
//!
//! Half of them stand in the configuration and half were granted by command, each for one address. What is timed is the
//! command as a person would type it, so the start of a process and the whole of the answer are in every figure.

use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use geofence_tests::edge::{Answer, Edge, PATIENCE};
use geofence_tests::wait::poll;

use crate::growth::grouped;
use crate::lists::run;
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::sample::Samples;
use crate::sets::{Family, Set};

/// An address of a blocked country to whom exceptions are granted meanwhile.
const EXCEPTED: &str = "77.88.8.8";
/// From the start of the command to the first packet that passes, beside no others and beside many.
const LIVE_MAX: [f64; 2] = [100.0, 200.0];
const RELOAD_MAX: f64 = 1000.0;
const SCRAPE_MAX: f64 = 50.0;

/// What is asked, and in which row that stands.
const ROWS: [&str; 6] = [
    "exception add, to the first packet that passes",
    "exception add, to its answer",
    "exception list",
    "status",
    "reload",
    "scrape of /metrics",
];

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let many = if plan.smoke { 1_000 } else { 100_000 };
    let tries = if plan.smoke { 1 } else { 5 };
    let mut columns = Vec::new();
    for count in [0, many] {
        let column = ask(plan, count, tries).with_context(|| format!("with {count} exceptions"))?;
        columns.push(column);
    }
    let names = [0, many].map(|count| format!("{} exceptions", grouped(count)));
    let mut table = Table::new(
        "rules_daemon",
        "A command, from its start to the end of its answer",
        &[&names[0], &names[1]],
    );
    for (at, row) in ROWS.into_iter().enumerate() {
        let cells = columns.iter();
        let cells = cells.map(|column| Cell::new(Unit::Milliseconds, column[at].clone()));
        table.row(row, cells.collect());
    }
    let wanted = [
        (ROWS[0], &names[0], LIVE_MAX[0]),
        (ROWS[0], &names[1], LIVE_MAX[1]),
        (ROWS[4], &names[1], RELOAD_MAX),
        (ROWS[5], &names[1], SCRAPE_MAX),
    ];
    for (row, beside, wanted) in wanted {
        let found = table.median(row, beside);
        report.target(
            &format!("{row}, beside {beside}"),
            true,
            wanted,
            Unit::Milliseconds,
            found,
        );
    }
    report.tables.push(table);
    Ok(())
}

/// Times everything beside so many exceptions.
fn ask(plan: &Plan, count: usize, tries: usize) -> Result<[Samples; ROWS.len()]> {
    let mut texts = [String::new(), String::new()];
    for family in Family::BOTH {
        let database = &plan.prepared.database;
        let set = Set::of(database, family, false, count / 2, 61, |address| {
            plan.class(address).is_blocked() && address.ip().to_string() != EXCEPTED
        })?;
        for (number, address) in set.addresses.iter().enumerate() {
            writeln!(
                texts[number % 2],
                "[[exception]]\nid = \"ticket-{}-{number}\"\nfrom = [\"{}\"]\nto = [\"192.0.2.0/24\", \
                 \"2001:db8::/32\"]\nowner = \"noc\"\nreason = \"branch office\"\n",
                family.name(),
                address.ip(),
            )?;
        }
    }
    let edge = Edge::new()?;
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("geofence.toml");
    fs::write(&settings, &texts[0])?;
    fs::create_dir_all(edge.state())?;
    fs::write(edge.state().join("exceptions.toml"), &texts[1])?;
    let path = settings
        .to_str()
        .context("a folder whose name is no text")?;
    let daemon = run(&edge, path, plan)?;

    let mut found = <[Samples; ROWS.len()]>::default();
    let [live, added, list, status, reload, scrape] = &mut found;
    let done = |words: &[&str]| -> Result<Answer> {
        let answer = edge.ask(words)?;
        ensure!(answer.code == Some(0), "{words:?}: {answer:?}");
        Ok(answer)
    };
    for _ in 0..tries {
        ensure!(!edge.passes(EXCEPTED)?, "{EXCEPTED} passes already");
        let begun = Instant::now();
        let effect = thread::scope(|scope| -> Result<Duration> {
            let add = [
                "exception",
                "add",
                "measured",
                "--from",
                EXCEPTED,
                "--to",
                "any",
                "--owner",
                "o",
                "--reason",
                "r",
            ];
            let asked = scope.spawn(move || done(&add).map(|_| begun.elapsed()));
            let seen = poll(PATIENCE, || Ok(edge.passes(EXCEPTED)?.then_some(())))?;
            let effect = begun.elapsed();
            let joined = asked.join().map_err(|_| anyhow!("the command panicked"))?;
            added.push(milliseconds(joined?));
            seen.context("nothing passes")?;
            Ok(effect)
        })?;
        live.push(milliseconds(effect));
        done(&["exception", "remove", "measured"])?;
        let answer = time(list, || done(&["exception", "list", "--json"]))?.json()?;
        let listed = answer["exceptions"].as_array().map_or(0, Vec::len);
        ensure!(listed == count / 2 * 2, "{listed} of {count} are listed");
        time(status, || done(&["status"]))?;
        time(reload, || done(&["reload"]))?;
        let metrics = time(scrape, || edge.get("/metrics"))?;
        ensure!(metrics.status == 200, "{metrics:?}");
    }
    daemon.interrupt(PATIENCE)?;
    Ok(found)
}

fn time<T>(samples: &mut Samples, what: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    let done = what()?;
    samples.push(milliseconds(begun.elapsed()));
    Ok(done)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
