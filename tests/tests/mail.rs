//! The mail laboratory's short form: mail passes between blocked countries and us, and nothing else does.
//!
//! Real mail and DNS servers, real scans; reported as skipped without root or where their programs are missing.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use geofence_tests::lab::report::{self, Row};
use geofence_tests::lab::{self, Mode, Scale};
use geofence_tests::privilege::missing_programs;
use geofence_tests::require_root;

/// Two laboratories at once would be too slow for either.
static ALONE: Mutex<()> = Mutex::new(());

fn run(mode: Mode, steps: &[u8]) -> Result<(Vec<Row>, String)> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = lab::mail(Scale::Short, mode, steps, &mut |_| {})?;
    let mut text = Vec::new();
    report::table(&mut text, &rows)?;
    Ok((rows, String::from_utf8(text)?))
}

#[test]
fn mail_passes_and_nothing_else() -> Result<()> {
    require_root!(missing_programs(&lab::PROGRAMS));
    let (rows, table) = run(Mode::Enforce, &[])?;
    for step in 1..=8 {
        ensure!(
            rows.iter().any(|row| row.step == step),
            "step {step} says nothing:\n{table}"
        );
    }
    report::ensure_all(&rows)
}

/// What a filter that drops nothing lets through must turn rows red, or their green is worth nothing.
#[test]
fn laboratory_sees_what_a_monitoring_filter_passes() -> Result<()> {
    require_root!(missing_programs(&lab::PROGRAMS));
    let (rows, table) = run(Mode::Monitor, &[5, 6])?;
    for part in ["forged ICMP errors", "openings on the same flows"] {
        ensure!(
            rows.iter().any(|row| row.what.starts_with(part) && !row.ok),
            "`{part}` is not seen to pass:\n{table}"
        );
    }
    Ok(())
}
