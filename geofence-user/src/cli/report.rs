//! `geofence report`: what was dropped and what came in, in the last hours or days.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde_json::Value;

use super::outcome::Outcome;
use super::request::DaemonArgs;
use crate::model::duration;
use crate::model::json::{list, word};
use crate::model::quantity::bytes;
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;
use crate::serve::control::{Answer, Request, ask};

/// Show what was dropped in the last hours or days, and what passed from blocked countries, such as mail
///
/// The daemon keeps a row for each minute of the last six hours and one for each hour of the last seven days, also
/// across restarts. A report of more than six hours begins at a full hour. In monitor mode it says what enforce mode
/// would have dropped.
#[derive(Args, Debug)]
pub struct Arguments {
    /// How far back, such as 30m, 24h or 7d
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = read)]
    since: Duration,
    /// How many rows of each table to print; 0 prints all
    #[arg(
        long,
        default_value_t = 20,
        value_name = "ROWS",
        conflicts_with = "json"
    )]
    rows: usize,
    #[command(flatten)]
    daemon: DaemonArgs,
}

fn read(text: &str) -> Result<Duration, String> {
    let read = duration::parse(text).filter(|one| one.as_secs() > 0);
    read.ok_or_else(|| "give a duration such as 30m, 24h or 7d".to_owned())
}

pub(super) fn report(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.daemon.instance.instance()?;
    let since = UnixSeconds::now().minus(arguments.since);
    let report = match ask(&instance, &Request::Report { since })? {
        Answer::Done(report) => report,
        Answer::Refused { error, .. } => bail!("{error}"),
    };
    if arguments.daemon.json {
        writeln!(out, "{report}")?;
    } else {
        let rows = match arguments.rows {
            0 => usize::MAX,
            rows => rows,
        };
        out.write_all(text(&report, since, rows).as_bytes())?;
    }
    Ok(Outcome::Yes)
}

/// The report as text.
fn text(report: &Value, since: UnixSeconds, rows: usize) -> String {
    let mut text = format!(
        "geofence report: {}, {} to {}\n",
        word(&report["instance"]),
        word(&report["from"]),
        word(&report["to"])
    );
    if let Some(policy) = report["policy"].as_str() {
        text += &format!("policy now: {policy}\n");
    }
    let oldest = report["oldest"].as_str().unwrap_or_default();
    if !oldest.is_empty() && oldest > since.to_string().as_str() {
        text += &format!("the history begins at {oldest}\n");
    }
    let all = &report["all"];
    let would = packets(&all["would_drop"]);
    text += &format!("\n{}\n", line("dropped", &all["dropped"]));
    if would > 0 {
        text += &format!("{}\n", line("would be dropped", &all["would_drop"]));
    }
    text += &format!("{}\n", line("passed", &all["passed"]));
    let has_would = would > 0;
    let stopped = |one: &Value| {
        let mut cells = vec![grouped(packets(&one["dropped"]))];
        cells.extend(has_would.then(|| grouped(packets(&one["would_drop"]))));
        cells.push(grouped(packets(&one["passed"])));
        cells
    };
    let head: &[&str] = if has_would {
        &["dropped", "would be dropped", "passed"]
    } else {
        &["dropped", "passed"]
    };
    let country = |one: &Value| {
        let blocked = if one["blocked"] == true {
            "blocked"
        } else {
            ""
        };
        let mut cells = vec![named(one), blocked.to_owned()];
        cells.extend(stopped(one));
        cells
    };
    text += &table(report, "countries", (&["country", ""], head), rows, country);
    text += &table(
        report,
        "reasons",
        (&["reason", "action"], &["packets", "bytes"]),
        rows,
        |one| {
            let mut cells = vec![word(&one["reason"]), word(&one["action"])];
            cells.extend(counts(one));
            cells
        },
    );
    text += &table(report, "tenants", (&["tenant"], head), rows, |one| {
        let mut cells = vec![word(&one["tenant"])];
        cells.extend(stopped(one));
        cells
    });
    let doors = table(
        report,
        "doors",
        (&["came in from", "by"], &["packets", "bytes"]),
        rows,
        |one| {
            let mut cells = vec![named(one), word(&one["door"])];
            cells.extend(counts(one));
            cells
        },
    );
    if doors.is_empty() {
        text += "\nNothing came in from blocked countries.\n";
    }
    text += &doors;
    text
}

