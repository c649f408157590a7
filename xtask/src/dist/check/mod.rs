//! `cargo xtask dist --check`: what only takes too long for every test run.
//!
//! The checksums, lintian, the life of the packages in Debian roots, the service under a real systemd, the Ansible
//! role, the static binary in an empty root, the container image, the bill of materials, and a second build that must
//! give the same bytes. Each works in namespaces of its own, by a script. What takes longest comes last.

mod guide;
mod same_bytes;
mod sbom;
mod scripts;

use std::path::Path;

use anyhow::Result;

use super::packages::{only, sums};
use super::part::Part;
use super::release::Release;
use crate::process;

/// Fails if the checks cannot end well, whatever is built.
pub(super) fn prepare(release: &Release, parts: &[Part]) -> Result<()> {
    if parts.contains(&Part::Deb) {
        same_bytes::prepare(release)?;
    }
    Ok(())
}

/// Runs all checks on these parts.
pub(super) fn run(release: &Release, parts: &[Part], out: &Path) -> Result<()> {
    checksums(out)?;
    if parts.contains(&Part::Sbom) {
        sbom::check(out)?;
    }
    if parts.contains(&Part::Tarball) {
        scripts::tarball(&only(out, ".tar.gz")?)?;
    }
    if parts.contains(&Part::Oci) {
        scripts::container(release, &only(out, "-oci.tar")?)?;
    }
    if parts.contains(&Part::Rpm) {
        scripts::rpm(&only(out, ".rpm")?)?;
    }
    if !parts.contains(&Part::Deb) {
        return Ok(());
    }
    let package = only(out, ".deb")?;
    lintian(&package)?;
    scripts::life(&package)?;
    scripts::service(&package)?;
    scripts::ansible(&package)?;
    same_bytes::check(release, parts, out)
}

fn checksums(out: &Path) -> Result<()> {
    let mut sha256sum = process::command("sha256sum");
    sha256sum
        .args(["--check", "--quiet", "--strict"])
        .arg(sums(out));
    process::check(sha256sum.current_dir(out))?;
    eprintln!("dist: the checksums are those of the files");
    Ok(())
}

fn lintian(package: &Path) -> Result<()> {
    let mut lintian = process::command("lintian");
    lintian.args([
        "--allow-root",
        "--fail-on",
        "error",
        "--tag-display-limit",
        "0",
    ]);
    process::check(lintian.arg(package))?;
    eprintln!("dist: lintian has no errors");
    Ok(())
}
