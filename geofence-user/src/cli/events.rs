//! `geofence events`: the last list events, and those that follow.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::options::InstanceArgs;
use super::outcome::Outcome;
use crate::daemon::events::event_line;
use crate::serve::control::{Answer, Request, ask};

/// Show the last packets from and to addresses on lists, with both endpoints, list and tenant
///
/// The running daemon keeps the last 512 events. The kernel sends at most a hundred a second for each list; the metrics
/// count every packet.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Continue with events as they happen, until interrupted
    #[arg(long)]
    follow: bool,
    /// Print one JSON object a line, one for each event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn events(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.instance.instance()?;
    let since = |since: u64, wait: bool| match ask(&instance, &Request::Events { since, wait })? {
        Answer::Done(answer) => Ok(answer),
        Answer::Refused { error, .. } => bail!("{error}"),
    };
    let mut answer = since(0, false)?;
    let is_empty = answer["events"].as_array().is_none_or(Vec::is_empty);
    if is_empty && !arguments.follow && !arguments.json {
        writeln!(out, "no events")?;
    }
    write(&answer, arguments.json, out)?;
    if !arguments.follow {
        return Ok(Outcome::Yes);
    }
    loop {
        answer = since(answer["next"].as_u64().unwrap_or_default(), true)?;
        let left_out = answer["left_out"].as_u64().unwrap_or_default();
        if left_out != 0 && !arguments.json {
            writeln!(
                out,
                "{left_out} more arrived faster than they could be shown"
            )?;
        }
        write(&answer, arguments.json, out)?;
    }
}

fn write(answer: &Value, is_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    for event in answer["events"].as_array().into_iter().flatten() {
        if is_json {
            writeln!(out, "{event}")?;
        } else {
            let time = event["time"].as_str().unwrap_or("-");
            writeln!(out, "{time}  {}", event_line(event))?;
        }
    }
    Ok(out.flush()?)
}
