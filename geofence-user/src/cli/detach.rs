//! `geofence detach`: takes the filter off, whatever else works.
//!
//! Needs no daemon, no configuration and no state: the pins are all there is. Asked again, it has nothing to do.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::Outcome;
use super::options::InstanceArgs;
use crate::kernel::{Pins, interfaces};

/// Detach the filter from interfaces, also where no daemon runs
///
/// Everything passes from then on. A daemon that runs does not put it back; `geofence run` does.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Interface to detach from; repeat it for several
    #[arg(
        long,
        value_name = "IF",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    interface: Vec<String>,
    /// Detach from every interface of the instance, and forget its counters and flows
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn detach(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.instance.instance()?;
    let pins = Pins::of(&instance);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let detached = runtime.block_on(async {
        let present = interfaces().await?;
        let mut wanted = BTreeSet::new();
        if arguments.all {
            wanted = pins.indexes()?;
        }
        for name in &arguments.interface {
            // An interface that is not there has no filter.
            if let Some(found) = present.iter().find(|one| one.name == *name) {
                wanted.insert(found.index);
            }
        }
        let detached = pins.detach(&wanted).await?;
        let name = |index: &u32| {
            let found = present.iter().find(|one| one.index == *index);
            found.map_or_else(|| format!("index {index}"), |one| one.name.clone())
        };
        Ok::<_, crate::kernel::AttachError>(detached.iter().map(name).collect::<Vec<_>>())
    });
    let detached = match detached {
        Err(error) if !nix::unistd::geteuid().is_root() => {
            bail!("{error}; `geofence detach` takes root")
        }
        detached => detached?,
    };
    if pins.indexes()?.is_empty() {
        pins.remove()?;
    }
    if arguments.json {
        writeln!(
            out,
            "{}",
            json!({ "instance": instance.name(), "detached": detached })
        )?;
    } else if detached.is_empty() {
        writeln!(
            out,
            "nothing to detach: instance {instance} has no filter there"
        )?;
    } else {
        writeln!(out, "detached from {}", detached.join(", "))?;
    }
    Ok(Outcome::Yes)
}
