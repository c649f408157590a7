//! abuse.ch Feodo Tracker: CSV with a heading that names its columns, among comments with `#`.

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::data::lists::parser::Parser;
use crate::data::lists::problem::quoted;
use crate::model::listing::Place;

/// The column of addresses.
const COLUMN: &str = "dst_ip";

/// Every `dst_ip`; a comment at the end says how many there are.
pub(super) fn read(parser: &mut Parser<'_>) {
    let text = parser.text();
    let mut rows = ReaderBuilder::new()
        .comment(Some(b'#'))
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    // Some files have the heading in a comment.
    let commented = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('#'))
        .find_map(|line| {
            let names = line.split(',').map(|name| name.trim().trim_matches('"'));
            names.into_iter().position(|name| name == COLUMN)
        });
    let mut column = commented;
    let mut row = StringRecord::new();
    while !parser.is_over() {
        match rows.read_record(&mut row) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let place = error.position().map_or(0, csv::Position::byte);
                let place = parser.place_at(usize::try_from(place).unwrap_or(0));
                parser.fault_at(place, "this row is not CSV", "fetch it again");
                continue;
            }
        }
        let place = row.position().map_or(0, csv::Position::byte);
        let place = row_place(parser, usize::try_from(place).unwrap_or(0));
        if row.len() == 1 && row.get(0).is_none_or(str::is_empty) {
            continue;
        }
        let heading = row.iter().position(|name| name == COLUMN);
        match (column, heading) {
            (None, None) => {
                parser.fault_at(
                    place,
                    "there is no column `dst_ip`",
                    "the heading is first_seen_utc,dst_ip,dst_port,c2_status,last_online,malware; fetch the list \
                     again, or name the format it has",
                );
                return;
            }
            (_, Some(at)) => column = Some(at),
            (Some(at), None) => match row.get(at) {
                Some(address) => parser.add_at(place, address, None),
                None => parser.fault_at(
                    place,
                    format!("this row has {} columns and no address", row.len()),
                    "fetch it again",
                ),
            },
        }
    }
    check_end(parser);
}

/// The place of the row after this offset. The CSV reader counts the comments before a row as a part of it.
fn row_place(parser: &mut Parser<'_>, from: usize) -> Place {
    let text = parser.text();
    let rest = text.get(from..).unwrap_or_default();
    let row = rest
        .lines()
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let line = row
        .map_or(parser.place_at(from), |row| parser.place(row))
        .line;
    Place { line, column: 1 }
}

/// Compares the number of entries with `# END 28 entries`.
fn check_end(parser: &mut Parser<'_>) {
    let text = parser.text();
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let promised = last
        .and_then(|line| line.trim_start_matches(['#', ' ']).strip_prefix("END"))
        .and_then(|rest| {
            rest.split(|c: char| !c.is_ascii_digit())
                .find(|word| !word.is_empty())
        })
        .and_then(|digits| digits.parse::<usize>().ok());
    let found = parser.count();
    parser.is_whole = promised.is_some();
    if let (Some(line), Some(promised)) = (last, promised)
        && promised > found
        && !parser.has_faults()
    {
        let Place { line: number, .. } = parser.place(line);
        parser.fault_at(
            Place {
                line: number,
                column: 1,
            },
            format!(
                "{} promises more entries than the {found} there are",
                quoted(line)
            ),
            "some were lost: fetch it again",
        );
    }
}
