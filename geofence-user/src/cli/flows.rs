//! `geofence flows`: the flows that this side opened towards blocked countries, read from the running filter.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use comfy_table::{LineStyle, Table as Grid, presets};
use geofence_common::decide::classify;
use geofence_common::flow::{Flow, FlowKey, State, Table};
use serde::Serialize;

use super::outcome::Outcome;
use super::request::DaemonArgs;
use crate::explain::endpoint;
use crate::kernel::Running;
use crate::os::clock::boot_now;

/// List the flows that blocked countries may reply to. Needs root
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// A flow. The names of the fields are those of the JSON.
#[derive(Debug, Serialize)]
struct Row {
    table: &'static str,
    protocol: &'static str,
    local: String,
    remote: String,
    country: &'static str,
    state: &'static str,
    /// Seconds since this side opened it.
    age: u64,
    /// Seconds until it expires and replies no longer pass.
    left: u64,
}

pub(super) fn flows(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.daemon.instance.instance()?;
    let Some(running) = Running::find(&instance)? else {
        bail!("no filter runs as instance {instance}; start one with `geofence run`");
    };
    let now = boot_now()?;
    let words = running.words();
    let mut rows: Vec<Row> = running
        .flows()
        .iter()
        .filter(|(_, _, flow)| flow.is_live(now))
        .map(|(table, key, flow)| Row::new(*table, key, flow, now, words))
        .collect();
    rows.sort_by(|one, two| (one.table, &one.remote).cmp(&(two.table, &two.remote)));
    if arguments.daemon.json {
        let object = serde_json::json!({ "program": running.id(), "flows": rows });
        writeln!(out, "{object}")?;
        return Ok(Outcome::Yes);
    }
    if rows.is_empty() {
        writeln!(out, "no flows to blocked countries are open")?;
        return Ok(Outcome::Yes);
    }
    let mut grid = Grid::new();
    grid.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    grid.set_header([
        "table",
        "protocol",
        "local",
        "remote",
        "country",
        "state",
        "age",
        "expires in",
    ]);
    for row in &rows {
        grid.add_row([
            row.table.to_owned(),
            row.protocol.to_owned(),
            row.local.clone(),
            row.remote.clone(),
            row.country.to_owned(),
            row.state.to_owned(),
            format!("{} s", row.age),
            format!("{} s", row.left),
        ]);
    }
    writeln!(out, "{}", grid.trim_fmt())?;
    Ok(Outcome::Yes)
}

impl Row {
    fn new(table: Table, key: &FlowKey, flow: &Flow, now: u64, words: &[u32]) -> Self {
        let seconds = |nanoseconds| Duration::from_nanos(nanoseconds).as_secs();
        let class = classify(&key.remote(), &words, &mut ());
        Self {
            table: table.name(),
            protocol: match key.protocol {
                6 => "tcp",
                17 => "udp",
                _ => "icmp",
            },
            local: endpoint(key.local(), key.local_port),
            remote: endpoint(key.remote(), key.remote_port),
            country: class.map_or("none", |class| class.country().name()),
            state: State::from_number(flow.state).map_or("unknown", State::name),
            age: seconds(now.saturating_sub(flow.opened)),
            left: seconds(flow.deadline.saturating_sub(now)),
        }
    }
}
