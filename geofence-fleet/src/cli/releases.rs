//! `geofence-fleet policy`, `list` and `data`: what reaches the nodes in waves.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use geofence_user::cli::Outcome;
use geofence_user::config::Config;
use geofence_user::model::duration;
use serde_json::json;

use super::options::{DEFAULT_GROUP, FleetArgs, runtime};
use crate::keys::{Name, Subject};
use crate::release::Trial;
use crate::rollout::{Fleet, Plan};
use crate::waves::Ended;

/// Why, and by whom.
#[derive(Args, Clone, Debug)]
pub(super) struct WhyArgs {
    /// Person or team responsible for the release
    #[arg(long, value_name = "TEXT", default_value = "operator")]
    pub(super) owner: String,
    /// Why the content is released
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
}

/// How nodes try it.
#[derive(Args, Clone, Debug)]
pub(super) struct TrialArgs {
    /// Time after which a node returns to the previous policy unless it confirms
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    confirm_within: Duration,
    /// How long a node observes itself before it confirms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    observe: Duration,
    /// Share of the usual packets of each reason that must still pass; 0 does not look at packets
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    band: f64,
}

fn time(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "write a time such as 60s or 5m".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number from 0 to 1, such as 0.5".to_owned())
}

impl TrialArgs {
    pub(super) fn trial(&self) -> anyhow::Result<Trial> {
        let trial = Trial::new(self.confirm_within, self.observe, self.band);
        trial.context("--confirm-within, --observe and --band")
    }
}

/// Release a policy to a group of nodes, in waves
#[derive(Args, Debug)]
pub(super) struct PolicyArguments {
    #[command(subcommand)]
    verb: PolicyVerb,
}

#[derive(Debug, Subcommand)]
enum PolicyVerb {
    /// Release a configuration file: to one node, then to 1 %, 10 % and all
    ///
    /// The file becomes the configuration of each node. Keys that differ by node, such as `interfaces`, stay in the
    /// files of its conf.d. Exits with 0 when all connected nodes have the policy, and with 1 when a wave stopped.
    Apply {
        /// The configuration file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Group of nodes
        #[arg(long, value_name = "NAME", default_value = DEFAULT_GROUP)]
        group: Name,
        /// URL where nodes find the file, if it is too large for the engine; repeat it for several
        #[arg(long, value_name = "URL")]
        url: Vec<String>,
        #[command(flatten)]
        trial: TrialArgs,
        #[command(flatten)]
        why: WhyArgs,
        #[command(flatten)]
        fleet: FleetArgs,
    },
}

/// A file that is released.
#[derive(Args, Debug)]
struct FileArgs {
    /// Its name; nodes keep it as KIND/NAME below the agent's directory
    #[arg(value_name = "NAME")]
    name: Name,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// URL where nodes find the file, if it is too large for the engine; repeat it for several
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    #[command(flatten)]
    why: WhyArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Release a third-party list to all nodes, in waves
///
/// Nodes keep it in list/NAME below the agent's directory, where a `[[list]]` of their configuration reads it.
#[derive(Args, Debug)]
pub(super) struct ListArguments {
    #[command(subcommand)]
    verb: FileVerb,
}

#[derive(Debug, Subcommand)]
enum FileVerb {
    /// Release a file: to one node, then to 1 %, 10 % and all
    Apply(FileArgs),
}

/// Release a GeoIP or AS database to all nodes, in waves
///
/// Nodes keep it in data/NAME below the agent's directory, where `databases` of their configuration names it.
#[derive(Args, Debug)]
pub(super) struct DataArguments {
    #[command(subcommand)]
    verb: FileVerb,
}

pub(super) fn policy(arguments: &PolicyArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let PolicyVerb::Apply {
        file,
        group,
        url,
        trial,
        why,
        fleet,
    } = &arguments.verb;
    let trial = trial.trial()?;
    // A file that no node could read goes to none.
    Config::load(file)?;
    let subject = Subject::Policy(group.clone());
    release(fleet, &subject, (file, url), trial, why, out)
}

pub(super) fn list(arguments: &ListArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let FileVerb::Apply(file) = &arguments.verb;
    file.release(Subject::List, out)
}

pub(super) fn data(arguments: &DataArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let FileVerb::Apply(file) = &arguments.verb;
    file.release(Subject::Data, out)
}

impl FileArgs {
    fn release(
        &self,
        subject: fn(Name) -> Subject,
        out: &mut dyn Write,
    ) -> anyhow::Result<Outcome> {
        let (file, urls) = (&self.file, &self.url[..]);
        let subject = subject(self.name.clone());
        release(
            &self.fleet,
            &subject,
            (file, urls),
            Trial::NONE,
            &self.why,
            out,
        )
    }
}

fn release(
    arguments: &FleetArgs,
    subject: &Subject,
    (file, urls): (&PathBuf, &[String]),
    trial: Trial,
    why: &WhyArgs,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    runtime()?.block_on(async {
        let mut fleet = arguments.connect().await?;
        let content = fleet.put_content(subject, bytes, urls.to_vec()).await?;
        let plan = Plan {
            content,
            trial,
            owner: why.owner.clone(),
            reason: why.reason.clone(),
            is_rollback: false,
        };
        let release = fleet.publish(subject, plan).await?;
        let revision = release.revision;
        roll_out(&mut fleet, subject, revision, arguments.json, out).await
    })
}

/// Takes a release through its waves, and says how that ended.
pub(super) async fn roll_out(
    fleet: &mut Fleet,
    subject: &Subject,
    revision: u64,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    if !json {
        writeln!(out, "{subject}: revision {revision}")?;
    }
    let mut say = |line: &str| {
        if !json {
            writeln!(out, "{line}")?;
            out.flush()?;
        }
        anyhow::Ok(())
    };
    let ended = fleet.roll_out(subject, &mut say).await?;
    let stop = match &ended {
        Ended::Everywhere(_) => None,
        Ended::Stopped(stop) => Some(stop),
    };
    if json {
        let object = json!({ "subject": subject.path(), "revision": revision, "stopped": stop });
        writeln!(out, "{object}")?;
    } else {
        match &ended {
            Ended::Everywhere(nodes) => writeln!(out, "in use on all {nodes} connected nodes")?,
            Ended::Stopped(stop) => writeln!(out, "STOPPED: {stop}")?,
        }
    }
    Ok(if stop.is_none() {
        Outcome::Yes
    } else {
        Outcome::No
    })
}
