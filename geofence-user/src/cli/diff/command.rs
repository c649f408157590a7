//! The command: reads both policies, compares them, and prints the result.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::text::text;
use super::traffic::Traffic;
use crate::checks::diff::{Described, Diff, Side, Value};
use crate::cli::options::{DefaultFile, InstanceArgs, PolicyArgs};
use crate::cli::outcome::Outcome;
use crate::config::Config;
use crate::config::overrides::Overrides;
use crate::daemon::RuntimeExceptionStore;
use crate::kernel::Running;
use crate::model::units::UnixSeconds;
use crate::os::instance::Instance;
use crate::prepare::{Prepared, prepare};
use crate::serve::control::{Answer, Request, ask_for};

/// Show what a new policy would change: settings, countries, addresses, lists, services, tenants, exceptions, data, and
/// current traffic
///
/// Compares with the running filter, or with another configuration: key by key, and by the decisions for everyone and
/// for each tenant. Exits with 0 if nothing would change, and with 1 if something would or if some of it cannot be
/// compared.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The new configuration [default: /etc/geofence/geofence.toml; where it does not exist, the default policy]
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Old configuration to compare with, instead of the running filter
    #[arg(long, value_name = "OLD")]
    pub(super) config: Option<PathBuf>,
    /// GeoIP database (MMDB) instead of those of the new configuration; repeat it for several
    #[arg(long, value_name = "FILE")]
    pub(super) database: Vec<PathBuf>,
    /// Countries to block instead of those of the new configuration
    #[arg(long, value_name = "CC,...")]
    pub(super) block: Option<String>,
    /// URL of a running filter's metrics, such as http://127.0.0.1:10317/metrics [default: that of the configuration]
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
    Prepared(Box<Prepared>, Described, Vec<String>),
    Running(Box<Running>, Option<DaemonPolicy>),
}

/// What a daemon says of the policy that it filters by.
#[derive(Default, Deserialize)]
struct DaemonPolicy {
    described: Option<Described>,
    overrides: Overrides,
    #[serde(default)]
    database_types: Vec<String>,
}

impl DaemonPolicy {
    /// Asks the daemon of an instance; nothing if none answers, or only one that cannot say it.
    fn ask(instance: &Instance) -> Option<Self> {
        match ask_for(instance, &Request::Policy) {
            Ok(Answer::Done(policy)) => Some(policy),
            Ok(Answer::Refused { .. }) | Err(_) => None,
        }
    }
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
            let old = prepare(old)?;
            let described = Described::of(&old.config, &old.lists.reports);
            let types = old.database_types();
            return Ok(Self::Prepared(Box::new(old), described, types));
        }
        let compare = "name the configuration to compare with: --config OLD";
        let instance = arguments.instance.instance()?;
        match Running::find(&instance) {
            Ok(Some(running)) => {
                let policy = DaemonPolicy::ask(&instance);
                Ok(Self::Running(Box::new(running), policy))
            }
            Ok(None) => bail!("no filter runs; {compare}"),
            Err(error) => Err(error).context(format!("cannot read the running filter; {compare}")),
        }
    }

    /// The new configuration as a reload would read it. The options of the daemon's command line hold, except for those
    /// that this command replaces, and so do runtime exceptions.
    fn complete(&self, arguments: &Arguments, mut config: Config) -> anyhow::Result<Config> {
        let Self::Running(_, policy) = self else {
            return Ok(config);
        };
        if let Some(DaemonPolicy { overrides, .. }) = policy {
            let mut overrides = overrides.clone();
            if !arguments.database.is_empty() {
                overrides.databases.clear();
            }
            if arguments.block.is_some() {
                overrides.block = None;
            }
            overrides.apply(&mut config)?;
        }
        let store = RuntimeExceptionStore::of(&arguments.instance.instance()?);
        Ok(store.add_to(config)?)
    }

    fn side(&self) -> Side<'_> {
        match self {
            Self::Prepared(prepared, described, types) => Side {
                words: prepared.image.words(),
                described: Some(described),
                database_types: types,
            },
            Self::Running(running, policy) => Side {
                words: running.words(),
                described: policy.as_ref().and_then(|one| one.described.as_ref()),
                database_types: policy.as_ref().map_or(&[], |one| &one.database_types),
            },
        }
    }

    /// Where a filter answers for its metrics, if that is known.
    fn listen(&self) -> Option<&str> {
        let described = self.side().described?;
        let mut keys = described.keys.iter();
        let (_, value) = keys.find(|(key, _)| key == "listen")?;
        match value {
            Value::One(address) => Some(address),
            Value::Many(_) => None,
        }
    }

    fn name(&self, arguments: &Arguments) -> String {
        match (self, &arguments.config) {
            (Self::Prepared(..), Some(path)) => path.display().to_string(),
            (Self::Prepared(..), None) => "the default policy".to_owned(),
            (Self::Running(running, _), _) => format!("the running filter (id {})", running.id()),
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
    let name = new.describe();
    let mut new = new.config()?;
    arguments.instance.apply(&mut new)?;
    let old = Old::find(arguments)?;
    let new = prepare(old.complete(arguments, new)?)?;
    let described = Described::of(&new.config, &new.lists.reports);
    let types = new.database_types();
    let side = Side {
        words: new.image.words(),
        described: Some(&described),
        database_types: &types,
    };
    let diff = Diff::new(old.side(), side, &new.config.policy, UnixSeconds::now())?;
    let url = || match (&arguments.counters, old.listen()) {
        (Some(url), _) => url.clone(),
        (None, Some(listen)) => format!("http://{listen}/metrics"),
        (None, None) => format!("http://{}/metrics", new.config.listen),
    };
    let mut traffic = diff
        .moves_traffic()
        .then(|| Traffic::watch(&diff, url(), arguments.over));
    // Without --counters, no filter need be running, and the traffic is shown as unknown.
    if let Some(watched) =
        traffic.take_if(|one| arguments.counters.is_some() && one.affected.is_err())
    {
        watched.affected?;
    }
    let is_equal = diff.is_empty() && diff.not_compared.is_empty();
    if arguments.json {
        let mut object = serde_json::to_value(&diff)?;
        object["equal"] = is_equal.into();
        object["policy"] = name.into();
        object["against"] = old.name(arguments).into();
        let affected = traffic.as_ref().map(|traffic| traffic.affected.as_ref());
        object["traffic"] = json!(affected.and_then(Result::ok));
        let unknown = affected.and_then(Result::err).map(ToString::to_string);
        object["traffic_unknown"] = json!(unknown);
        writeln!(out, "{object}")?;
    } else {
        let old = old.name(arguments);
        writeln!(out, "policy: {name}, compared with {old}")?;
        let text = text(&diff, &new.config.policy, arguments.all);
        out.write_all(text.as_bytes())?;
        if let Some(traffic) = &traffic {
            write!(out, "{traffic}")?;
        }
    }
    Ok(if is_equal { Outcome::Yes } else { Outcome::No })
}
