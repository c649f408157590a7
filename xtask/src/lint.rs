//! `cargo xtask lint`: formatting, clippy for both targets, the dependencies, and the rules of tidy.
//!
//! Every check runs even when an earlier one found something, so that one run reports everything.

use std::io::IsTerminal as _;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::exit_code::NO;
use crate::{process, setup, tidy, workspace};

/// Runs all checks and says which of them found something.
pub(crate) fn run() -> Result<ExitCode> {
    setup::run(setup::Scope::Build)?;
    let mut unclean = Vec::new();
    // From quick to slow: the first answer comes at once.
    check("tidy", &mut unclean, tidy_is_clean)?;
    check("formatting", &mut unclean, || succeeds(&mut formatting()))?;
    check("dependencies", &mut unclean, dependencies_are_clean)?;
    check("clippy", &mut unclean, || succeeds(&mut clippy()))?;
    check("clippy for eBPF", &mut unclean, || {
        succeeds(&mut clippy_for_ebpf()?)
    })?;
    if unclean.is_empty() {
        process::answer("lint: clean");
        return Ok(ExitCode::SUCCESS);
    }
    process::answer(&format!("lint: FAILED: {}", unclean.join(", ")));
    Ok(ExitCode::from(NO))
}

fn check(
    name: &'static str,
    unclean: &mut Vec<&'static str>,
    is_clean: impl FnOnce() -> Result<bool>,
) -> Result<()> {
    let begun = Instant::now();
    let clean = is_clean()?;
    let word = if clean { "clean" } else { "NOT CLEAN" };
    eprintln!(
        "lint: {name}: {word} ({:.1} s)",
        begun.elapsed().as_secs_f32()
    );
    if !clean {
        unclean.push(name);
    }
    Ok(())
}

fn tidy_is_clean() -> Result<bool> {
    let findings = tidy::check(&workspace::root())?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    Ok(findings.is_empty())
}

/// Checks the repository's own rules alone.
pub(crate) fn run_tidy() -> Result<ExitCode> {
    let findings = tidy::check(&workspace::root())?;
    for finding in &findings {
        process::answer(&finding.to_string());
    }
    if findings.is_empty() {
        process::answer("tidy: clean");
        return Ok(ExitCode::SUCCESS);
    }
    process::answer(&format!("tidy: {} findings", findings.len()));
    Ok(ExitCode::from(NO))
}

fn formatting() -> Command {
    let mut cargo = process::cargo(&["fmt", "--all", "--check"]);
    if !std::io::stderr().is_terminal() {
        // rustfmt colours by TERM alone, also when a pipe reads its output.
        cargo.args(["--", "--color", "never"]);
    }
    cargo
}

/// Checks licences, banned crates and sources by deny.toml. Advisories are left out: they change without a commit.
fn dependencies_are_clean() -> Result<bool> {
    setup::deny::install()?;
    let mut cargo = process::cargo(&["deny", "check", "licenses", "bans", "sources"]);
    succeeds(cargo.current_dir(workspace::root()))
}

fn clippy() -> Command {
    let mut cargo = process::cargo(&["clippy"]);
    cargo
        .args(workspace::HOST_CRATES)
        .args(workspace::TEST_FEATURES)
        .args(["--all-targets", "--", "--deny", "warnings"]);
    cargo
}

/// The eBPF crate is checked for its own target, as its build does: `core` from source, on a stable compiler.
fn clippy_for_ebpf() -> Result<Command> {
    let endianness = if cfg!(target_endian = "big") {
        "bpfeb"
    } else {
        "bpfel"
    };
    let architecture = std::env::consts::ARCH;
    let mut cargo = process::cargo(&[
        "clippy",
        "--package",
        "geofence-ebpf",
        "--release",
        "--all-features",
        "-Z",
        "build-std=core",
    ]);
    cargo.args(["--target", &format!("{endianness}-unknown-none")]);
    // Build scripts look at RUSTC_BOOTSTRAP: in the common directory each change of it would rebuild the host's crates.
    cargo.arg("--target-dir").arg(workspace::scratch("ebpf")?);
    cargo.args(["--", "--deny", "warnings"]);
    cargo.env("RUSTC_BOOTSTRAP", "1");
    // What aya calls the machine that will run the program.
    cargo.env(
        "CARGO_ENCODED_RUSTFLAGS",
        format!("--cfg=bpf_target_arch=\"{architecture}\""),
    );
    Ok(cargo)
}

fn succeeds(command: &mut Command) -> Result<bool> {
    match process::check(command) {
        Ok(()) => Ok(true),
        // The tool has said what it found; that it could not even start is trouble.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some() => Err(error),
        Err(_) => Ok(false),
    }
}
