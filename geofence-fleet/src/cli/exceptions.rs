//! `geofence-fleet exception`, `ban`, `unban` and `bans`: on every node at once.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use comfy_table::{LineStyle, Table, presets};
use geofence_user::cli::Outcome;
use geofence_user::cli::ban::{NewBan, source};
use geofence_user::cli::exception::NewException;
use geofence_user::config::{ExceptionSpec, ban_name};
use geofence_user::model::units::UnixSeconds;
use geofence_user::serve::control::FLEET;
use serde_json::json;
use tokio::time::Instant;

use super::options::{FleetArgs, runtime};
use crate::exceptions::{KUBERNETES, Reach, checked, exception_id};
use crate::rollout::Fleet;

/// How often the nodes are looked at while a change is on its way.
const LOOK: Duration = Duration::from_millis(500);

/// Let a source in on every node although a country rule or a list blocks it
#[derive(Args, Debug)]
pub(super) struct ExceptionArguments {
    #[command(subcommand)]
    verb: ExceptionVerb,
}

#[derive(Debug, Subcommand)]
enum ExceptionVerb {
    /// Add an exception to every node; nodes call it `fleet-ID`
    Add {
        #[command(flatten)]
        exception: NewException,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// Remove an exception from every node
    Remove {
        /// Name of the exception
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// List the exceptions of the fleet
    List {
        #[command(flatten)]
        fleet: FleetArgs,
    },
}

/// Whether to wait for the nodes.
#[derive(Args, Clone, Copy, Debug)]
struct WaitArgs {
    /// How many seconds to wait until the connected nodes report the change; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

/// Drop every packet from an address or a prefix on every node, for a time
///
/// A ban ends by itself, after an hour unless --expires or --until says otherwise.
#[derive(Args, Debug)]
pub(super) struct BanArguments {
    #[command(flatten)]
    ban: NewBan,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// End a ban of the fleet on every node
#[derive(Args, Debug)]
pub(super) struct UnbanArguments {
    /// The source, as it was banned
    #[arg(value_name = "ADDRESS|PREFIX", value_parser = banned)]
    source: String,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// The name of a ban.
fn banned(text: &str) -> Result<String, String> {
    source(text).map(|net| ban_name(&net))
}

/// List the bans of the fleet
#[derive(Args, Debug)]
pub(super) struct BansArguments {
    #[command(flatten)]
    fleet: FleetArgs,
}

pub(super) fn exception(
    arguments: &ExceptionArguments,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    match &arguments.verb {
        ExceptionVerb::Add {
            exception,
            wait,
            fleet,
        } => {
            let mut spec = exception.spec();
            ensure!(
                !spec.id.is_empty(),
                "an exception of the fleet needs a name, such as a ticket number"
            );
            ensure!(
                !spec.id.starts_with(KUBERNETES),
                "names that begin with {KUBERNETES:?} are those of GeofenceExceptions: choose another one"
            );
            spec.id = exception_id(&spec.id)?;
            add(fleet, *wait, spec, out)
        }
        ExceptionVerb::Remove { id, wait, fleet } => {
            let id = id.strip_prefix(FLEET).unwrap_or(id);
            remove(fleet, *wait, &format!("{FLEET}{id}"), out)
        }
        ExceptionVerb::List { fleet } => list(fleet, false, out),
    }
}

pub(super) fn ban(arguments: &BanArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let (ban, _) = arguments.ban.spec();
    add(&arguments.fleet, arguments.wait, ban, out)
}

pub(super) fn unban(arguments: &UnbanArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    remove(&arguments.fleet, arguments.wait, &arguments.source, out)
}

pub(super) fn bans(arguments: &BansArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    list(&arguments.fleet, true, out)
}

fn add(
    arguments: &FleetArgs,
    wait: WaitArgs,
    spec: ExceptionSpec,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let spec = checked(spec, UnixSeconds::now())?;
    runtime()?.block_on(async {
        let mut fleet = arguments.connect().await?;
        fleet.forget_expired().await?;
        let revision = fleet.add_exception(&spec).await?;
        await_nodes(&mut fleet, &spec.id, revision, wait, arguments.json, out).await
    })
}

fn remove(
    arguments: &FleetArgs,
    wait: WaitArgs,
    id: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    runtime()?.block_on(async {
        let mut fleet = arguments.connect().await?;
        let Some(revision) = fleet.remove_exception(id).await? else {
            bail!("the fleet has no {id}; `geofence-fleet exception list` and `geofence-fleet bans` show all");
        };
        await_nodes(&mut fleet, id, revision, wait, arguments.json, out).await
    })
}

/// Waits until the connected nodes have seen a revision, and says on how many of them the change is in force.
async fn await_nodes(
    fleet: &mut Fleet,
    id: &str,
    revision: i64,
    WaitArgs { wait }: WaitArgs,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + Duration::from_secs(wait);
    let Reach {
        nodes,
        done,
        behind,
        refused,
    } = loop {
        let reach = Reach::of(&fleet.nodes().await?, id, revision);
        if reach.behind.is_empty() || Instant::now() >= deadline {
            break reach;
        }
        tokio::time::sleep(LOOK).await;
    };
    if json {
        let refused: serde_json::Map<_, _> = refused
            .iter()
            .map(|(node, why)| (node.to_string(), json!(why)))
            .collect();
        let object = json!({
            "id": id, "revision": revision, "nodes": nodes, "done": done, "behind": behind,
            "refused": refused,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{id}: done on {done} of {nodes} connected nodes")?;
        for (node, why) in &refused {
            writeln!(out, "{node} refuses it: {why}")?;
        }
        if wait != 0 {
            for node in &behind {
                writeln!(out, "{node} has not reported it within {wait} s")?;
            }
        }
    }
    let is_done = refused.is_empty() && (behind.is_empty() || wait == 0);
    Ok(if is_done { Outcome::Yes } else { Outcome::No })
}

fn list(arguments: &FleetArgs, bans: bool, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let entries = runtime()?.block_on(async {
        let mut fleet = arguments.connect().await?;
        let prefix = if bans {
            fleet.keys.bans()
        } else {
            fleet.keys.exceptions()
        };
        anyhow::Ok(fleet.engine.list(&prefix).await?.0)
    })?;
    let read = entries.iter().map(|one| {
        let read = serde_json::from_slice::<ExceptionSpec>(&one.value);
        read.with_context(|| format!("{} cannot be read", one.key))
    });
    let all = read.collect::<anyhow::Result<Vec<_>>>()?;
    if arguments.json {
        let what = if bans { "bans" } else { "exceptions" };
        writeln!(out, "{}", json!({ what: all }))?;
        return Ok(Outcome::Yes);
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(["id", "from", "to", "traffic", "until", "owner", "reason"]);
    for one in all {
        let services = one.services.join(", ");
        table.add_row([
            one.id,
            one.from.join(", "),
            one.to.join(", "),
            if services.is_empty() {
                "all".to_owned()
            } else {
                services
            },
            one.until.unwrap_or_else(|| "-".to_owned()),
            one.owner,
            one.reason,
        ]);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    Ok(Outcome::Yes)
}