fn line(what: &str, count: &Value) -> String {
    let size = bytes(count["bytes"].as_u64().unwrap_or_default());
    format!("{what:<17}{} packets, {size}", grouped(packets(count)))
}

fn packets(count: &Value) -> u64 {
    count["packets"].as_u64().unwrap_or_default()
}

fn counts(one: &Value) -> [String; 2] {
    let size = one["bytes"].as_u64().unwrap_or_default();
    [grouped(packets(one)), bytes(size)]
}

/// A country as `RU (Russia)`; the names of packets without a country stand for themselves.
fn named(one: &Value) -> String {
    let (code, name) = (word(&one["country"]), word(&one["name"]));
    if code == name {
        code
    } else {
        format!("{code} ({name})")
    }
}

/// A list of the report as a table: columns of words, then columns of numbers.
fn table(
    report: &Value,
    name: &str,
    (words, numbers): (&[&str], &[&str]),
    rows: usize,
    cells: impl Fn(&Value) -> Vec<String>,
) -> String {
    let all = list(&report[name]).count();
    if all == 0 {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header([words, numbers].concat());
    for one in list(&report[name]).take(rows) {
        table.add_row(cells(one));
    }
    for column in table.column_iter_mut().skip(words.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let more = match all.saturating_sub(rows) {
        0 => String::new(),
        more => format!("and {more} more; --rows 0 prints all\n"),
    };
    format!("\n{table}\n{more}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        let count = |packets: u64| json!({ "packets": packets, "bytes": 60 * packets });
        json!({
            "instance": "geofence",
            "from": "2026-06-01T11:00:00Z",
            "to": "2026-06-01T12:00:00Z",
            "oldest": "2026-06-01T11:00:00Z",
            "policy": "enforce mode: packets from RU are dropped; mail passes",
            "all": { "dropped": count(1200), "would_drop": count(0), "passed": count(34) },
            "countries": [
                {
                    "country": "RU", "name": "Russia", "blocked": true,
                    "dropped": count(1200), "would_drop": count(0), "passed": count(4),
                },
                {
                    "country": "special", "name": "special", "blocked": false,
                    "dropped": count(0), "would_drop": count(0), "passed": count(30),
                },
            ],
            "reasons": [{ "reason": "country_blocked", "action": "drop", "packets": 1200, "bytes": 72_000 }],
            "tenants": [],
            "doors": [{ "country": "RU", "name": "Russia", "door": "mail", "packets": 4, "bytes": 240 }],
        })
    }

    #[test]
    fn the_report_has_a_table_for_each_view_that_has_rows() {
        let since = UnixSeconds(1_780_308_000);
        let said = text(&sample(), since, 1);
        for line in [
            "geofence report: geofence, 2026-06-01T11:00:00Z to 2026-06-01T12:00:00Z\n",
            "the history begins at 2026-06-01T11:00:00Z\n",
            "dropped          1,200 packets, 72.0 kB\n",
            "RU (Russia)",
            "and 1 more; --rows 0 prints all\n",
            "came in from",
        ] {
            assert!(said.contains(line), "{line}\n{said}");
        }
        assert!(
            !said.contains("would be dropped") && !said.contains("tenant"),
            "{said}"
        );
    }

    #[test]
    fn monitor_mode_says_what_would_be_dropped() {
        let mut report = sample();
        report["all"]["would_drop"]["packets"] = json!(7);
        report["doors"] = json!([]);
        let said = text(&report, UnixSeconds(0), usize::MAX);
        assert!(said.contains("would be dropped 7 packets"), "{said}");
        assert!(
            said.contains("Nothing came in from blocked countries."),
            "{said}"
        );
    }
}
