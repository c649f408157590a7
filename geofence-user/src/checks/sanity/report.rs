//! How two sets of data differ, as a table and as JSON: a row for each country that gained or lost anything.

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use geofence_common::country::Country;
use serde::Serialize;

use super::comparison::{Change, Comparison};
use super::refusal::Refusal;
use super::units::in_unit;
use crate::compile::{Extents, Family};
use crate::model::countries;
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;

/// A comparison and its refusals. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    built_before: UnixSeconds,
    built_after: UnixSeconds,
    /// Whether addresses were compared; always true, as every comparison is of images.
    exact: bool,
    countries: Vec<Row>,
    together: Change<Counts>,
    refusals: Vec<Refusal>,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    country: &'static str,
    name: String,
    #[serde(flatten)]
    numbers: Change<Counts>,
}

/// Counts for reports: IPv6 by /48 networks, the size a site gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub prefixes_v4: u64,
    pub addresses_v4: u64,
    pub prefixes_v6: u64,
    pub sites_v6: u64,
}

impl Counts {
    /// Converts extents to counts.
    #[must_use]
    pub fn of(extents: Extents) -> Self {
        let amount = |family| {
            let amount = in_unit(family, extents.of(family).addresses);
            u64::try_from(amount).unwrap_or(u64::MAX)
        };
        Self {
            prefixes_v4: extents.v4.prefixes,
            addresses_v4: amount(Family::V4),
            prefixes_v6: extents.v6.prefixes,
            sites_v6: amount(Family::V6),
        }
    }

    /// The counts in the order of the table's columns.
    #[must_use]
    pub const fn all(&self) -> [u64; 4] {
        [
            self.prefixes_v4,
            self.addresses_v4,
            self.prefixes_v6,
            self.sites_v6,
        ]
    }
}

impl Report {
    #[must_use]
    pub fn new(comparison: &Comparison, refusals: Vec<Refusal>) -> Self {
        let row = |(country, change): (Country, Change<Extents>)| Row {
            country: country.name(),
            name: countries::name(country),
            numbers: change.map(Counts::of),
        };
        let [built_before, built_after] = comparison.built;
        Self {
            built_before,
            built_after,
            exact: true,
            countries: comparison
                .countries()
                .filter(|(_, change)| change.is_some())
                .map(row)
                .collect(),
            together: comparison.sum(|_| true).map(Counts::of),
            refusals,
        }
    }

    /// Whether the data is the same, apart from its build time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.countries.is_empty()
    }

    /// Why the data is refused, if it is.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// A table with a row for each country that `shows` accepts, and one for the number of others.
    #[must_use]
    pub fn table(&self, shows: impl Fn(&str) -> bool) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        table.set_header([
            "country",
            "",
            "IPv4 prefixes",
            "IPv4 addresses",
            "IPv6 prefixes",
            "IPv6 /48 sites",
        ]);
        let mut others = 0_usize;
        for row in &self.countries {
            if shows(row.country) {
                table.add_row(cells(row.country, &row.name, &row.numbers));
            } else {
                others += 1;
            }
        }
        if others > 0 {
            table.add_row(["", &format!("and {others} more")]);
        }
        if self.countries.len() > 1 {
            table.add_row(cells("", "together", &self.together));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

/// A row: what was gained and lost, as `+12 -3`.
fn cells(code: &str, name: &str, numbers: &Change<Counts>) -> Vec<String> {
    let signed = |gained: u64, lost: u64| match (gained, lost) {
        (0, 0) => "0".to_owned(),
        (gained, 0) => format!("+{}", grouped(gained)),
        (0, lost) => format!("-{}", grouped(lost)),
        (gained, lost) => format!("+{} -{}", grouped(gained), grouped(lost)),
    };
    let mut cells = vec![code.to_owned(), name.to_owned()];
    let both = numbers.gained.all().into_iter().zip(numbers.lost.all());
    cells.extend(both.map(|(gained, lost)| signed(gained, lost)));
    cells
}
