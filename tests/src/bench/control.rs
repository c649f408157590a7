//! Part seven: how soon a database or an exception takes effect, what memory it takes, and what the daemon costs at
//! rest.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::PATIENCE;
use geofence_tests::link::Link;
use geofence_tests::namespace::Namespace;
use geofence_user::compile::LpmPrefixes;
use geofence_user::compile::{Boot, Target, compile};
use geofence_user::data::geoip::Database;
use geofence_user::explain::{Protocol, Question, explain};
use geofence_user::kernel::Filter;
use geofence_user::model::policy::Lookup;
use geofence_user::model::units::UnixSeconds;
use geofence_user::prepare::Prepared;
use tempfile::NamedTempFile;

use crate::memory;
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::sample::Samples;

const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10317);
/// How long the daemon is watched doing nothing.
const AT_REST: Duration = Duration::from_secs(10);
const ENGINES: [(Lookup, &str); 2] = [
    (Lookup::ArrayTrie, "array-trie"),
    (Lookup::LpmTrie, "lpm-trie"),
];

pub(crate) fn measure(plan: &Plan, geofence: &Path, report: &mut Report) -> Result<()> {
    latency(plan, report)?;
    kernel_memory(plan, report)?;
    daemon(plan, geofence, report)
}

/// The steps from a file to a live image, on the one core that this thread is pinned to.
fn latency(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut steps = <[Samples; 3]>::default();
    let (mut total, mut exception) = (Samples::default(), Samples::default());
    let mut filter = Filter::load(plan.prepared.options(true))?;
    let config = &plan.prepared.config;
    let mut policy = config.policy.clone();
    policy
        .allow
        .push("77.88.8.8/32".parse().context("an address")?);
    for generation in 1..=u32::try_from(plan.rounds)? {
        let target = Target {
            generation,
            slot: 0,
            compiled: UnixSeconds(0),
            boot: Boot::default(),
            lines_max: u32::MAX >> 4,
        };
        let begun = Instant::now();
        let database = match &config.databases[..] {
            [] => Database::embedded()?,
            files => Database::open(files)?,
        };
        let read = begun.elapsed();
        let image = compile(&config.policy, &database, &target)?;
        let compiled = begun.elapsed();
        filter.install(&image, None)?;
        let live = begun.elapsed();
        // Live means that the kernel answers by it.
        ask(&mut filter, image.words())?;
        for (samples, spent) in steps
            .iter_mut()
            .zip([read, compiled - read, live - compiled])
        {
            samples.push(milliseconds(spent));
        }
        total.push(milliseconds(live));

        let begun = Instant::now();
        let image = compile(&policy, &database, &target)?;
        filter.install(&image, None)?;
        exception.push(milliseconds(begun.elapsed()));
        ask(&mut filter, image.words())?;
    }
    let mut table = Table::new(
        "control_latency",
        "From a file or a change of mind to the kernel, one core",
        &["takes"],
    );
    let [read, compiled, installed] = steps;
    let rows = [
        ("read the MMDB", read),
        ("compile the image", compiled),
        ("write it and swap", installed),
        ("MMDB to live, all of it", total.clone()),
        ("exception to live", exception.clone()),
    ];
    for (name, samples) in rows {
        table.row(name, vec![Cell::new(Unit::Milliseconds, samples)]);
    }
    report.tables.push(table);
    report.target(
        "MMDB to live image, one core",
        true,
        500.0,
        Unit::Milliseconds,
        Some(total.median()),
    );
    report.target(
        "Exception to live",
        true,
        500.0,
        Unit::Milliseconds,
        Some(exception.median()),
    );
    Ok(())
}

/// Asks the kernel about a source that the exception concerns, and compares with the host.
fn ask(filter: &mut Filter, words: &[u32]) -> Result<()> {
    let question = Question {
        source: Ipv4Addr::new(77, 88, 8, 8).into(),
        destination: Ipv4Addr::new(192, 0, 2, 1).into(),
        protocol: Protocol::Tcp,
        source_port: 40_000,
        destination_port: 22,
        is_reply: false,
    };
    let frame = question.frame().context("one family")?;
    let (answer, expected) = (filter.ask(&frame)?, explain(&frame, words).0);
    ensure!(
        answer == expected,
        "the kernel answers {answer:?} where the new image says {expected:?}"
    );
    Ok(())
}

