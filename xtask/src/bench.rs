//! `cargo xtask bench`: builds geofence and the benchmark, optimised, and becomes the benchmark.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{build, demo, privilege, process, setup, workspace};

/// Runs the benchmark in our place, so that its exit code is ours and Ctrl-C reaches it alone.
pub(crate) fn run(
    docs: bool,
    baseline: Option<&str>,
    arguments: Vec<OsString>,
) -> Result<ExitCode> {
    setup::run(setup::Scope::Bench)?;
    let wanted = [build::GEOFENCE, ("geofence-tests", "geofence-bench")];
    let [geofence, bench] = build::binaries(wanted, &["geofence-tests/bench"], true)?;
    let mut bench = process::command(bench);
    bench.arg("--geofence").arg(geofence);
    if !arguments
        .iter()
        .any(|argument| argument.to_string_lossy().starts_with("--out"))
    {
        bench
            .arg("--out")
            .arg(workspace::target_directory()?.join("bench"));
    }
    if docs {
        bench.arg("--docs").arg(workspace::root().join("docs"));
    }
    if let Some(commit) = baseline {
        bench.arg("--baseline").arg(build_baseline(commit)?);
    }
    bench.args(&arguments);
    if !demo::asks_for_help(&arguments) {
        bench = privilege::required("the benchmark", &bench)?;
    }
    let error = bench.exec();
    Err(error).with_context(|| format!("starting {}", process::describe(&bench)))
}

/// Builds geofence and the benchmark of another commit, and returns the folder of both.
fn build_baseline(commit: &str) -> Result<PathBuf> {
    let folder = workspace::scratch("baseline")?;
    let checkout = folder.join("checkout");
    let git = |arguments: &[&str]| {
        let mut git = process::command("git");
        git.arg("-C").arg(workspace::root()).args(arguments);
        git
    };
    let named = format!("{commit}^{{commit}}");
    let commit = process::text_of(&mut git(&["rev-parse", "--verify", "--quiet", &named]))
        .with_context(|| format!("{commit} names no commit of this repository"))?;
    // What an earlier run left would be in the way; there may be nothing.
    let _ = std::fs::remove_dir_all(&checkout);
    process::capture(&mut git(&["worktree", "prune"]))?;
    process::capture(
        git(&["worktree", "add", "--detach", "--force"])
            .arg(&checkout)
            .arg(&commit),
    )?;
    let target = folder.join("target");
    let mut cargo = process::cargo(&["build", "--release"]);
    cargo
        .args(["--package", "geofence-user", "--bin", "geofence"])
        .args(["--package", "geofence-tests", "--bin", "geofence-bench"])
        .args(["--features", "geofence-tests/bench"])
        .current_dir(&checkout)
        .env("CARGO_TARGET_DIR", &target)
        // The toolchain is the one that the commit names.
        .env_remove("RUSTUP_TOOLCHAIN");
    let built = process::check(&mut cargo);
    process::capture(git(&["worktree", "remove", "--force"]).arg(&checkout))?;
    built.with_context(|| format!("building {commit}"))?;
    Ok(target.join("release"))
}
