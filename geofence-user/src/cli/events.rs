//! `geofence events`: the last list events and samples of drops, and those that follow.

use std::io::{Write, stderr};

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::conditions::{ConditionArgs, meets};
use super::options::InstanceArgs;
use super::outcome::Outcome;
use crate::daemon::events::event_line;
use crate::model::frame_conditions::FrameConditions;
use crate::serve::control::{Answer, Request, ask};

/// Show packets that were dropped, and packets from and to addresses on lists
///
/// The running daemon keeps the last 512 list events and the last 4096 samples of drops. The kernel samples drops only
/// with --follow or with the key `drop-events`: at most 100 a second for each reason, unless the key `drop-event-rate`
/// says otherwise. It sends at most 100 list events a second for each list. The metrics count every packet.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Sample drops, and show events as they happen, until interrupted
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    conditions: ConditionArgs,
    /// Only packets from or to addresses on this list
    #[arg(long, value_name = "LIST")]
    list: Option<String>,
    /// Print one JSON object a line, one for each event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// Which events are shown.
struct Shown<'a> {
    conditions: FrameConditions,
    list: Option<&'a str>,
    is_json: bool,
}

pub(super) fn events(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.instance.instance()?;
    let shown = Shown {
        conditions: arguments.conditions.conditions()?,
        list: arguments.list.as_deref(),
        is_json: arguments.json,
    };
    let ask = |since: u64, drops: u64, follow: bool| {
        let request = Request::Observed {
            since,
            drops,
            follow,
        };
        match ask(&instance, &request)? {
            Answer::Done(answer) => Ok(answer),
            Answer::Refused { error, .. } => bail!("{error}"),
        }
    };
    let mut answer = ask(0, 0, false)?;
    let count = shown.write(&answer, out)?;
    if count == 0 && !arguments.follow && !arguments.json {
        writeln!(out, "no events")?;
        if answer["drops"]["is_sampled"] == false {
            writeln!(
                out,
                "drops are not sampled: run `geofence events --follow` to sample them while it runs, or set \
                 `drop-events = true` to sample them always"
            )?;
        }
    }
    if !arguments.follow {
        return Ok(Outcome::Yes);
    }
    if !arguments.json {
        writeln!(stderr(), "drops are sampled while this command runs")?;
    }
    loop {
        let next = |answer: &Value| answer["next"].as_u64().unwrap_or_default();
        answer = ask(next(&answer), next(&answer["drops"]), true)?;
        let left_out = |answer: &Value| answer["left_out"].as_u64().unwrap_or_default();
        let left_out = left_out(&answer) + left_out(&answer["drops"]);
        if left_out != 0 && !arguments.json {
            writeln!(
                out,
                "{left_out} more arrived faster than they could be shown"
            )?;
        }
        shown.write(&answer, out)?;
    }
}

impl Shown<'_> {
    /// Writes the events of an answer in order of time; returns how many.
    fn write(&self, answer: &Value, out: &mut dyn Write) -> anyhow::Result<usize> {
        let of = |answer: &Value| answer["events"].as_array().cloned().unwrap_or_default();
        let mut events = of(answer);
        events.extend(of(&answer["drops"]));
        events.retain(|event| self.takes(event));
        events.sort_by_key(|event| {
            let time = event["time"].as_str();
            time.and_then(|time| time.parse::<Timestamp>().ok())
        });
        for event in &events {
            if self.is_json {
                writeln!(out, "{event}")?;
            } else {
                let time = event["time"].as_str().unwrap_or("-");
                writeln!(out, "{time}  {}", event_line(event))?;
            }
        }
        out.flush()?;
        Ok(events.len())
    }

    fn takes(&self, event: &Value) -> bool {
        let is_listed = self.list.is_none_or(|list| event["list"] == list);
        is_listed && meets(event, &self.conditions)
    }
}
