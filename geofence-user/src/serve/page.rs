//! The page for people: what the filter does now, on one screen, without scripts or anything from other hosts.

use std::fmt::Write as _;

use geofence_common::action::{Action, Mode};

use crate::daemon::facts::Snapshot;
use crate::model::text::printable;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;\
    color:#222}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;\
    border-bottom:1px solid #ddd}\
    td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.drop{color:#a40000}.pass{color:#1b6e1b}\
    .bad{background:#a40000;color:#fff;padding:.1rem .5rem}@media(prefers-color-scheme:dark){body{background:#181818;\
    color:#ddd}th,td{border-color:#444}.drop{color:#ff8080}.pass{color:#80d080}}";

/// Writes the page.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>geofence</title><style>{STYLE}</style><h1>geofence</h1>"
    );
    let facts = &snapshot.facts;
    let mode = match facts.mode {
        Mode::Enforce => "enforcing",
        Mode::Monitor => "monitoring: nothing is dropped",
    };
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<p>{mode} · policy image {} · {} IPv4 and {} IPv6 prefixes · <a href=/metrics>metrics</a> · \
         <a href=/healthz>health</a></p>",
        facts.generation, facts.prefixes_v4, facts.prefixes_v6
    );
    let failure = snapshot.reloads.last_failure.iter();
    let failure = failure.map(|last| &last.failure.text);
    for text in failure.chain(snapshot.shortfalls.iter().map(|one| &one.text)) {
        let _ = write!(page, "<p class=drop>{}</p>", escape(text));
    }
    for interface in &snapshot.interfaces {
        let state = if interface.is_protected {
            interface.mode
        } else {
            "<span class=bad>NOT PROTECTED</span>"
        };
        let _ = write!(
            page,
            "<h2>{} <small>{state}</small></h2><table><tr><th>action<th>reason<th>country<th class=n>packets\
             <th class=n>bytes</tr>",
            escape(&interface.name)
        );
        let mut rows: Vec<_> = interface.counters.iter().collect();
        rows.sort_by_key(|(_, counter)| std::cmp::Reverse(counter.packets));
        for ((country, action, reason), counter) in rows {
            let class = if *action == Action::Drop {
                "drop"
            } else {
                "pass"
            };
            let _ = write!(
                page,
                "<tr class={class}><td>{}<td title=\"{}\">{}<td>{}<td class=n>{}<td class=n>{}</tr>",
                action.name(),
                escape(reason.meaning()),
                reason.name(),
                country.name(),
                counter.packets,
                counter.bytes
            );
        }
        page.push_str("</table>");
    }
    page.push_str("</html>\n");
    page
}

fn escape(text: &str) -> String {
    printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
