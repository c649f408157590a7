//! `geofence revert`: the policy on trial goes, before its time is over.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::Outcome;
use super::options::InstanceArgs;
use super::reload::refused;
use crate::serve::control::{Answer, Request, ask};

/// End the trial of a policy at once and go back to the one before
///
/// Exits with 0 when the one before filters again, and with 1 when there is none on trial.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn revert(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match ask(&arguments.instance.instance()?, &Request::Revert)? {
        Answer::Done(mut result) => {
            if arguments.json {
                result["ok"] = json!(true);
                writeln!(out, "{result}")?;
            } else {
                writeln!(out, "image {} filters again", result["generation"])?;
            }
            Ok(Outcome::Yes)
        }
        Answer::Refused { cause, error } => {
            refused(arguments.json, "nothing changed", &cause, &error, out)
        }
    }
}
