//! The short form of the laboratory of a fleet: etcd with TLS, five nodes with their agents, and traffic throughout.

use anyhow::{Result, ensure};
use geofence_tests::lab::{Scale, report};
use geofence_tests::privilege::missing_programs;
use geofence_tests::{fleet, require_root};

#[test]
fn fleet_has_one_policy_and_one_exception_and_each_node_stands_alone() -> Result<()> {
    require_root!(missing_programs(&fleet::PROGRAMS));
    let rows = fleet::fleet(Scale::Short, &mut |_| {})?;
    let mut table = Vec::new();
    report::table(&mut table, &rows)?;
    let table = String::from_utf8(table)?;
    for step in 1..=9 {
        ensure!(
            rows.iter().any(|row| row.step == step),
            "step {step} says nothing:\n{table}"
        );
    }
    // Shown with --nocapture: how long an exception took to every node.
    println!("{table}");
    report::ensure_all(&rows)
}
