//! What `cargo xtask dist` needs beside the compiler: the makers of packages, and musl for the static binary.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cargo_tool::Tool;
use super::debian;
use crate::dist::part::Part;
use crate::process;

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
            Part::Deb => need("dpkg-shlibdeps", "dpkg-dev"),
            Part::Tarball => need("musl-gcc", "musl-tools"),
            Part::Rpm | Part::Sbom => {}
        }
    }
    if check {
        need("lintian", "lintian");
        need("mmdebstrap", "mmdebstrap");
        need("rpm", "rpm");
    }
    if parts.contains(&Part::Tarball) && unwinder().is_none() {
        packages.push("libunwind-19-dev");
    }
    if !packages.is_empty() {
        debian::install(&packages)?;
    }
    for part in parts {
        match part {
            Part::Deb => CARGO_DEB.install()?,
            Part::Rpm => CARGO_GENERATE_RPM.install()?,
            Part::Sbom => CARGO_CYCLONEDX.install()?,
            Part::Tarball => {}
        }
    }
    Ok(())
}

/// The unwinder of LLVM that is installed, of the newest version.
pub(crate) fn unwinder() -> Option<PathBuf> {
    let versions = (14..=40).rev();
    let mut places = versions
        .map(|version| Path::new("/usr/lib").join(format!("llvm-{version}/lib/libunwind.a")));
    places.find(|path| path.is_file())
}
