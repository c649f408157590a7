//! `geofence check`: reads a configuration and its databases as `run` would, and prints the policy they amount to.
//!
//! It compiles the image and discards it. `run` accepts what `check` accepts, unless the kernel refuses.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::effective::Effective;
use crate::checks::sanity::FirstData;
use crate::cli::options::{InstanceArgs, PolicyArgs};
use crate::cli::outcome::Outcome;
use crate::config::{ConfigText, DEFAULT};
use crate::model::server_url::hide_secrets;
use crate::os::interface_names::indexes;
use crate::prepare::prepare;

/// Check a configuration and its databases, and print the policy they amount to
///
/// Exits with 0 if `geofence run` would accept both, with 1 if it would accept the data only with --force, and with 2
/// if the configuration cannot be read.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Configuration file, the same as with --config
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) policy: PolicyArgs,
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
    /// Print the configuration with the files of conf.d merged, and the file and line of each key
    #[arg(long, conflicts_with = "json")]
    pub(super) show: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl Arguments {
    /// Those that check one file.
    pub(in crate::cli) fn of(file: &Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            policy: PolicyArgs::default(),
            instance: InstanceArgs::default(),
            show: false,
            json: false,
        }
    }
}

pub(in crate::cli) fn check(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut policy = arguments.policy.clone();
    policy.config = policy.config.or_else(|| arguments.file.clone());
    let mut config = policy.config()?;
    arguments.instance.apply(&mut config)?;
    if arguments.show {
        writeln!(out, "# policy: {}", policy.describe())?;
        let merged = match policy.file() {
            Some(file) => ConfigText::read(file)?.merged()?,
            None => DEFAULT.to_owned(),
        };
        out.write_all(hide_secrets(&merged).as_bytes())?;
        return Ok(Outcome::Yes);
    }
    let prepared = prepare(config)?;
    let mut effective = Effective::of(&prepared, policy.describe());
    let first = FirstData::of(&prepared)?;
    let is_refused = !first.refusals.is_empty();
    let refusals = first
        .refusals
        .iter()
        .map(|refusal| format!("`geofence run` accepts this data only with --force: {refusal}"));
    effective.warnings.extend(refusals.chain(first.warnings));
    let is_missing = |name: &&String| indexes(std::slice::from_ref(*name)).is_empty();
    let config = &prepared.config;
    let missing = config.interfaces.iter().filter(is_missing);
    effective.warnings.extend(missing.map(|name| {
        format!(
            "there is no interface {name} here; `geofence run` waits for it. If the name is wrong, the interface that \
             was meant stays unfiltered: correct `interfaces`; `ip link` lists the existing ones"
        )
    }));
    let inner = config.inner_interfaces.iter().filter(is_missing);
    let inner = inner.filter(|name| !config.interfaces.contains(name));
    effective.warnings.extend(inner.map(|name| {
        format!(
            "there is no interface {name} here; correct `inner-interfaces` if the name is wrong"
        )
    }));
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&effective)?)?;
    } else {
        out.write_all(effective.text().as_bytes())?;
    }
    Ok(if is_refused {
        Outcome::No
    } else {
        Outcome::Yes
    })
}
