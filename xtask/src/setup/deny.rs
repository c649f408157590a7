//! cargo-deny, which `cargo xtask lint` runs to check the licences and sources of dependencies.
//!
//! It is built from crates.io. Its release profile optimises the whole program at link time, which takes longer than
//! the check saves, so the build here does not.

use anyhow::{Result, bail};

use super::version::version_of;
use crate::process;

const CARGO_DENY: &str = "0.20.2";

/// Installs cargo-deny, unless this version or a later one is there.
pub(crate) fn install() -> Result<()> {
    if fits() {
        return Ok(());
    }
    eprintln!("setup: building cargo-deny {CARGO_DENY} (a minute or two)");
    let mut cargo = process::cargo(&[
        "install",
        "cargo-deny",
        "--version",
        CARGO_DENY,
        "--locked",
        "--force",
    ]);
    cargo
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    process::capture(&mut cargo)?;
    if !fits() {
        bail!(
            "cargo-deny was installed, but another one comes first on PATH: {:?}",
            process::find("cargo-deny")
        );
    }
    Ok(())
}

fn fits() -> bool {
    let Some(path) = process::find("cargo-deny") else {
        return false;
    };
    let version = process::text_of(process::command(path).arg("--version")).unwrap_or_default();
    version_of(&version).is_some_and(|version| Some(version) >= version_of(CARGO_DENY))
}
