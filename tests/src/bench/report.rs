//! What was measured, as tables for people and as JSON for programs.

use std::io::{self, Write};

use comfy_table::{CellAlignment, LineStyle, Table as Drawn, presets};
use serde_json::{Value, json};

use crate::sample::Samples;

/// What a table's figures are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Mebibytes,
    Percent,
    Times,
    /// Millions of packets a second.
    Rate,
    Packets,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::Percent => "%",
            Self::Times => "x",
            Self::Rate => "Mpps",
            Self::Packets => "packets",
        }
    }
}

/// A figure in a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) unit: Unit,
    pub(crate) samples: Samples,
}

impl Cell {
    pub(crate) fn new(unit: Unit, samples: Samples) -> Option<Self> {
        Some(Self { unit, samples })
    }

    pub(crate) fn once(unit: Unit, value: f64) -> Option<Self> {
        Self::new(unit, Samples::once(value))
    }

    /// The median, and the quartiles where there was more than one round.
    fn text(&self) -> String {
        let median = self.samples.median();
        let (low, high) = self.samples.quartiles();
        let unit = self.unit.name();
        if low == high {
            return format!("{} {unit}", digits(median));
        }
        format!(
            "{} {unit} ({}-{})",
            digits(median),
            digits(low),
            digits(high)
        )
    }
}

/// Three figures that mean something, no more.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        0.0..9.95 => 1,
        _ => 0,
    };
    let places = if value.abs() < 0.095 { 3 } else { places };
    format!("{value:.places$}")
}

/// One table of a part.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Names the table in JSON and in the document that carries it.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<(String, Vec<Option<Cell>>)>,
}

impl Table {
    pub(crate) fn new(name: &'static str, title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self {
            name,
            title: title.into(),
            columns,
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, name: impl Into<String>, cells: Vec<Option<Cell>>) {
        self.rows.push((name.into(), cells));
    }

    /// The median of a figure.
    pub(crate) fn median(&self, row: &str, column: &str) -> Option<f64> {
        let at = self.columns.iter().position(|name| name == column)?;
        let (_, cells) = self.rows.iter().find(|(name, _)| name == row)?;
        Some(cells.get(at)?.as_ref()?.samples.median())
    }

    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut drawn = Drawn::new();
        drawn.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        drawn.set_header(std::iter::once("").chain(self.columns.iter().map(String::as_str)));
        for (name, cells) in &self.rows {
            let cells = cells
                .iter()
                .map(|cell| cell.as_ref().map_or_else(String::new, Cell::text));
            drawn.add_row(std::iter::once(name.clone()).chain(cells));
        }
        for column in drawn.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(out, "\n{}\n{drawn}", self.title)
    }

    /// The table as Markdown has it.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("| {} | {} |\n", self.title, self.columns.join(" | "));
        text += &format!("| --- |{}\n", " ---: |".repeat(self.columns.len()));
        for (name, cells) in &self.rows {
            let cells: Vec<String> = cells
                .iter()
                .map(|cell| cell.as_ref().map_or_else(String::new, Cell::text))
                .collect();
            text += &format!("| {name} | {} |\n", cells.join(" | "));
        }
        text
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(name, cells)| {
                let cells = self.columns.iter().zip(cells).filter_map(|(column, cell)| {
                    let cell = cell.as_ref()?;
                    let mut value = cell.samples.json();
                    value["unit"] = cell.unit.name().into();
                    Some((column.clone(), value))
                });
                json!({ "row": name, "figures": Value::Object(cells.collect()) })
            })
            .collect();
        json!({ "name": self.name, "title": self.title, "rows": rows })
    }
}

/// A figure that is to be reached.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) found: f64,
    pub(crate) wanted: f64,
    /// Whether less is better.
    pub(crate) at_most: bool,
    pub(crate) unit: Unit,
}

impl Target {
    pub(crate) fn is_met(&self) -> bool {
        if self.at_most {
            self.found <= self.wanted
        } else {
            self.found >= self.wanted
        }
    }

    fn words(&self) -> [String; 4] {
        let bound = if self.at_most { "at most" } else { "at least" };
        let unit = self.unit.name();
        [
            self.what.clone(),
            format!("{bound} {} {unit}", self.wanted),
            format!("{:.2} {unit}", self.found),
            if self.is_met() { "met" } else { "missed" }.to_owned(),
        ]
    }
}

/// Everything one run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) tables: Vec<Table>,
    pub(crate) targets: Vec<Target>,
    /// Rows that are left out because their packets do not add up, and why.
    pub(crate) refused: Vec<String>,
}

impl Report {
    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Notes how far a target is met, if what it needs was measured.
    pub(crate) fn target(
        &mut self,
        what: &str,
        at_most: bool,
        wanted: f64,
        unit: Unit,
        found: Option<f64>,
    ) {
        if let Some(found) = found {
            self.targets.push(Target {
                what: what.to_owned(),
                found,
                wanted,
                at_most,
                unit,
            });
        }
    }

    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, value) in &self.facts {
            writeln!(out, "{name}: {value}")?;
        }
        for table in &self.tables {
            table.print(out)?;
        }
        if !self.targets.is_empty() {
            writeln!(out, "\nTargets\n{}", self.drawn_targets())?;
        }
        for refused in &self.refused {
            writeln!(out, "left out: {refused}")?;
        }
        Ok(())
    }

    fn drawn_targets(&self) -> Drawn {
        let mut drawn = Drawn::new();
        drawn.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        drawn.set_header(["", "wanted", "found", ""]);
        drawn.add_rows(self.targets.iter().map(Target::words));
        drawn
    }

    pub(crate) fn targets_markdown(&self) -> String {
        let mut text = "| Target | wanted | found | |\n| --- | ---: | ---: | --- |\n".to_owned();
        for target in &self.targets {
            text += &format!("| {} |\n", target.words().join(" | "));
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let targets: Vec<Value> = self
            .targets
            .iter()
            .map(|target| {
                json!({
                    "what": target.what, "found": target.found, "wanted": target.wanted,
                    "at_most": target.at_most, "unit": target.unit.name(), "met": target.is_met(),
                })
            })
            .collect();
        let facts: serde_json::Map<String, Value> = self
            .facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        json!({
            "facts": facts,
            "tables": self.tables.iter().map(Table::json).collect::<Vec<_>>(),
            "targets": targets,
            "left_out": self.refused,
        })
    }
}
