//! A second build, from a clone in another directory, that must give the same bytes.
//!
//! It makes the parts with the binary of this system, and the bill. The static binary differs from that in its C
//! library only, so it is not built twice.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::dist::binary;
use crate::dist::files::recreate;
use crate::dist::packages::sums;
use crate::dist::part::Part;
use crate::dist::release::{Release, SOURCE_DATE_EPOCH};
use crate::{process, workspace};

/// Fails if no clone could build the same.
pub(super) fn prepare(release: &Release) -> Result<()> {
    match &release.commit {
        None => {
            bail!("this is no git repository, so there is no clone to build a second time from")
        }
        Some(commit) if commit.contains(',') => {
            bail!("files differ from the commit: commit them, so that a clone can build the same")
        }
        Some(_) => Ok(()),
    }
}

/// Builds from a fresh clone, and compares the eBPF object and what is published.
pub(super) fn check(release: &Release, parts: &[Part], out: &Path) -> Result<()> {
    let clone = workspace::scratch("dist/clone")?;
    recreate(&clone)?;
    let mut git = process::command("git");
    git.args(["clone", "--quiet", "--no-hardlinks"]);
    process::check(git.arg(workspace::root()).arg(&clone))?;
    let target = clone.join("target");
    let mut cargo = process::cargo(&["run", "--quiet", "--package", "xtask", "--", "dist"]);
    let parts = parts.iter().filter(|part| !part.is_static());
    cargo.args(parts.map(|part| part.name()));
    cargo
        .current_dir(&clone)
        .env("CARGO_TARGET_DIR", &target)
        .env(SOURCE_DATE_EPOCH, &release.epoch);
    process::check(&mut cargo)?;
    let [one, other] =
        [workspace::target_directory()?, target.clone()].map(|target| object(&target));
    let (one, other) = (one?, other?);
    if read(&one)? != read(&other)? {
        bail!(
            "the eBPF objects {} and {} differ",
            one.display(),
            other.display()
        );
    }
    let [one, other] = [sums(out), sums(&target.join("packages"))].map(|path| read(&path));
    let (one, other) = (one?, other?);
    compare(
        &String::from_utf8_lossy(&one),
        &String::from_utf8_lossy(&other),
    )?;
    eprintln!(
        "dist: a second build in another directory gave the same eBPF object and the same packages"
    );
    // It is as large as the first one, and the next check begins anew.
    std::fs::remove_dir_all(&clone).with_context(|| format!("removing {}", clone.display()))
}

/// The eBPF object of the build in this directory of cargo.
fn object(target: &Path) -> Result<PathBuf> {
    binary::newest_object(&target.join(binary::host()?).join("dist"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Compares the checksums of the second build with those of the first, which may have more files.
fn compare(first: &str, second: &str) -> Result<()> {
    let differ: Vec<_> = second
        .lines()
        .filter(|line| !first.lines().any(|one| one == *line))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    if second.trim().is_empty() {
        bail!("the second build made nothing");
    }
    if !differ.is_empty() {
        bail!(
            "a second build in another directory gave other bytes: {}; `diffoscope` shows where they differ",
            differ.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_second_build_are_those_of_the_first() {
        let first = "aa  x.deb\nbb  x.tar.gz\ncc  x.rpm\n";
        assert!(compare(first, "aa  x.deb\ncc  x.rpm\n").is_ok());
        let error = compare(first, "aa  x.deb\ncd  x.rpm\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("x.rpm") && !error.contains("x.deb"),
            "{error}"
        );
        assert!(compare(first, "").is_err());
    }
}
