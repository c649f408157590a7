//! `geofence confirm`: makes the policy on trial permanent.

use std::io::Write;

use clap::Args;

use super::outcome::Outcome;
use super::request::{DaemonArgs, in_part};
use crate::serve::control::Request;

/// Keep the policy that `geofence apply` has put on trial
///
/// Exits with 0 when it stays, and with 1 when no policy is on trial.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn confirm(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let words = |result: &serde_json::Value| {
        let confirmed = format!("confirmed: image {} stays", result["generation"]);
        let words = match (result["configuration"].as_str(), result["before"].as_str()) {
            (Some(path), Some(before)) => format!(
                "{confirmed}\n{path} now contains this policy; its previous text is in {before}"
            ),
            _ => confirmed,
        };
        Ok(words + &in_part(result))
    };
    let refused = "not confirmed";
    arguments
        .daemon
        .request(&Request::Confirm, refused, words, out)
}
