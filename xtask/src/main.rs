//! The commands of the project, run as `cargo xtask COMMAND`.
//!
//! Each command lives in a file of its own and is a function from arguments to an exit code: 0 success, 1 "no" (a
//! lint finding, a failed test), 2 trouble (the command could not do its work). The answer goes to standard output,
//! progress to standard error. A fresh clone compiles this crate first, so it depends on nothing that takes long to
//! build, and never on the crates it builds.

mod bench;
mod beside;
mod book;
mod build;
mod busy;
mod demo;
mod dist;
mod exit_code;
mod geoip;
mod lab;
mod lint;
mod mmdb;
mod privilege;
mod process;
mod run;
mod setup;
mod test;
mod tidy;
mod workspace;
mod world;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::exit_code::TROUBLE;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The commands of the geofence repository"
)]
#[command(disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what a build or a test needs and this machine lacks
    ///
    /// Looks for the Rust library source, bpf-linker with the right LLVM, a C compiler, iproute2, Prometheus and
    /// the like, and installs what is missing, one line for each. Prints nothing when nothing is missing. The other
    /// commands run it first.
    Setup,
    /// Build the geofence command with its eBPF programs and print its path
    Build {
        /// Build the optimised binary, the one to install
        #[arg(long)]
        release: bool,
    },
    /// Check formatting, clippy (host and eBPF) and the repository's own rules
    ///
    /// Exit code 0 when clean, 1 when something was found, 2 when a check could not run.
    Lint {
        /// Check only the repository's own rules, which takes a second
        #[arg(long)]
        tidy: bool,
    },
    /// Run every test, those that need root included
    ///
    /// Without root, sudo is used when it works; otherwise the tests that need root are skipped and listed at the
    /// end. Exit code 0 when all passed, 1 when a test failed, 2 when the tests could not be built or run.
    Test {
        /// Keep every core busy with other work meanwhile: a test must hold on such a machine as well
        #[arg(long)]
        busy: bool,
        /// Run only the tests whose names contain one of these
        filters: Vec<String>,
        /// Options for the test harness, for example `-- --nocapture`
        #[arg(last = true, value_name = "OPTION")]
        options: Vec<String>,
    },
    /// Show geofence at work between two isolated network namespaces
    ///
    /// Needs root for the namespaces and the eBPF programs; without root it offers sudo. Changes nothing outside the
    /// namespaces it creates.
    Demo {
        /// Arguments for the demo (see `cargo xtask demo -- --help`)
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARG"
        )]
        arguments: Vec<OsString>,
    },
    /// Run a whole network with real software around geofence
    ///
    /// `lab mail` proves that mail passes and nothing else does: Postfix, DNS servers and nmap around geofence, within
    /// namespaces. `lab life` upgrades, reloads and kills a filter under a flood. `lab machines` boots other kernels
    /// under QEMU. `lab fleet` runs nodes that follow one etcd. Installs missing packages without starting a
    /// service. Needs root; without root it offers sudo. Takes some minutes. Exit code 1 when a row of its table is
    /// not as expected.
    Lab {
        /// The laboratory and its arguments (see `cargo xtask lab -- --help`)
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARG"
        )]
        arguments: Vec<OsString>,
    },
    /// Measure geofence and the filters people use instead
    ///
    /// Takes some minutes on one core. Needs root for namespaces and eBPF programs; without root it offers sudo. Prints
    /// tables, and writes bench.json and bench.svg to target/bench. Exit code 1 when a row could not be measured.
    Bench {
        /// Rewrite the tables and the plot of docs/performance.md from this run
        #[arg(long)]
        docs: bool,
        /// Compare with the build of this commit: both run in turns, and the ratios are printed
        ///
        /// The commit is checked out and built below cargo's output directory. `--only program` after `--` measures
        /// what a packet costs, and nothing else, in some fifteen minutes.
        #[arg(long, value_name = "GIT_REF", conflicts_with = "docs")]
        baseline: Option<String>,
        /// Arguments for the benchmark (see `cargo xtask bench -- --help`)
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARG"
        )]
        arguments: Vec<OsString>,
    },
    /// Build geofence and run `geofence ARGS` with the privileges it needs
    ///
    /// check, lookup and explain (without --kernel) run as they are; everything else runs as root, through sudo
    /// where needed. Standard output, signals and the exit code are those of geofence.
    Run {
        /// Arguments for geofence, for example `-- run --interface eth0`
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARG"
        )]
        arguments: Vec<OsString>,
    },
    /// Make the packages of a release, with checksums
    ///
    /// Prints their paths, in cargo's output directory. Installs the tools that make them. Fails if the binary is
    /// larger than it may be.
    Dist {
        /// Parts to make; default: the Debian package
        #[arg(value_enum)]
        parts: Vec<dist::part::Part>,
        /// Check the Debian package as well: lintian; a second build from a fresh clone makes the same bytes; and
        /// installing, upgrading, removing and purging in a Debian root do what they should. Takes a second build, and
        /// needs root
        #[arg(long)]
        check: bool,
    },
    /// Build the HTML book of the documentation, and check its links
    Book,
    /// Refresh the embedded GeoIP database from its newest release
    ///
    /// Needs npm, tar, zstd and sha256sum. Replaces the database and its README in geofence-user/data; commit the
    /// two together.
    Geoip,
    /// Regenerate the world map of the status page
    ///
    /// Needs npm, node and tar. Replaces the map and its README in geofence-user/data/world; commit the two together.
    World,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(TROUBLE)
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Setup => setup::run(setup::Scope::Everything).map(|()| ExitCode::SUCCESS),
        Command::Build { release } => build::run(release),
        Command::Lint { tidy: false } => lint::run(),
        Command::Lint { tidy: true } => lint::run_tidy(),
        Command::Test {
            busy,
            filters,
            options,
        } => test::run(busy, &filters, &options),
        Command::Demo { arguments } => demo::run(arguments),
        Command::Lab { arguments } => lab::run(arguments),
        Command::Bench {
            docs,
            baseline,
            arguments,
        } => bench::run(docs, baseline.as_deref(), arguments),
        Command::Run { arguments } => run::run(arguments),
        Command::Dist { parts, check } => dist::run(&parts, check),
        Command::Book => book::run(),
        Command::Geoip => geoip::run(),
        Command::World => world::run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_command_is_a_usage_error() {
        let error = Cli::try_parse_from(["xtask", "frobnicate"]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidSubcommand);
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn run_hands_over_options_it_does_not_know() {
        for line in [
            &["xtask", "run", "--", "lookup", "--json", "192.0.2.1"][..],
            &["xtask", "run", "lookup", "--json", "192.0.2.1"],
        ] {
            let Command::Run { arguments } = Cli::try_parse_from(line).unwrap().command else {
                panic!("not parsed as run: {line:?}");
            };
            assert_eq!(arguments, ["lookup", "--json", "192.0.2.1"]);
        }
    }

    #[test]
    fn test_tells_filters_from_harness_options() {
        let line = ["xtask", "test", "--busy", "vlan", "--", "--nocapture"];
        let Command::Test {
            busy,
            filters,
            options,
        } = Cli::try_parse_from(line).unwrap().command
        else {
            panic!("not parsed as test");
        };
        assert!(busy);
        assert_eq!(filters, ["vlan"]);
        assert_eq!(options, ["--nocapture"]);
    }
}
