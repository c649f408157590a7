//! `cargo xtask lab`: builds geofence and the laboratories, and becomes the one asked for.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{build, demo, privilege, process, setup};

/// Runs a laboratory in our place, so that its exit code is ours and Ctrl-C reaches it alone.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    setup::run(setup::Scope::Lab)?;
    // All land in one directory, which is where the laboratory looks for the others.
    if arguments.first().is_some_and(|name| name == "fleet") {
        build::binaries([build::FLEET], &[], true)?;
    }
    let wanted = [build::GEOFENCE, ("geofence-tests", "geofence-lab")];
    let [_, lab] = build::binaries(wanted, &[], true)?;
    let mut lab = process::command(lab);
    lab.args(&arguments);
    if !arguments.is_empty() && !demo::asks_for_help(&arguments) {
        lab = privilege::required("the laboratory", &lab)?;
    }
    let error = lab.exec();
    Err(error).with_context(|| format!("starting {}", process::describe(&lab)))
}
