//! `geofence-fleet wave`, `freeze` and `revert`: releases that are on their way.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use geofence_user::cli::Outcome;
use geofence_user::model::units::UnixSeconds;
use serde_json::json;

use super::options::{FleetArgs, runtime};
use super::releases::{TrialArgs, WhyArgs, roll_out};
use crate::keys::Subject;
use crate::release::{ALL, Stop, Trial};
use crate::rollout::Plan;

/// Show, continue or stop a release
#[derive(Args, Debug)]
pub(super) struct WaveArguments {
    #[command(subcommand)]
    verb: WaveVerb,
}

#[derive(Debug, Subcommand)]
enum WaveVerb {
    /// Show the progress of a release
    Show {
        #[command(flatten)]
        subject: SubjectArgs,
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// Continue a release with its next waves, for example after its command was interrupted
    Continue {
        #[command(flatten)]
        subject: SubjectArgs,
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// Stop a release where it is; nodes that have it keep it
    Stop {
        #[command(flatten)]
        subject: SubjectArgs,
        #[command(flatten)]
        fleet: FleetArgs,
    },
}

/// What a release is about.
#[derive(Args, Clone, Debug)]
struct SubjectArgs {
    /// policy/GROUP, list/NAME or data/NAME
    #[arg(value_name = "SUBJECT", default_value = "policy/default", value_parser = subject)]
    subject: Subject,
}

fn subject(text: &str) -> Result<Subject, String> {
    let error = || "write policy/GROUP, list/NAME or data/NAME".to_owned();
    Subject::parse(text).ok_or_else(error)
}

/// Stop nodes from taking releases, or let them take releases again
///
/// Exceptions, bans and `geofence-fleet revert` still work.
#[derive(Args, Debug)]
pub(super) struct FreezeArguments {
    /// Let nodes take releases again
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Return all nodes to the previous content at once
#[derive(Args, Debug)]
pub(super) struct RevertArguments {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    trial: TrialArgs,
    #[command(flatten)]
    why: WhyArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

pub(super) fn wave(arguments: &WaveArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match &arguments.verb {
        WaveVerb::Show { subject, fleet } => show(&subject.subject, fleet, out),
        WaveVerb::Continue { subject, fleet } => {
            let subject = &subject.subject;
            runtime()?.block_on(async {
                let mut connected = fleet.connect().await?;
                let (release, _) = connected.known_release(subject).await?;
                roll_out(&mut connected, subject, release.revision, fleet.json, out).await
            })
        }
        WaveVerb::Stop { subject, fleet } => {
            let subject = &subject.subject;
            runtime()?.block_on(async {
                let mut connected = fleet.connect().await?;
                let (release, _) = connected.known_release(subject).await?;
                let why = "stopped by an operator".to_owned();
                let stop = Stop { node: None, why };
                connected.stop(subject, release.revision, stop).await
            })?;
            show(subject, fleet, out)
        }
    }
}

fn show(subject: &Subject, arguments: &FleetArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let (release, nodes) = runtime()?.block_on(async {
        let mut fleet = arguments.connect().await?;
        let (release, _) = fleet.known_release(subject).await?;
        anyhow::Ok((release, fleet.nodes().await?))
    })?;
    let path = subject.path();
    let own = nodes.iter().filter_map(|node| {
        let own = node.releases.get(&path)?;
        (own.revision == release.revision).then_some((&node.node, own))
    });
    let own: Vec<_> = own.collect();
    if arguments.json {
        let nodes: serde_json::Map<_, _> = own
            .iter()
            .map(|(node, one)| (node.to_string(), json!(one)))
            .collect();
        writeln!(
            out,
            "{}",
            json!({ "subject": path, "release": release, "nodes": nodes })
        )?;
    } else {
        let way = if release.is_rollback { ", back" } else { "" };
        writeln!(
            out,
            "{subject}: revision {}{way}, by {}: {}",
            release.revision, release.owner, release.reason
        )?;
        let reach = match release.limit {
            _ if release.stopped.is_some() => "no further node takes it",
            0 => "no node takes it yet",
            ALL => "all nodes take it",
            _ => "some nodes take it",
        };
        writeln!(out, "{reach}, {} have reported it", own.len())?;
        if let Some(stop) = &release.stopped {
            writeln!(out, "STOPPED: {stop}")?;
        }
        for (node, one) in own {
            let why = one
                .why
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            writeln!(out, "{node}  {}{why}", one.progress.word())?;
        }
    }
    Ok(if release.stopped.is_none() {
        Outcome::Yes
    } else {
        Outcome::No
    })
}

pub(super) fn freeze(arguments: &FreezeArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    runtime()?.block_on(async {
        let mut fleet = arguments.fleet.connect().await?;
        let key = fleet.keys.freeze();
        if arguments.off {
            fleet.engine.delete(&key).await?;
        } else {
            let text = json!({ "since": UnixSeconds::now() }).to_string();
            fleet.engine.put(&key, text.into_bytes(), None).await?;
        }
        anyhow::Ok(())
    })?;
    if arguments.fleet.json {
        writeln!(out, "{}", json!({ "frozen": !arguments.off }))?;
    } else if arguments.off {
        writeln!(out, "nodes take releases again")?;
    } else {
        writeln!(
            out,
            "nodes take no release from now on; `geofence-fleet freeze --off` ends this"
        )?;
    }
    Ok(Outcome::Yes)
}

pub(super) fn revert(arguments: &RevertArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let subject = &arguments.subject.subject;
    let trial = match subject {
        Subject::Policy(_) => arguments.trial.trial()?,
        Subject::List(_) | Subject::Data(_) => Trial::NONE,
    };
    runtime()?.block_on(async {
        let mut fleet = arguments.fleet.connect().await?;
        let (release, _) = fleet.known_release(subject).await?;
        // A second time, it is the same way back.
        let content = if release.is_rollback {
            release.content
        } else {
            let before = release.before;
            before.with_context(|| format!("{subject} has no earlier content to return to"))?
        };
        let plan = Plan {
            content,
            trial,
            owner: arguments.why.owner.clone(),
            reason: arguments.why.reason.clone(),
            is_rollback: true,
        };
        let release = fleet.publish(subject, plan).await?;
        let revision = release.revision;
        roll_out(&mut fleet, subject, revision, arguments.fleet.json, out).await
    })
}
