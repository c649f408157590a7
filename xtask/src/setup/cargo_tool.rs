//! Tools from crates.io, built here. Their release profiles optimise, which takes longer than these tools save, so the
//! build here does not.

use anyhow::{Result, bail};

use super::version::version_of;
use crate::process;

/// A program of crates.io.
#[derive(Clone, Copy)]
pub(super) struct Tool {
    /// The crate and the program.
    pub(super) name: &'static str,
    /// The version to install; a later one fits as well.
    pub(super) version: &'static str,
    /// What makes the program print its version; nothing for one that does not, of which any version fits.
    pub(super) asks: &'static [&'static str],
}

impl Tool {
    /// Installs it, unless this version or a later one is there.
    pub(super) fn install(self) -> Result<()> {
        let Self { name, version, .. } = self;
        if self.fits() {
            return Ok(());
        }
        eprintln!("setup: building {name} {version} (a minute or two)");
        let mut cargo = process::cargo(&["install", name, "--version", version]);
        cargo
            .args(["--locked", "--force"])
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        process::capture(&mut cargo)?;
        if !self.fits() {
            bail!(
                "{name} was installed, but another one comes first on PATH: {:?}",
                process::find(name)
            );
        }
        Ok(())
    }

    fn fits(self) -> bool {
        let Some(path) = process::find(self.name) else {
            return false;
        };
        if self.asks.is_empty() {
            return true;
        }
        let said = process::text_of(process::command(path).args(self.asks)).unwrap_or_default();
        version_of(&said).is_some_and(|version| Some(version) >= version_of(self.version))
    }
}
