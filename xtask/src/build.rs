//! `cargo xtask build`: the geofence binary, its eBPF programs inside.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::{process, setup, workspace};

/// Builds geofence and prints where it is.
pub(crate) fn run(release: bool) -> Result<ExitCode> {
    setup::run(setup::Scope::Build)?;
    process::answer(&geofence(release)?.display().to_string());
    Ok(ExitCode::SUCCESS)
}

/// Builds geofence; its build script builds the eBPF programs first.
pub(crate) fn geofence(release: bool) -> Result<PathBuf> {
    binary("geofence-user", "geofence", release)
}

/// Builds one binary of one crate and returns its path.
pub(crate) fn binary(package: &str, name: &str, release: bool) -> Result<PathBuf> {
    binary_with(package, name, &[], release)
}

/// The same with features of the crate.
pub(crate) fn binary_with(
    package: &str,
    name: &str,
    features: &[&str],
    release: bool,
) -> Result<PathBuf> {
    let mut cargo = process::cargo(&["build", "--package", package, "--bin", name]);
    for feature in features {
        cargo.args(["--features", feature]);
    }
    if release {
        cargo.arg("--release");
    }
    process::check(&mut cargo)?;
    workspace::binary(name, release)
}
