//! Policies and releases that must not reach the fleet.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::laboratory::{Lab, POLICY, released, row};
use super::nodes::ensure_configuration;
use crate::lab::report::Row;
use crate::wait::poll;

/// Policies that a node must not keep, each with the gate that it fails at.
const POISON: [(&str, &str, &str); 3] = [
    (
        "a policy that cannot be loaded",
        "block = [\"RU\"]\nlookup = \"lpm-trie\"\n",
        "gate daemon",
    ),
    (
        "a policy that locks out the engine",
        "block = [\"RU\"]\ndeny = [\"10.9.0.0/24\"]\n",
        "gate daemon",
    ),
    (
        "a policy that stops the usual traffic",
        "block = [\"RU\", \"DE\"]\n",
        "gate traffic",
    ),
];

/// Releases each, of which one node may try it and none may keep it.
pub(super) fn policies(lab: &mut Lab) -> Result<Vec<Row>> {
    let rows = POISON.iter().map(|(what, text, gate)| {
        let begun = Instant::now();
        let seen = poison(lab, text, gate);
        let expected = format!("stopped by {gate} on 1 node, which is back");
        row(4, what, &expected, begun, seen)
    });
    let mut rows: Vec<Row> = rows.collect();
    let begun = Instant::now();
    let seen = released(lab, POLICY, true).map(|()| "in use on every node".to_owned());
    let what = "a good policy after them";
    rows.push(row(4, what, "in use on every node", begun, seen));
    Ok(rows)
}

fn poison(lab: &Lab, text: &str, gate: &str) -> Result<String> {
    // Fewer packets a second than in the short form reach a node, and the gate of traffic needs 50.
    let observe = lab.scale_of("3s", "15s");
    let answer = lab.site.apply(text, &["--observe", observe])?;
    ensure!(
        answer.code == Some(1) && answer.stdout.contains("STOPPED: node"),
        "{answer:?}"
    );
    let stopped = answer
        .stdout
        .lines()
        .find(|line| line.starts_with("STOPPED"));
    let stopped = stopped.unwrap_or_default();
    ensure!(stopped.contains(gate), "{stopped}");
    let shown = lab.site.operate(&["wave", "show", "--json"])?.json()?;
    let tried = shown["nodes"].as_object().map_or(0, serde_json::Map::len);
    ensure!(tried == 1, "{tried} nodes have tried it: {shown}");
    ensure_configuration(&lab.nodes, POLICY)?;
    Ok(format!("stopped by {gate} on 1 node, which is back"))
}

/// Releases with wrong signatures, and old ones put in place again.
pub(super) fn releases(lab: &mut Lab) -> Result<Vec<Row>> {
    let count = lab.scale_of(10, 100);
    let key = "/geofence/main/policy/default";
    let words = ["get", key, "--print-value-only"];
    let good = lab.engine.control(0, "operator", &words)?;
    let good: Value = serde_json::from_str(good.trim())?;
    let revision = good["revision"].as_u64().context("no revision")?;
    let mut rows = Vec::new();
    let begun = Instant::now();
    let forged = |number: u64| {
        let mut one = good.clone();
        one["revision"] = (revision + number).into();
        one["limit"] = u64::MAX.into();
        one["stopped"] = Value::Null;
        one
    };
    let seen = refused(lab, key, (1..=count).map(forged), "the signature");
    let expected = format!("{count} refused by every node");
    rows.push(row(
        5,
        "releases with a wrong signature",
        &expected,
        begun,
        seen,
    ));
    let begun = Instant::now();
    // Signed once, and older than what the nodes have had.
    let old = lab.old_release.clone().context("no release was kept")?;
    let replays = (1..=count).map(|number| {
        let mut one = old.clone();
        one["reason"] = format!("replay {number}").into();
        one
    });
    let seen = refused(lab, key, replays, "is older than");
    rows.push(row(
        5,
        "an old release put in place again",
        &expected,
        begun,
        seen,
    ));
    lab.engine
        .control(0, "operator", &["put", key, &good.to_string()])?;
    Ok(rows)
}

/// Puts each release in place; every node must refuse the last one for this reason, and filter as before.
fn refused(
    lab: &Lab,
    key: &str,
    releases: impl Iterator<Item = Value>,
    why: &str,
) -> Result<String> {
    /// How long a node may take to say so.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// How much an agent may grow meanwhile.
    const GROWS_MAX: u64 = 8 << 20;
    let mut before = Vec::new();
    for node in &lab.nodes {
        let agent = node.agent.as_ref().context("no agent")?;
        before.push((agent.stderr().len(), agent.resident()?));
    }
    let mut count = 0;
    for release in releases {
        lab.engine
            .control(0, "operator", &["put", key, &release.to_string()])?;
        count += 1;
    }
    let mut said = Value::Null;
    let all = poll(PATIENCE, || {
        said = lab.site.operate(&["nodes", "--json"])?.json()?;
        let nodes = said["nodes"].as_array().cloned().unwrap_or_default();
        let is_refused = |node: &Value| {
            let own = &node["releases"]["policy/default"];
            let text = own["why"].as_str().unwrap_or_default();
            own["progress"] == "refused" && text.contains(why)
        };
        let count = nodes.iter().filter(|node| is_refused(node)).count();
        Ok((count == lab.nodes.len()).then_some(()))
    })?;
    all.with_context(|| format!("not all nodes refuse it: {said}"))?;
    ensure_configuration(&lab.nodes, POLICY)?;
    for (node, (said_before, memory)) in lab.nodes.iter().zip(before) {
        let agent = node.agent.as_ref().context("no agent")?;
        let said = agent.stderr();
        let new = said.get(said_before..).unwrap_or_default();
        let named: Vec<_> = new
            .lines()
            .filter_map(|line| Some(line.split_once("revision ")?.1))
            .filter(|line| line.contains(why))
            .collect();
        let different: BTreeSet<_> = named.iter().collect();
        ensure!(
            !named.is_empty() && different.len() == named.len(),
            "{} names a release twice, or none: {named:?}",
            node.name
        );
        let grown = agent.resident()?.saturating_sub(memory);
        ensure!(
            grown < GROWS_MAX,
            "{} has grown by {grown} bytes",
            node.name
        );
    }
    Ok(format!("{count} refused by every node"))
}
