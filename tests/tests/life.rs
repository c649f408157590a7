//! The life laboratory's short form: under a flood, no change of the filter leaks or loses a packet.

use anyhow::{Result, ensure};
use geofence_tests::lab::{Scale, report};
use geofence_tests::privilege::missing_programs;
use geofence_tests::{life, require_root};

#[test]
fn no_change_of_the_filter_leaks_or_loses_a_packet() -> Result<()> {
    require_root!(missing_programs(&life::PROGRAMS));
    let rows = life::life(Scale::Short, &[], &mut |_| {})?;
    let mut table = Vec::new();
    report::table(&mut table, &rows)?;
    let table = String::from_utf8(table)?;
    for step in 1..=12 {
        ensure!(
            rows.iter().any(|row| row.step == step),
            "step {step} says nothing:\n{table}"
        );
    }
    report::ensure_all(&rows)
}
