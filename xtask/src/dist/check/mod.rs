//! `cargo xtask dist --check`: what only takes too long for every test run.
//!
//! Lintian, the life of the package in a Debian root, the service under a real systemd, the Ansible role, the container
//! image, and a second build that must give the same bytes. Each works in namespaces of its own, by a script.

mod guide;
mod scripts;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::binary;
use super::files::recreate;
use super::packages::only;
use super::part::Part;
use super::release::{Release, SOURCE_DATE_EPOCH};
use crate::{process, workspace};

/// Runs all checks on these parts.
pub(super) fn run(release: &Release, parts: &[Part], out: &Path) -> Result<()> {
    if parts.contains(&Part::Oci) {
        scripts::container(release)?;
    }
    if !parts.contains(&Part::Deb) {
        return Ok(());
    }
    let package = only(out, "deb")?;
    lintian(&package)?;
    scripts::life(&package)?;
    scripts::service(&package)?;
    scripts::ansible(&package)?;
    same_bytes(release, out)
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

/// Builds from a fresh clone in another directory, and compares the eBPF object and the package.
fn same_bytes(release: &Release, out: &Path) -> Result<()> {
    if release
        .commit
        .as_ref()
        .is_none_or(|commit| commit.contains(','))
    {
        bail!("files differ from the commit: commit them, so that a clone can build the same");
    }
    let clone = workspace::scratch("dist/clone")?;
    recreate(&clone)?;
    let mut git = process::command("git");
    git.args(["clone", "--quiet", "--no-hardlinks"]);
    process::check(git.arg(workspace::root()).arg(&clone))?;
    let target = clone.join("target");
    let mut cargo = process::cargo(&["run", "--quiet", "--package", "xtask", "--", "dist", "deb"]);
    cargo
        .current_dir(&clone)
        .env("CARGO_TARGET_DIR", &target)
        .env(SOURCE_DATE_EPOCH, &release.epoch)
        .env_remove("CARGO_MANIFEST_DIR");
    process::check(&mut cargo)?;
    let here = workspace::target_directory()?;
    let objects = [&here, &target].map(|target| object(target));
    let [one, other] = objects;
    same(&one?, &other?)?;
    same(&only(out, "deb")?, &only(&target.join("packages"), "deb")?)?;
    eprintln!("dist: a second build from a clone gave the same eBPF object and the same package");
    Ok(())
}

/// The eBPF object of the build in this directory of cargo.
fn object(target: &Path) -> Result<PathBuf> {
    binary::newest_object(&target.join(binary::host()?).join("dist"))
}

fn same(one: &Path, other: &Path) -> Result<()> {
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    if read(one)? != read(other)? {
        bail!("{} and {} differ", one.display(), other.display());
    }
    Ok(())
}
