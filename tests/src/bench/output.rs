//! Where results go besides the terminal: a folder, and the pages that quote them.
//!
//! A page is prose with places for tables, each between a pair of comments that name the table:
//!
//! ```text
//! <!-- bench: peers -->
//! (whatever stands here is replaced)
//! <!-- end -->
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::plot;
use crate::report::Report;

const OPEN: &str = "<!-- bench: ";
const CLOSE: &str = "<!-- end -->";

/// The table that is plotted.
const PLOTTED: &str = "peers";

/// Writes the report to a folder: `bench.json`, and `bench.svg` when there is something to plot.
pub(crate) fn write(report: &Report, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let json = serde_json::to_string_pretty(&report.json()).context("writing JSON")?;
    put(&folder.join("bench.json"), &json)?;
    if let Some(table) = report.table(PLOTTED) {
        put(&folder.join("bench.svg"), &plot::svg(table)?)?;
    }
    Ok(())
}

/// The pages with measured tables.
const PAGES: [&str; 2] = ["performance.md", "image-format.md"];

/// Replaces the tables in the pages of a folder, and the plot beside them. Every table must have been measured.
pub(crate) fn document(report: &Report, folder: &Path) -> Result<()> {
    for page in PAGES {
        let path = folder.join(page);
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let filled = fill(&text, |name| match name {
            "facts" => Some(facts(report)),
            "targets" => Some(report.targets_markdown()),
            name => Some(report.table(name)?.markdown()),
        })
        .with_context(|| format!("filling in {}", path.display()))?;
        put(&path, &filled)?;
    }
    let table = report
        .table(PLOTTED)
        .context("the peers were not measured")?;
    put(&folder.join("performance.svg"), &plot::svg(table)?)
}

fn facts(report: &Report) -> String {
    report
        .facts
        .iter()
        .map(|(name, value)| format!("- {name}: {value}\n"))
        .collect()
}

/// Replaces what stands between each pair of marks.
fn fill(text: &str, table: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (name, after) = after.split_once(" -->").context("a mark does not end")?;
        let (_, after) = after
            .split_once(CLOSE)
            .with_context(|| format!("nothing ends the place of {name:?}"))?;
        ensure!(!name.contains('\n'), "a mark does not end");
        let table = table(name)
            .with_context(|| format!("{name:?} was not measured; measure every part"))?;
        filled += &format!("{before}{OPEN}{name} -->\n{table}{CLOSE}");
        rest = after;
    }
    Ok(filled + rest)
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
