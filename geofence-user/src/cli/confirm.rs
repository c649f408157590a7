//! `geofence confirm`: the policy on trial stays.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::Outcome;
use super::options::InstanceArgs;
use super::reload::refused;
use crate::serve::control::{Answer, Request, ask};

/// Keep the policy that `geofence apply` has put on trial
///
/// Exits with 0 when it stays, and with 1 when there is none on trial.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn confirm(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match ask(&arguments.instance.instance()?, &Request::Confirm)? {
        Answer::Done(mut result) => {
            if arguments.json {
                result["ok"] = json!(true);
                writeln!(out, "{result}")?;
                return Ok(Outcome::Yes);
            }
            writeln!(out, "confirmed: image {} stays", result["generation"])?;
            if let (Some(path), Some(before)) =
                (result["configuration"].as_str(), result["before"].as_str())
            {
                writeln!(
                    out,
                    "{path} says the same now; its text of before is in {before}"
                )?;
            }
            Ok(Outcome::Yes)
        }
        Answer::Refused { cause, error } => {
            refused(arguments.json, "not confirmed", &cause, &error, out)
        }
    }
}
