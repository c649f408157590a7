//! Another build of the benchmark beside this one: both run in turns, and each row is compared with the other's.
//!
//! It starts programs and reads what they print. What a build measures, and how, is its own affair: rows that only one
//! of them has are named and left out.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde_json::{Value, json};

use crate::sample::Samples;

/// Figures by table, row and column, and their units.
type Figures = BTreeMap<[String; 3], (String, Samples)>;

/// A build of the benchmark, and the `geofence` beside it.
pub(crate) struct Build {
    pub(crate) bench: PathBuf,
    pub(crate) geofence: PathBuf,
}

/// Runs both builds in turns with these arguments, and prints the ratios.
pub(crate) fn compare(
    builds: &[Build; 2],
    arguments: &[String],
    turns: usize,
    out: &Path,
    as_json: bool,
    progress: impl Fn(&str),
) -> Result<()> {
    let mut figures = [Figures::new(), Figures::new()];
    for turn in 1..=turns {
        for (which, (build, figures)) in builds.iter().zip(&mut figures).enumerate() {
            let name = ["baseline", "this build"][which];
            progress(&format!("turn {turn} of {turns}: {name}"));
            let report = run(build, arguments, &out.join(format!("baseline-{which}")))
                .with_context(|| format!("measuring {name}"))?;
            collect(&report, figures);
        }
    }
    let [before, now] = &figures;
    let rows: Vec<_> = now
        .iter()
        .filter_map(|(row, now)| Some((row, before.get(row)?, now)))
        .collect();
    let only = |one: &Figures, other: &Figures| -> Vec<String> {
        let alone = one.keys().filter(|row| !other.contains_key(*row));
        alone.map(|row| row.join(", ")).collect()
    };
    let (gone, new) = (only(before, now), only(now, before));
    let mut stdout = io::stdout().lock();
    if as_json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|([table, row, column], (unit, before), (_, now))| {
                json!({
                    "table": table, "row": row, "column": column, "unit": unit,
                    "baseline": before.json(), "now": now.json(),
                    "ratio": now.median() / before.median(),
                })
            })
            .collect();
        let report = json!({ "rows": rows, "only_baseline": gone, "only_now": new });
        writeln!(stdout, "{report}")?;
        return Ok(());
    }
    let mut drawn = Table::new();
    drawn.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    drawn.set_header(["", "", "baseline", "now", "ratio"]);
    for ([table, row, column], (unit, before), (_, now)) in rows {
        let text = |samples: &Samples| {
            let (low, high) = samples.quartiles();
            format!("{:.1} {unit} ({low:.1}-{high:.1})", samples.median())
        };
        drawn.add_row([
            table.clone(),
            format!("{row}: {column}"),
            text(before),
            text(now),
            format!("{:.2}", now.median() / before.median()),
        ]);
    }
    for column in drawn.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(stdout, "{drawn}")?;
    for (whose, rows) in [("the baseline", gone), ("this build", new)] {
        if !rows.is_empty() {
            writeln!(stdout, "only {whose} has: {}", rows.join("; "))?;
        }
    }
    Ok(())
}

/// Runs a build once, and returns its report.
fn run(build: &Build, arguments: &[String], out: &Path) -> Result<Value> {
    let output = Command::new(&build.bench)
        .args(arguments)
        .args(["--json", "--out"])
        .arg(out)
        .arg("--geofence")
        .arg(&build.geofence)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", build.bench.display()))?;
    ensure!(
        output.status.code().is_some_and(|code| code < 2),
        "{} ended with {}",
        build.bench.display(),
        output.status
    );
    serde_json::from_slice(&output.stdout).context("reading its report")
}

/// Adds the figures of a report to those of earlier turns.
fn collect(report: &Value, figures: &mut Figures) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for table in list(&report["tables"]) {
        for row in list(&table["rows"]) {
            let cells = row["figures"].as_object().cloned().unwrap_or_default();
            for (column, cell) in cells {
                let key = [text(&table["name"]), text(&row["row"]), column];
                let (_, samples) = figures
                    .entry(key)
                    .or_insert_with(|| (text(&cell["unit"]), Samples::default()));
                let values = list(&cell["samples"]);
                values
                    .iter()
                    .filter_map(Value::as_f64)
                    .for_each(|value| samples.push(value));
            }
        }
    }
}
