//! The benchmark: what a packet costs, beside what it costs the filters people use instead.
//!
//! Needs root; everything happens in namespaces and maps of its own, which end with the process. Nothing is timed
//! before its answers have been compared with the oracle, and no row is printed whose packets do not add up. Exit code
//! 0 when all was measured, 1 when a row had to be left out, 2 when the benchmark could not run.

#[path = "../bench/baseline.rs"]
mod baseline;
#[path = "../bench/cases.rs"]
mod cases;
#[path = "../bench/contestants.rs"]
mod contestants;
#[path = "../bench/control.rs"]
mod control;
#[path = "../bench/growth.rs"]
mod growth;
#[path = "../bench/interfaces.rs"]
mod interfaces;
#[path = "../bench/lists.rs"]
mod lists;
#[path = "../bench/load.rs"]
mod load;
#[path = "../bench/lookup.rs"]
mod lookup;
#[path = "../bench/machine.rs"]
mod machine;
#[path = "../bench/many_exceptions.rs"]
mod many_exceptions;
#[path = "../bench/mechanisms.rs"]
mod mechanisms;
#[path = "../bench/memory.rs"]
mod memory;
#[path = "../bench/netfilter.rs"]
mod netfilter;
#[path = "../bench/output.rs"]
mod output;
#[path = "../bench/path.rs"]
mod path;
#[path = "../bench/peers.rs"]
mod peers;
#[path = "../bench/plan.rs"]
mod plan;
#[path = "../bench/plot.rs"]
mod plot;
#[path = "../bench/program.rs"]
mod program;
#[path = "../bench/report.rs"]
mod report;
#[path = "../bench/rig.rs"]
mod rig;
#[path = "../bench/rules.rs"]
mod rules;
#[path = "../bench/rules_whole.rs"]
mod rules_whole;
#[path = "../bench/sample.rs"]
mod sample;
#[path = "../bench/sets.rs"]
mod sets;
#[path = "../bench/stage.rs"]
mod stage;
#[path = "../bench/synthetic.rs"]
mod synthetic;
#[path = "../bench/two_images.rs"]
mod two_images;
#[path = "../bench/variants.rs"]
mod variants;
#[path = "../bench/verify.rs"]
mod verify;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use geofence_user::model::policy::Lookup;

use baseline::Build;
use mechanisms::Mechanism;
use plan::Plan;
use report::Report;
use rig::Rig;

/// Measures the filter and what it is compared with
///
/// Needs root. Changes nothing outside the namespaces it creates and leaves nothing behind but the report. Exit code 0
/// when everything was measured, 1 when a row had to be left out, 2 when the benchmark could not run.
#[derive(Parser)]
#[command(name = "geofence-bench", max_term_width = 100)]
struct Arguments {
    /// Check the answers of every row in a minute, and time nothing worth knowing
    #[arg(long)]
    smoke: bool,
    /// Measure these parts only
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Look up also in images without this mechanism; repeat it for several. A run of all parts leaves out each in turn
    #[arg(long, value_name = "MECHANISM")]
    without: Vec<Mechanism>,
    /// GeoIP file to look up in instead of the embedded one; repeat it for several
    #[arg(long, value_name = "FILE")]
    mmdb: Vec<PathBuf>,
    /// Folder for bench.json and bench.svg
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
    /// Rewrite the tables of performance.md and image-format.md in this folder, and the plot beside them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["smoke", "only", "without"])]
    docs: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// The geofence binary to measure; without it, the one built next to this program
    #[arg(long, value_name = "PATH")]
    geofence: Option<PathBuf>,
    /// Folder with another build of geofence and of this benchmark: both run the same parts in turns, and the ratios
    /// are printed
    #[arg(long, value_name = "DIR", conflicts_with = "docs")]
    baseline: Option<PathBuf>,
    /// How often each of the two builds runs: what a machine does in between evens out
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 3,
        requires = "baseline"
    )]
    turns: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The look-up alone
    Lookup,
    /// The whole program, by case
    Program,
    /// A single rule of each kind, against the bare policy
    Variants,
    /// The filters people use instead, on one path
    Peers,
    /// A machine under a flood: latency, CPU, packets a second; several interfaces
    Load,
    /// More prefixes and cores
    Growth,
    /// Lists, exceptions and tenants, against the bare policy
    Rules,
    /// Lists of a million addresses and more
    Lists,
    /// Loading, memory, the daemon at rest
    Control,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Where standard error is closed, the message has no reader.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Measures and reports; answers whether everything added up.
