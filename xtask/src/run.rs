//! `cargo xtask run`: builds geofence and becomes it, as root where the command needs the kernel.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{build, demo, privilege, process, setup};

/// Runs geofence in our place, so that output, signals and exit code are its own.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    setup::run(setup::Scope::Build)?;
    let mut geofence = process::command(build::geofence(true)?);
    geofence.args(&arguments);
    if needs_root(&arguments) {
        geofence = privilege::required("this command", &geofence)?;
    }
    let error = geofence.exec();
    Err(error).with_context(|| format!("starting {}", process::describe(&geofence)))
}

/// Decides whether geofence will talk to the kernel. A verb unknown here is taken to: sudo too often is a nuisance,
/// a daemon without its privileges is a failure.
fn needs_root(arguments: &[OsString]) -> bool {
    if demo::asks_for_help(arguments) {
        return false;
    }
    let verb = arguments
        .iter()
        .find(|argument| !argument.as_encoded_bytes().starts_with(b"-"));
    match verb.map(|verb| verb.as_encoded_bytes()) {
        None | Some(b"check" | b"lookup" | b"help") => false,
        Some(b"explain") => arguments.iter().any(|argument| argument == "--kernel"),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_needs_root(line: &str) -> bool {
        needs_root(
            &line
                .split_whitespace()
                .map(OsString::from)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn commands_that_talk_to_the_kernel_need_root() {
        assert!(line_needs_root("run --interface eth0"));
        assert!(line_needs_root("explain 192.0.2.1 --kernel"));
        assert!(line_needs_root("detach"));
    }

    #[test]
    fn commands_that_only_compute_do_not() {
        assert!(!line_needs_root("explain 192.0.2.1 --dport 25"));
        assert!(!line_needs_root("lookup --json 192.0.2.1"));
        assert!(!line_needs_root("check --config geofence.toml"));
        assert!(!line_needs_root("run --help"));
        assert!(!line_needs_root("--version"));
        assert!(!line_needs_root(""));
    }
}
