//! What `cargo xtask dist` needs beside the compiler: the makers of packages, and the static target.

use std::path::Path;

use anyhow::{Result, bail};

use super::cargo_tool::Tool;
use super::debian;
use crate::dist::part::Part;
use crate::dist::static_target;
use crate::{process, workspace};

const CARGO_DEB: Tool = Tool {
    name: "cargo-deb",
    version: "3.8.0",
    asks: &["--version"],
};
const CARGO_GENERATE_RPM: Tool = Tool {
    name: "cargo-generate-rpm",
    version: "0.21.1",
    asks: &["--version"],
};
const CARGO_AUDITABLE: Tool = Tool {
    name: "cargo-auditable",
    version: "0.7.7",
    asks: &[],
};
const CARGO_CYCLONEDX: Tool = Tool {
    name: "cargo-cyclonedx",
    version: "0.5.9",
    asks: &["cyclonedx", "--version"],
};

/// Installs what these parts need, and what their check needs.
pub(crate) fn install(parts: &[Part], check: bool) -> Result<()> {
    let mut packages = Vec::new();
    let mut need = |program: &str, package| {
        if process::find(program).is_none() {
            packages.push(package);
        }
    };
    need("objcopy", "binutils");
    for part in parts {
        match part {
            // It finds out which libraries the binary needs.
            Part::Deb | Part::Fleet => need("dpkg-shlibdeps", "dpkg-dev"),
            Part::Tarball => need(static_target::C_COMPILER, "musl-tools"),
            Part::Oci | Part::Controller => {
                need(static_target::C_COMPILER, "musl-tools");
                need("buildah", "buildah");
            }
            Part::Rpm | Part::Sbom => {}
        }
        if check {
            need("ip", "iproute2");
            match part {
                Part::Deb => {
                    need("lintian", "lintian");
                    need("mmdebstrap", "mmdebstrap");
                    need("systemd-nspawn", "systemd-container");
                    need("python3", "python3");
                }
                Part::Rpm => {
                    need("mmdebstrap", "mmdebstrap");
                    need("rpm", "rpm");
                }
                Part::Oci => need("crun", "crun"),
                Part::Tarball | Part::Fleet | Part::Controller | Part::Sbom => {}
            }
        }
    }
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        debian::install(&packages)?;
    }
    let uses_python = |part: &Part| [Part::Deb, Part::Oci].contains(part);
    if check && parts.iter().any(uses_python) {
        super::python::try_install()?;
    }
    if parts.iter().any(|part| part.is_static()) {
        static_library()?;
    }
    if parts.iter().any(|part| *part != Part::Sbom) {
        CARGO_AUDITABLE.install()?;
    }
    for part in parts {
        match part {
            Part::Deb | Part::Fleet => CARGO_DEB.install()?,
            Part::Rpm => CARGO_GENERATE_RPM.install()?,
            Part::Sbom => CARGO_CYCLONEDX.install()?,
            Part::Tarball | Part::Oci | Part::Controller => {}
        }
    }
    Ok(())
}

/// Adds the standard library of the static target to the toolchain.
fn static_library() -> Result<()> {
    let triple = static_target::triple();
    let mut rustc = process::command("rustc");
    rustc.args(["--print", "target-libdir", "--target", &triple]);
    let libraries = process::text_of(rustc.current_dir(workspace::root()));
    if libraries.is_some_and(|path| Path::new(&path).is_dir()) {
        return Ok(());
    }
    if process::find("rustup").is_none() {
        bail!(
            "the compiler has no standard library for {triple}, and there is no rustup to fetch it"
        );
    }
    eprintln!("setup: adding the standard library for {triple}");
    let mut rustup = process::command("rustup");
    rustup.args(["target", "add", &triple]);
    process::capture(rustup.current_dir(workspace::root())).map(drop)
}
