//! What the tables have in common.

use comfy_table::{CellAlignment, LineStyle, Table, presets};

use crate::checks::diff::Treatment;

/// A change of treatment: `passes -> blocked, in part`.
pub(super) fn treatments(before: Treatment, after: Treatment, whole: bool) -> String {
    let word = |treatment| match treatment {
        Treatment::Dropped => "dropped",
        Treatment::Blocked => "blocked",
        Treatment::Passes => "passes",
    };
    let part = if whole { "" } else { ", in part" };
    format!("{} -> {}{part}", word(before), word(after))
}

/// The names of tenants, the first few of many.
pub(super) fn tenants(names: &[String]) -> String {
    const SHOWN_MAX: usize = 3;
    let mut shown: Vec<&str> = names.iter().take(SHOWN_MAX).map(String::as_str).collect();
    let more = format!("and {} more", names.len().saturating_sub(SHOWN_MAX));
    if names.len() > SHOWN_MAX {
        shown.push(&more);
    }
    shown.join(", ")
}

/// An empty table with this header.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(header);
    table
}

/// Aligns the columns from this one on to the right.
pub(super) fn align_numbers(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
