//! Which policy a node has is the operator's word, and not the node's.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::laboratory::row;
use super::nodes::await_well;
use super::site::succeeded;
use super::small::Small;
use crate::edge::PATIENCE;
use crate::lab::report::Row;
use crate::wait::poll;

/// The policies of the two groups.
const OWN: &str = "block = [\"RU\", \"BY\"]\n";
const OTHER: &str = "block = [\"RU\", \"CN\"]\n";

/// The first node is in the group `default` and the second in `other`; then the first is moved there, and back.
pub(super) fn groups(lab: &mut Small) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let begun = Instant::now();
    let seen = reads(lab);
    rows.push(row(
        10,
        "a node reads the policy of another group",
        "refused",
        begun,
        seen,
    ));
    let begun = Instant::now();
    let seen = claims(lab);
    let what = "a node says that it is in another group";
    rows.push(row(10, what, "of no account", begun, seen));
    let begun = Instant::now();
    let seen = moves(lab);
    let what = "a node is moved to another group, and back";
    rows.push(row(10, what, "it has their policies", begun, seen));
    Ok(rows)
}

fn apply(lab: &Small, group: &str, policy: &str) -> Result<String> {
    let options = ["--group", group, "--observe", "1s"];
    Ok(succeeded(lab.site.apply(policy, &options)?)?.stdout)
}

/// The engine gives a node what is for all and what is for its group.
fn reads(lab: &Small) -> Result<String> {
    apply(lab, "default", OWN)?;
    apply(lab, "other", OTHER)?;
    lab.be_node(0)?;
    let get = |words: &[&str]| lab.engine.control(0, "node1", &[&["get"], words].concat());
    for prefix in [
        "/geofence/main/bans/",
        "/geofence/main/list/",
        "/geofence-content/main/list/",
        "/geofence-content/main/policy/default/",
    ] {
        get(&["--prefix", prefix])?;
    }
    get(&["/geofence/main/policy/default"])?;
    get(&["/geofence-node/main/known/node1"])?;
    for words in [
        &["/geofence/main/policy/other"][..],
        &["--prefix", "/geofence/main/"],
        &["--prefix", "/geofence/main/policy/"],
        &["--prefix", "/geofence-content/main/policy/other/"],
        &["--prefix", "/geofence-content/main/"],
        &["/geofence-node/main/known/node2"],
        &["/geofence-node/main/status/node2"],
    ] {
        let error = get(words).err();
        let error = error.with_context(|| format!("the engine gives it {words:?}"))?;
        ensure!(error.to_string().contains("permission denied"), "{error}");
    }
    let known = ["put", "/geofence-node/main/known/node1", "other"];
    ensure!(
        lab.engine.control(0, "node1", &known).is_err(),
        "a node moves itself"
    );
    Ok("refused".to_owned())
}

/// A stolen node writes what it likes under its own name; a release of the other group must not wait for it.
fn claims(lab: &mut Small) -> Result<String> {
    let agent = lab.nodes[0].agent.take().context("no agent")?;
    agent.kill(PATIENCE)?;
    let key = "/geofence-node/main/status/node1";
    let said = lab
        .engine
        .control(0, "operator", &["get", key, "--print-value-only"])?;
    let mut status: serde_json::Value = serde_json::from_str(said.trim())?;
    status["group"] = "other".into();
    // It claims to have had all numbers of releases that there are, as well.
    status["releases"] = serde_json::json!({ "policy/other": {
        "revision": u64::MAX, "sha256": "0", "progress": "failed", "why": "no"
    }});
    lab.engine
        .control(0, "node1", &["put", key, &status.to_string()])?;
    let said = apply(lab, "other", "block = [\"RU\", \"CN\", \"KP\"]\n")?;
    ensure!(
        said.contains("revision 2") && said.contains("in use on all 1 connected nodes"),
        "{said}"
    );
    let nodes = lab.site.done(&["nodes", "--json"])?.json()?;
    ensure!(nodes["nodes"][0]["group"] == "default", "{nodes}");
    // A node that was never made counts as nothing.
    let ghost = status.to_string();
    let key = "/geofence-node/main/status/ghost";
    lab.engine.control(0, "root", &["put", key, &ghost])?;
    let nodes = lab.site.done(&["nodes", "--json"])?.json()?;
    ensure!(
        nodes["nodes"].as_array().map(Vec::len) == Some(lab.nodes.len()),
        "{nodes}"
    );
    lab.engine.control(0, "root", &["del", key])?;
    lab.nodes[0].start_agent(&lab.site)?;
    await_well(&lab.site)?;
    Ok("of no account".to_owned())
}

fn moves(lab: &Small) -> Result<String> {
    let other = lab.nodes[1].configuration()?;
    let own = lab.nodes[0].configuration()?;
    ensure!(own == OWN && other != own, "{own:?} and {other:?}");
    for (group, expected, closed) in [("other", &other, "default"), ("default", &own, "other")] {
        lab.site
            .done(&["bootstrap", "move", "node1", "--group", group])?;
        let taken = poll(PATIENCE, || {
            Ok((lab.nodes[0].configuration()? == *expected).then_some(()))
        })?;
        taken.with_context(|| {
            format!("it has not the policy of {group}: {}", lab.nodes[0].said())
        })?;
        await_well(&lab.site)?;
        let key = format!("/geofence/main/policy/{closed}");
        ensure!(
            lab.engine.control(0, "node1", &["get", &key]).is_err(),
            "it reads {key} still"
        );
    }
    let unknown = lab
        .site
        .operate(&["bootstrap", "move", "node9", "--group", "other"])?;
    ensure!(
        unknown.code == Some(2) && unknown.stderr.contains("has no node node9"),
        "{unknown:?}"
    );
    Ok("it has their policies".to_owned())
}