fn run(arguments: &Arguments) -> Result<bool> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the benchmark needs root, for network namespaces and eBPF programs; run it with `cargo xtask bench`, \
             which offers sudo"
        );
    }
    if let Some(folder) = &arguments.baseline {
        compare(arguments, folder)?;
        return Ok(true);
    }
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let plan = Plan::new(arguments.smoke, arguments.mmdb.clone())?;
    let mut report = Report {
        facts: machine::facts(&plan),
        ..Report::default()
    };
    rig::pin(0)?;
    if [Part::Lookup, Part::Program, Part::Peers]
        .into_iter()
        .any(wants)
    {
        progress("drawing addresses, loading both engines");
        let (lookup_sets, program_sets) = (lookup::sets(&plan)?, program::sets(&plan)?);
        let sets = [&lookup_sets[..], &program_sets].concat();
        let mut rigs = [
            Rig::load(&plan.prepared, Lookup::ArrayTrie, &sets)?,
            Rig::load(&plan.prepared, Lookup::LpmTrie, &sets)?,
        ];
        if wants(Part::Lookup) {
            progress("part 1 of 9: the look-up alone");
            lookup::measure(&plan, &mut rigs, &lookup_sets, &mut report)?;
        }
        let first = lookup_sets.len();
        if wants(Part::Program) {
            progress("part 2 of 9: the whole program");
            let [rig, _] = &mut rigs;
            program::measure(&plan, rig, first, &program_sets, &mut report)?;
        }
        if wants(Part::Peers) {
            progress("part 3 of 9: other filters on the same path");
            peers::measure(&plan, &mut rigs, first, &mut report)?;
        }
    }
    let left_out = if arguments.only.is_empty() && arguments.without.is_empty() {
        &Mechanism::ALL
    } else {
        &arguments.without[..]
    };
    if wants(Part::Lookup) && !left_out.is_empty() {
        progress("part 1 of 9: the look-up in images without one mechanism");
        mechanisms::measure(&plan, left_out, &mut report)?;
    }
    if wants(Part::Variants) {
        progress("part 4 of 9: one rule of each kind");
        attempt(&mut report, |report| variants::measure(&plan, report));
    }
    if wants(Part::Load) {
        progress("part 5 of 9: under load");
        attempt(&mut report, |report| load::measure(&plan, report));
        attempt(&mut report, |report| interfaces::measure(&plan, report));
    }
    if wants(Part::Growth) {
        progress("part 6 of 9: growth");
        attempt(&mut report, |report| growth::measure(&plan, report));
    }
    if wants(Part::Rules) {
        progress("part 7 of 9: lists, exceptions, tenants");
        attempt(&mut report, |report| rules::measure(&plan, report));
        attempt(&mut report, |report| {
            rig::everywhere(|| many_exceptions::measure(&plan, report))
        });
    }
    if wants(Part::Lists) {
        progress("part 8 of 9: a list of a million");
        attempt(&mut report, |report| lists::measure(&plan, report));
    }
    if wants(Part::Control) {
        progress("part 9 of 9: control, memory, the daemon");
        let geofence = geofence(arguments)?;
        attempt(&mut report, |report| {
            control::measure(&plan, &geofence, report)
        });
    }
    publish(arguments, &report)?;
    Ok(report.refused.is_empty())
}

/// Measures a part. One that cannot be measured leaves the others what they are.
fn attempt(report: &mut Report, measure: impl FnOnce(&mut Report) -> Result<()>) {
    if let Err(error) = measure(report) {
        report.refused.push(format!("{error:#}"));
    }
}

/// Runs another build and this one in turns.
fn compare(arguments: &Arguments, folder: &Path) -> Result<()> {
    let bench = std::env::current_exe().context("finding this program")?;
    let mut same = Vec::new();
    if arguments.smoke {
        same.push("--smoke".to_owned());
    }
    for part in &arguments.only {
        let name = part.to_possible_value().context("a part without a name")?;
        same.push(format!("--only={}", name.get_name()));
    }
    for mechanism in &arguments.without {
        let name = mechanism
            .to_possible_value()
            .context("a mechanism without a name")?;
        same.push(format!("--without={}", name.get_name()));
    }
    for path in &arguments.mmdb {
        same.push(format!("--mmdb={}", path.display()));
    }
    let builds = [
        Build {
            bench: folder.join("geofence-bench"),
            geofence: folder.join("geofence"),
        },
        Build {
            bench,
            geofence: geofence(arguments)?,
        },
    ];
    baseline::compare(
        &builds,
        &same,
        arguments.turns,
        &arguments.out,
        arguments.json,
        progress,
    )
}

/// The `geofence` command that is measured.
fn geofence(arguments: &Arguments) -> Result<PathBuf> {
    match &arguments.geofence {
        Some(path) => Ok(path.clone()),
        None => geofence_tests::daemon::binary(),
    }
}

/// Says what is being done, to a person who waits for it.
fn progress(what: &str) {
    let mut err = io::stderr();
    if err.is_terminal() {
        // Where standard error is closed, the message has no reader.
        let _ = writeln!(err, "bench: {what}");
    }
}

/// Writes the report where it was asked for.
fn publish(arguments: &Arguments, report: &Report) -> Result<()> {
    let mut out = io::stdout().lock();
    let printed = if arguments.json {
        writeln!(out, "{}", report.json())
    } else {
        report.print(&mut out)
    };
    match printed.and_then(|()| out.flush()) {
        // The reader that closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed.context("writing the report")?,
    }
    output::write(report, &arguments.out)?;
    if let Some(folder) = &arguments.docs {
        ensure!(
            report.refused.is_empty(),
            "rows had to be left out, so the document stays as it is"
        );
        output::document(report, folder)?;
    }
    Ok(())
}
