//! `geofence detach`: detaches the filter, even if nothing else works.
//!
//! It needs only the pins: no daemon, no configuration and no state. A second call has nothing to do.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::options::InstanceArgs;
use super::outcome::Outcome;
use crate::kernel::{AttachError, Pins, interfaces};

/// Detach the filter from interfaces, with or without a running daemon
///
/// From then on every packet passes. A running daemon does not attach the filter again; `geofence run` does.
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
    /// Detach from every interface, and delete counters and flows
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    // Without a name, all instances are meant: the name may be in a configuration that cannot be read.
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn detach(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instances = match &arguments.instance.instance {
        Some(_) => vec![Pins::of(&arguments.instance.instance()?)],
        None => Pins::all()?,
    };
    let runtime = super::runtime::new()?;
    let mut detached = Vec::new();
    for pins in instances {
        detached.extend(runtime.block_on(arguments.detach(&pins))?);
        // A daemon may still wait for other interfaces.
        if pins.indexes()?.is_empty() && (arguments.all || !pins.has_daemon()) {
            pins.remove()?;
        }
    }
    if arguments.json {
        writeln!(out, "{}", json!({ "detached": detached }))?;
    } else if detached.is_empty() {
        writeln!(out, "nothing to detach: the filter is not attached there")?;
    } else {
        writeln!(out, "detached from {}", detached.join(", "))?;
    }
    Ok(Outcome::Yes)
}

impl Arguments {
    /// Detaches the interfaces of an instance that are meant, and returns their names.
    async fn detach(&self, pins: &Pins) -> Result<Vec<String>, AttachError> {
        let present = interfaces().await?;
        let mut wanted = pins.indexes()?;
        wanted.retain(|index| {
            let found = present.iter().find(|one| one.index == *index);
            // If the instance is not named, an index may belong to another network namespace.
            let is_meant = |name: &String| {
                found.is_some_and(|one| {
                    one.name == *name
                        && (self.instance.instance.is_some() || pins.is_on(one).unwrap_or(true))
                })
            };
            self.all || self.interface.iter().any(is_meant)
        });
        let detached = pins.detach(&wanted).await?;
        let name = |index: &u32| {
            let found = present.iter().find(|one| one.index == *index);
            found.map_or_else(|| format!("index {index}"), |one| one.name.clone())
        };
        Ok(detached.iter().map(name).collect())
    }
}
