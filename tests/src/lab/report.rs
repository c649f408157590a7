//! What the laboratory found, for people and for programs.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Result, ensure};
use comfy_table::{Table, presets};
use serde_json::json;

/// One thing looked at.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which of the steps it belongs to.
    pub step: u8,
    /// What was tried.
    pub what: String,
    /// What had to be seen.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// How long it took.
    pub took: Duration,
    /// Whether the two agree.
    pub ok: bool,
}

/// Prints a table.
pub fn table(out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["step", "what", "expected", "seen", "took", "ok?"]);
    for row in rows {
        table.add_row([
            row.step.to_string(),
            row.what.clone(),
            row.expected.clone(),
            row.seen.clone(),
            format!("{:.1} s", row.took.as_secs_f64()),
            if row.ok { "ok" } else { "NO" }.to_owned(),
        ]);
    }
    writeln!(out, "{table}")
}

/// Checks that every row is as expected; the error says of each other row what was expected and what was seen.
pub fn ensure_all(rows: &[Row]) -> Result<()> {
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| !row.ok)
        .map(|row| {
            format!(
                "step {}, {}:\n  expected: {}\n  seen: {}",
                row.step, row.what, row.expected, row.seen
            )
        })
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Prints one JSON object a row.
pub fn json(out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
    for row in rows {
        let line = json!({
            "step": row.step,
            "what": row.what,
            "expected": row.expected,
            "seen": row.seen,
            "seconds": row.took.as_secs_f64(),
            "ok": row.ok,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
