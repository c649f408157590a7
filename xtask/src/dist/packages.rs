//! The packages, each made from the tree by a tool of its own, and the checksums of all.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::release::{Release, SOURCE_DATE_EPOCH};
use crate::{process, workspace};

/// Makes a Debian package of this name.
pub(super) fn deb(release: &Release, name: &str, stage: &Path, out: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo(&["deb", "--no-build", "--no-strip", "--quiet"]);
    cargo.arg("--output").arg(out);
    process::capture(in_stage(&mut cargo, release, stage))?;
    let version = format!("{name}_{}", release.version);
    let entries = std::fs::read_dir(out).with_context(|| format!("reading {}", out.display()))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let made = paths.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&version) && name.ends_with(".deb")
    });
    made.with_context(|| format!("cargo deb made no {version}"))
}

/// Makes the RPM package.
pub(super) fn rpm(release: &Release, stage: &Path, out: &Path) -> Result<PathBuf> {
    // The libraries of the C library and their versions, so that no system takes a package that it cannot run.
    let mut cargo = process::cargo(&["generate-rpm", "--auto-req", "builtin"]);
    cargo.args(["--source-date", &release.epoch]);
    cargo.arg("--output").arg(out);
    process::capture(in_stage(&mut cargo, release, stage))?;
    only(out, ".rpm")
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

/// Writes the bill of materials: every crate that the binary contains. That of the eBPF object, which the binary
/// contains as bytes, is a file of its own.
pub(super) fn sbom(release: &Release, out: &Path) -> Result<Vec<PathBuf>> {
    let name = &release.version;
    let bills = [
        ("geofence-user", format!("geofence-{name}.cdx.json")),
        ("geofence-ebpf", format!("geofence-ebpf-{name}.cdx.json")),
    ];
    bills
        .map(|(member, name)| bill(release, member, &out.join(name)))
        .into_iter()
        .collect()
}

fn bill(release: &Release, member: &str, path: &Path) -> Result<PathBuf> {
    /// What the tool calls its files.
    const NAME: &str = "bom";
    let root = workspace::root();
    let mut cargo = process::cargo(&["cyclonedx", "--format", "json", "--spec-version", "1.5"]);
    cargo
        .args(["--all", "--no-build-deps", "--override-filename", NAME])
        .arg("--manifest-path")
        .arg(root.join(member).join("Cargo.toml"))
        .current_dir(&root)
        .env(SOURCE_DATE_EPOCH, &release.epoch);
    process::capture(&mut cargo)?;
    let own = root.join(member).join(format!("{NAME}.json"));
    let text = std::fs::read_to_string(&own)
        .with_context(|| format!("reading {}, which cargo-cyclonedx writes", own.display()))?;
    // The tool writes beside the manifest of every member of the workspace.
    let entries =
        std::fs::read_dir(&root).with_context(|| format!("reading {}", root.display()))?;
    for entry in entries {
        let written = entry?.path().join(format!("{NAME}.json"));
        if written.is_file() {
            std::fs::remove_file(&written)
                .with_context(|| format!("removing {}", written.display()))?;
        }
    }
    // Where the repository lies is no matter of the bill.
    let text = text.replace(&root.display().to_string(), "/usr/src/geofence");
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path.to_owned())
}

/// Writes the checksums of these files.
pub(super) fn checksums(out: &Path, files: &[PathBuf]) -> Result<PathBuf> {
    let names = files.iter().filter_map(|file| file.file_name());
    let text = process::capture(process::command("sha256sum").args(names).current_dir(out))?;
    let path = sums(out);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// The file with the checksums of what is in a directory.
pub(super) fn sums(out: &Path) -> PathBuf {
    out.join("SHA256SUMS")
}

fn in_stage<'a>(cargo: &'a mut Command, release: &Release, stage: &Path) -> &'a mut Command {
    cargo
        .current_dir(stage)
        .env("CARGO_TARGET_DIR", stage.join("target"))
        .env(SOURCE_DATE_EPOCH, &release.epoch)
}

/// The file in a directory whose name ends so.
pub(super) fn only(directory: &Path, end: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("reading {}", directory.display()))?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(end));
    paths.sort_by_key(|path| path.as_os_str().len());
    let found = paths.into_iter().next();
    found.with_context(|| format!("no file in {} ends in {end}", directory.display()))
}
