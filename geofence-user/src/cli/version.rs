//! `geofence --version`, and with `--verbose` what a bug report needs: the build, this machine's kernel, and the data.

use std::io::Write;

use crate::checks::doctor::Machine;
use crate::data::geoip;
use crate::model::kernel_version::{KERNEL_MIN, TCX_MIN};

/// The commit that was built, if the build knew it.
const COMMIT: Option<&str> = option_env!("GEOFENCE_COMMIT");

pub(super) fn version(is_verbose: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "geofence {}", env!("CARGO_PKG_VERSION"))?;
    if !is_verbose {
        return Ok(());
    }
    let commit = COMMIT.unwrap_or("unknown: this is a debug build, or one without git");
    writeln!(out, "commit      {commit}")?;
    writeln!(
        out,
        "built       by Rust {} for {}",
        env!("GEOFENCE_RUST"),
        env!("GEOFENCE_TARGET")
    )?;
    let ((major, minor), (tcx_major, tcx_minor)) = (KERNEL_MIN, TCX_MIN);
    writeln!(
        out,
        "needs       Linux {major}.{minor} or newer; attaches the egress program by TCX from {tcx_major}.{tcx_minor}"
    )?;
    writeln!(out, "this kernel {}", Machine::read().features())?;
    let built = geoip::embedded_built()?;
    writeln!(
        out,
        "GeoIP data  {}, of {}",
        geoip::EMBEDDED_NAME,
        built.date()
    )?;
    writeln!(out, "            {}", geoip::ATTRIBUTION)?;
    Ok(())
}
