//! The binary that is published: built by the profile `dist`, stripped, its debug information in a file beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::files::size;
use super::release::{Release, SOURCE_DATE_EPOCH};
use super::static_target;
use crate::build::{FLEET, GEOFENCE};
use crate::{process, workspace};

/// What the binary may have at most, in bytes.
const BYTES_MAX: u64 = 20_000_000;

/// The section with the crates, as cargo-auditable names it.
const CRATES: &str = ".dep-v0";

/// The package and the program of the fleet's controller.
const CONTROLLER: (&str, &str) = ("geofence-controller", "geofence-controller");

pub(super) struct Binary {
    name: &'static str,
    /// Without debug information.
    pub(super) path: PathBuf,
    pub(super) debug_information: PathBuf,
    target: String,
}

impl Binary {
    /// Builds it with the C library of this machine.
    pub(super) fn build(release: &Release) -> Result<Self> {
        Self::build_for(release, GEOFENCE, host()?)
    }

    /// Builds the fleet's agent.
    pub(super) fn build_fleet(release: &Release) -> Result<Self> {
        Self::build_for(release, FLEET, host()?)
    }

    /// Builds it for every distribution, with a C library inside.
    pub(super) fn build_static(release: &Release) -> Result<Self> {
        Self::build_for(release, GEOFENCE, static_target::triple())
    }

    /// Builds the fleet's controller, with a C library inside: its image has none.
    pub(super) fn build_controller(release: &Release) -> Result<Self> {
        Self::build_for(release, CONTROLLER, static_target::triple())
    }

    fn build_for(
        release: &Release,
        (package, name): (&'static str, &'static str),
        triple: String,
    ) -> Result<Self> {
        // It notes the crates inside the binary, for scanners of vulnerabilities.
        let mut cargo = process::cargo(&["auditable", "build", "--locked", "--profile", "dist"]);
        cargo.args(["--package", package, "--bin", name, "--target", &triple]);
        static_target::apply(&mut cargo);
        apply(&mut cargo, release, &remapped()?)?;
        process::check(&mut cargo)?;
        let built = workspace::target_directory()?.join(&triple).join("dist");
        Self::split(&built.join(name), name, triple)
    }

    /// Separates the debug information.
    fn split(whole: &Path, name: &'static str, target: String) -> Result<Self> {
        let path = whole.with_file_name("stripped").join(name);
        let directory = path.parent().context("a binary has a directory")?;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        let debug_information = path.with_extension("debug");
        process::capture(
            process::command("objcopy")
                .args(["--only-keep-debug", "--compress-debug-sections"])
                .args([whole, &debug_information]),
        )?;
        process::capture(
            process::command("objcopy")
                .arg("--strip-all")
                .arg("--remove-section=.comment")
                .arg(format!(
                    "--add-gnu-debuglink={}",
                    debug_information.display()
                ))
                .args([whole, &path]),
        )?;
        let sections = process::capture(
            process::command("objdump")
                .arg("--section-headers")
                .arg(&path),
        )?;
        if !String::from_utf8_lossy(&sections).contains(CRATES) {
            bail!(
                "{} lists no crates; is cargo-auditable at work?",
                path.display()
            );
        }
        let bytes = std::fs::metadata(&path)?.len();
        eprintln!(
            "dist: {target}: {} as it is built, {} stripped",
            size(whole)?,
            size(&path)?
        );
        if bytes > BYTES_MAX {
            bail!("the binary has {bytes} bytes; it may have {BYTES_MAX}");
        }
        Ok(Self {
            name,
            path,
            debug_information,
            target,
        })
    }

    /// Puts the debug information among the packages.
    pub(super) fn publish_debug_information(
        &self,
        release: &Release,
        out: &Path,
    ) -> Result<PathBuf> {
        let name = format!("{}-{}-{}.debug", self.name, release.version, self.target);
        let published = out.join(name);
        std::fs::copy(&self.debug_information, &published)
            .with_context(|| format!("writing {}", published.display()))?;
        Ok(published)
    }
}

/// What this machine is, as the compiler names it.
pub(super) fn host() -> Result<String> {
    let said = process::capture(process::command("rustc").arg("-vV"))?;
    let said = String::from_utf8_lossy(&said);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// Flags that replace the directories of this machine by names that are the same everywhere.
fn remapped() -> Result<Vec<String>> {
    let remap =
        |(from, to): &(PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
    Ok(directories()?.iter().map(remap).collect())
}

/// The directories of this machine whose names a compiler could write down, and what stands for each.
fn directories() -> Result<[(PathBuf, &'static str); 4]> {
    let sysroot = process::capture(process::command("rustc").args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot).trim());
    // Of several that match, the last counts.
    Ok([
        (cargo_home()?, "/usr/src/cargo"),
        (sysroot.join("lib/rustlib/src/rust"), "/usr/src/rust"),
        (workspace::root(), "/usr/src/geofence"),
        (workspace::target_directory()?, "/usr/src/geofence/target"),
    ])
}

fn cargo_home() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    home.context("neither CARGO_HOME nor HOME is set")
}

fn apply(cargo: &mut Command, release: &Release, flags: &[String]) -> Result<()> {
    // One character that no flag contains separates them.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    // The C sources of dependencies are below the same directories.
    let map = |(from, to): &(PathBuf, &str)| format!("-ffile-prefix-map={}={to}", from.display());
    let maps: Vec<_> = directories()?.iter().map(map).collect();
    cargo.env("CFLAGS", maps.join(" "));
    cargo.env(SOURCE_DATE_EPOCH, &release.epoch);
    if let Some(commit) = &release.commit {
        cargo.env("GEOFENCE_COMMIT", commit);
    }
    Ok(())
}

/// The object with the eBPF programs that the last build made, below this directory of cargo.
pub(super) fn newest_object(built: &Path) -> Result<PathBuf> {
    let builds = built.join("build");
    let mut found = Vec::new();
    let entries =
        std::fs::read_dir(&builds).with_context(|| format!("reading {}", builds.display()))?;
    for entry in entries {
        let entry = entry?;
        let object = entry.path().join("out/geofence");
        let is_ours = entry.file_name().to_string_lossy().starts_with(GEOFENCE.0);
        if is_ours && object.is_file() {
            found.push((object.metadata()?.modified()?, object));
        }
    }
    let newest = found.into_iter().max();
    let (_, object) = newest.context("the build made no eBPF object")?;
    Ok(object)
}
