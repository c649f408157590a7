//! Rows on their way from a machine to the laboratory: one JSON object a line.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::lab::report::Row;

/// A row of what came of an action: as expected, something else, or an error.
pub(super) fn row(what: String, expected: &str, look: impl FnOnce() -> Result<String>) -> Row {
    let begun = Instant::now();
    let seen = look().unwrap_or_else(|error| format!("{error:#}"));
    Row {
        step: 0,
        ok: seen.starts_with(expected),
        what,
        expected: expected.to_owned(),
        seen,
        took: begun.elapsed(),
    }
}

/// Reads a line; the step is the machine's number.
pub(super) fn read(line: &str, step: u8, kernel: &str) -> Result<Row> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("not a row: {line}"))?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Ok(Row {
        step,
        what: format!("Linux {kernel}: {}", text("what")),
        expected: text("expected"),
        seen: text("seen"),
        took: Duration::try_from_secs_f64(value["seconds"].as_f64().unwrap_or(0.0))?,
        ok: value["ok"] == true,
    })
}
