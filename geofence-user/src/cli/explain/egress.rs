//! The egress program's decision about a packet that leaves, as text and as JSON.

use std::io::Write;

use geofence_common::action::{Action, Direction};
use geofence_common::decide::Tracking;
use serde_json::json;

use super::decider::Decider;
use super::report::{MONITORED, lists_to_json, outcome, steps_to_json, write_step, write_verdict};
use crate::cli::outcome::Outcome;
use crate::explain::{addresses, explain_egress};

/// Explains a frame that leaves; with the words for its policy, as JSON.
pub(super) fn explain(
    frame: &[u8],
    decider: &Decider,
    json_policy: Option<&str>,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let (egress, steps) = explain_egress(frame, decider.words());
    let names = decider.names();
    let (action, refusal) = (egress.action(), egress.list_verdict());
    let class = egress.peer.class;
    let is_listed = class.is_listed(Direction::Out);
    let opened = match egress.tracking {
        Tracking::Opened(table) => Some(table.name()),
        Tracking::Nothing
        | Tracking::Updated(_)
        | Tracking::Forwarded(_)
        | Tracking::Unattributed(_)
        | Tracking::Full(_)
        | Tracking::Unanswered(_) => None,
    };
    if let Some(policy) = json_policy {
        let addresses = addresses(&steps);
        let object = json!({
            "policy": policy,
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
    if let Tracking::Unanswered(table) = egress.tracking {
        writeln!(
            out,
            "  opens no {table} flow, because replies are off: what comes back is dropped",
            table = table.name()
        )?;
    }
    if refusal.is_some() && action == Action::Pass {
        writeln!(out, "{MONITORED}")?;
    }
    Ok(outcome(action))
}
