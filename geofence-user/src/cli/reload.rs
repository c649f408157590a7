//! `geofence reload`: has the running daemon read its configuration and databases again, and says what came of it.

use std::io::{Write, stderr};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::Outcome;
use super::options::InstanceArgs;
use crate::checks::lockout::{self, Dependency};
use crate::daemon::ReloadOptions;
use crate::serve::control::{Answer, Request, ask};

/// Have the running daemon read its configuration and databases again
///
/// Exits with 0 when they are in use and 1 when they were refused; then what was in use before still is.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Take data that the guard does not believe, and a policy that cuts off this machine's SSH sessions, gateways,
    /// resolvers or metadata service
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn reload(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.instance.instance()?;
    let request = Request::Reload(ReloadOptions {
        force: arguments.force,
        required_peers: needed(&instance)?,
    });
    match ask(&instance, &request)? {
        Answer::Done(result) => {
            let Some(generation) = result["generation"].as_u64() else {
                bail!("the daemon's answer has no generation: {result}");
            };
            if arguments.json {
                writeln!(out, "{}", json!({ "ok": true, "generation": generation }))?;
            } else {
                writeln!(out, "reloaded: image {generation} is in place")?;
            }
            Ok(Outcome::Yes)
        }
        Answer::Refused { cause, error } => {
            let what = "not reloaded, the policy in use stays";
            refused(arguments.json, what, &cause, &error, out)
        }
    }
}

/// Tells that the daemon has refused.
pub(super) fn refused(
    json: bool,
    what: &str,
    cause: &str,
    error: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    if json {
        let object = json!({ "ok": false, "cause": cause, "error": error });
        writeln!(out, "{object}")?;
    } else {
        writeln!(stderr(), "{what} ({cause}):\n{error}")?;
    }
    Ok(Outcome::No)
}

/// Whom this machine needs, as far as the daemon's interfaces are concerned.
pub(super) fn needed(instance: &crate::os::instance::Instance) -> anyhow::Result<Vec<Dependency>> {
    let interfaces = match ask(instance, &Request::Status)? {
        Answer::Done(status) => status["interfaces"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["interface"].as_str().map(ToOwned::to_owned))
            .collect::<Vec<_>>(),
        Answer::Refused { error, .. } => bail!("{error}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    Ok(runtime.block_on(lockout::dependencies(&interfaces, None)).0)
}
