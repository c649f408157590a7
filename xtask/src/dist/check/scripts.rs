//! The scripts of the check: what they are given, and the namespaces that they work in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::guide;
use crate::dist::files::recreate;
use crate::dist::image;
use crate::dist::release::Release;
use crate::{privilege, process, setup, workspace};

/// The scripts by name. They lie in one directory when one of them runs.
const SCRIPTS: [(&str, &str); 6] = [
    ("ansible.sh", include_str!("scripts/ansible.sh")),
    ("container.py", include_str!("scripts/container.py")),
    ("life.sh", include_str!("scripts/life.sh")),
    ("service.sh", include_str!("scripts/service.sh")),
    ("service_steps.sh", include_str!("scripts/service_steps.sh")),
    ("traffic.py", include_str!("scripts/traffic.py")),
];

/// Installs, upgrades, removes and purges the package in a new Debian root.
pub(super) fn life(package: &Path) -> Result<()> {
    let root = workspace::scratch("dist/debian")?;
    run("sh", "life.sh", &[root.as_os_str(), package.as_os_str()])?;
    eprintln!("dist: the package was installed, upgraded, removed and purged in a Debian root");
    Ok(())
}

/// Follows the guide in a Debian root that boots, boots it again, and upgrades under a flood.
pub(super) fn service(package: &Path) -> Result<()> {
    let root = workspace::scratch("dist/debian-booted")?;
    let file = workspace::scratch("dist")?.join("guide");
    std::fs::write(&file, guide::commands()?)
        .with_context(|| format!("writing {}", file.display()))?;
    let words = [root.as_os_str(), package.as_os_str(), file.as_os_str()];
    run("sh", "service.sh", &words)?;
    eprintln!(
        "dist: the guide was followed, the machine booted, and the package upgraded under a flood"
    );
    Ok(())
}

/// Runs the Ansible role on a copy of this machine.
pub(super) fn ansible(package: &Path) -> Result<()> {
    let scratch = workspace::scratch("dist/ansible")?;
    recreate(&scratch)?;
    let playbooks = workspace::root().join("deploy/ansible");
    let tools = setup::python::environment()?.join("bin");
    let words = [&playbooks, package, &tools, &scratch].map(AsRef::<OsStr>::as_ref);
    run("sh", "ansible.sh", &words)?;
    eprintln!("dist: the Ansible role installed the package, and a second run changed nothing");
    Ok(())
}

/// Starts the image as the DaemonSet would.
pub(super) fn container(release: &Release) -> Result<()> {
    let scratch = workspace::scratch("dist/container")?;
    recreate(&scratch)?;
    let root = image::unpack(release)?;
    let manifests = workspace::root().join("deploy/kubernetes/base");
    let python = setup::python::environment()?.join("bin/python");
    let words = [&manifests, &root, &scratch].map(AsRef::<OsStr>::as_ref);
    run(python, "container.py", &words)?;
    eprintln!("dist: the image filtered, with the capabilities and mounts of the DaemonSet");
    Ok(())
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
    process::check(&mut privilege::required("a Debian root", &unshare)?)
}

fn scripts() -> Result<PathBuf> {
    let place = workspace::scratch("dist/scripts")?;
    for (name, text) in SCRIPTS {
        let path = place.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(place)
}
