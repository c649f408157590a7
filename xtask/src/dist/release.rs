//! What is released: the version, the commit and its time, which stands in for the time of the build.

use anyhow::{Context as _, Result};

use crate::{process, workspace};

/// The variable by which tools take a time that is not the present (reproducible-builds.org).
pub(super) const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

pub(super) struct Release {
    pub(super) version: String,
    /// The commit, marked if files differ from it; none without git.
    pub(super) commit: Option<String>,
    /// The time of the commit, in seconds since 1970.
    pub(super) epoch: String,
}

impl Release {
    pub(super) fn read() -> Result<Self> {
        let manifest = workspace::root().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("reading {}", manifest.display()))?;
        let version = text
            .lines()
            .find_map(|line| workspace::quoted_value(line, "version"))
            .context("Cargo.toml has no line `version = \"...\"`")?;
        let dirty = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
        let commit = git(&["rev-parse", "HEAD"]).map(|commit| {
            let mark = if dirty { ", changed" } else { "" };
            commit + mark
        });
        let epoch = std::env::var(SOURCE_DATE_EPOCH).ok();
        let epoch = epoch.or_else(|| git(&["log", "-1", "--format=%ct"]));
        let epoch =
            epoch.context("without git, set SOURCE_DATE_EPOCH to the time of the release")?;
        Ok(Self {
            version,
            commit,
            epoch,
        })
    }

    /// The time in the form of RFC 5322, for the changelog of Debian.
    pub(super) fn date(&self) -> Result<String> {
        let mut date = process::command("date");
        date.args(["--utc", "--rfc-email", "--date"])
            .arg(format!("@{}", self.epoch))
            .env("LC_ALL", "C");
        let date = process::capture(&mut date)?;
        Ok(String::from_utf8_lossy(&date).trim().to_owned())
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let mut git = process::command("git");
    process::text_of(git.arg("-C").arg(workspace::root()).args(arguments))
}
