//! Exceptions as people read them, from the daemon's answer.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde_json::Value;

use crate::daemon::Shown;
use crate::model::text::grouped;

/// A column shows so many entries of a list; `show` has them all.
const SHOWN_MAX: usize = 2;

/// What an exception opens, in one line.
pub(super) fn sentence(exception: &Shown) -> String {
    let until = exception.until.as_ref();
    format!(
        "{}, from {} to {}, {}, {}",
        exception.id,
        exception.from.join(", "),
        exception.to.join(", "),
        traffic(exception, usize::MAX),
        until.map_or_else(|| "no end".to_owned(), |until| format!("until {until}"))
    )
}

/// All of them, a line each.
pub(super) fn table(exceptions: &[Shown]) -> String {
    if exceptions.is_empty() {
        return "there are no exceptions: `geofence exception add` grants one\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header([
        "id", "state", "by", "from", "to", "traffic", "until", "hits", "owner",
    ]);
    for one in exceptions {
        table.add_row([
            one.id.clone(),
            one.state.to_string(),
            by(one).to_owned(),
            some(&one.from, SHOWN_MAX),
            some(&one.to, SHOWN_MAX),
            traffic(one, SHOWN_MAX),
            one.until.clone().unwrap_or_else(|| "-".to_owned()),
            grouped(one.hits),
            one.owner.clone(),
        ]);
    }
    if let Some(hits) = table.column_mut(7) {
        hits.set_cell_alignment(CellAlignment::Right);
    }
    let mut out = format!("{}\n", table.trim_fmt());
    for one in exceptions {
        if let Some(note) = &one.note {
            // Writing to a string cannot fail, here and below.
            _ = writeln!(out, "{}: {note}", one.id);
        }
    }
    out
}

/// One, a line for each thing to know.
pub(super) fn one(exceptions: &[Shown]) -> String {
    let mut out = String::new();
    for one in exceptions {
        let mut hits = grouped(one.hits);
        if let Some(last) = &one.last_hit {
            _ = write!(hits, " packets, the last at {last}");
        }
        for (name, value) in [
            ("exception", one.id.clone()),
            ("state", one.state.to_string()),
            ("note", one.note.clone().unwrap_or_default()),
            ("from", one.from.join(", ")),
            ("to", one.to.join(", ")),
            ("traffic", traffic(one, usize::MAX)),
            (
                "until",
                one.until.clone().unwrap_or_else(|| "no end".to_owned()),
            ),
            ("owner", one.owner.clone()),
            ("reason", one.reason.clone()),
            (
                "by",
                format!("{}, {}", by(one), one.file.as_deref().unwrap_or_default()),
            ),
            ("hits", hits),
        ] {
            if !value.is_empty() {
                _ = writeln!(out, "{name:<11}{}", value.trim_end_matches(", "));
            }
        }
        for change in one.changes.iter().flatten() {
            let login = change["login"].as_str();
            let login = login.map_or_else(String::new, |login| format!(", logged in as {login}"));
            let verb = text(&change["verb"]).trim_start_matches("exception ");
            let (time, user) = (text(&change["time"]), text(&change["user"]));
            let why = change["error"]
                .as_str()
                .and_then(|error| error.lines().next());
            let why = why.unwrap_or_else(|| text(&change["reason"]));
            let result = text(&change["result"]);
            _ = writeln!(
                out,
                "change     {time} {verb} by {user}{login}: {result}, {why}"
            );
        }
    }
    out
}

/// Whose it is to change.
fn by(exception: &Shown) -> &'static str {
    if exception.granted {
        "command"
    } else {
        "configuration"
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn some(entries: &[String], most: usize) -> String {
    let shown = entries
        .get(..most.min(entries.len()))
        .unwrap_or_default()
        .join(", ");
    match entries.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn traffic(exception: &Shown, most: usize) -> String {
    match some(&exception.services, most) {
        none if none.is_empty() => "all traffic".to_owned(),
        some => some,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_lists_are_cut_in_the_table_and_whole_alone() {
        let exception: Shown = serde_json::from_value(json!({
            "id": "ticket-4711",
            "from": ["5.136.0.77", "KZ", "EU"],
            "to": ["customer-17"],
            "services": [],
            "owner": "support",
            "reason": "branch",
            "until": null,
            "state": "idle",
            "note": "there is no tenant customer-17 any more",
            "granted": true,
            "file": "/var/lib/geofence/exceptions.toml",
            "hits": 1234,
            "last_hit": "2026-11-24T10:00:00Z",
            "changes": [{ "time": "2026-11-24T09:00:00Z", "verb": "exception add", "user": "root", "login": "anna",
                          "result": "done", "reason": "branch", "error": null }],
        }))
        .unwrap();
        let said = table(std::slice::from_ref(&exception));
        assert!(said.contains("5.136.0.77, KZ and 1 more"), "{said}");
        assert!(
            said.contains("ticket-4711: there is no tenant customer-17 any more\n"),
            "{said}"
        );
        let said = one(std::slice::from_ref(&exception));
        assert!(said.contains("from       5.136.0.77, KZ, EU\n"), "{said}");
        assert!(
            said.contains("until      no end\n") && said.contains("1,234 packets, the last"),
            "{said}"
        );
        let change =
            "change     2026-11-24T09:00:00Z add by root, logged in as anna: done, branch\n";
        assert!(said.contains(change), "{said}");
        assert!(table(&[]).contains("there are no exceptions"));
    }
}
