//! The command: reads both policies, compares them, and prints the result.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::text::text;
use super::traffic::Traffic;
use crate::checks::diff::{Diff, Side};
use crate::cli::options::{DefaultFile, InstanceArgs, PolicyArgs};
use crate::cli::outcome::Outcome;
use crate::kernel::Running;
use crate::model::units::UnixSeconds;
use crate::prepare::{Prepared, prepare};

/// Show what a new policy would change: countries, addresses, lists, services, data, and current traffic
///
/// Compares with the running filter, or with another configuration. Exits with 0 if nothing would change and 1 if
/// something would.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The new configuration [default: /etc/geofence/geofence.toml; where it does not exist, the default policy]
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The configuration in use, to compare with it instead of with the running filter
    #[arg(long, value_name = "OLD")]
    pub(super) config: Option<PathBuf>,
    /// GeoIP database (MMDB) instead of those of the new configuration; repeat it for several
    #[arg(long, value_name = "FILE")]
    pub(super) database: Vec<PathBuf>,
    /// Countries to block instead of those of the new configuration
    #[arg(long, value_name = "CC,...")]
    pub(super) block: Option<String>,
    /// URL of a running filter's metrics, such as http://127.0.0.1:10317/metrics; by default that of the configuration
    #[arg(long, value_name = "URL")]
    pub(super) counters: Option<String>,
    /// How many seconds to watch traffic; with 0, only the totals since the start of the filter are shown
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(super) over: u16,
    /// List every country whose data changed, not only those that the policy lists
    #[arg(long)]
    pub(super) all: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) default: DefaultFile,
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
}

/// The policy in use.
enum Old {
    Prepared(Box<Prepared>),
    Running(Box<Running>),
}

impl Old {
    fn find(arguments: &Arguments) -> anyhow::Result<Self> {
        if arguments.config.is_some() {
            let old = PolicyArgs {
                config: arguments.config.clone(),
                ..PolicyArgs::default()
            };
            let mut old = old.config()?;
            arguments.instance.apply(&mut old)?;
            return Ok(Self::Prepared(Box::new(prepare(old)?)));
        }
        let compare = "name the configuration to compare with: --config OLD";
        match Running::find(&arguments.instance.instance()?) {
            Ok(Some(running)) => Ok(Self::Running(Box::new(running))),
            Ok(None) => bail!("no filter runs; {compare}"),
            Err(error) => Err(error).context(format!("reading the running filter; {compare}")),
        }
    }

    fn side(&self) -> Side<'_> {
        match self {
            Self::Prepared(prepared) => Side {
                words: prepared.image.words(),
                config: Some(&prepared.config),
            },
            Self::Running(running) => Side {
                words: running.words(),
                config: None,
            },
        }
    }

    fn name(&self, arguments: &Arguments) -> String {
        match (self, &arguments.config) {
            (Self::Prepared(_), Some(path)) => path.display().to_string(),
            (Self::Prepared(_), None) => "the default policy".to_owned(),
            (Self::Running(running), _) => format!("the running filter (id {})", running.id()),
        }
    }
}

/// Runs `geofence diff`.
pub fn diff(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let new = PolicyArgs {
        config: arguments.file.clone(),
        database: arguments.database.clone(),
        block: arguments.block.clone(),
        default: arguments.default.clone(),
    };
    let mut new = new.config()?;
    arguments.instance.apply(&mut new)?;
    let new = prepare(new)?;
    let old = Old::find(arguments)?;
    let side = Side {
        words: new.image.words(),
        config: Some(&new.config),
    };
    let diff = Diff::new(old.side(), side, &new.config.policy, UnixSeconds::now())?;
    let moves = !diff.verdicts.is_empty() || !diff.services.closed.is_empty();
    let listen = old.side().config.unwrap_or(&new.config).listen;
    let url = || match &arguments.counters {
        Some(url) => url.clone(),
        None => format!("http://{listen}/metrics"),
    };
    let mut traffic = moves.then(|| Traffic::watch(&diff, url(), arguments.over));
    // Without --counters, no filter need be running, and the traffic is shown as unknown.
    if let Some(watched) =
        traffic.take_if(|one| arguments.counters.is_some() && one.affected.is_err())
    {
        watched.affected?;
    }
    if arguments.json {
        let mut object = serde_json::to_value(&diff)?;
        object["equal"] = diff.is_empty().into();
        object["against"] = old.name(arguments).into();
        let affected = traffic.as_ref().map(|traffic| traffic.affected.as_ref());
        object["traffic"] = json!(affected.and_then(Result::ok));
        let unknown = affected.and_then(Result::err).map(ToString::to_string);
        object["traffic_unknown"] = json!(unknown);
        writeln!(out, "{object}")?;
    } else {
        let name = old.name(arguments);
        let text = text(&diff, &new.config.policy, &name, arguments.all);
        out.write_all(text.as_bytes())?;
        if let Some(traffic) = &traffic {
            write!(out, "{traffic}")?;
        }
    }
    Ok(if diff.is_empty() {
        Outcome::Yes
    } else {
        Outcome::No
    })
}
