//! What becomes of a packet that leaves: the egress program's decision in words.

use std::io::Write;

use geofence_common::action::{Action, Direction};
use geofence_common::decide::Tracking;
use serde_json::json;

use super::{MONITORED, write_step};
use crate::cli::outcome::Outcome;
use crate::explain::{Names, addresses, class_of, describe, explain_egress};
use crate::model::countries;
use crate::model::listing::naming;
use crate::prepare::Prepared;

pub(super) fn explain(
    frame: &[u8],
    prepared: Prepared,
    is_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let (verdict, steps) = explain_egress(frame, prepared.image.words());
    let names = Names(Some(&prepared.config.policy));
    let (action, refusal) = (verdict.action(), verdict.list_verdict());
    let class = verdict.peer.class;
    let is_listed = class.is_listed(Direction::Out);
    let opened = match verdict.tracking {
        Tracking::Opened(table) => Some(table.name()),
        Tracking::Nothing | Tracking::Updated(_) | Tracking::Forwarded(_) | Tracking::Full(_) => {
            None
        }
    };
    if is_json {
        let ends = addresses(&steps);
        let looked_up = steps.iter().filter_map(class_of);
        let listed = looked_up.flat_map(|address| naming(names.lists(), address));
        let tenant = verdict.tenant;
        let object = json!({
            "direction": "out",
            "action": action.name(),
            "reason": refusal.map(|verdict| verdict.reason.name()),
            "country": is_listed.then(|| class.country().name()),
            "src": ends.map(|(source, _)| source),
            "dst": ends.map(|(_, destination)| destination),
            "tenant": (tenant != 0).then(|| names.tenant(tenant)),
            "counted": is_listed,
            "flow": opened,
            "lists": listed.map(|(list, entry)| list.to_json(entry)).collect::<Vec<_>>(),
            "steps": steps.iter().map(|step| describe(step, names)).collect::<Vec<_>>(),
        });
        writeln!(out, "{object}")?;
        return Ok(outcome(action));
    }
    match refusal {
        Some(verdict) => writeln!(
            out,
            "{}: {}, country {}",
            action.name(),
            verdict.reason.name(),
            countries::described(verdict.country)
        )?,
        None => writeln!(out, "{}: nothing stops what leaves", action.name())?,
    }
    for (number, step) in (1..).zip(&steps) {
        write_step(out, number, step, names)?;
    }
    if is_listed {
        writeln!(out, "  counted by list, with an event")?;
    }
    if let Some(table) = opened {
        writeln!(
            out,
            "  remembered as a {table} flow, so that it is answered"
        )?;
    }
    if refusal.is_some() && action == Action::Pass {
        writeln!(out, "{MONITORED}")?;
    }
    Ok(outcome(action))
}

fn outcome(action: Action) -> Outcome {
    match action {
        Action::Pass => Outcome::Yes,
        Action::Drop => Outcome::No,
    }
}
