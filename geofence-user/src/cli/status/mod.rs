//! `geofence status`: where the filter is attached, which policy is active and whether it is the one requested, what it
//! does now, and what needs attention.

mod text;

use std::io::Write;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::outcome::Outcome;
use super::request::DaemonArgs;
use super::runtime;
use crate::kernel::{Pins, interfaces, with_egress};
use crate::model::attention::{self, Item};
use crate::os::instance::Instance;
use crate::serve::control::{Answer, AskError, Request, ask};

/// What is wrong with an interface that runs the ingress program alone.
const WITHOUT_EGRESS: &str =
    "another program detached the egress program; `geofence run` attaches it again";

/// Show what the filter does now, the active policy, and what needs attention. Works without a daemon
///
/// Exits with 0 when a daemon runs, every interface is protected, the active policy is the last one requested, nothing
/// that was requested is missing, and the flow tables accept new flows; with 1 otherwise. Monitor mode, a trial,
/// replies that are off, exceptions that expire soon and old GeoIP data are shown, but do not change the exit code.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn status(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.daemon.instance.instance()?;
    let mut status = match ask(&instance, &Request::Status) {
        Ok(Answer::Done(status)) => status,
        Ok(Answer::Refused { error, .. }) => bail!("{error}"),
        Err(AskError::NotRunning { .. }) => without_daemon(&instance)?,
        Err(error) => return Err(error.into()),
    };
    let attention = attention::items(&status);
    status["attention"] = attention.iter().map(Item::to_json).collect();
    if arguments.daemon.json {
        writeln!(out, "{status}")?;
    } else {
        out.write_all(text::text(&status, &attention).as_bytes())?;
    }
    let is_well = !attention.iter().any(|item| item.is_trouble);
    Ok(if is_well { Outcome::Yes } else { Outcome::No })
}

/// What the kernel keeps of an instance without a daemon.
fn without_daemon(instance: &Instance) -> anyhow::Result<Value> {
    let pins = Pins::of(instance);
    let runtime = runtime::new()?;
    let present = runtime.block_on(interfaces())?;
    let pinned = pins.indexes()?;
    let indexes: Vec<u32> = pinned.iter().copied().collect();
    let with_egress = runtime.block_on(with_egress(&pins, &indexes))?;
    let interfaces = pinned
        .into_iter()
        .map(|index| {
            let found = present.iter().find(|one| one.index == index);
            let judges = found.map_or(Ok(false), |one| pins.is_on(one))?;
            let is_protected = judges && with_egress.contains(&index);
            let standing = match (found, is_protected) {
                (_, true) => "protected",
                (Some(_), false) if judges => "bare",
                // Its link was detached beneath its pin.
                (Some(_), false) => "detached",
                (None, false) => "gone",
            };
            Ok(json!({
                "interface": found.map(|one| one.name.as_str()),
                "index": index,
                "mode": found.and_then(|one| one.mode),
                "protected": is_protected,
                "standing": standing,
                "detail": (standing == "bare").then_some(WITHOUT_EGRESS),
            }))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let all = Pins::all()?;
    let others = all.iter().filter_map(Pins::instance);
    let others: Vec<_> = others.filter(|name| *name != instance.name()).collect();
    Ok(json!({
        "instance": instance.name(),
        "process": null,
        "interfaces": interfaces,
        "other_instances": others,
    }))
}
