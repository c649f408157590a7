//! The short form of the laboratory of machines: Debian's kernels accept the programs, and the filter works there.

use anyhow::Result;
use geofence_tests::lab::{Scale, report};
use geofence_tests::privilege::missing_programs;
use geofence_tests::{machines, require_root};

#[test]
fn kernels_of_debian_load_the_programs_and_filter() -> Result<()> {
    let mut missing = missing_programs(&machines::PROGRAMS);
    let kernels = machines::found();
    if kernels.is_empty() {
        missing.push("kernels for the emulator (`cargo xtask setup` fetches them)");
    }
    require_root!(missing);
    let rows = machines::machines(&kernels, Scale::Short, &mut |_| {})?;
    report::ensure_all(&rows)
}
