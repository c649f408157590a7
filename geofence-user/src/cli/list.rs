//! `geofence list`: the lists of a configuration, their entries and age, and what was rejected.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde_json::Value;

use super::options::ListArgs;
use super::outcome::Outcome;
use crate::data::lists::store::Store;
use crate::data::lists::{ListReport, LocalAddresses, load};
use crate::model::shortfall::Tolerance;
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

/// Show the lists: entries, action, age, and why the last text of a list was rejected
///
/// Exits with 1 if the newest text of a list is not in use: rejected, unusable or never fetched.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lists: ListArgs,
}

pub(super) fn list(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let daemon = arguments.lists.daemon();
    let (config, mut policy) = arguments.lists.config_beside(&daemon)?;
    let local = LocalAddresses::of_this_machine(&config.policy.management);
    let now = UnixSeconds::now();
    let store = Store::of(&config.instance);
    let mut loaded = load(&config.lists, &local, &store, now, Tolerance::Lists)?;
    let is_whole = loaded.reports.iter().all(|one| one.shortfall().is_none());
    let outcome = if is_whole { Outcome::Yes } else { Outcome::No };
    let notes = take_running(&mut loaded.reports, &daemon);
    if let Some(generation) = daemon["generation"].as_u64() {
        policy += &format!("; entries are counted in image {generation} of the running filter");
    }
    if arguments.json {
        let reports = loaded.reports.iter().map(|report| {
            let mut object = report.to_json();
            object["policy"] = policy.as_str().into();
            object
        });
        let reports: Vec<Value> = reports.collect();
        writeln!(out, "{}", Value::from(reports))?;
        return Ok(outcome);
    }
    writeln!(out, "policy: {policy}")?;
    if loaded.reports.is_empty() {
        writeln!(
            out,
            "there are no lists; add one with `[[list]]` in the configuration"
        )?;
        return Ok(Outcome::Yes);
    }
    writeln!(out, "{}", table(&loaded.reports, now).trim_fmt())?;
    for report in &loaded.reports {
        if let Some(rejection) = &report.rejection {
            let (name, age) = (&report.name, age(now.since(rejection.when)));
            writeln!(out, "\n{name}, rejected {age} ago: {}", rejection.why)?;
        }
    }
    for text in loaded.reports.iter().filter_map(ListReport::passed_over) {
        writeln!(out, "\n{text}")?;
    }
    for warning in loaded.warnings.iter().chain(&notes) {
        writeln!(out, "\nwarning: {warning}")?;
    }
    Ok(outcome)
}

/// Counts entries as the running filter has them; says where their text has others by now.
fn take_running(reports: &mut [ListReport], daemon: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    for report in reports {
        let mut running = daemon["lists"].as_array().into_iter().flatten();
        let running = running.find(|one| one["name"] == *report.name);
        let count = |key| {
            let count = running.and_then(|one| one[key].as_u64());
            count.and_then(|count| usize::try_from(count).ok())
        };
        let (Some(entries), Some(expired)) = (count("entries"), count("lapsed")) else {
            if daemon["generation"].is_u64() {
                let name = &report.name;
                notes.push(format!(
                    "the running filter does not have the list {name}; run `geofence reload` to load it"
                ));
            }
            continue;
        };
        if entries != report.entries {
            notes.push(format!(
                "the list {} now has {} entries, and the running filter has {}; run `geofence reload` to load them",
                report.name,
                grouped(report.entries as u64),
                grouped(entries as u64)
            ));
        }
        (report.entries, report.expired) = (entries, expired);
    }
    notes
}

fn table(reports: &[ListReport], now: UnixSeconds) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header([
        "list",
        "action",
        "direction",
        "entries",
        "expired",
        "age",
        "state",
        "source",
    ]);
    for report in reports {
        table.add_row([
            report.name.clone(),
            report.action.word().to_owned(),
            report.direction.word().to_owned(),
            grouped(report.entries as u64),
            grouped(report.expired as u64),
            report
                .since
                .map_or_else(|| "-".to_owned(), |since| age(now.since(since))),
            report.state.name().to_owned(),
            report.source.clone(),
        ]);
    }
    for column in table.column_iter_mut().skip(3).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// An age in its largest unit: `5 min`, `3 h`, `12 d`.
fn age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}
