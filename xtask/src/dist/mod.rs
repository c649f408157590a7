//! `cargo xtask dist`: everything that is published for a version, in one directory with checksums.
//!
//! One tree of files, `root`, is what every package contains. Nothing in it depends on the machine or on the time of
//! the build: paths are remapped, and dates are those of the commit.

mod binary;
mod check;
mod files;
mod image;
mod packages;
pub(crate) mod part;
mod release;
pub(crate) mod static_target;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use self::binary::Binary;
use self::files::{recreate, size};
use self::part::Part;
use self::release::Release;
use crate::{process, setup, workspace};

/// Makes these parts, or the Debian package, and prints their paths. With `check`, also tries what only takes long.
pub(crate) fn run(parts: &[Part], check: bool) -> Result<ExitCode> {
    let parts = if parts.is_empty() {
        &Part::DEFAULT
    } else {
        parts
    };
    let release = Release::read()?;
    if check {
        check::prepare(&release, parts)?;
    }
    setup::run(setup::Scope::Build)?;
    setup::dist::install(parts, check)?;
    let out = directory()?;
    recreate(&out)?;
    let mut made = Vec::new();
    if parts
        .iter()
        .any(|part| [Part::Deb, Part::Rpm].contains(part))
    {
        let binary = Binary::build(&release)?;
        let stage = tree::stage(&release, &binary, &workspace::scratch("dist/system")?)?;
        made.push(binary.publish_debug_information(&release, &out)?);
        if parts.contains(&Part::Deb) {
            made.push(packages::deb(&release, "geofence", &stage, &out)?);
        }
        if parts.contains(&Part::Rpm) {
            made.push(packages::rpm(&release, &stage, &out)?);
        }
    }
    if [Part::Tarball, Part::Oci]
        .iter()
        .any(|part| parts.contains(part))
    {
        let binary = Binary::build_static(&release)?;
        let stage = tree::stage(&release, &binary, &workspace::scratch("dist/static")?)?;
        made.push(binary.publish_debug_information(&release, &out)?);
        if parts.contains(&Part::Tarball) {
            made.push(packages::tarball(&release, &stage, &out)?);
        }
        if parts.contains(&Part::Oci) {
            made.push(image::make(&release, &image::GEOFENCE, &stage, &out)?);
        }
    }
    if parts.contains(&Part::Fleet) {
        let binary = Binary::build_fleet(&release)?;
        let stage = tree::stage_fleet(&release, &binary, &workspace::scratch("dist/fleet")?)?;
        made.push(binary.publish_debug_information(&release, &out)?);
        made.push(packages::deb(&release, "geofence-fleet", &stage, &out)?);
    }
    if parts.contains(&Part::Controller) {
        let binary = Binary::build_controller(&release)?;
        let stage = tree::stage_controller(&binary, &workspace::scratch("dist/controller")?)?;
        made.push(binary.publish_debug_information(&release, &out)?);
        made.push(image::make(&release, &image::CONTROLLER, &stage, &out)?);
    }
    if parts.contains(&Part::Sbom) {
        made.extend(packages::sbom(&release, &out)?);
    }
    made.push(packages::checksums(&out, &made)?);
    for path in &made {
        process::answer(&format!("{:>9} {}", size(path)?, path.display()));
    }
    if check {
        check::run(&release, parts, &out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the packages are put.
fn directory() -> Result<PathBuf> {
    Ok(workspace::target_directory()?.join("packages"))
}
