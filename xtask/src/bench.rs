//! `cargo xtask bench`: builds geofence and the benchmark, optimised, and becomes the benchmark.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{build, demo, privilege, process, setup, workspace};

/// Runs the benchmark in our place, so that its exit code is ours and Ctrl-C reaches it alone.
pub(crate) fn run(docs: bool, arguments: Vec<OsString>) -> Result<ExitCode> {
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
    bench.args(&arguments);
    if !demo::asks_for_help(&arguments) {
        bench = privilege::required("the benchmark", &bench)?;
    }
    let error = bench.exec();
    Err(error).with_context(|| format!("starting {}", process::describe(&bench)))
}
