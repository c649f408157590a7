//! `cargo xtask build`: the geofence binary, its eBPF programs inside.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::{process, setup, workspace};

/// The binary of the product and its crate.
pub(crate) const GEOFENCE: (&str, &str) = ("geofence-user", "geofence");

/// The binary of a fleet's nodes and operators, and its crate.
pub(crate) const FLEET: (&str, &str) = ("geofence-fleet", "geofence-fleet");

/// Builds geofence and prints where it is.
pub(crate) fn run(release: bool) -> Result<ExitCode> {
    setup::run(setup::Scope::Build)?;
    process::answer(&geofence(release)?.display().to_string());
    Ok(ExitCode::SUCCESS)
}

/// Builds geofence; its build script builds the eBPF programs first.
pub(crate) fn geofence(release: bool) -> Result<PathBuf> {
    let [geofence] = binaries([GEOFENCE], &[], release)?;
    Ok(geofence)
}

/// Builds binaries, given as crate and name, and returns the path of each.
///
/// One cargo command builds them all: it compiles what they share once and in parallel.
pub(crate) fn binaries<const N: usize>(
    wanted: [(&str, &str); N],
    features: &[&str],
    release: bool,
) -> Result<[PathBuf; N]> {
    let mut cargo = process::cargo(&["build"]);
    for (package, name) in wanted {
        cargo.args(["--package", package, "--bin", name]);
    }
    for feature in features {
        cargo.args(["--features", feature]);
    }
    if release {
        cargo.arg("--release");
    }
    process::check(&mut cargo)?;
    let directory = workspace::binaries(release)?;
    Ok(wanted.map(|(_, name)| directory.join(name)))
}
