//! Exceptions in words, from the daemon's answer.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde_json::Value;

use crate::config::ExceptionSpec;
use crate::daemon::ExceptionView;
use crate::model::text::grouped;

/// How many entries of a list a column shows; `show` prints all.
const SHOWN_MAX: usize = 2;

/// What an exception opens, in one line.
pub(super) fn sentence(spec: &ExceptionSpec) -> String {
    let until = spec.until.as_ref();
    format!(
        "{}, from {} to {}, {}, {}",
        spec.id,
        spec.from.join(", "),
        spec.to.join(", "),
        traffic(spec, usize::MAX),
        until.map_or_else(|| "no end".to_owned(), |until| format!("until {until}"))
    )
}

/// All exceptions, one a line.
pub(super) fn table(exceptions: &[ExceptionView]) -> String {
    if exceptions.is_empty() {
        return "there are no exceptions; add one with `geofence exception add`\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header([
        "id", "state", "by", "from", "to", "traffic", "until", "hits", "owner",
    ]);
    for ExceptionView {
        spec,
        state,
        hits,
        granted,
        ..
    } in exceptions
    {
        table.add_row([
            spec.id.clone(),
            state.to_string(),
            origin(*granted).to_owned(),
            some(&spec.from, SHOWN_MAX),
            some(&spec.to, SHOWN_MAX),
            traffic(spec, SHOWN_MAX),
            spec.until.clone().unwrap_or_else(|| "-".to_owned()),
            grouped(*hits),
            spec.owner.clone(),
        ]);
    }
    if let Some(hits) = table.column_mut(7) {
        hits.set_cell_alignment(CellAlignment::Right);
    }
    let mut out = format!("{}\n", table.trim_fmt());
    for one in exceptions {
        if let Some(note) = &one.note {
            // Writing to a string cannot fail, here and below.
            _ = writeln!(out, "{}: {note}", one.spec.id);
        }
    }
    out
}

/// Everything about an exception, one fact a line.
pub(super) fn details(exceptions: &[ExceptionView]) -> String {
    let mut out = String::new();
    for one in exceptions {
        let spec = &one.spec;
        let mut hits = grouped(one.hits);
        if let Some(last) = &one.last_hit {
            let noun = if one.hits == 1 { "packet" } else { "packets" };
            _ = write!(hits, " {noun}, the last at {last}");
        }
        let (by, file) = (origin(one.granted), one.file.as_deref());
        for (name, value) in [
            ("exception", spec.id.clone()),
            ("state", one.state.to_string()),
            ("note", one.note.clone().unwrap_or_default()),
            ("from", spec.from.join(", ")),
            ("to", spec.to.join(", ")),
            ("traffic", traffic(spec, usize::MAX)),
            (
                "until",
                spec.until.clone().unwrap_or_else(|| "no end".to_owned()),
            ),
            ("owner", spec.owner.clone()),
            ("reason", spec.reason.clone()),
            (
                "by",
                file.map_or_else(|| by.to_owned(), |file| format!("{by}, {file}")),
            ),
            ("hits", hits),
        ] {
            if !value.is_empty() {
                _ = writeln!(out, "{name:<11}{value}");
            }
        }
        for change in one.changes.iter().flatten() {
            let login = change["login"].as_str();
            let login = login.map_or_else(String::new, |login| format!(", logged in as {login}"));
            let verb = text(&change["verb"]).trim_start_matches("exception ");
            let (time, user) = (text(&change["time"]), text(&change["user"]));
            let error = change["error"].as_str();
            let why = error.and_then(|error| error.lines().next());
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

/// What an exception is changed by.
fn origin(is_runtime: bool) -> &'static str {
    if is_runtime {
        "command"
    } else {
        "configuration"
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn some(entries: &[String], most: usize) -> String {
    let shown = &entries[..most.min(entries.len())];
    let shown = shown.join(", ");
    match entries.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn traffic(spec: &ExceptionSpec, most: usize) -> String {
    if spec.services.is_empty() {
        return "all traffic".to_owned();
    }
    some(&spec.services, most)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_cuts_long_lists_and_details_show_them_whole() {
        let exception: ExceptionView = serde_json::from_value(json!({
            "id": "ticket-4711",
            "from": ["5.136.0.77", "KZ", "EU"],
            "to": ["customer-17"],
            "services": [],
            "owner": "support",
            "reason": "branch",
            "until": null,
            "state": "idle",
            "note": "the tenant customer-17 no longer exists",
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
            said.contains("ticket-4711: the tenant customer-17 no longer exists\n"),
            "{said}"
        );
        let said = details(std::slice::from_ref(&exception));
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
