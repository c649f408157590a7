//! The scripts of the check: what they are given, and the namespaces that they work in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::guide;
use crate::dist::release::Release;
use crate::{privilege, process, setup, workspace};

/// The scripts by name. They lie in one directory when one of them runs.
const SCRIPTS: [(&str, &str); 10] = [
    ("ansible.sh", include_str!("scripts/ansible.sh")),
    ("container.py", include_str!("scripts/container.py")),
    ("life.sh", include_str!("scripts/life.sh")),
    ("root.sh", include_str!("scripts/root.sh")),
    ("rpm.sh", include_str!("scripts/rpm.sh")),
    ("service.sh", include_str!("scripts/service.sh")),
    ("service_steps.sh", include_str!("scripts/service_steps.sh")),
    ("shared.sh", include_str!("scripts/shared.sh")),
    ("tarball.sh", include_str!("scripts/tarball.sh")),
    ("traffic.py", include_str!("scripts/traffic.py")),
];

/// What the Debian roots have besides the packages that every system has. One of them boots.
const PLAIN: &str = "ca-certificates,iproute2,systemd";
const BOOTED: &str =
    "ca-certificates,dbus,iproute2,procps,python3,python3-apt,systemd,systemd-sysv";

/// Installs, upgrades, removes and purges the package in a Debian root.
pub(super) fn life(package: &Path) -> Result<()> {
    let root = debian_root("debian", PLAIN)?;
    run("sh", "life.sh", &[root.as_os_str(), package.as_os_str()])?;
    eprintln!("dist: the package was installed, upgraded, removed and purged in a Debian root");
    Ok(())
}

/// Installs, upgrades and removes the RPM package in a Debian root.
pub(super) fn rpm(package: &Path) -> Result<()> {
    let root = debian_root("debian", PLAIN)?;
    run("sh", "rpm.sh", &[root.as_os_str(), package.as_os_str()])?;
    eprintln!("dist: the RPM package was installed, upgraded and removed");
    Ok(())
}

/// Unpacks the archive into an empty root, and filters from there.
pub(super) fn tarball(archive: &Path) -> Result<()> {
    let root = workspace::scratch("dist/empty")?;
    run("sh", "tarball.sh", &[root.as_os_str(), archive.as_os_str()])?;
    eprintln!("dist: the static binary filtered in a root without anything else");
    Ok(())
}

/// Follows the guide in a Debian root that boots, boots it again, upgrades under a flood, and runs the Ansible role
/// there.
pub(super) fn service(package: &Path) -> Result<()> {
    let root = debian_root("debian-booted", BOOTED)?;
    let file = workspace::scratch("dist")?.join("guide");
    std::fs::write(&file, guide::commands()?)
        .with_context(|| format!("writing {}", file.display()))?;
    let (playbooks, python) = ansible_tools()?;
    let words = [&root, package, &file, &playbooks, &python].map(AsRef::<OsStr>::as_ref);
    run("sh", "service.sh", &words)?;
    eprintln!(
        "dist: the guide was followed, the machine booted, the package upgraded under a flood, and the Ansible role \
         started the service"
    );
    Ok(())
}

/// Runs the Ansible role on a copy of this machine.
pub(super) fn ansible(package: &Path) -> Result<()> {
    let scratch = workspace::scratch("dist/ansible")?;
    let (playbooks, python) = ansible_tools()?;
    let words = [&playbooks, package, &python, &scratch].map(AsRef::<OsStr>::as_ref);
    run("sh", "ansible.sh", &words)?;
    eprintln!("dist: the Ansible role installed the package, and a second run changed nothing");
    Ok(())
}

/// Starts the image as the DaemonSet would.
pub(super) fn container(release: &Release, archive: &Path) -> Result<()> {
    let scratch = workspace::scratch("dist/container")?;
    let manifests = workspace::root().join("deploy/kubernetes/base");
    let python = setup::python::environment()?.join("bin/python");
    let commit = release.commit.clone().unwrap_or_default();
    let words = [
        manifests.as_os_str(),
        archive.as_os_str(),
        scratch.as_os_str(),
        commit.as_ref(),
    ];
    run(python, "container.py", &words)?;
    eprintln!("dist: the image filtered, with the capabilities and mounts of the DaemonSet");
    Ok(())
}

/// The playbooks, and the Python that has Ansible.
fn ansible_tools() -> Result<(PathBuf, PathBuf)> {
    let playbooks = workspace::root().join("deploy/ansible");
    Ok((playbooks, setup::python::environment()?.join("bin/python")))
}

/// A Debian root with these packages. It is made where the network is, which the scripts do not have.
fn debian_root(name: &str, packages: &str) -> Result<PathBuf> {
    let root = workspace::scratch(&format!("dist/{name}"))?;
    let mut make = process::command("sh");
    make.arg(scripts()?.join("root.sh"))
        .arg(&root)
        .arg(packages);
    process::check(&mut privilege::required("a Debian root", &make)?)?;
    Ok(root)
}

fn run(program: impl AsRef<OsStr>, script: &str, words: &[&OsStr]) -> Result<()> {
    let place = scripts()?;
    let mut unshare = process::command("unshare");
    unshare.args([
        "--mount",
        "--net",
        "--pid",
        "--mount-proc",
        "--fork",
        "--kill-child",
    ]);
    unshare.arg(program).arg(place.join(script)).args(words);
    process::check(&mut privilege::required(
        "the check of a package",
        &unshare,
    )?)
}

fn scripts() -> Result<PathBuf> {
    let place = workspace::scratch("dist/scripts")?;
    for (name, text) in SCRIPTS {
        let path = place.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(place)
}
