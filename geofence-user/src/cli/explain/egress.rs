//! The egress program's decision about a packet that leaves, as text and as JSON.

use std::io::Write;

use geofence_common::action::{Action, Direction};
use geofence_common::decide::Tracking;
use serde_json::json;

use super::report::{MONITORED, lists_to_json, outcome, steps_to_json, write_step, write_verdict};
use crate::cli::outcome::Outcome;
use crate::explain::{Names, addresses, explain_egress};
use crate::prepare::Prepared;

/// Explains a frame that leaves.
pub(super) fn explain(
    frame: &[u8],
    prepared: &Prepared,
    is_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let (egress, steps) = explain_egress(frame, prepared.image.words());
    let names = Names(Some(&prepared.config.policy));
    let (action, refusal) = (egress.action(), egress.list_verdict());
    let class = egress.peer.class;
    let is_listed = class.is_listed(Direction::Out);
    let opened = match egress.tracking {
        Tracking::Opened(table) => Some(table.name()),
        Tracking::Nothing
        | Tracking::Updated(_)
        | Tracking::Forwarded(_)
        | Tracking::Unattributed(_)
        | Tracking::Full(_) => None,
    };
    if is_json {
        let addresses = addresses(&steps);
        let object = json!({
            "direction": "out",
            "action": action.name(),
            "reason": refusal.map(|verdict| verdict.reason.name()),
            "country": is_listed.then(|| class.country().name()),
            "src": addresses.map(|(source, _)| source),
            "dst": addresses.map(|(_, destination)| destination),
            "tenant": (egress.tenant != 0).then(|| names.tenant(egress.tenant)),
            "counted": is_listed,
            "flow": opened,
            "lists": lists_to_json(&steps, names),
            "steps": steps_to_json(&steps, names),
        });
        writeln!(out, "{object}")?;
        return Ok(outcome(action));
    }
    match refusal {
        Some(verdict) => write_verdict(out, verdict)?,
        None => writeln!(out, "{}: no list drops it", action.name())?,
    }
    for (number, step) in (1..).zip(&steps) {
        write_step(out, number, step, names)?;
    }
    if is_listed {
        writeln!(out, "  counted by list, with an event")?;
    }
    if let Some(table) = opened {
        writeln!(out, "  opens a {table} flow, so that replies pass")?;
    }
    if refusal.is_some() && action == Action::Pass {
        writeln!(out, "{MONITORED}")?;
    }
    Ok(outcome(action))
}
