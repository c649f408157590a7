//! The laboratories: whole networks with real software around geofence, to see that its promises hold there.
//!
//! Everything happens in namespaces of its own and ends with this process. Exit code 0 when all was as expected, 1 when
//! not, 2 when the laboratory could not run.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use geofence_tests::lab::report::Row;
use geofence_tests::lab::{self, Mode, Scale, report};
use geofence_tests::privilege::missing_programs;
use geofence_tests::{browser, fleet, life, machines, see};

/// Runs whole networks with real software around geofence
///
/// Needs root. Changes nothing outside the namespaces it creates and leaves nothing behind. Exit code 0 when all was
/// as expected, 1 when something was not, 2 when a laboratory could not run.
#[derive(Parser)]
#[command(name = "geofence-lab", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    laboratory: Laboratory,
}

#[derive(Subcommand)]
enum Laboratory {
    /// Mail in and out of blocked countries, and nothing else
    Mail(Mail),
    /// A filter that is upgraded, reloaded and killed under a flood, and interfaces that come and go
    Life(Life),
    /// Kernels of Debian under an emulator, with the network cards that it emulates
    Machines(Machines),
    /// Prometheus and Alertmanager that watch a filter under traffic
    See(See),
    /// A fleet of nodes that etcd keeps together
    Fleet(Fleet),
    /// What a machine of the laboratory runs as its first program
    #[command(hide = true)]
    Guest {
        /// Fewer devices
        #[arg(long)]
        short: bool,
    },
}

#[derive(Args)]
struct Machines {
    /// Only veth and virtio_net
    #[arg(long)]
    short: bool,
    /// Print one JSON object a row instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Fleet {
    /// One member, five nodes and twenty watchers instead of three, a hundred and a thousand
    #[arg(long)]
    short: bool,
    /// How many agents only watch, each with a connection of its own
    #[arg(long, value_name = "COUNT")]
    watchers: Option<usize>,
    /// Print one JSON object a row instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct See {
    /// A hundredth of the packets, and alerts that do not wait
    #[arg(long)]
    short: bool,
    /// Write pictures of the page, of `geofence top` and of the dashboard's maps into this folder; needs Chromium
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Print one JSON object a row instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Mail {
    /// A tenth of everything
    #[arg(long)]
    short: bool,
    /// Print one JSON object a row instead of a table
    #[arg(long)]
    json: bool,
    /// What the filter does meanwhile; other than `enforce`, rows must fail, which shows that they can
    #[arg(long, value_enum, default_value = "enforce")]
    filter: FilterMode,
    /// Run only this step, which may be given several times
    #[arg(long = "step", value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=8))]
    steps: Vec<u8>,
}

#[derive(Args)]
struct Life {
    /// A tenth of everything, or less
    #[arg(long)]
    short: bool,
    /// Print one JSON object a row instead of a table
    #[arg(long)]
    json: bool,
    /// Run only this step, which may be given several times
    #[arg(long = "step", value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=12))]
    steps: Vec<u8>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FilterMode {
    /// Drop what the default policy drops
    Enforce,
    /// Count and drop nothing
    Monitor,
    /// No filter at all
    Absent,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().laboratory {
        Laboratory::Mail(arguments) => mail(&arguments),
        Laboratory::Life(arguments) => life(&arguments),
        Laboratory::Machines(arguments) => machines(&arguments),
        Laboratory::See(arguments) => see(&arguments),
        Laboratory::Fleet(arguments) => fleet(&arguments),
        Laboratory::Guest { short } => machines::guest(short).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Where standard error is closed, the message has no reader.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the mail laboratory; answers whether all was as expected.
fn mail(arguments: &Mail) -> Result<bool> {
    need_root()?;
    need(&lab::PROGRAMS)?;
    let mode = match arguments.filter {
        FilterMode::Enforce => Mode::Enforce,
        FilterMode::Monitor => Mode::Monitor,
        FilterMode::Absent => Mode::Absent,
    };
    let scale = scale(arguments.short);
    show(
        &lab::mail(scale, mode, &arguments.steps, &mut progress())?,
        arguments.json,
    )
}

/// Runs the life laboratory; answers whether all was as expected.
fn life(arguments: &Life) -> Result<bool> {
    need_root()?;
    need(&life::PROGRAMS)?;
    let scale = scale(arguments.short);
    show(
        &life::life(scale, &arguments.steps, &mut progress())?,
        arguments.json,
    )
}

/// Runs the laboratory of machines, which needs no root; answers whether all was as expected.
fn machines(arguments: &Machines) -> Result<bool> {
    need(&machines::PROGRAMS)?;
    if !arguments.short {
        need(&machines::PROGRAMS_OF_WHOLE)?;
    }
    let kernels = machines::found();
    show(
        &machines::machines(&kernels, scale(arguments.short), &mut progress())?,
        arguments.json,
    )
}

/// Runs the laboratory of what can be seen; answers whether all was as expected.
fn see(arguments: &See) -> Result<bool> {
    need_root()?;
    need(&see::PROGRAMS)?;
    if arguments.pictures.is_some()
        && let Some(package) = browser::missing()
    {
        bail!("the pictures need a browser: install Debian's package {package}");
    }
    show(
        &see::see(
            scale(arguments.short),
            arguments.pictures.as_deref(),
            &mut progress(),
        )?,
        arguments.json,
    )
}

/// Runs the laboratory of a fleet; answers whether all was as expected.
fn fleet(arguments: &Fleet) -> Result<bool> {
    need_root()?;
    need(&fleet::PROGRAMS)?;
    show(
        &fleet::fleet(scale(arguments.short), arguments.watchers, &mut progress())?,
        arguments.json,
    )
}

fn need_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "a laboratory needs root, for namespaces and eBPF programs; run it with `cargo xtask lab`, which offers \
             sudo"
        );
    }
    Ok(())
}

fn need(programs: &[(&str, &'static str)]) -> Result<()> {
    let missing = missing_programs(programs);
    if !missing.is_empty() {
        bail!(
            "this machine lacks programs of the Debian packages {}; `cargo xtask lab` installs them",
            missing.join(", ")
        );
    }
    Ok(())
}

fn scale(short: bool) -> Scale {
    if short { Scale::Short } else { Scale::Whole }
}

/// Says on a terminal what is done next, and when.
fn progress() -> impl FnMut(&str) {
    let begun = Instant::now();
    let terminal = io::stderr().is_terminal();
    move |what| {
        if terminal {
            let _ = writeln!(
                io::stderr(),
                "{:>5.0} s  {what}",
                begun.elapsed().as_secs_f64()
            );
        }
    }
}

/// Prints the rows; answers whether all were as expected.
fn show(rows: &[Row], json: bool) -> Result<bool> {
    let mut out = io::stdout().lock();
    let written = if json {
        report::json(&mut out, rows)
    } else {
        report::table(&mut out, rows)
    };
    match written.and_then(|()| out.flush()) {
        // The reader that closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("writing the result")?,
    }
    Ok(rows.iter().all(|row| row.ok))
}
