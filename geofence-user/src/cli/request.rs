//! The shape of a command that asks the running daemon for a change: its options, and how it writes the answer.

use std::io::{Write, stderr};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::options::InstanceArgs;
use super::outcome::Outcome;
use super::{runtime, waiting};
use crate::checks::lockout::{self, Dependency};
use crate::daemon::ReloadOptions;
use crate::model::text::printable;
use crate::os::instance::Instance;
use crate::serve::control::{Answer, Request, ask};

/// Which daemon to ask, and how to print the answer.
#[derive(Args, Debug)]
pub(super) struct DaemonArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub instance: InstanceArgs,
}

/// A change of policy that can be forced.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ForceArgs {
    /// Accept data that fails the sanity check, and a policy that locks out this machine's SSH sessions, gateways,
    /// resolvers or metadata service
    #[arg(long)]
    pub force: bool,
}

impl DaemonArgs {
    /// Asks the daemon, and writes its answer as JSON or in words. `refused` is the heading of a refusal. A change that
    /// put less in place than asked is no success.
    pub(super) fn request(
        &self,
        request: &Request,
        refused_words: &str,
        words: impl FnOnce(&Value) -> anyhow::Result<String>,
        out: &mut dyn Write,
    ) -> anyhow::Result<Outcome> {
        match ask(&self.instance.instance()?, request)? {
            Answer::Done(mut result) => {
                let is_whole = missing(&result).is_empty();
                if self.json {
                    result["ok"] = json!(true);
                    writeln!(out, "{result}")?;
                } else {
                    writeln!(out, "{}", words(&result)?)?;
                }
                Ok(if is_whole { Outcome::Yes } else { Outcome::No })
            }
            Answer::Refused { cause, error } => {
                refused(self.json, refused_words, &cause, &error, out)
            }
        }
    }

    /// The options of a new policy, with the peers that the client's side requires.
    pub(super) fn reload_options(&self, force: &ForceArgs) -> anyhow::Result<ReloadOptions> {
        Ok(ReloadOptions {
            force: force.force,
            required_peers: required_peers(&self.instance.instance()?)?,
            ..ReloadOptions::default()
        })
    }
}

/// The same, to be put behind what was done.
pub(super) fn in_part(result: &Value) -> String {
    match missing(result).as_str() {
        "" => String::new(),
        missing => format!("\nIN PART: {missing}"),
    }
}

/// What the answer to a change of policy says that is not in place, in sentences: what the policy lacks, and where
/// nothing filters by it. Empty if all is.
pub(super) fn missing(result: &Value) -> String {
    let shortfalls = result["shortfalls"].as_array().into_iter().flatten();
    let texts = shortfalls.filter_map(|one| one["text"].as_str());
    let unprotected = result["unprotected"].as_array().into_iter().flatten();
    let texts = unprotected.filter_map(Value::as_str).chain(texts);
    texts.collect::<Vec<_>>().join("\n")
}

/// Writes a refusal of the daemon.
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
        let error = printable(error);
        waiting::end();
        writeln!(stderr(), "{what} ({cause}):\n{error}")?;
    }
    Ok(Outcome::No)
}

/// The peers that this machine requires on the daemon's interfaces. The command sees the SSH session it runs in, which
/// the daemon does not.
pub(super) fn required_peers(instance: &Instance) -> anyhow::Result<Vec<Dependency>> {
    let interfaces = match ask(instance, &Request::Status)? {
        Answer::Done(status) => status["interfaces"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["interface"].as_str().map(ToOwned::to_owned))
            .collect::<Vec<_>>(),
        Answer::Refused { error, .. } => bail!("{error}"),
    };
    Ok(runtime::new()?
        .block_on(lockout::dependencies(&interfaces, None))
        .0)
}
