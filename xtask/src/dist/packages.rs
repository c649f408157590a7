//! The packages, each made from the tree by a tool of its own, and the checksums of all.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::release::{Release, SOURCE_DATE_EPOCH};
use crate::{process, workspace};

/// Makes the Debian package.
pub(super) fn deb(release: &Release, stage: &Path, out: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo(&["deb", "--no-build", "--no-strip", "--quiet"]);
    cargo.arg("--output").arg(out);
    process::capture(in_stage(&mut cargo, release, stage))?;
    only(out, "deb")
}

/// Makes the RPM package.
pub(super) fn rpm(release: &Release, stage: &Path, out: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo(&["generate-rpm", "--auto-req", "disabled"]);
    cargo.args(["--source-date", &release.epoch]);
    cargo.arg("--output").arg(out);
    process::capture(in_stage(&mut cargo, release, stage))?;
    only(out, "rpm")
}

/// Packs the tree into an archive, for distributions without a package.
pub(super) fn tarball(release: &Release, stage: &Path, out: &Path) -> Result<PathBuf> {
    let name = format!(
        "geofence-{}-{}-linux-static",
        release.version,
        std::env::consts::ARCH
    );
    let archive = out.join(format!("{name}.tar.gz"));
    let mut tar = process::command("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ])
    .args(["--mode=u=rwX,go=rX", "--use-compress-program=gzip -9n"])
    .arg(format!("--mtime=@{}", release.epoch))
    .arg(format!("--transform=s,^root,{name},"))
    .arg("--file")
    .arg(&archive)
    .arg("--directory")
    .arg(stage)
    .arg("root");
    process::capture(&mut tar)?;
    Ok(archive)
}

/// Writes the bill of materials: every crate that the binary contains.
pub(super) fn sbom(release: &Release, out: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo(&["cyclonedx", "--format", "json", "--spec-version", "1.5"]);
    cargo
        .args(["--all", "--no-build-deps", "--override-filename", "bom"])
        .arg("--manifest-path")
        .arg(workspace::root().join("geofence-user/Cargo.toml"))
        .env(SOURCE_DATE_EPOCH, &release.epoch);
    process::capture(&mut cargo)?;
    // The tool writes beside the manifest of every member of the workspace.
    let bill = out.join(format!("geofence-{}.cdx.json", release.version));
    for member in [
        "geofence-common",
        "geofence-ebpf",
        "geofence-user",
        "tests",
        "xtask",
    ] {
        let written = workspace::root().join(member).join("bom.json");
        if !written.exists() {
            continue;
        }
        if member == "geofence-user" {
            let text = std::fs::read_to_string(&written)
                .with_context(|| format!("reading {}", written.display()))?;
            // Where the repository lies is no matter of the bill.
            let text = text.replace(
                &workspace::root().display().to_string(),
                "/usr/src/geofence",
            );
            std::fs::write(&bill, text).with_context(|| format!("writing {}", bill.display()))?;
        }
        std::fs::remove_file(&written)
            .with_context(|| format!("removing {}", written.display()))?;
    }
    Ok(bill)
}

/// Writes the checksums of these files.
pub(super) fn checksums(out: &Path, files: &[PathBuf]) -> Result<PathBuf> {
    let names = files.iter().filter_map(|file| file.file_name());
    let sums = process::capture(process::command("sha256sum").args(names).current_dir(out))?;
    let path = out.join("SHA256SUMS");
    std::fs::write(&path, sums).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn in_stage<'a>(cargo: &'a mut Command, release: &Release, stage: &Path) -> &'a mut Command {
    // The tools ask for the manifest of the directory, and cargo's own variables name that of xtask.
    cargo
        .current_dir(stage)
        .env("CARGO_TARGET_DIR", stage.join("target"))
        .env(SOURCE_DATE_EPOCH, &release.epoch)
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_MANIFEST_PATH")
}

/// The file in a directory whose name ends so.
pub(super) fn only(directory: &Path, extension: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("reading {}", directory.display()))?;
    let mut paths = entries.into_iter().map(|entry| entry.path());
    let found = paths.find(|path| path.extension().is_some_and(|end| end == extension));
    found.with_context(|| format!("there is no .{extension} in {}", directory.display()))
}
