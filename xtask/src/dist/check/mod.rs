//! `cargo xtask dist --check`: what only takes too long for every test run.
//!
//! Lintian, a second build that must give the same bytes, and the life of the package in a real Debian root.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::binary;
use super::files::recreate;
use super::packages::only;
use super::release::{Release, SOURCE_DATE_EPOCH};
use crate::{privilege, process, workspace};

/// What happens to a package in a Debian root; its arguments are the root and the package.
const LIFE: &str = include_str!("life_of_a_package.sh");

/// Runs all checks on the Debian package among these packages.
pub(super) fn run(release: &Release, out: &Path) -> Result<()> {
    let package = only(out, "deb").context("--check is about the Debian package")?;
    lintian(&package)?;
    life(&package)?;
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

/// Installs, upgrades, removes and purges the package in a new Debian root, in namespaces of its own.
fn life(package: &Path) -> Result<()> {
    let root = workspace::scratch("dist/debian")?;
    let script = workspace::scratch("dist")?.join("life_of_a_package.sh");
    std::fs::write(&script, LIFE).with_context(|| format!("writing {}", script.display()))?;
    let mut unshare = process::command("unshare");
    unshare
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"])
        .args([&script, &root, package]);
    process::check(&mut privilege::required("a Debian root", &unshare)?)?;
    eprintln!("dist: the package was installed, upgraded, removed and purged in a Debian root");
    Ok(())
}
