//! `geofence detach`: detaches the filter, even if nothing else works.
//!
//! It needs only the pins: no daemon, no configuration and no state. A second call has nothing to do. A name that no
//! interface has is an error once the others are detached: packets there may still be dropped.

use std::io::Write;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::options::InstanceArgs;
use super::outcome::Outcome;
use crate::kernel::{AttachError, Pins, Running, detach_unpinned, interfaces};
use crate::model::interface::Interface;
use crate::serve::control::{Answer, Request, ask};

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
    let elsewhere = arguments.elsewhere()?;
    let runtime = super::runtime::new()?;
    let mut detached = Vec::new();
    for pins in instances.into_iter().chain(elsewhere) {
        detached.extend(runtime.block_on(arguments.detach(&pins))?);
        // A daemon may still wait for other interfaces.
        if pins.indexes()?.is_empty() && (arguments.all || !pins.has_daemon()) {
            pins.remove()?;
        }
    }
    detached.extend(runtime.block_on(arguments.detach_unpinned())?);
    let present = runtime.block_on(interfaces())?;
    let is_known = |name: &&String| present.iter().any(|one| one.is_named(name));
    let unknown: Vec<&String> = arguments
        .interface
        .iter()
        .filter(|name| !is_known(name))
        .collect();
    if arguments.json {
        writeln!(out, "{}", json!({ "detached": detached }))?;
    } else if !detached.is_empty() {
        writeln!(out, "detached from {}", detached.join(", "))?;
    } else if unknown.is_empty() {
        writeln!(out, "nothing to detach: {}", attached(&present))?;
    }
    if !unknown.is_empty() {
        let attached = attached(&present);
        let names: Vec<_> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let present: Vec<_> = present.iter().map(|one| one.name.as_str()).collect();
        bail!(
            "there is no interface {} here; the interfaces are {}, and {}",
            names.join(", "),
            present.join(", "),
            attached,
        );
    }
    Ok(Outcome::Yes)
}

/// Where the filter is attached, in words.
fn attached(present: &[Interface]) -> String {
    let is_filtered = |one: &&Interface| one.program.is_some_and(Running::is_filter);
    let names: Vec<_> = present
        .iter()
        .filter(is_filtered)
        .map(|one| one.name.as_str())
        .collect();
    if names.is_empty() {
        "the filter is not attached to any interface".to_owned()
    } else {
        format!("the filter is attached to {}", names.join(", "))
    }
}

impl Arguments {
    /// The pins that a daemon keeps in a mount namespace of its own.
    fn elsewhere(&self) -> anyhow::Result<Option<Pins>> {
        let instance = self.instance.instance()?;
        // A daemon that does not answer needs no pins of its own.
        let Ok(Answer::Done(status)) = ask(&instance, &Request::Status) else {
            return Ok(None);
        };
        let process = status["process"].as_u64();
        let process = process.filter(|_| status["private_pins"] == true);
        Ok(process.map(|process| Pins::seen_by(process, &instance)))
    }

    /// Detaches the interfaces that are meant and run a filter without a pin that is seen here.
    async fn detach_unpinned(&self) -> anyhow::Result<Vec<String>> {
        // The instance of such a filter is not known.
        if self.all && self.instance.instance.is_some() {
            return Ok(Vec::new());
        }
        let all = Pins::all()?;
        let mut detached = Vec::new();
        for interface in interfaces().await? {
            let is_meant = self.all || self.interface.iter().any(|name| interface.is_named(name));
            let is_pinned = |pins: &Pins| pins.is_on(&interface).unwrap_or(true);
            if !is_meant || all.iter().any(is_pinned) {
                continue;
            }
            let failed = || format!("detaching {} without a pin", interface.name);
            if detach_unpinned(&interface).with_context(failed)? {
                detached.push(interface.name);
            }
        }
        Ok(detached)
    }

    /// Detaches the interfaces of an instance that are meant, and returns their names.
    async fn detach(&self, pins: &Pins) -> Result<Vec<String>, AttachError> {
        let present = interfaces().await?;
        let mut wanted = pins.indexes()?;
        wanted.retain(|index| {
            let found = present.iter().find(|one| one.index == *index);
            // If the instance is not named, an index may belong to another network namespace.
            let is_meant = |name: &String| {
                found.is_some_and(|one| {
                    one.is_named(name)
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
