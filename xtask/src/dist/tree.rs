//! The tree of files that every package contains, each at the place where it is installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::binary::Binary;
use super::files::{copy, copy_folder, recreate, write};
use super::release::Release;
use crate::{process, workspace};

/// Files of the repository, and where they go.
const FILES: [(&str, &str); 13] = [
    (
        "deploy/geofence.service",
        "usr/lib/systemd/system/geofence.service",
    ),
    (
        "deploy/geofence@.service",
        "usr/lib/systemd/system/geofence@.service",
    ),
    (
        "deploy/geofence-update.service",
        "usr/lib/systemd/system/geofence-update.service",
    ),
    (
        "deploy/geofence-update.timer",
        "usr/lib/systemd/system/geofence-update.timer",
    ),
    (
        "deploy/geofence-update@.service",
        "usr/lib/systemd/system/geofence-update@.service",
    ),
    (
        "deploy/geofence-update@.timer",
        "usr/lib/systemd/system/geofence-update@.timer",
    ),
    (
        "deploy/geofence.tmpfiles",
        "usr/lib/tmpfiles.d/geofence.conf",
    ),
    ("deploy/geofence.toml", "usr/share/geofence/geofence.toml"),
    ("README.md", "usr/share/doc/geofence/README.md"),
    ("CHANGELOG.md", "usr/share/doc/geofence/CHANGELOG.md"),
    ("LICENSE-MIT", "usr/share/doc/geofence/LICENSE-MIT"),
    ("LICENSE-APACHE", "usr/share/doc/geofence/LICENSE-APACHE"),
    (
        "geofence-user/data/README.md",
        "usr/share/doc/geofence/GEOIP.md",
    ),
];

/// The files of the fleet's package.
const FLEET_FILES: [(&str, &str); 6] = [
    (
        "deploy/geofence-fleet.service",
        "usr/lib/systemd/system/geofence-fleet.service",
    ),
    (
        "deploy/geofence-fleet.sysusers",
        "usr/lib/sysusers.d/geofence-fleet.conf",
    ),
    ("docs/fleet.md", "usr/share/doc/geofence-fleet/fleet.md"),
    ("CHANGELOG.md", "usr/share/doc/geofence-fleet/CHANGELOG.md"),
    ("LICENSE-MIT", "usr/share/doc/geofence-fleet/LICENSE-MIT"),
    (
        "LICENSE-APACHE",
        "usr/share/doc/geofence-fleet/LICENSE-APACHE",
    ),
];

/// Folders of the repository, and where their files go. A folder that does not exist is left out.
const FOLDERS: [(&str, &str); 4] = [
    ("docs", "usr/share/doc/geofence/docs"),
    ("deploy/prometheus", "usr/share/geofence/prometheus"),
    ("deploy/grafana", "usr/share/geofence/grafana"),
    ("deploy/fail2ban", "usr/share/geofence/fail2ban"),
];

/// Completions: what the shell is called, and the file that it reads.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/geofence"),
    ("zsh", "usr/share/zsh/site-functions/_geofence"),
    ("fish", "usr/share/fish/vendor_completions.d/geofence.fish"),
];

/// Puts the tree, and what the makers of packages read, into a directory; returns the directory.
pub(super) fn stage(release: &Release, binary: &Binary, directory: &Path) -> Result<PathBuf> {
    recreate(directory)?;
    let root = directory.join("root");
    copy(&binary.path, &root.join("usr/sbin/geofence"))?;
    let sources = workspace::root();
    for (from, to) in FILES {
        copy(&sources.join(from), &root.join(to))?;
    }
    for (from, to) in FOLDERS {
        copy_folder(&sources.join(from), &root.join(to))?;
    }
    // The binary itself knows its commands and its keys.
    for (shell, file) in COMPLETIONS {
        let text = process::capture(process::command(&binary.path).args(["completions", shell]))?;
        write(&root.join(file), &text)?;
    }
    let schema = process::capture(process::command(&binary.path).arg("schema"))?;
    write(
        &root.join("usr/share/geofence/geofence.schema.json"),
        &schema,
    )?;
    let pages = root.join("usr/share/man/man8");
    process::capture(process::command(&binary.path).arg("man-pages").arg(&pages))?;
    describe(release, "geofence", directory)?;
    Ok(directory.to_owned())
}

/// The same for the package of the fleet's agent.
pub(super) fn stage_fleet(release: &Release, binary: &Binary, directory: &Path) -> Result<PathBuf> {
    recreate(directory)?;
    let root = directory.join("root");
    copy(&binary.path, &root.join("usr/sbin/geofence-fleet"))?;
    for (from, to) in FLEET_FILES {
        copy(&workspace::root().join(from), &root.join(to))?;
    }
    describe(release, "geofence-fleet", directory)?;
    Ok(directory.to_owned())
}

/// The same for the image of the fleet's controller.
pub(super) fn stage_controller(binary: &Binary, directory: &Path) -> Result<PathBuf> {
    recreate(directory)?;
    let root = directory.join("root");
    copy(&binary.path, &root.join("usr/sbin/geofence-controller"))?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let to = root.join("usr/share/doc/geofence-controller").join(licence);
        copy(&workspace::root().join(licence), &to)?;
    }
    Ok(directory.to_owned())
}

/// Writes the manifest, the scripts, the copyright and the changelog for the makers of packages.
fn describe(release: &Release, name: &str, directory: &Path) -> Result<()> {
    let folder = name.replace("geofence", "deploy/package");
    let package = workspace::root().join(folder);
    copy_folder(&package.join("scripts"), &directory.join("scripts"))?;
    let manifest = read(&package.join("Cargo.toml"))?;
    let version = format!("version = \"{}\"", release.version);
    let manifest = manifest.replacen("version = \"0.0.0\"", &version, 1);
    write(&directory.join("Cargo.toml"), manifest.as_bytes())?;
    write(&directory.join("no-code.rs"), b"")?;
    let licence = read(&workspace::root().join("LICENSE-MIT"))?;
    let copyright = read(&package.join("copyright"))?.replace("@MIT@", &indented(&licence));
    write(&directory.join("copyright"), copyright.as_bytes())?;
    let changelog = format!(
        "{name} ({}-1) unstable; urgency=medium\n\n  * The changes are in /usr/share/doc/{name}/CHANGELOG.md.\n\n \
         -- geofence developers <geofence@packages.invalid>  {}\n",
        release.version,
        release.date()?
    );
    write(&directory.join("changelog"), changelog.as_bytes())
}

/// A text as the value of a field: each line is indented, and an empty line is a full stop.
fn indented(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| match line {
        "" => " .".to_owned(),
        line => format!(" {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_tree_and_every_unit_is_in_the_repository() {
        let root = workspace::root();
        for (from, _) in FILES.into_iter().chain(FLEET_FILES) {
            assert!(root.join(from).is_file(), "{from}");
        }
        for entry in std::fs::read_dir(root.join("deploy")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_unit = name.ends_with(".service") || name.ends_with(".timer");
            let is_packed = FILES
                .iter()
                .chain(&FLEET_FILES)
                .any(|(from, _)| *from == format!("deploy/{name}"));
            assert!(is_packed || !is_unit, "{name} is in no package");
        }
    }

    #[test]
    fn a_licence_becomes_the_value_of_a_field() {
        assert_eq!(indented("One\n\nTwo\n"), " One\n .\n Two");
    }
}
