//! A decision as text and as JSON.

use std::io::Write;
use std::net::IpAddr;

use geofence_common::action::Action;
use geofence_common::country::Country;
use geofence_common::decide::Verdict;
use geofence_common::explain::Step;
use serde_json::{Value, json};

use super::decider::Decider;
use crate::cli::outcome::Outcome;
use crate::explain::{Names, addresses, class_of, describe, override_to_json, system_to_json};
use crate::model::countries;
use crate::model::listing::naming;
use crate::prepare::CrossCheckAnswer;

/// The line of a drop that monitor mode does not enforce.
pub(super) const MONITORED: &str = "  monitor mode: passed, where enforce mode drops";

/// The outcome of the command for an action.
pub(super) fn outcome(action: Action) -> Outcome {
    match action {
        Action::Pass => Outcome::Yes,
        Action::Drop => Outcome::No,
    }
}

/// A decision as JSON; with the number of its frame in a capture, without the steps.
pub(super) fn to_json(
    frame: Option<u64>,
    verdict: Verdict,
    steps: &[Step],
    decider: &Decider,
) -> anyhow::Result<Value> {
    let names = decider.names();
    let addresses = addresses(steps);
    let looked_up = || steps.iter().filter_map(class_of);
    let systems = looked_up().flat_map(|address| names.systems(address));
    let overrides = looked_up().filter_map(|address| names.override_of(address));
    let mut opinions = Vec::new();
    for step in steps {
        if let Some((address, one)) = opinions_on(step, decider)? {
            let mut one = one.to_json();
            one["address"] = address.to_string().into();
            opinions.push(one);
        }
    }
    let mut object = json!({
        "action": verdict.action.name(),
        "reason": verdict.reason.name(),
        "country": verdict.country.name(),
        "src": addresses.map(|(source, _)| source),
        "dst": addresses.map(|(_, destination)| destination),
        "tenant": (verdict.tenant != 0).then(|| names.tenant(verdict.tenant)),
        "exception": verdict.exception.checked_sub(1).map(|slot| names.exception(slot)),
        "lists": lists_to_json(steps, names),
        "overrides": overrides.map(override_to_json).collect::<Vec<_>>(),
        "opinions": opinions,
        "systems": systems.map(system_to_json).collect::<Vec<_>>(),
    });
    match frame {
        Some(number) => object["frame"] = number.into(),
        None => object["steps"] = steps_to_json(steps, names),
    }
    Ok(object)
}

/// The lists that the addresses of a decision are on.
pub(super) fn lists_to_json(steps: &[Step], names: Names<'_>) -> Value {
    let looked_up = steps.iter().filter_map(class_of);
    let listed = looked_up.flat_map(|address| naming(names.lists(), address));
    listed.map(|(list, entry)| list.to_json(entry)).collect()
}

/// The steps of a decision in words.
pub(super) fn steps_to_json(steps: &[Step], names: Names<'_>) -> Value {
    steps.iter().map(|step| describe(step, names)).collect()
}

/// The countries that two databases assign to the address of a step, if both are used and differ.
fn opinions_on(
    step: &Step,
    decider: &Decider,
) -> anyhow::Result<Option<(IpAddr, CrossCheckAnswer)>> {
    let (Step::Class { address, class }, Some(prepared)) = (step, decider.prepared()) else {
        return Ok(None);
    };
    if class.country() == Country::SPECIAL {
        return Ok(None);
    }
    let opinions = prepared.cross_check(address.ip())?;
    let opinions = opinions.filter(CrossCheckAnswer::differ);
    Ok(opinions.map(|opinions| (address.ip(), opinions)))
}

/// Writes a decision as text.
pub(super) fn write(
    out: &mut dyn Write,
    verdict: Verdict,
    steps: &[Step],
    decider: &Decider,
) -> anyhow::Result<()> {
    let names = decider.names();
    write_verdict(out, verdict)?;
    for (number, step) in (1..).zip(steps) {
        write_step(out, number, step, names)?;
        if let Some((_, opinions)) = opinions_on(step, decider)? {
            writeln!(out, "     {opinions}")?;
        }
        if let Some(said) = class_of(step).and_then(|address| names.geo_override(address)) {
            writeln!(out, "     {said}")?;
        }
        let systems = class_of(step).into_iter();
        for (system, net) in systems.flat_map(|address| names.systems(address)) {
            writeln!(out, "     {} {system}: {net}", system.rule)?;
        }
    }
    if verdict.action != verdict.reason.action() {
        writeln!(out, "{MONITORED}")?;
    }
    Ok(())
}

/// Writes the first line: the action, its reason and the country.
pub(super) fn write_verdict(out: &mut dyn Write, verdict: Verdict) -> std::io::Result<()> {
    writeln!(
        out,
        "{}: {}, country {}",
        verdict.action.name(),
        verdict.reason.name(),
        countries::described(verdict.country)
    )
}

/// Writes a step, and the lists that its address is on.
pub(super) fn write_step(
    out: &mut dyn Write,
    number: usize,
    step: &Step,
    names: Names<'_>,
) -> std::io::Result<()> {
    writeln!(out, "  {number}. {}", describe(step, names))?;
    let listed = class_of(step).into_iter();
    for (list, entry) in listed.flat_map(|address| naming(names.lists(), address)) {
        writeln!(out, "     {}", list.describe(entry))?;
    }
    Ok(())
}
