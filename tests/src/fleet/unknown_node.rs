//! An engine that does not know a node, as one that was set up anew: it says nothing about that node.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::laboratory::row;
use super::nodes::{Node, await_well};
use super::small::Small;
use crate::edge::PATIENCE;
use crate::lab::report::Row;
use crate::wait::poll;

/// The engine loses what it knew of a node, and a ban with it; then the node becomes known again.
pub(super) fn unknown_node(lab: &mut Small) -> Result<Vec<Row>> {
    let known = "/geofence-node/main/known/node1";
    let begun = Instant::now();
    lab.site.done(&["ban", "198.51.100.9", "--expires", "1h"])?;
    let words = ["get", known, "--print-value-only"];
    let group = lab.engine.control(0, "root", &words)?;
    lab.engine.control(0, "root", &["del", known])?;
    await_refusal(&lab.nodes[0])?;
    let ban = "/geofence/main/bans/ban-198.51.100.9";
    lab.engine.control(0, "operator", &["del", ban])?;
    // An agent that begins anew knows nothing of what it has followed before.
    let agent = lab.nodes[0].agent.take().context("no agent")?;
    agent.kill(PATIENCE)?;
    lab.nodes[0].start_agent(&lab.site)?;
    await_refusal(&lab.nodes[0])?;
    let bans = lab.nodes[0].bans()?;
    ensure!(bans.iter().any(|one| one == "ban-198.51.100.9"), "{bans:?}");
    let expected = "its bans stay";
    let what = "the engine knows the node no longer";
    let unknown = row(17, what, expected, begun, Ok(expected.to_owned()));
    let begun = Instant::now();
    lab.engine
        .control(0, "root", &["put", known, group.trim()])?;
    let expected = "it does what the fleet wants";
    let seen = lab
        .await_bans(&lab.nodes[0], &[], &["198.51.100.9"])
        .and_then(|()| await_well(&lab.site));
    let seen = seen.map(|_| expected.to_owned());
    let again = row(17, "the node is known again", expected, begun, seen);
    Ok(vec![unknown, again])
}

/// Waits until the agent says that the engine does not know its node.
fn await_refusal(node: &Node) -> Result<()> {
    let refusal = format!("the engine does not know the node {}", node.name);
    let said = poll(PATIENCE, || {
        Ok(node.said().contains(&refusal).then_some(()))
    })?;
    said.with_context(|| node.said())
}
