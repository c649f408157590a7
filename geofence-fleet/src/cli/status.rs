//! `geofence-fleet status` and `nodes`: how the fleet is, and which nodes are behind and why.

use std::io::Write;

use clap::Args;
use comfy_table::{LineStyle, Table, presets};
use geofence_user::cli::Outcome;
use geofence_user::model::units::UnixSeconds;
use serde_json::json;

use super::options::{FleetArgs, runtime};
use crate::keys::Name;
use crate::node_status::{NodeStatus, Wants};

/// Show how many nodes are in the desired state, and why the others are not
///
/// Exits with 0 when all known nodes are connected and in the desired state and the engine reports no alarm, and with 1
/// otherwise.
#[derive(Args, Debug)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    fleet: FleetArgs,
}

/// List all nodes
#[derive(Args, Debug)]
pub(super) struct NodesArguments {
    #[command(flatten)]
    fleet: FleetArgs,
}

/// What the engine says of all nodes.
struct All {
    wants: Wants,
    /// What is wrong with the engine.
    alarms: Vec<String>,
    /// Nodes with a certificate that are not connected.
    away: Vec<(Name, String)>,
    nodes: Vec<NodeStatus>,
}

fn read(arguments: &FleetArgs) -> anyhow::Result<All> {
    runtime()?.block_on(async {
        let mut fleet = arguments.connect().await?;
        let wants = fleet.wants().await?;
        let mut away = fleet.known_nodes().await?;
        let nodes = fleet.nodes().await?;
        away.retain(|(name, _)| nodes.iter().all(|node| node.node != *name));
        Ok(All {
            wants,
            alarms: fleet.engine.alarms().await?,
            away,
            nodes,
        })
    })
}

pub(super) fn status(arguments: &StatusArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let all = read(&arguments.fleet)?;
    let lacks: Vec<(&NodeStatus, Vec<String>)> = all
        .nodes
        .iter()
        .map(|node| (node, node.lacks(&all.wants)))
        .filter(|(_, lacks)| !lacks.is_empty())
        .collect();
    let well = all.nodes.len() - lacks.len();
    let is_well = lacks.is_empty() && all.away.is_empty() && all.alarms.is_empty();
    if arguments.fleet.json {
        let behind: serde_json::Map<_, _> = lacks
            .iter()
            .map(|(node, lacks)| (node.node.to_string(), json!(lacks)))
            .collect();
        let away: Vec<_> = all.away.iter().map(|(name, _)| name).collect();
        let object = json!({
            "revision": all.wants.latest,
            "frozen": all.wants.is_frozen,
            "engine": all.alarms,
            "connected": all.nodes.len(),
            "well": well,
            "away": away,
            "behind": behind,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(
            out,
            "{} nodes: {} connected, {well} of them in the desired state; revision {}",
            all.nodes.len() + all.away.len(),
            all.nodes.len(),
            all.wants.latest
        )?;
        if all.wants.is_frozen {
            writeln!(out, "FROZEN: no node takes a release")?;
        }
        for alarm in &all.alarms {
            writeln!(out, "ENGINE: {alarm}")?;
        }
        for (name, _) in &all.away {
            writeln!(
                out,
                "{name}: AWAY: its agent is not connected; the node keeps filtering with what it has"
            )?;
        }
        for (node, lacks) in &lacks {
            for lack in lacks {
                writeln!(out, "{}: {lack}", node.node)?;
            }
        }
    }
    Ok(if is_well { Outcome::Yes } else { Outcome::No })
}

pub(super) fn nodes(arguments: &NodesArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let all = read(&arguments.fleet)?;
    if arguments.fleet.json {
        let away: Vec<_> = all
            .away
            .iter()
            .map(|(node, group)| json!({ "node": node, "group": group }))
            .collect();
        writeln!(out, "{}", json!({ "nodes": all.nodes, "away": away }))?;
        return Ok(Outcome::Yes);
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header([
        "node",
        "group",
        "state",
        "mode",
        "protected",
        "policy",
        "image",
        "exceptions",
        "bans",
        "since",
    ]);
    for node in &all.nodes {
        let lacks = node.lacks(&all.wants);
        let filter = node.filter.as_ref();
        let text = |read: fn(&crate::node_status::FilterStatus) -> String| {
            filter.map_or_else(|| "-".to_owned(), read)
        };
        table.add_row([
            node.node.to_string(),
            node.group.as_ref().map_or("-", Name::as_str).to_owned(),
            if lacks.is_empty() { "well" } else { "BEHIND" }.to_owned(),
            text(|one| one.mode.clone()),
            text(|one| one.protected.join(", ")),
            text(|one| one.policy_hash.clone()),
            text(|one| one.generation.to_string()),
            node.exceptions.to_string(),
            node.bans.to_string(),
            node.since.to_string(),
        ]);
    }
    for (name, group) in &all.away {
        let mut row = vec![name.to_string(), group.clone(), "AWAY".to_owned()];
        row.resize(10, "-".to_owned());
        table.add_row(row);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    writeln!(
        out,
        "{}: {} nodes",
        UnixSeconds::now(),
        all.nodes.len() + all.away.len()
    )?;
    Ok(Outcome::Yes)
}
