//! The short form of the laboratory of what can be seen: Prometheus, Alertmanager and pmacct watch geofence under
//! traffic.

use anyhow::{Result, ensure};
use geofence_tests::lab::{Scale, report};
use geofence_tests::privilege::missing_programs;
use geofence_tests::{require_root, see};

#[test]
fn prometheus_sees_every_packet_and_alerts_fire_and_clear() -> Result<()> {
    require_root!(missing_programs(&see::PROGRAMS));
    let rows = see::see(Scale::Short, None, &mut |_| {})?;
    let mut table = Vec::new();
    report::table(&mut table, &rows)?;
    let table = String::from_utf8(table)?;
    for step in 1..=6 {
        ensure!(
            rows.iter().any(|row| row.step == step),
            "step {step} says nothing:\n{table}"
        );
    }
    report::ensure_all(&rows)
}
