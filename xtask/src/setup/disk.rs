//! Whether the disk has room for a first build. Without the check, one ends after minutes in errors of the linker.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::sys::statvfs::statvfs;

use crate::workspace;

const GIB: u64 = 1 << 30;

/// What lint and all tests leave in cargo's output directory of a fresh clone is 5.3 GiB.
const FIRST_BUILD: u64 = 6 * GIB;

/// Refuses a first build of the tests that the disk has no room for. Later builds replace what is there.
pub(super) fn check() -> Result<()> {
    if workspace::binaries(false)?.join("geofence").exists() {
        return Ok(());
    }
    let directory = workspace::target_directory()?;
    let disk = statvfs(&directory)
        .with_context(|| format!("asking for the free space of {}", directory.display()))?;
    suffices(&directory, disk.blocks_available() * disk.fragment_size())
}

fn suffices(directory: &Path, free: u64) -> Result<()> {
    if free >= FIRST_BUILD {
        return Ok(());
    }
    bail!(
        "a first build of the tests takes up to {} GiB, and the file system of {} has {:.1} GiB free. Free some \
         space there, or set CARGO_TARGET_DIR to a directory on another file system",
        FIRST_BUILD / GIB,
        directory.display(),
        free as f64 / GIB as f64
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_named_with_what_is_free_and_what_is_needed() {
        let target = Path::new("/srv/geofence/target");
        assert!(suffices(target, FIRST_BUILD).is_ok());
        let error = suffices(target, FIRST_BUILD - GIB / 2)
            .unwrap_err()
            .to_string();
        for part in [
            "up to 6 GiB",
            "/srv/geofence/target has 5.5 GiB free",
            "CARGO_TARGET_DIR",
        ] {
            assert!(error.contains(part), "{part} is missing: {error}");
        }
    }
}