/// What the kernel holds for one engine with the world in it, both generations written.
fn kernel_memory(plan: &Plan, report: &mut Report) -> Result<()> {
    let rounds = if plan.smoke { 1 } else { 3 };
    let columns = ["accounted to the group", "by the maps' own figures"];
    let mut table = Table::new(
        "control_memory",
        "Kernel memory with the world loaded, both generations",
        &columns,
    );
    for (lookup, engine) in ENGINES {
        let prepared = plan.variant(None, |policy| policy.lookup = lookup)?;
        let tries = prepared.lpm_prefixes()?;
        let (mut accounted, mut listed) = (Samples::default(), Samples::default());
        for _ in 0..rounds {
            let (grown, maps) = memory::held(|| both(&prepared, tries.as_ref()))?;
            if let Some(grown) = grown {
                accounted.push(mebibytes(grown));
            }
            listed.push(mebibytes(maps));
        }
        let is_accounted = accounted.median().is_finite();
        table.row(
            engine,
            vec![
                Cell::new(Unit::Mebibytes, accounted).filter(|_| is_accounted),
                Cell::new(Unit::Mebibytes, listed),
            ],
        );
    }
    let found = table
        .median(ENGINES[0].1, columns[0])
        .or(table.median(ENGINES[0].1, columns[1]));
    report.tables.push(table);
    report.target(
        "Kernel memory, both generations of the world",
        true,
        64.0,
        Unit::Mebibytes,
        found,
    );
    Ok(())
}

/// A filter whose both slots have been written.
fn both(prepared: &Prepared, tries: Option<&LpmPrefixes>) -> Result<Filter> {
    let mut filter = Filter::load(prepared.options(false))?;
    for generation in [1, 2] {
        let image = prepared
            .image
            .clone()
            .restamped(generation, filter.next_slot());
        filter.install(&image, tries)?;
    }
    Ok(filter)
}

/// The daemon, attached and left alone.
fn daemon(plan: &Plan, geofence: &Path, report: &mut Report) -> Result<()> {
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = Link::default().unaddressed().connect(&peer, &edge)?;
    let mut table = Table::new(
        "control_daemon",
        "The daemon with the world loaded",
        &["resident", "idle CPU", "ready in"],
    );
    for (lookup, engine) in ENGINES {
        let begun = Instant::now();
        let mut command = edge.command(geofence);
        command.args(["run", "--interface", &pair.edge_interface]);
        let mut settings = NamedTempFile::new().context("making a configuration")?;
        if lookup == Lookup::LpmTrie {
            settings
                .write_all(b"lookup = \"lpm-trie\"\n")
                .context("writing a configuration")?;
        }
        command.arg("--config").arg(settings.path());
        for database in &plan.prepared.config.databases {
            command.arg("--database").arg(database);
        }
        let mut daemon = Daemon::spawn(&edge, command)?;
        daemon.wait_healthy(METRICS, PATIENCE)?;
        let ready = milliseconds(begun.elapsed());
        let at_rest = if plan.smoke { AT_REST / 20 } else { AT_REST };
        let before = daemon.used()?;
        let watched = Instant::now();
        std::thread::sleep(at_rest);
        let used = daemon.used()? - before;
        let idle = 100.0 * used.as_secs_f64() / watched.elapsed().as_secs_f64();
        let resident = daemon.resident()?;
        let ended = daemon.interrupt(PATIENCE)?;
        ensure!(
            ended.status.success(),
            "geofence ended with {}: {}",
            ended.status,
            ended.stderr
        );
        let cells = [
            (Unit::Mebibytes, mebibytes(resident)),
            (Unit::Percent, idle),
            (Unit::Milliseconds, ready),
        ];
        table.row(
            engine,
            cells
                .into_iter()
                .map(|(unit, value)| Cell::once(unit, value))
                .collect(),
        );
    }
    let [resident, idle] =
        ["resident", "idle CPU"].map(|column| table.median(ENGINES[0].1, column));
    report.tables.push(table);
    report.target(
        "Resident memory of the daemon",
        true,
        64.0,
        Unit::Mebibytes,
        resident,
    );
    report.target("Idle CPU of the daemon", true, 0.2, Unit::Percent, idle);
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
