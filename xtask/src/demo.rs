//! `cargo xtask demo`: builds geofence and the demo, and becomes the demo.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{build, privilege, process, setup};

/// Runs the demo in our place, so that its exit code is ours and Ctrl-C reaches it alone.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    setup::run(setup::Scope::Demo)?;
    let wanted = [build::GEOFENCE, ("geofence-tests", "geofence-demo")];
    // Not optimised: the demo is the first thing a newcomer compiles, and the tests use the same build.
    let [geofence, demo] = build::binaries(wanted, &[], false)?;
    let mut demo = process::command(demo);
    demo.arg("--geofence").arg(geofence).args(&arguments);
    if !asks_for_help(&arguments) {
        demo = privilege::required("the demo", &demo)?;
    }
    let error = demo.exec();
    Err(error).with_context(|| format!("starting {}", process::describe(&demo)))
}

/// Decides whether the arguments only ask what the arguments are.
pub(crate) fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
}
