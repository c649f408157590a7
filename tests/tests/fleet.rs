//! The short form of the laboratory of a fleet: etcd with TLS, five nodes with their agents, and traffic throughout.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use geofence_tests::lab::report::Row;
use geofence_tests::lab::{Scale, report};
use geofence_tests::privilege::missing_programs;
use geofence_tests::{fake_clock, fleet, require_root};

#[test]
fn fleet_has_one_policy_and_one_exception_and_each_node_stands_alone() -> Result<()> {
    require_root!(missing_programs(&fleet::PROGRAMS));
    let rows = fleet::fleet(Scale::Short, None, &mut |_| {})?;
    println!("{}", ensure_steps(&rows, 1..=9)?);
    Ok(())
}

/// The table, once each of these steps has a row and all rows are as they should be. It says how long each took.
fn ensure_steps(rows: &[Row], steps: RangeInclusive<u8>) -> Result<String> {
    let mut table = Vec::new();
    report::table(&mut table, rows)?;
    let table = String::from_utf8(table)?;
    for step in steps {
        ensure!(
            rows.iter().any(|row| row.step == step),
            "step {step} says nothing:\n{table}"
        );
    }
    report::ensure_all(rows)?;
    Ok(table)
}

#[test]
fn troubles_of_the_engine_show_and_change_nothing() -> Result<()> {
    require_root!(missing_programs(&fleet::PROGRAMS));
    let rows = fleet::troubles(&mut |_| {})?;
    println!("{}", ensure_steps(&rows, 10..=17)?);
    Ok(())
}

#[test]
fn every_query_of_the_fleet_dashboard_has_data() -> Result<()> {
    let mut programs = fleet::PROGRAMS.to_vec();
    programs.push(("prometheus", "prometheus"));
    require_root!(missing_programs(&programs));
    fleet::dashboard()
}

#[test]
fn ban_of_the_fleet_follows_a_wall_clock_that_is_set_by_hours() -> Result<()> {
    let programs = missing_programs(&fleet::PROGRAMS);
    require_root!(programs.into_iter().chain(fake_clock::missing()));
    fleet::clock()
}
